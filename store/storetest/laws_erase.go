package storetest

import (
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func erasureLaws() []law {
	const about = "erasure"
	return []law{
		{about: about, says: "what is erased shows as erased in its place, and all else stays", needs: needsErasure, test: erases},
		{about: about, says: "what was erased stays so over a reopening", needs: needsErasure | needsReopen, test: staysErased},
		{about: about, says: "an erasure that is there before a crash is there after it", needs: needsErasure | needsCrash, test: erasedOverCrash},
		{about: about, says: "a key of what was erased is refused", needs: needsErasure, test: keysAreErased},
		{about: about, says: "what cannot be erased is refused", needs: needsErasure | needsFences, test: erasureRefuses},
	}
}

func erasing(entity string) store.Erasure {
	return store.Erasure{Entity: entity, Reason: "law", By: "storetest"}
}

// toErase commits events of which those of order:42 are erased by some laws, and returns all. They
// were read once, in every way: a handle that keeps what it has read is not to show it later.
func toErase(x *scene) []store.Event {
	x.commit(store.Batch{Events: proposals(), Sides: []store.SideWrite{{Key: "s", Value: []byte("v")}}})
	x.append("order:42", "order:42:x", "order", "order:42")
	return read(x, store.Region{})
}

// read returns the events of a region, which are the same whichever way they are read.
func read(x *scene, r store.Region) []store.Event {
	x.Helper()
	events := x.seen(r)
	i := 0
	for e, err := range x.Reader.Scan(x.ctx, r, store.Beginning()) {
		require.NoError(x, err)
		require.Less(x, i, len(events))
		sameEvent(x, events[i], *e)
		i++
	}
	require.Len(x, events, i)
	i = 0
	for after, head := store.Position(0), x.Reader.Head(); after < head; {
		page, err := x.Reader.ReadPage(x.ctx, r, after, head, 3)
		require.NoError(x, err)
		for _, e := range page.Events {
			require.Less(x, i, len(events))
			sameEvent(x, events[i], e)
			i++
		}
		require.Greater(x, page.Scanned, after)
		after = page.Scanned
	}
	require.Len(x, events, i)
	for _, e := range events {
		at, err := x.Reader.GetAt(x.ctx, e.Position)
		require.NoError(x, err)
		sameEvent(x, e, at)
		byID, err := x.Reader.Get(x.ctx, e.ID)
		require.NoError(x, err)
		sameEvent(x, e, byID)
	}
	return events
}

// forgotten requires that the events of an entity are erased, and others are as they were.
func forgotten(x *scene, before []store.Event, entity string) {
	x.Helper()
	after := read(x, store.Region{})
	require.Len(x, after, len(before))
	for i, was := range before {
		e := after[i]
		by, erased := e.Erased()
		require.Equal(x, was.Coordinate.Entity == entity, erased, "event %d", e.Position)
		if !erased {
			sameEvent(x, was, e)
			continue
		}
		require.Equal(x, "storetest", by.By)
		require.Equal(x, "law", by.Reason)
		require.False(x, by.At.IsZero())
		require.Empty(x, e.Payload)
		require.Nil(x, e.Headers())
		require.ErrorIs(x, e.Decode(&struct{}{}), store.ErrErased)
		require.Equal(x, was.Hash(), e.Hash(), "the chain")
		require.Equal(x, was.Meta(), e.Meta())
		was.Payload = e.Payload
		require.Equal(x, envelope(was), envelope(e))
	}
}

// envelope is what an event has of its own.
func envelope(e store.Event) store.Event {
	return store.Event{
		ID: e.ID, Position: e.Position, Coordinate: e.Coordinate, Kind: e.Kind, SchemaVersion: e.SchemaVersion,
		Version: e.Version, Time: e.Time, Cause: e.Cause, Correlation: e.Correlation, Depth: e.Depth, Codec: e.Codec,
	}
}

func erases(x *scene) {
	before := toErase(x)
	report, err := x.Erase(x.ctx, erasing("order:42"))
	require.NoError(x, err)
	require.Len(x, report.Events, 3)
	forgotten(x, before, "order:42")
	require.Equal(x, uint64(4), x.append("order:42").Events[0].Version, "it may have further events")
	audits := x.seen(store.Region{Scope: store.ReservedScope, Entity: "erasure:" + report.ID.String()})
	require.NotEmpty(x, audits)
	require.Equal(x, store.AuditErased, audits[0].Kind)
	again, err := x.Erase(x.ctx, store.Erasure{Events: []uuid.UUID{report.Events[0].ID}, Reason: "law", By: "storetest"})
	require.NoError(x, err)
	require.Equal(x, uuid.Nil, again.ID, "nothing is left to erase")
}

func staysErased(x *scene) {
	before := toErase(x)
	_, err := x.Erase(x.ctx, erasing("order:42"))
	require.NoError(x, err)
	for range 2 {
		x.reopen()
		forgotten(x, before, "order:42")
		v, _, err := x.Reader.Side("s")
		require.NoError(x, err)
		require.Equal(x, "v", string(v.Value))
	}
}

func erasedOverCrash(x *scene) {
	before := toErase(x)
	last := x.append("last")
	before = append(before, read(x, store.Region{Entity: "last"})...)
	_, err := x.Erase(x.ctx, erasing("order:42"))
	require.NoError(x, err)
	x.take(x.Crash(x))
	if durably(&last) {
		forgotten(x, before, "order:42")
		return
	}
	erased := 0 // a weak mode may have lost the erasure, or all that was to be erased
	events := x.seen(store.Region{Entity: "order:42", Kinds: []string{"order.placed", "thing.done"}})
	for _, e := range events {
		if _, ok := e.Erased(); ok {
			erased++
		}
	}
	require.Contains(x, []int{0, 1, 3}, erased, "it is done or not")
}

func keysAreErased(x *scene) {
	b := store.Batch{IdempotencyKey: "key", Events: eventsAt("a", "b")}
	r := x.commit(b)
	_, err := x.Erase(x.ctx, erasing("a"))
	require.NoError(x, err)
	x.unchanged(func() {
		_, err := x.Writer.Commit(x.ctx, b)
		refused(x, &store.IdempotencyKeyReusedError{Key: "key", Sequence: r.Sequence, Position: 1, Erased: true}, err)
	}, "a repeated commit")
}

func erasureRefuses(x *scene) {
	x.append("a")
	f := x.fence()
	x.stage(f, "b")
	for _, e := range []store.Erasure{{Entity: "a", By: "storetest"}, {Entity: "a", Reason: "law"}, {Reason: "law", By: "storetest"}} {
		_, err := x.Erase(x.ctx, e)
		require.ErrorIs(x, err, store.ErrInvalid)
	}
	_, err := x.Erase(x.ctx, erasing("c"))
	require.ErrorIs(x, err, store.ErrNotFound)
	_, err = x.Erase(x.ctx, erasing("b"))
	require.ErrorIs(x, err, store.ErrReserved)
	dry := erasing("a")
	dry.DryRun = true
	report, err := x.Erase(x.ctx, dry)
	require.NoError(x, err)
	require.Len(x, report.Events, 1)
	require.NoError(x, f.Publish(x.ctx))
	for _, e := range x.seen(store.Region{}) {
		_, erased := e.Erased()
		require.False(x, erased)
	}
	_, err = x.Erase(x.ctx, erasing("b"))
	require.NoError(x, err)
}
