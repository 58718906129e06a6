package checkpoint_test

import (
	"context"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func TestAFreshCheckpointBeginsAtItsStart(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	for id, c := range map[checkpoint.ID]struct {
		start store.From
		want  store.Position
	}{
		"beginning": {store.Beginning(), 0},
		"after":     {store.After(3), 3},
		"now":       {store.Now(), 5},
	} {
		l := acquire(t, st, id, checkpoint.Binding{Region: orders, Kinds: []string{"b", "a", "b"}, Start: c.start})
		want := checkpoint.Record{
			Origin: st.Origin(), Region: orders.Identity(), Kinds: []string{"a", "b"},
			Epoch: 1, Scanned: c.want, Delivered: c.want,
		}
		require.Equal(t, want, l.Record())
		require.Equal(t, want, inspect(t, st, id).Record, "acquiring is a commit")
	}
}

func TestTheStartCountsOnlyForAFreshCheckpoint(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 2))
	l := acquire(t, st, "index", checkpoint.Binding{Region: orders, Start: store.Now()})
	require.Equal(t, store.Position(2), l.Record().Scanned)
	require.Equal(t, uint64(2), l.Record().Epoch)
}

func TestAcquiringMovesNoHeadAndWakesNoReader(t *testing.T) {
	st := open(t)
	fill(t, st, 2)
	acquire(t, st, "index", bound)
	require.Equal(t, store.Position(2), st.Head())
}

func TestAnOwnerThatStartsAgainNeverFencesANewerOne(t *testing.T) {
	st := open(t)
	fill(t, st, 3)
	again := func(epoch uint64) (*checkpoint.Lease, error) {
		return checkpoint.Reacquire(t.Context(), st, "index", bound, epoch)
	}
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 1))
	own, err := again(1)
	require.NoError(t, err)
	require.Equal(t, uint64(2), own.Record().Epoch)
	require.Equal(t, store.Position(1), own.Record().Scanned)

	young := acquire(t, st, "index", bound)
	_, err = again(2)
	require.Equal(t, &checkpoint.FencedError{ID: "index", Epoch: 2}, err)
	require.NoError(t, move(t, st, young, 2), "it was not disturbed")

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	_, err = again(3)
	require.ErrorIs(t, err, checkpoint.ErrFenced, "what is gone is not what it left")
}

func TestAnOlderOwnerIsRefusedWithItsReactions(t *testing.T) {
	st := open(t)
	fill(t, st, 3)
	old := acquire(t, st, "index", bound)
	require.NoError(t, move(t, st, old, 1))
	young := acquire(t, st, "index", bound)
	require.Equal(t, store.Position(1), young.Record().Scanned, "it has what the older one committed")

	b := store.Batch{Events: []store.Proposal{{At: store.At("stock:1", "shop"), Payload: placed()}}}
	old.Stage(&b, checkpoint.Move{Scanned: 2, Delivered: 2, Clean: true})
	_, err := st.Commit(t.Context(), b)
	err = old.Refused(err)
	var fenced *checkpoint.FencedError
	require.ErrorAs(t, err, &fenced)
	require.Equal(t, checkpoint.FencedError{ID: "index", Epoch: 1}, *fenced)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.NotErrorIs(t, err, store.ErrConflict, "it is not a race worth another try")

	require.Equal(t, store.Position(3), st.Head())
	require.Equal(t, store.Position(1), inspect(t, st, "index").Record.Scanned)
	require.NoError(t, move(t, st, young, 2))
}

func TestOtherErrorsPassThroughRefused(t *testing.T) {
	l := acquire(t, open(t), "index", bound)
	for _, err := range []error{
		nil, store.ErrClosed, &store.ConflictError{Entity: "a"}, &store.ConflictError{SideKey: "checkpoint/other"},
	} {
		require.Equal(t, err, l.Refused(err))
	}
}

func TestPositionsNeverMoveBackwardsThroughALease(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	l := acquire(t, st, "index", bound)
	require.NoError(t, move(t, st, l, 4))
	require.NoError(t, move(t, st, l, 2))
	require.Equal(t, store.Position(4), l.Record().Scanned)
	require.Equal(t, store.Position(4), inspect(t, st, "index").Record.Scanned)
	require.Equal(t, store.Position(4), inspect(t, st, "index").Record.Delivered)
}

func TestWhatIsStagedCountsOnlyOnceCommitted(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	l := acquire(t, st, "index", bound)
	var dropped store.Batch
	l.Stage(&dropped, checkpoint.Move{Scanned: 5, Delivered: 5, Clean: true})
	require.Equal(t, store.Position(0), l.Record().Scanned)
	l.Committed(store.Receipt{Duplicate: true, Sequence: 1})
	require.Equal(t, store.Position(0), l.Record().Scanned, "a duplicate wrote no side values")
	require.NoError(t, move(t, st, l, 3))
	require.Equal(t, store.Position(3), l.Record().Scanned)
}

