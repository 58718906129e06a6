package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func fenceLaws() []law {
	const about = "fence"
	return []law{
		{about: about, says: "what is staged becomes visible at once", needs: needsFences, test: fencePublishes},
		{about: about, says: "what is cancelled is hidden forever and leaves no hole in versions", needs: needsFences, test: fenceCancels},
		{about: about, says: "an anchor is valid where the same is hidden", needs: needsFences, test: fencesAnchored},
		{about: about, says: "what a fence uses is reserved until it ends", needs: needsFences, test: fenceReserves},
		{about: about, says: "stages see each other", needs: needsFences, test: fenceSeesItself},
		{about: about, says: "a version is that of the head while a fence is open", needs: needsFences, test: versionsWait},
		{about: about, says: "side values are visible while a fence is open", needs: needsFences, test: sidesPassFences},
		{about: about, says: "none of two fences is visible in part", needs: needsFences, test: fencesOverlap},
		{about: about, says: "a deadline cancels", needs: needsFences, test: fenceExpires},
		{about: about, says: "a fence ends once", needs: needsFences, test: fenceEnds},
		{about: about, says: "a fence does not outlive its writer", needs: needsFences | needsReopen, test: fenceDiesWithWriter},
		{about: about, says: "what was hidden or published stays so over a reopening", needs: needsFences | needsReopen, test: fencesStay},
		{about: about, says: "a crash cancels a fence", needs: needsFences | needsCrash, test: crashCancels},
	}
}

func fencePublishes(x *scene) {
	x.append("before")
	f := x.fence()
	first := x.stage(f, "a", "b")
	other := x.append("c")
	last := x.stage(f, "a")
	require.Equal(x, []store.Position{3, 4, 5}, []store.Position{first.Position(), other.Position(), last.Position()})
	require.Equal(x, uint64(2), last.Events[0].Version)
	require.Equal(x, store.Position(1), x.Reader.Head(), "the head has passed what is staged")
	require.Equal(x, []store.Position{1}, x.positions(store.Region{}))
	for _, p := range []store.Position{2, 4} {
		_, err := x.Reader.GetAt(x.ctx, p)
		require.ErrorIs(x, err, store.ErrNotFound)
	}
	require.NoError(x, x.Reader.CheckAnchor(x.ctx, last.Anchor()), "what is not visible is there")
	require.NoError(x, f.Publish(x.ctx))
	for _, r := range []store.Receipt{first, other, last} {
		require.NoError(x, x.Reader.WaitVisible(x.ctx, r))
	}
	require.Equal(x, store.Position(5), x.Reader.Head())
	require.Equal(x, []store.Position{1, 2, 3, 4, 5}, x.positions(store.Region{}))
	require.Equal(x, uint64(3), x.append("a").Events[0].Version)
}

func fencesAnchored(x *scene) {
	shown := x.append("before")
	var ends []store.Anchor
	for _, end := range []func(Fence) error{
		func(f Fence) error { return f.Publish(x.ctx) },
		func(f Fence) error { return f.Cancel(x.ctx) },
		func(f Fence) error { return f.Cancel(x.ctx) },
	} {
		f := x.fence()
		x.stage(f, "a")
		other := x.append("b")
		require.NoError(x, end(f))
		require.NoError(x, x.Reader.WaitVisible(x.ctx, other))
		a, err := x.Reader.AnchorAt(x.ctx, other.Position())
		require.NoError(x, err)
		ends = append(ends, a)
	}
	for i, a := range ends {
		for _, known := range []string{"", a.Hidden} {
			a.Hidden = known
			require.NoError(x, x.Reader.CheckAnchor(x.ctx, a))
			require.NoError(x, x.Writer.CheckAnchor(x.ctx, a))
		}
		a.Hidden = ends[(i+1)%len(ends)].Hidden
		require.ErrorIs(x, x.Reader.CheckAnchor(x.ctx, a), store.ErrForeignHistory, "it has seen other events")
	}
	a, err := x.Reader.AnchorAt(x.ctx, shown.Position())
	require.NoError(x, err)
	require.Equal(x, a.Hidden, ends[0].Hidden, "what is published is not hidden")
}

func fenceCancels(x *scene) {
	x.append("a")
	f := x.fence()
	staged := x.stage(f, "a", "b")
	other := x.append("c")
	keyed, err := f.Stage(x.ctx, store.Batch{IdempotencyKey: "key", Events: eventsAt("b")})
	require.NoError(x, err)
	require.NoError(x, f.Cancel(x.ctx))

	require.NoError(x, x.Reader.WaitVisible(x.ctx, other))
	require.ErrorIs(x, x.Reader.WaitVisible(x.ctx, staged), store.ErrFenceCancelled)
	require.NoError(x, x.Reader.CheckAnchor(x.ctx, keyed.Anchor()), "what is hidden is a common past")
	after := x.append("a", "b")
	require.Equal(x, store.Position(7), after.Position(), "positions stay assigned")
	require.Equal(x, []store.Position{1, 4, 6, 7}, x.positions(store.Region{}))
	require.Equal(x, []store.Position{1, 6}, x.positions(store.Region{Entity: "a"}))
	require.Equal(x, []uint64{2, 1}, []uint64{after.Events[0].Version, after.Events[1].Version})
	for _, p := range []store.Position{2, 3, 5} {
		_, err := x.Reader.GetAt(x.ctx, p)
		require.ErrorIs(x, err, store.ErrNotFound)
	}
	n, err := x.Reader.Count(x.ctx, store.Region{}, 0, 0, 100)
	require.NoError(x, err)
	require.Equal(x, 4, n)
	again := x.commit(store.Batch{IdempotencyKey: "key", Events: eventsAt("z")})
	require.False(x, again.Duplicate, "a cancelled key is free")
}

