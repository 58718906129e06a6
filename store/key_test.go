package store

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// keyed is a batch whose every part that counts as content differs from the zero value.
func keyed() Batch {
	return Batch{IdempotencyKey: "key", Events: []Proposal{
		{
			At: At("a", "test"), Payload: Raw{Type: "k.a", Codec: "c", SchemaVersion: 2, Data: []byte("data")},
			Headers: map[string]string{"h": "v"},
		},
		{At: At("b", "test"), Payload: note{Text: "b"}},
	}}
}

func TestARepeatedKeyAnswersWithTheFirstReceiptAndChangesNothing(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, "a")
	first := write(t, s, keyed())
	require.False(t, first.Duplicate)
	want := first
	want.Duplicate = true
	again := func(b Batch) {
		untouched(t, s, func() { require.Equal(t, want, write(t, s, b)) })
	}
	again(keyed())
	put(t, s, "b")
	again(keyed())
	grow(t, s, 3)
	again(keyed())
	s = reopen(t, s)
	again(keyed())

	// What is not content does not count, and is not looked at: neither expectations, conditions and
	// side values, nor causes.
	b := keyed()
	b.Events[0].Expect, b.Events[1].Expect = Absent, Exactly(77)
	b.Events[0].Causation = Causation{Cause: uuid.New(), Depth: 3}
	b.Conditions = []Condition{{}}
	b.Sides = []SideWrite{{Key: "side", Expect: Exactly(9)}}
	again(b)
	require.Empty(t, sideKeys(s, ""))
}

func TestAKeyUsedBeforeWithOtherContentIsAConflict(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "x")
	r := write(t, s, keyed())
	changes := map[string]func(*Batch){
		"entity": func(b *Batch) { b.Events[0].At.Entity = "other" },
		"scope":  func(b *Batch) { b.Events[1].At.Scope = "other" },
		"kind": func(b *Batch) {
			b.Events[0].Payload = Raw{Type: "k.b", Codec: "c", SchemaVersion: 2, Data: []byte("data")}
		},
		"codec": func(b *Batch) {
			b.Events[0].Payload = Raw{Type: "k.a", Codec: "d", SchemaVersion: 2, Data: []byte("data")}
		},
		"schema": func(b *Batch) {
			b.Events[0].Payload = Raw{Type: "k.a", Codec: "c", SchemaVersion: 3, Data: []byte("data")}
		},
		"payload": func(b *Batch) { b.Events[1].Payload = note{Text: "c"} },
		"header":  func(b *Batch) { b.Events[0].Headers["h"] = "w" },
		"headers": func(b *Batch) { b.Events[1].Headers = map[string]string{"h": ""} },
		"order":   func(b *Batch) { b.Events[0], b.Events[1] = b.Events[1], b.Events[0] },
		"fewer":   func(b *Batch) { b.Events = b.Events[:1] },
		"more":    func(b *Batch) { b.Events = append(b.Events, b.Events[1]) },
	}
	for name, change := range changes {
		b := keyed()
		change(&b)
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), b)
			require.ErrorIs(t, err, ErrIdempotencyKeyReused, name)
			require.NotErrorIs(t, err, ErrConflict, name)
			var conflict *IdempotencyKeyReusedError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, IdempotencyKeyReusedError{Key: "key", Sequence: r.Sequence, Position: r.Events[0].Position}, *conflict)
			require.NotEmpty(t, err.Error())
		})
	}
}

func TestOneOfConcurrentCommitsWithOneKeyWinsAndTheOthersGetItsReceipt(t *testing.T) {
	s := memoryLog(t)
	receipts := make([]Receipt, 32)
	race(len(receipts), func(i int) (err error) {
		receipts[i], err = s.Commit(t.Context(), Batch{
			IdempotencyKey: "key", Events: []Proposal{{At: At("a", "test"), Expect: Absent, Payload: note{}}},
		})
		return err
	})
	fresh := 0
	for _, r := range receipts {
		require.Len(t, r.Events, 1)
		require.Equal(t, receipts[0].Events, r.Events)
		require.Equal(t, receipts[0].Sequence, r.Sequence)
		if !r.Duplicate {
			fresh++
		}
	}
	require.Equal(t, 1, fresh)
	require.Equal(t, Position(1), s.Head())
}

func TestIdempotencyKeysAreStoreWideAndComparedByEveryByte(t *testing.T) {
	s := memoryLog(t)
	for _, key := range []string{"a", "b", "ab", "A", "a ", "ä"} {
		require.False(t, write(t, s, Batch{IdempotencyKey: key, Events: eventsOf("x")}).Duplicate, key)
	}
	_, err := s.Commit(t.Context(), Batch{IdempotencyKey: "a", Events: eventsOf("y")})
	require.ErrorIs(t, err, ErrIdempotencyKeyReused)
}