func TestOfManyThatAcquireAtOnceEachGetsItsEpochAndTheLastMayCommit(t *testing.T) {
	st := open(t)
	fill(t, st, 1)
	const n = 16
	leases := make([]*checkpoint.Lease, n)
	var group sync.WaitGroup
	for i := range leases {
		group.Go(func() {
			l, err := checkpoint.Acquire(context.WithoutCancel(t.Context()), st, "index", bound)
			if err == nil {
				leases[i] = l
			}
		})
	}
	group.Wait()
	epochs := make(map[uint64]bool)
	allowed := 0
	for _, l := range leases {
		require.NotNil(t, l)
		epoch := l.Record().Epoch
		epochs[epoch] = true
		if err := move(t, st, l, 1); err == nil {
			allowed++
			require.Equal(t, uint64(n), epoch)
		} else {
			require.ErrorIs(t, err, checkpoint.ErrFenced)
		}
	}
	require.Len(t, epochs, n)
	require.Equal(t, 1, allowed)
}

func TestACheckpointThatDoesNotFitIsRefusedAndNothingIsWritten(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	good := checkpoint.Record{Origin: st.Origin(), Region: orders.Identity(), Kinds: []string{"a", "b"}, Epoch: 3, Scanned: 5}
	with := func(change func(*checkpoint.Record)) []byte {
		r := good
		change(&r)
		return r.Encode()
	}
	newer := good.Encode()
	newer[4] = 200
	for name, c := range map[string]struct {
		value []byte
		is    error
		as    error
	}{
		"region": {
			with(func(r *checkpoint.Record) { r.Region = store.Region{Scope: "x"}.Identity() }), checkpoint.ErrRegion,
			&checkpoint.RegionError{Err: checkpoint.ErrRegion, ID: "index", Stored: store.Region{Scope: "x"}.Identity(), Given: orders.Identity()},
		},
		"kinds": {
			with(func(r *checkpoint.Record) { r.Kinds = []string{"b", "c"} }), checkpoint.ErrKindsChanged,
			&checkpoint.KindsError{ID: "index", Added: []string{"a"}, Removed: []string{"c"}},
		},
		"all kinds before": {
			with(func(r *checkpoint.Record) { r.Kinds = nil }), checkpoint.ErrKindsChanged,
			&checkpoint.KindsError{ID: "index", Added: []string{"a", "b"}, WasAll: true},
		},
		"ahead": {
			with(func(r *checkpoint.Record) { r.Scanned = 6 }), checkpoint.ErrAhead,
			&checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: "index", Position: 6, Bound: 5},
		},
		"other store":       {with(func(r *checkpoint.Record) { r.Origin.Store = uuid.New() }), store.ErrForeignHistory, nil},
		"later incarnation": {with(func(r *checkpoint.Record) { r.Origin.Incarnation++ }), store.ErrForeignHistory, nil},
		"corrupt":           {newer, checkpoint.ErrCorrupt, nil},
		"newer format":      {seal(newer), checkpoint.ErrNewerFormat, nil},
	} {
		t.Run(name, func(t *testing.T) {
			plant(t, st, "index", c.value)
			before, _ := checkpoint.Inspect(st, "index")
			_, err := checkpoint.Acquire(t.Context(), st, "index", checkpoint.Binding{Region: orders, Kinds: []string{"b", "a"}})
			require.ErrorIs(t, err, c.is)
			if c.as != nil {
				require.Equal(t, c.as, err)
			}
			require.NotEmpty(t, err.Error())
			after, _ := checkpoint.Inspect(st, "index")
			require.Equal(t, before, after)
		})
	}
	plant(t, st, "index", good.Encode())
	acquire(t, st, "index", checkpoint.Binding{Region: orders, Kinds: []string{"b", "a"}})
}

func TestHandlingAllKindsAfterSomeIsAChange(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", checkpoint.Binding{Region: orders, Kinds: []string{"a"}})
	_, err := checkpoint.Acquire(t.Context(), st, "index", bound)
	require.Equal(t, &checkpoint.KindsError{ID: "index", Removed: []string{"a"}, NowAll: true}, err)
}

func TestTheSameRegionInOtherWordsFits(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", checkpoint.Binding{Region: store.Region{Kinds: []string{"a", "b"}}})
	acquire(t, st, "index", checkpoint.Binding{Region: store.Region{Kinds: []string{"b", "a", "b"}}})
}

func TestACheckpointOfAnEarlierIncarnationOfTheSameLogFits(t *testing.T) {
	st := open(t)
	fill(t, st, 2)
	now := st.Origin()
	earlier := store.Origin{Store: now.Store, Incarnation: now.Incarnation - 1}
	plant(t, st, "index", checkpoint.Record{Origin: earlier, Region: orders.Identity(), Scanned: 1}.Encode())
	l := acquire(t, st, "index", bound)
	require.Equal(t, store.Position(1), l.Record().Scanned)
	require.Equal(t, now, l.Record().Origin)
}