func fenceReserves(x *scene) {
	x.append("a")
	f := x.fence()
	_, err := f.Stage(x.ctx, store.Batch{IdempotencyKey: "key", Events: eventsAt("a", "b:1")})
	require.NoError(x, err)
	condition := store.Condition{Region: store.Region{Entity: "b"}, After: 1}
	for about, c := range map[string]struct {
		batch store.Batch
		want  store.ReservedError
	}{
		"entity":    {store.Batch{Events: eventsAt("c", "a")}, store.ReservedError{Entity: "a"}},
		"key":       {store.Batch{IdempotencyKey: "key", Events: eventsAt("c")}, store.ReservedError{IdempotencyKey: "key"}},
		"condition": {store.Batch{Events: eventsAt("c"), Conditions: []store.Condition{condition}}, store.ReservedError{Condition: &condition, Position: 3}},
	} {
		c.want.Reason = fenceReason
		_, err := x.Writer.Commit(x.ctx, c.batch)
		refused(x, &c.want, err)
		require.NotErrorIs(x, err, store.ErrConflict, about)
		other := x.fence()
		_, err = other.Stage(x.ctx, c.batch)
		refused(x, &c.want, err)
		require.NoError(x, other.Cancel(x.ctx))
	}
	x.append("b", "b:2")
	require.NoError(x, f.Publish(x.ctx))
	require.Equal(x, uint64(3), x.append("a").Events[0].Version)
	_, err = x.Writer.Commit(x.ctx, store.Batch{Events: eventsAt("c"), Conditions: []store.Condition{condition}})
	refused(x, &store.ConflictError{Condition: &condition, Position: 3}, err)
	require.True(x, x.commit(store.Batch{IdempotencyKey: "key", Events: eventsAt("a", "b:1")}).Duplicate)
}

func fenceSeesItself(x *scene) {
	f := x.fence()
	p := eventsAt("a")[0]
	p.Expect = store.Absent
	b := store.Batch{Events: []store.Proposal{p}, Conditions: []store.Condition{{Region: store.Region{Entity: "a"}}}}
	_, err := f.Stage(x.ctx, b)
	require.NoError(x, err)
	_, err = f.Stage(x.ctx, b)
	refused(x, &store.ConflictError{Entity: "a", Expected: store.Absent, Actual: 1}, err)
	b.Events[0].Expect = store.Exactly(1)
	_, err = f.Stage(x.ctx, b)
	refused(x, &store.ConflictError{Condition: &b.Conditions[0], Position: 1}, err)
	b.Conditions = nil
	_, err = f.Stage(x.ctx, b)
	require.NoError(x, err)
	version, err := x.Reader.Version(x.ctx, "a")
	require.NoError(x, err)
	require.Zero(x, version, "nothing of it is visible")
	for _, b := range []store.Batch{{}, {Sides: []store.SideWrite{{Key: "s"}}}, {Events: eventsAt("a"), Sides: []store.SideWrite{{Key: "s"}}}} {
		_, err = f.Stage(x.ctx, b)
		require.ErrorIs(x, err, store.ErrInvalid)
	}
	require.NoError(x, f.Publish(x.ctx))
	require.Equal(x, store.Position(2), x.Reader.Head())
}

// versionsWait does not look before the fence lies between two events of an entity.
func versionsWait(x *scene) {
	x.append("a")
	f := x.fence()
	x.append("a", "b")
	x.stage(f, "c")
	x.append("a", "b", "d")
	for _, want := range []struct {
		entity  string
		version uint64
	}{{"a", 2}, {"b", 1}, {"c", 0}, {"d", 0}} {
		version, err := x.Reader.Version(x.ctx, want.entity)
		require.NoError(x, err)
		require.Equal(x, want.version, version, want.entity)
	}
	require.NoError(x, f.Publish(x.ctx))
	version, err := x.Reader.Version(x.ctx, "a")
	require.NoError(x, err)
	require.Equal(x, uint64(3), version)
}

func sidesPassFences(x *scene) {
	f := x.fence()
	x.stage(f, "a")
	r := x.commit(store.Batch{Sides: []store.SideWrite{{Key: "s", Value: []byte("v")}}})
	v, found, err := x.Reader.Side("s")
	require.NoError(x, err)
	require.True(x, found)
	require.Equal(x, r.Sequence, v.Revision)
	require.Zero(x, x.Reader.Head())
	require.NoError(x, f.Cancel(x.ctx))
	require.Equal(x, store.Position(1), x.Reader.Head())
	require.Empty(x, x.positions(store.Region{}))
}

