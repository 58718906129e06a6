package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func keyLaws() []law {
	const about = "idempotency key"
	return []law{
		{about: about, says: "a key answers with the first receipt and changes nothing", test: keyAnswers},
		{about: about, says: "a key with other content is refused", test: keyRefuses},
		{about: about, says: "what is not content may differ", test: keyAllows},
		{about: about, says: "a refused commit leaves its key free", test: keyStaysFree},
		{about: about, says: "concurrent commits with one key are one", test: keyOnce},
		{about: about, says: "a key makes a retry after any outcome safe", test: keyRetries},
		{about: about, says: "a key is remembered over a reopening", needs: needsReopen, test: keyRemembered},
	}
}

// keyed is a commit with a key.
func keyed() store.Batch {
	return store.Batch{
		IdempotencyKey: "key",
		Events: []store.Proposal{
			{At: store.At("a", "law"), Expect: store.Absent, Payload: store.Raw{Type: "thing.done", SchemaVersion: 1, Data: []byte(`{"n":1}`)}, Headers: map[string]string{"h": "v"}},
			{At: store.At("b", "law"), Payload: store.Raw{Type: "thing.done", Data: []byte(`{"n":2}`)}},
		},
		Sides: []store.SideWrite{{Key: "s", Value: []byte("first")}},
	}
}

// repeated requires that a receipt is that of a commit before.
func repeated(x *scene, first, r store.Receipt) {
	x.Helper()
	require.True(x, r.Duplicate)
	require.Equal(x, first.Events, r.Events)
	require.Equal(x, first.Sequence, r.Sequence)
	require.Equal(x, first.Origin.Store, r.Origin.Store)
}

func keyAnswers(x *scene) {
	x.append("other")
	first := x.commit(keyed())
	require.False(x, first.Duplicate)
	x.append("a", "b") // now the expectation would not hold
	side := x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s", Value: []byte("second")}}})
	x.unchanged(func() {
		repeated(x, first, x.commit(keyed()))
		again := keyed()
		again.Sides[0].Expect = store.Exactly(first.Sequence)
		again.Conditions = []store.Condition{{Region: store.Region{Entity: "a"}}}
		repeated(x, first, x.commit(again))
	}, "a repeated commit")
	v, _, err := x.Reader.Side("s")
	require.NoError(x, err)
	require.Equal(x, store.SideValue{Key: "s", Value: []byte("second"), Revision: side.Sequence}, v)
}

func keyRefuses(x *scene) {
	x.append("other")
	first := x.commit(keyed())
	raw := func(r store.Raw) store.Raw {
		if r.Type == "" {
			r.Type = "thing.done"
		}
		return r
	}
	for about, change := range map[string]func(b *store.Batch){
		"entity": func(b *store.Batch) { b.Events[0].At.Entity = "c" },
		"scope":  func(b *store.Batch) { b.Events[1].At.Scope = "other" },
		"kind": func(b *store.Batch) {
			b.Events[1].Payload = raw(store.Raw{Type: "thing.made", Data: []byte(`{"n":2}`)})
		},
		"codec":   func(b *store.Batch) { b.Events[1].Payload = raw(store.Raw{Codec: "c", Data: []byte(`{"n":2}`)}) },
		"payload": func(b *store.Batch) { b.Events[1].Payload = raw(store.Raw{Data: []byte(`{"n":3}`)}) },
		"header":  func(b *store.Batch) { b.Events[0].Headers["h"] = "w" },
		"order":   func(b *store.Batch) { b.Events[0], b.Events[1] = b.Events[1], b.Events[0] },
		"fewer":   func(b *store.Batch) { b.Events = b.Events[:1] },
		"more":    func(b *store.Batch) { b.Events = append(b.Events, b.Events[1]) },
	} {
		b := keyed()
		change(&b)
		x.unchanged(func() {
			_, err := x.Writer.Commit(x.ctx, b)
			refused(x, &store.IdempotencyKeyReusedError{Key: "key", Sequence: first.Sequence, Position: 2}, err)
			require.NotErrorIs(x, err, store.ErrConflict)
		}, about)
	}
}

func keyAllows(x *scene) {
	b := keyed()
	b.Events[0].Meta = map[string]string{"traceparent": "first"}
	first := x.commit(b)
	b = keyed()
	b.Events[0].Meta = map[string]string{"traceparent": "second", "more": ""}
	b.Events[0].Payload = store.Raw{Type: "thing.done", SchemaVersion: 2, Data: []byte(`{"n":1}`)}
	b.Sides = nil
	repeated(x, first, x.commit(b))
	e, err := x.Reader.GetAt(x.ctx, 1)
	require.NoError(x, err)
	require.Equal(x, map[string]string{"traceparent": "first"}, e.Meta())
	require.Equal(x, uint16(1), e.SchemaVersion)
	b.IdempotencyKey = "key " // other bytes are another key
	b.Events[0].Expect = store.Any
	require.False(x, x.commit(b).Duplicate)
}

func keyStaysFree(x *scene) {
	x.append("a")
	_, err := x.Writer.Commit(x.ctx, keyed())
	require.ErrorIs(x, err, store.ErrConflict)
	b := keyed()
	b.Events[0].Expect = store.Exactly(1)
	require.False(x, x.commit(b).Duplicate)
	require.True(x, x.commit(b).Duplicate)
}

func keyOnce(x *scene) {
	const callers, rounds = 6, 8
	for round := range rounds {
		b := store.Batch{IdempotencyKey: fmt.Sprint("key ", round), Events: eventsAt("a", "b")}
		receipts := make([]store.Receipt, callers)
		require.NoError(x, inParallel(callers, func(i int) (err error) {
			receipts[i], err = x.Writer.Commit(x.ctx, b)
			return err
		}))
		fresh := 0
		for _, r := range receipts {
			require.Equal(x, receipts[0].Events, r.Events)
			require.Equal(x, receipts[0].Sequence, r.Sequence)
			if !r.Duplicate {
				fresh++
			}
		}
		require.Equal(x, 1, fresh)
		require.Equal(x, store.Position(2*round+2), x.Reader.Head())
	}
}

// keyRetries gives up waiting at any moment, and tries again as a caller does who knows nothing.
func keyRetries(x *scene) {
	const callers, rounds = 4, 25
	require.NoError(x, inParallel(callers, func(i int) error {
		for round := range rounds {
			b := store.Batch{IdempotencyKey: fmt.Sprintf("key %d %d", i, round), Events: eventsAt(fmt.Sprintf("e:%d", i))}
			ctx, cancel := context.WithCancel(x.ctx)
			go cancel()
			_, err := x.Writer.Commit(ctx, b)
			cancel()
			if err != nil && !errors.Is(err, context.Canceled) {
				return fmt.Errorf("a commit whose context ended: %w", err)
			}
			if _, err := x.Writer.Commit(x.ctx, b); err != nil {
				return err
			}
		}
		return nil
	}))
	require.Len(x, x.seen(store.Region{}), callers*rounds, "each was committed once")
}

func keyRemembered(x *scene) {
	first := x.commit(keyed())
	for range 2 {
		x.reopen()
		repeated(x, first, x.commit(keyed()))
		b := keyed()
		b.Events = b.Events[:1]
		_, err := x.Writer.Commit(x.ctx, b)
		refused(x, &store.IdempotencyKeyReusedError{Key: "key", Sequence: first.Sequence, Position: 1}, err)
	}
	require.Equal(x, store.Position(2), x.Reader.Head())
}