func TestAStartBeyondTheHeadIsRefused(t *testing.T) {
	st := open(t)
	_, err := checkpoint.Acquire(t.Context(), st, "index", checkpoint.Binding{Region: orders, Start: store.After(9)})
	require.Equal(t, &checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: "index", Position: 9, Bound: 0}, err)
	_, err = checkpoint.Inspect(st, "index")
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
}

func TestABadBindingIsRefused(t *testing.T) {
	st := open(t)
	for _, b := range []checkpoint.Binding{
		{Region: store.Region{Kinds: []string{"a"}, Category: "b"}},
		{Kinds: []string{""}},
	} {
		_, err := checkpoint.Acquire(t.Context(), st, "index", b)
		require.ErrorIs(t, err, store.ErrInvalid)
	}
}

func TestACheckpointSurvivesAReopen(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	fill(t, st, 3)
	old := acquire(t, st, "index", bound)
	require.NoError(t, move(t, st, old, 2))
	require.NoError(t, st.Close())

	st, err = store.Open(dir, store.Options{})
	require.NoError(t, err)
	defer st.Close()
	l := acquire(t, st, "index", bound)
	require.Equal(t, store.Position(2), l.Record().Scanned)
	require.Equal(t, uint64(2), l.Record().Epoch)
	require.NoError(t, move(t, st, l, 3))
	require.ErrorIs(t, move(t, st, old, 3), checkpoint.ErrFenced)
}

func TestErrorsOfWhatDoesNotFitNameTheWayOut(t *testing.T) {
	region := &checkpoint.RegionError{
		Err: checkpoint.ErrRegion, ID: "index", Stored: store.Region{Entity: "order", MaxVersion: 5}.Identity(), Given: store.Region{}.Identity(),
	}
	require.EqualError(t, region,
		`checkpoint "index": made in region (entity=order versions=..5), now read in (everything): checkpoint.Widen reads what is new from the beginning, checkpoint.Rebind continues at the present position`)
	region.Stored = "\x09later"
	require.ErrorContains(t, region, `made in region ("\tlater"), now`)
	for want, err := range map[string]*checkpoint.KindsError{
		"handled kinds changed, added [a], removed [b, c]": {ID: "index", Added: []string{"a"}, Removed: []string{"b", "c"}},
		"handled all kinds, now only a, b":                 {ID: "index", Added: []string{"a", "b"}, WasAll: true},
		"handled only c, now all kinds":                    {ID: "index", Removed: []string{"c"}, NowAll: true},
	} {
		require.EqualError(t, err, `checkpoint "index": `+want+`: say with NewKinds whether the past of new kinds is handled, or accept the change with checkpoint.Rebind`)
	}
}

func TestAnOrdinaryCommitDoesNotWriteThePassAgain(t *testing.T) {
	st := open(t)
	fill(t, st, 9)
	l := acquire(t, st, "index", bound)
	require.NoError(t, move(t, st, l, 9))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 2}))
	l = acquire(t, st, "index", bound)
	require.False(t, l.Pass().Empty())
	var b store.Batch
	l.Stage(&b, checkpoint.Move{Scanned: 5, Delivered: 5})
	require.Len(t, b.Sides, 1)
	require.NoError(t, move(t, st, l, 5))
	require.False(t, l.Pass().Empty())
	b = store.Batch{}
	l.Stage(&b, checkpoint.Move{Scanned: 9, Delivered: 9})
	require.Len(t, b.Sides, 2, "its end is written")
	require.NoError(t, move(t, st, l, 9))
	pass, err := checkpoint.PassOf(st, "index")
	require.NoError(t, err)
	require.True(t, pass.Empty() && l.Pass().Empty())
}

func TestAnAuditEventReportsThatTheKindsChanged(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", checkpoint.Binding{Region: orders, Kinds: []string{"a"}})
	require.Zero(t, st.Head())
	b := checkpoint.Binding{Region: orders, Kinds: []string{"b"}, NewKinds: checkpoint.NewKindsFromNow}
	acquire(t, st, "index", b)
	require.Equal(t, checkpoint.Audit{Action: checkpoint.AuditRebound, Worker: "index", Region: b.Reads().String()}, lastAudit(t, st))
	b.Kinds, b.NewKinds = []string{"a", "b"}, checkpoint.NewKindsBackfill
	acquire(t, st, "index", b)
	require.Equal(t, checkpoint.Audit{Action: checkpoint.AuditWidened, Worker: "index", Region: b.Reads().String()}, lastAudit(t, st))
	head := st.Head()
	acquire(t, st, "index", b)
	require.Equal(t, head, st.Head())
}