func fencesOverlap(x *scene) {
	one, two := x.fence(), x.fence()
	x.stage(one, "a")
	x.stage(two, "b")
	x.stage(one, "a")
	last := x.stage(two, "b")
	require.NoError(x, two.Publish(x.ctx))
	require.Zero(x, x.Reader.Head(), "the other one is open")
	require.NoError(x, one.Publish(x.ctx))
	require.NoError(x, x.Reader.WaitVisible(x.ctx, last))
	require.Equal(x, []store.Position{1, 2, 3, 4}, x.positions(store.Region{}))

	one, two = x.fence(), x.fence()
	x.stage(one, "a") // 5
	x.stage(two, "b")
	x.stage(one, "a")
	x.stage(two, "b")
	require.NoError(x, one.Publish(x.ctx))
	require.Equal(x, store.Position(4), x.Reader.Head(), "it would be visible in part")
	require.NoError(x, two.Cancel(x.ctx))
	require.Equal(x, store.Position(8), x.Reader.Head())
	require.Equal(x, []store.Position{1, 2, 3, 4, 5, 7}, x.positions(store.Region{}))
}

func fenceExpires(x *scene) {
	f, err := x.OpenFence(x.ctx, store.FenceOptions{Deadline: 20 * time.Millisecond})
	require.NoError(x, err)
	staged, err := f.Stage(x.ctx, store.Batch{Events: eventsAt("a")})
	if err == nil { // else the deadline came first
		require.ErrorIs(x, x.Reader.WaitVisible(x.ctx, staged), store.ErrFenceCancelled)
		require.Equal(x, staged.Position(), x.Reader.Head())
		_, err = f.Stage(x.ctx, store.Batch{Events: eventsAt("b")})
	}
	require.ErrorIs(x, err, store.ErrFenceCancelled)
	require.ErrorIs(x, f.Publish(x.ctx), store.ErrFenceCancelled)
	require.NoError(x, f.Cancel(x.ctx))
	x.append("a")
	_, err = x.OpenFence(x.ctx, store.FenceOptions{Deadline: store.MaxFenceDeadline + 1})
	require.ErrorIs(x, err, store.ErrInvalid)
}

func fenceEnds(x *scene) {
	published, cancelled := x.fence(), x.fence()
	x.stage(published, "a")
	x.stage(cancelled, "b")
	for range 2 {
		require.NoError(x, published.Publish(x.ctx))
		require.NoError(x, published.Cancel(x.ctx), "after a publication it does nothing")
		require.NoError(x, cancelled.Cancel(x.ctx))
		require.ErrorIs(x, cancelled.Publish(x.ctx), store.ErrFenceCancelled)
	}
	_, err := published.Stage(x.ctx, store.Batch{Events: eventsAt("a")})
	require.ErrorIs(x, err, store.ErrFenceEnded)
	_, err = cancelled.Stage(x.ctx, store.Batch{Events: eventsAt("b")})
	require.ErrorIs(x, err, store.ErrFenceCancelled)
	require.Equal(x, []store.Position{1}, x.positions(store.Region{}))
	empty := x.fence()
	require.NoError(x, empty.Publish(x.ctx), "nothing is published")
	require.Equal(x, store.Position(2), x.Reader.Head())
}

func fenceDiesWithWriter(x *scene) {
	f := x.fence()
	x.stage(f, "a")
	x.append("b")
	x.reopen()
	require.Equal(x, []store.Position{2}, x.positions(store.Region{}))
	require.Equal(x, uint64(1), x.append("a").Events[0].Version)
	require.ErrorIs(x, f.Publish(x.ctx), store.ErrClosed)
}

func fencesStay(x *scene) {
	published, cancelled := x.fence(), x.fence()
	x.stage(published, "a")
	x.stage(cancelled, "a:1", "a:2")
	x.stage(published, "b")
	require.NoError(x, cancelled.Cancel(x.ctx))
	require.NoError(x, published.Publish(x.ctx))
	for range 2 {
		x.reopen()
		require.Equal(x, store.Position(4), x.Reader.Head())
		require.Equal(x, []store.Position{1, 4}, x.positions(store.Region{}))
		require.Equal(x, []store.Position{1}, x.positions(store.Region{Entity: "a"}))
	}
	require.Equal(x, uint64(1), x.append("a:1").Events[0].Version)
}

func crashCancels(x *scene) {
	x.append("a")
	f := x.fence()
	x.stage(f, "a", "b")
	x.append("c")
	x.take(x.Crash(x))
	version, err := x.Reader.Version(x.ctx, "a") // a weak mode may have lost it
	require.NoError(x, err)
	r := x.append("a")
	require.Equal(x, version+1, r.Events[0].Version)
	for _, e := range x.seen(store.Region{}) {
		require.NotEqual(x, "b", e.Coordinate.Entity)
	}
	require.NoError(x, x.Reader.WaitVisible(x.ctx, r), "a dead fence holds up nothing")
}
