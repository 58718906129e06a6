package storetest

import (
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func batchLaws() []law {
	const about = "batch"
	return []law{
		{about: about, says: "a commit is all of it or nothing", test: allOrNothing},
		{about: about, says: "a batch becomes visible whole", test: visibleWhole},
		{about: about, says: "the receipt says what was recorded", test: receiptSays},
		{about: about, says: "a batch of nothing is refused", test: func(x *scene) {
			_, err := x.Writer.Commit(x.ctx, store.Batch{})
			require.ErrorIs(x, err, store.ErrInvalid)
		}},
	}
}

func allOrNothing(x *scene) {
	first := x.append("a")
	side := x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s", Value: []byte("1")}}})
	for about, b := range map[string]store.Batch{
		"an expectation of the last event": {Events: append(eventsAt("b", "c"), store.Proposal{
			At: store.At("a", "law"), Expect: store.Absent, Payload: store.Raw{Type: "thing.done"},
		})},
		"an expectation of a side value": {Events: eventsAt("b", "c"), Sides: []store.SideWrite{
			{Key: "t", Value: []byte("2")}, {Key: "s", Value: []byte("2"), Expect: store.Exactly(side.Sequence + 1)},
		}},
		"a condition": {
			Events: eventsAt("b", "c"), Sides: []store.SideWrite{{Key: "t", Value: []byte("2")}},
			Conditions: []store.Condition{{Region: store.Region{Entity: "a"}}},
		},
	} {
		x.unchanged(func() {
			_, err := x.Writer.Commit(x.ctx, b)
			require.ErrorIs(x, err, store.ErrConflict, about)
		}, about)
	}
	r := x.commit(store.Batch{Events: eventsAt("b", "c"), Sides: []store.SideWrite{{Key: "t", Value: []byte("3")}}})
	require.Equal(x, first.Position()+2, r.Position(), "what was refused has taken no position")
	require.Equal(x, []store.Position{1, 2, 3}, x.positions(store.Region{}))
	v, found, err := x.Reader.Side("t")
	require.NoError(x, err)
	require.True(x, found)
	require.Equal(x, store.SideValue{Key: "t", Value: []byte("3"), Revision: r.Sequence}, v)
}

// visibleWhole reads while batches of three are committed: as many as it takes for the reader to
// see the log at some moments.
func visibleWhole(x *scene) {
	const writers, batches, moments, size = 3, 200, 40, 3
	var seen, committed atomic.Int64
	finished := make(chan error, 1)
	go func() {
		finished <- inParallel(writers, func(i int) error {
			entity := fmt.Sprintf("writer:%d", i)
			for n := 0; n < batches && seen.Load() < moments; n++ {
				if _, err := x.Writer.Commit(x.ctx, store.Batch{Events: eventsAt(entity, entity, entity)}); err != nil {
					return err
				}
				committed.Add(size)
				runtime.Gosched() // to the reader
			}
			return nil
		})
	}()
	var known []uuid.UUID
	for writing := true; writing; {
		select {
		case err := <-finished:
			require.NoError(x, err)
			writing = false
		default:
		}
		head := x.Reader.Head()
		require.Zero(x, head%size, "the head lies within a batch")
		events := x.seen(store.Region{})
		require.Zero(x, len(events)%size, "a part of a batch is visible")
		require.GreaterOrEqual(x, len(events), max(len(known), int(head)), "what was visible is gone")
		if len(events) > len(known) {
			seen.Add(1)
		}
		for i, e := range events {
			require.Equal(x, store.Position(i+1), e.Position, "a hole")
			if i < len(known) {
				require.Equal(x, known[i], e.ID, "another event is at position %d", e.Position)
			} else {
				known = append(known, e.ID)
			}
		}
	}
	require.Len(x, known, int(committed.Load()))
}

func receiptSays(x *scene) {
	before := x.append("a", "b")
	r := x.append("a", "c", "a")
	require.Equal(x, x.Reader.Origin(), r.Origin)
	require.Greater(x, r.Sequence, before.Sequence)
	require.False(x, r.Duplicate)
	require.Len(x, r.Events, 3)
	require.Equal(x, store.Position(5), r.Position())
	for i, want := range []store.Recorded{{Position: 3, Version: 2}, {Position: 4, Version: 1}, {Position: 5, Version: 3}} {
		e, err := x.Reader.GetAt(x.ctx, want.Position)
		require.NoError(x, err)
		want.ID = e.ID
		require.Equal(x, want, r.Events[i])
	}
	side := x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s"}}})
	require.Empty(x, side.Events)
	require.Zero(x, side.Position())
	require.Greater(x, side.Sequence, r.Sequence, "a commit of side values counts")
}

func positionLaws() []law {
	const about = "position"
	return []law{
		{about: about, says: "positions are 1, 2, 3 and so on, whatever is refused in between", test: positionsAreDense},
		{about: about, says: "what was committed stays the same over a reopening", needs: needsReopen, test: staysTheSame},
		{about: about, says: "ids and times grow with positions", test: idsGrow},
		{about: about, says: "an anchor is good in this log alone", test: anchors},
	}
}

func positionsAreDense(x *scene) {
	for i := range 12 {
		entity := fmt.Sprintf("e:%d", i%5)
		r := x.append(entity)
		require.Equal(x, store.Position(i+1), r.Position())
		_, err := x.Writer.Append(x.ctx, store.At(entity, "law"), store.Absent, store.Raw{Type: "thing.done"})
		require.ErrorIs(x, err, store.ErrConflict)
		x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s", Value: []byte{byte(i)}}}})
	}
	for i, p := range x.positions(store.Region{}) {
		require.Equal(x, store.Position(i+1), p)
	}
	require.Equal(x, store.Position(12), x.Reader.Head())
}

func staysTheSame(x *scene) {
	x.commit(store.Batch{IdempotencyKey: "k", Events: eventsAt("a", "b", "a")})
	x.commit(store.Batch{Events: eventsAt("a"), Sides: []store.SideWrite{{Key: "small", Value: []byte("v")}, {Key: "large", Value: make([]byte, 4000)}}})
	events, origin := x.seen(store.Region{}), x.Reader.Origin()
	sides, err := collect(x.Reader.Sides(""))
	require.NoError(x, err)
	for range 2 {
		x.reopen()
		require.Equal(x, origin, x.Reader.Origin())
		require.Equal(x, store.Position(4), x.Reader.Head())
		again := x.seen(store.Region{})
		require.Len(x, again, len(events))
		for i, e := range again {
			sameEvent(x, events[i], e)
		}
		values, err := collect(x.Reader.Sides(""))
		require.NoError(x, err)
		require.Equal(x, sides, values)
	}
	require.Equal(x, uint64(4), x.append("a").Events[0].Version)
	require.Equal(x, store.Position(5), x.Reader.Head())
}

// sameEvent requires that two readings of an event say the same.
func sameEvent(x *scene, want, got store.Event) {
	x.Helper()
	type said struct {
		Event         store.Event
		Hash          [32]byte
		Headers, Meta map[string]string
		Payload       string
		Bypass        string
	}
	say := func(e store.Event) said {
		s := said{Hash: e.Hash(), Headers: e.Headers(), Meta: e.Meta(), Payload: string(e.Payload), Bypass: e.Bypass()}
		s.Event = store.Event{
			ID: e.ID, Position: e.Position, Coordinate: e.Coordinate, Kind: e.Kind, SchemaVersion: e.SchemaVersion,
			Version: e.Version, Time: e.Time, Cause: e.Cause, Correlation: e.Correlation, Depth: e.Depth, Codec: e.Codec,
		}
		return s
	}
	require.Equal(x, say(want), say(got))
}

func idsGrow(x *scene) {
	require.NoError(x, inParallel(4, func(i int) error {
		for range 25 {
			if _, err := x.Writer.Append(x.ctx, store.At(fmt.Sprintf("e:%d", i), "law"), store.Any, store.Raw{Type: "thing.done"}); err != nil {
				return err
			}
		}
		return nil
	}))
	var last store.Event
	for _, e := range x.seen(store.Region{}) {
		require.Equal(x, uuid.Version(7), e.ID.Version())
		require.Greater(x, e.ID.String(), last.ID.String())
		require.Greater(x, e.Time, last.Time)
		last = e
	}
	require.Equal(x, store.Position(100), last.Position)
}

func anchors(x *scene) {
	first := x.append("a")
	r := x.append("b", "c")
	require.NoError(x, x.Reader.CheckAnchor(x.ctx, r.Anchor()))
	require.NoError(x, x.Reader.CheckAnchor(x.ctx, store.Anchor{Store: r.Origin.Store}), "position 0 is in every log")
	a, err := x.Reader.AnchorAt(x.ctx, r.Position())
	require.NoError(x, err)
	require.Equal(x, "0", a.Hidden)
	unsaid := a
	unsaid.Hidden = "" // a receipt does not know it
	require.Equal(x, r.Anchor(), unsaid)
	_, err = x.Reader.AnchorAt(x.ctx, r.Position()+1)
	require.ErrorIs(x, err, store.ErrNotFound)

	other, another := a, a
	other.Store, another.Event = uuid.New(), first.Events[0].ID
	require.ErrorIs(x, x.Reader.CheckAnchor(x.ctx, other), store.ErrForeignHistory, "another store")
	require.ErrorIs(x, x.Reader.CheckAnchor(x.ctx, another), store.ErrForeignHistory, "another event")
	ahead := a
	ahead.Position++
	require.ErrorIs(x, x.Writer.CheckAnchor(x.ctx, ahead), store.ErrForeignHistory, "a position that was not assigned")
}
