package store

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// keyed is a batch whose every part that counts as content differs from the zero value.
func keyed() Batch {
	return Batch{IdempotencyKey: "key", Events: []Proposal{
		{
			At: At("a", "test"), Payload: Raw{Type: "k.a", Codec: "c", SchemaVersion: 2, Data: []byte("data")},
			Headers: map[string]string{"h": "v"}, Meta: map[string]string{"traceparent": "first"},
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
	// Nor what a deploy or another trace changes.
	b.Events[0].Payload = Raw{Type: "k.a", Codec: "c", SchemaVersion: 3, Data: []byte("data")}
	b.Events[0].Meta = map[string]string{"traceparent": "another"}
	b.Events[1].Meta = map[string]string{"new": ""}
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

func TestMetaIsReadBackAndStaysThatOfTheFirstCommit(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	first := write(t, s, keyed())
	b := keyed()
	b.Events[0].Meta = map[string]string{"traceparent": "second", "more": "x"}
	require.Equal(t, first.Events, write(t, s, b).Events)
	s = openLog(t, disk.Image(vfs.KeepNothing), Options{})
	events := all(t, s, Region{})
	require.Equal(t, map[string]string{"traceparent": "first"}, events[0].Meta())
	require.Equal(t, map[string]string{"h": "v"}, events[0].Headers())
	require.Nil(t, events[1].Meta())
	require.Nil(t, Event{}.Meta())
	requireChains(t, events)

	encoded, err := b.Events[0].Encode()
	require.NoError(t, err)
	require.Equal(t, b.Events[0].Meta, encoded.Meta)
	encoded.Emitter = &Emitter{Worker: "w", Attempt: 1}
	r := write(t, s, Batch{Events: []Proposal{encoded}})
	e, err := s.GetAt(t.Context(), r.Position())
	require.NoError(t, err)
	require.Equal(t, b.Events[0].Meta, e.Meta())
	by, ok := e.Emitter()
	require.True(t, ok)
	require.Equal(t, "w", by.Worker)
}

func TestAKeyWithoutSchemaVersionsIsStoredAsBeforeThereWereRules(t *testing.T) {
	s := memoryLog(t)
	of := func(version uint16, data string) Batch {
		return Batch{IdempotencyKey: "key", Events: []Proposal{
			{At: At("a", "test"), Payload: Raw{Type: "k.a", SchemaVersion: version, Data: []byte(data)}},
		}}
	}
	first := write(t, s, of(0, "{}"))
	k, found, err := s.findKey("key")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, byte(wal.RuleContent), k.Rule)
	for _, version := range []uint16{0, 1, 2} {
		r := write(t, s, of(version, "{}"))
		require.True(t, r.Duplicate)
		require.Equal(t, first.Events, r.Events)
		_, err = s.Commit(t.Context(), of(version, "[]"))
		require.ErrorIs(t, err, ErrIdempotencyKeyReused)
	}
}

func TestAKeyOfARuleThatIsNotKnownIsOfANewerFormat(t *testing.T) {
	s := memoryLog(t)
	write(t, s, keyed())
	g := (*s.segments.Load())[0]
	idx, err := s.indexOf(g)
	require.NoError(t, err)
	offset, ok, err := idx.FindKey("key")
	require.NoError(t, err)
	require.True(t, ok)
	rec, err := g.record(int64(offset))
	require.NoError(t, err)
	rec[15] += wal.Rules
	wal.SealRecord(rec, true)
	file, err := s.fs.(*vfs.Memory).Open(segmentPath(logDir, 1), false)
	require.NoError(t, err)
	_, err = file.WriteAt(rec, int64(offset))
	require.NoError(t, err)
	untouched(t, s, func() {
		_, err = s.Commit(t.Context(), keyed())
		require.ErrorIs(t, err, ErrNewerFormat)
	})
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
