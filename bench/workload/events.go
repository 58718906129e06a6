// Package workload makes the events that every contestant writes and reads.
package workload

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/penstock-io/penstock/store"
)

// The events that are written everywhere: 256 bytes that do not compress, of one of 100 entities.
// Stores that know nothing of metadata get 100 bytes of it in front.
const (
	PayloadBytes  = 256
	MetadataBytes = 100
	RecordBytes   = MetadataBytes + PayloadBytes
	Entities      = 100
	Kind          = "bench.event"
	Scope         = "bench"
)

var (
	payloads = makePayloads()
	// Coordinates of the entities.
	Coordinates = makeCoordinates()
)

func makePayloads() [][]byte {
	random := rand.NewChaCha8([32]byte{1})
	list := make([][]byte, 4096)
	for i := range list {
		list[i] = make([]byte, PayloadBytes)
		_, _ = random.Read(list[i])
	}
	return list
}

func makeCoordinates() []store.Coordinate {
	list := make([]store.Coordinate, Entities)
	for i := range list {
		list[i] = store.At(fmt.Sprintf("entity:%d", i), Scope)
	}
	return list
}

// Payload of the i-th event.
func Payload(i int) []byte { return payloads[i%len(payloads)] }

// Event is the i-th event.
func Event(i int) store.Raw { return store.Raw{Type: Kind, Codec: "raw", Data: Payload(i)} }

// Proposal is the i-th event, with its entity.
func Proposal(i int) store.Proposal {
	return store.Proposal{At: Coordinates[i%Entities], Payload: Event(i)}
}

// EncodeRecord fills buf with what a store without metadata gets as its value.
func EncodeRecord(buf []byte, i int) {
	binary.LittleEndian.PutUint64(buf, uint64(i))
	binary.LittleEndian.PutUint64(buf[8:], uint64(i%Entities))
	copy(buf[16:MetadataBytes], Payload(i+1)) // stands for id, time, hash, kind, scope and lengths
	copy(buf[MetadataBytes:], Payload(i))
}

// DecodeRecord returns the number and the entity, as a reader of metadata would want them.
func DecodeRecord(rec []byte) (i, entity int) {
	return int(binary.LittleEndian.Uint64(rec)), int(binary.LittleEndian.Uint64(rec[8:]))
}

// RecordKey is the key of a record in an ordered store.
func RecordKey(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// Proposals are n of proposal from the i-th on: Proposal or OrderProposal.
func Proposals(i, n int, proposal func(i int) store.Proposal) []store.Proposal {
	list := make([]store.Proposal, n)
	for k := range list {
		list[k] = proposal(i + k)
	}
	return list
}

// LoadBatch is how many events are written at once where writing is not what is measured.
const LoadBatch = 1000

// Load appends events to a store.
func Load(ctx context.Context, st *store.Store, events int, proposal func(i int) store.Proposal) error {
	for i := 0; i < events; i += LoadBatch {
		if _, err := st.Commit(ctx, store.Batch{Events: Proposals(i, min(LoadBatch, events-i), proposal)}); err != nil {
			return err
		}
	}
	return nil
}

// Spacing between two events in a process that is idle in between.
func Spacing() time.Duration { return time.Duration(200+rand.IntN(3800)) * time.Microsecond }
