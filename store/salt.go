package store

import (
	"crypto/rand"
	"encoding/binary"
	mathrand "math/rand/v2"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// saltSource makes the salts of events and keys. A salt is hashed with a payload and goes when the
// payload goes, so that the digest that is kept tells nothing to those who guess. They must not be
// able to guess the salt either: the source is seeded by the system, once, and costs no system call
// after that. One goroutine at a time uses it.
type saltSource struct{ random *mathrand.ChaCha8 }

func (s *saltSource) next() (salt [wal.SaltSize]byte) {
	if s.random == nil {
		var seed [32]byte
		_, _ = rand.Read(seed[:]) // ends the program rather than to return an error
		s.random = mathrand.NewChaCha8(seed)
	}
	binary.LittleEndian.PutUint64(salt[:8], s.random.Uint64())
	binary.LittleEndian.PutUint64(salt[8:], s.random.Uint64())
	return salt
}
