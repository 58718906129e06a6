package store

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"
	"sync"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// saltPool makes the salts of events and keys. A salt is hashed with a payload and goes when the
// payload goes, so that the digest that is kept tells nothing to those who guess. They must not be
// able to guess the salt either: its sources are seeded by the system, and cost no system call
// after that. There are as many as goroutines take salts at the same time, so that those few stay
// in the caches of the processors.
type saltPool struct{ sources sync.Pool }

func (p *saltPool) next() (salt [wal.SaltSize]byte) {
	random, ok := p.sources.Get().(*mathrand.ChaCha8)
	if !ok {
		var seed [32]byte
		_, _ = rand.Read(seed[:]) // ends the program rather than to return an error
		random = mathrand.NewChaCha8(seed)
	}
	binary.LittleEndian.PutUint64(salt[:8], random.Uint64())
	binary.LittleEndian.PutUint64(salt[8:], random.Uint64())
	p.sources.Put(random)
	return salt
}
