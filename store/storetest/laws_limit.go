package storetest

import (
	"context"
	"strings"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func limitLaws() []law {
	const about = "limit"
	return []law{
		{about: about, says: "what breaks a rule gets a typed error, and nothing is written", test: badInput},
		{about: about, says: "the reserved scope is entered by audits alone, and seen by those that name it", test: reservedScope},
		{about: about, says: "a context that has ended writes nothing", test: endedContexts},
		{about: about, says: "a closed handle says so", test: closed},
	}
}

func badInput(x *scene) {
	x.append("a")
	event := func(change func(p *store.Proposal)) store.Batch {
		b := store.Batch{Events: eventsAt("fine", "b")}
		change(&b.Events[1])
		return b
	}
	at := func(entity, scope string) store.Batch {
		return event(func(p *store.Proposal) { p.At = store.At(entity, scope) })
	}
	raw := func(r store.Raw) store.Batch { return event(func(p *store.Proposal) { p.Payload = r }) }
	key := func(key string) store.Batch { return store.Batch{IdempotencyKey: key, Events: eventsAt("b")} }
	side := func(w ...store.SideWrite) store.Batch { return store.Batch{Events: eventsAt("b"), Sides: w} }
	long := func(n int) string { return strings.Repeat("x", n+1) }
	for about, b := range map[string]store.Batch{
		"no entity":              at("", "law"),
		"a long entity":          at(long(store.MaxEntityBytes), "law"),
		"a line as an entity":    at("a\nb", "law"),
		"an entity of no text":   at("\xff", "law"),
		"no scope":               at("b", ""),
		"a long scope":           at("b", long(store.MaxScopeBytes)),
		"the reserved scope":     at("b", store.ReservedScope),
		"no payload":             event(func(p *store.Proposal) { p.Payload = nil }),
		"no kind":                raw(store.Raw{}),
		"a long kind":            raw(store.Raw{Type: long(store.MaxKindBytes)}),
		"a large payload":        raw(store.Raw{Type: "k", Data: make([]byte, store.MaxPayloadBytes+1)}),
		"large headers":          event(func(p *store.Proposal) { p.Headers = map[string]string{"h": long(64 << 10)} }),
		"a header without name":  event(func(p *store.Proposal) { p.Headers = map[string]string{"": "v"} }),
		"a reserved meta":        event(func(p *store.Proposal) { p.Meta = map[string]string{"penstock.x": "v"} }),
		"an emitter of no name":  event(func(p *store.Proposal) { p.Emitter = &store.Emitter{} }),
		"a long bypass":          event(func(p *store.Proposal) { p.Bypass = long(1024) }),
		"a long key":             key(long(store.MaxIdempotencyKeyBytes)),
		"a line as a key":        key("a\nb"),
		"a key without an event": {IdempotencyKey: "key", Sides: []store.SideWrite{{Key: "s"}}},
		"no side key":            side(store.SideWrite{}),
		"a long side key":        side(store.SideWrite{Key: long(1024)}),
		"a large side value":     side(store.SideWrite{Key: "s", Value: make([]byte, 1<<20+1)}),
		"a side key twice":       side(store.SideWrite{Key: "s"}, store.SideWrite{Key: "t"}, store.SideWrite{Key: "s", Delete: true}),
		"a reserved side key":    side(store.SideWrite{Key: "fence/1"}),
	} {
		x.unchanged(func() {
			_, err := x.Writer.Commit(x.ctx, b)
			var invalid *store.InvalidError
			require.ErrorAs(x, err, &invalid, about)
			require.NotEmpty(x, invalid.Field, about)
			require.True(x, invalid.Rule != "" || invalid.Limit > 0, about)
		}, about)
	}
	require.Equal(x, store.Position(2), x.append("b").Position())
}

func reservedScope(x *scene) {
	x.append("worker")
	_, err := x.Writer.Append(x.ctx, store.At("worker", store.ReservedScope), store.Any, store.Raw{Type: "penstock.paused"})
	require.ErrorIs(x, err, store.ErrInvalid)
	r := x.commit(store.Batch{Events: []store.Proposal{store.Audit("worker", store.Raw{Type: "penstock.paused"})}})
	require.Equal(x, []store.Recorded{{ID: r.Events[0].ID, Position: 2, Version: 2}}, r.Events)
	require.Equal(x, []store.Position{1}, x.positions(store.Region{}))
	require.Equal(x, []store.Position{1}, x.positions(store.Region{Entity: "worker"}))
	require.Equal(x, []store.Position{2}, x.positions(store.Region{Scope: store.ReservedScope}))
	n, err := x.Reader.Count(x.ctx, store.Region{}, 0, 0, 10)
	require.NoError(x, err)
	require.Equal(x, 1, n)
	require.Equal(x, store.Position(2), x.Reader.Head())
	_, err = x.Writer.Commit(x.ctx, store.Batch{Events: []store.Proposal{store.Audit("worker", store.Raw{Type: "mine"})}})
	require.ErrorIs(x, err, store.ErrInvalid)
}

func endedContexts(x *scene) {
	x.append("a")
	ctx, cancel := context.WithCancel(x.ctx)
	cancel()
	x.unchanged(func() {
		_, err := x.Writer.Append(ctx, store.At("a", "law"), store.Any, store.Raw{Type: "thing.done"})
		require.ErrorIs(x, err, context.Canceled)
		_, err = x.Writer.Commit(ctx, store.Batch{Sides: []store.SideWrite{{Key: "s"}}})
		require.ErrorIs(x, err, context.Canceled)
	}, "a context that has ended")
	_, err := collect(x.Reader.Read(ctx, store.Region{}, store.Beginning()))
	require.ErrorIs(x, err, context.Canceled)
	_, err = collect(x.Reader.Scan(ctx, store.Region{}, store.Beginning()))
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Reader.ReadPage(ctx, store.Region{}, 0, 0, 1)
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Reader.GetAt(ctx, 1)
	require.ErrorIs(x, err, context.Canceled)
	_, err = x.Reader.Version(ctx, "a")
	require.ErrorIs(x, err, context.Canceled)
	ctx, cancel = context.WithCancel(x.ctx)
	defer cancel()
	x.append("a", "a")
	n := 0
	for _, err := range x.Reader.Read(ctx, store.Region{}, store.Beginning()) {
		if cancel(); err != nil {
			require.ErrorIs(x, err, context.Canceled)
		}
		n++
	}
	require.LessOrEqual(x, n, 4, "what was in memory, and an error")
}

func closed(x *scene) {
	x.append("a")
	head := x.Reader.Head()
	waited := make(chan error, 1)
	go func() {
		_, err := x.Reader.Wait(x.ctx, 1)
		waited <- err
	}()
	for range 2 {
		require.NoError(x, x.Reader.Close())
		require.NoError(x, x.Writer.Close())
	}
	require.ErrorIs(x, <-waited, store.ErrClosed)
	_, err := x.Writer.Append(x.ctx, store.At("a", "law"), store.Any, store.Raw{Type: "thing.done"})
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = x.Writer.Commit(x.ctx, store.Batch{Sides: []store.SideWrite{{Key: "s"}}})
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = collect(x.Reader.Read(x.ctx, store.Region{}, store.Beginning()))
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = x.Reader.ReadPage(x.ctx, store.Region{}, 0, 0, 1)
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = x.Reader.Get(x.ctx, uuid.New())
	require.ErrorIs(x, err, store.ErrClosed)
	_, _, err = x.Reader.Side("s")
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = collect(x.Reader.Sides(""))
	require.ErrorIs(x, err, store.ErrClosed)
	_, err = x.Reader.Wait(x.ctx, 1)
	require.ErrorIs(x, err, store.ErrClosed)
	require.Equal(x, head, x.Reader.Head(), "what was known is known")
}
