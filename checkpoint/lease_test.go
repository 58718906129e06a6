package checkpoint_test

import (
	"context"
	"fmt"
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
		b := bound
		b.Epoch = epoch
		return checkpoint.Acquire(t.Context(), st, "index", b)
	}
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 1))
	own, err := again(1)
	require.NoError(t, err)
	require.Equal(t, uint64(2), own.Record().Epoch)
	require.Equal(t, store.Position(1), own.Record().Scanned)

	young := acquire(t, st, "index", bound)
	_, err = again(2)
	requireState(t, err, checkpoint.ErrFenced, `checkpoint "index": owner of epoch 2 is fenced by a newer one`)
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
	err := old.Committed(st.Commit(t.Context(), b))
	requireState(t, err, checkpoint.ErrFenced, `checkpoint "index": owner of epoch 1 is fenced by a newer one`)
	require.NotErrorIs(t, err, store.ErrConflict, "it is not a race worth another try")

	require.Equal(t, store.Position(3), st.Head())
	require.Equal(t, store.Position(1), inspect(t, st, "index").Record.Scanned)
	require.NoError(t, move(t, st, young, 2))
}

func TestOtherErrorsOfACommitPassThroughALease(t *testing.T) {
	l := acquire(t, open(t), "index", bound)
	before := l.Record()
	for _, err := range []error{
		store.ErrClosed, &store.ConflictError{Entity: "a"}, &store.ConflictError{SideKey: "checkpoint/other"},
	} {
		require.Equal(t, err, l.Committed(store.Receipt{}, err))
		require.Equal(t, before, l.Record())
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
	require.NoError(t, l.Committed(store.Receipt{Duplicate: true, Sequence: 1}, nil))
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
	another := store.Origin{Store: uuid.New(), Incarnation: 1}
	for name, c := range map[string]struct {
		value []byte
		is    error
		as    error
	}{
		"region": {
			with(func(r *checkpoint.Record) { r.Region = store.Region{Scope: "x"}.Identity() }), checkpoint.ErrRegion,
			&checkpoint.MismatchError{Err: checkpoint.ErrRegion, ID: "index", Stored: "scope=x", Given: "entity=order scope=shop"},
		},
		"kinds": {
			with(func(r *checkpoint.Record) { r.Kinds = []string{"b", "c"} }), checkpoint.ErrKindsChanged,
			&checkpoint.MismatchError{
				Err: checkpoint.ErrKindsChanged, ID: "index", Stored: "b, c", Given: "a, b",
				Added: []string{"a"}, Removed: []string{"c"},
			},
		},
		"all kinds before": {
			with(func(r *checkpoint.Record) { r.Kinds = nil }), checkpoint.ErrKindsChanged,
			&checkpoint.MismatchError{Err: checkpoint.ErrKindsChanged, ID: "index", Given: "a, b", Added: []string{"a", "b"}},
		},
		"ahead": {
			with(func(r *checkpoint.Record) { r.Scanned = 6 }), checkpoint.ErrAhead,
			&checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: "index", Position: 6, Bound: 5},
		},
		"other store": {
			with(func(r *checkpoint.Record) { r.Origin = another }), store.ErrForeignHistory,
			&checkpoint.MismatchError{
				Err: store.ErrForeignHistory, ID: "index", Stored: another.String(), Given: st.Origin().String(),
			},
		},
		"corrupt":      {newer, checkpoint.ErrCorrupt, nil},
		"newer format": {seal(newer), checkpoint.ErrNewerFormat, nil},
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
	require.Equal(t, &checkpoint.MismatchError{
		Err: checkpoint.ErrKindsChanged, ID: "index", Stored: "a", Removed: []string{"a"},
	}, err)
}

func TestTheSameRegionInOtherWordsFits(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", checkpoint.Binding{Region: store.Region{Kinds: []string{"a", "b"}}})
	acquire(t, st, "index", checkpoint.Binding{Region: store.Region{Kinds: []string{"b", "a", "b"}}})
}

func TestACheckpointOfAnyIncarnationOfTheSameLogFits(t *testing.T) {
	st := open(t)
	fill(t, st, 2)
	now := st.Origin()
	for _, incarnation := range []uint32{now.Incarnation - 1, now.Incarnation + 1} {
		other := store.Origin{Store: now.Store, Incarnation: incarnation}
		plant(t, st, "index", checkpoint.Record{Origin: other, Region: orders.Identity(), Scanned: 1}.Encode())
		l := acquire(t, st, "index", bound)
		require.Equal(t, store.Position(1), l.Record().Scanned)
		require.Equal(t, now, l.Record().Origin)
	}
}

func TestAStartBeyondTheHeadIsRefused(t *testing.T) {
	st := open(t)
	_, err := checkpoint.Acquire(t.Context(), st, "index", checkpoint.Binding{Region: orders, Start: store.After(9)})
	require.Equal(t, &checkpoint.PositionError{Err: checkpoint.ErrAhead, Position: 9, Bound: 0}, err)
	_, err = checkpoint.Inspect(st, "index")
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
}

func TestABadBindingIsRefused(t *testing.T) {
	st := open(t)
	for _, c := range []struct {
		binding checkpoint.Binding
		want    store.InvalidError
	}{
		{
			checkpoint.Binding{Region: store.Region{Kinds: []string{"a"}, Category: "b"}},
			store.InvalidError{Field: "region category", Rule: "excludes kinds", Value: "b"},
		},
		{checkpoint.Binding{Kinds: []string{""}}, store.InvalidError{Field: "region kind", Rule: "must not be empty"}},
		{
			checkpoint.Binding{NewKinds: checkpoint.NewKindsBackfill + 1},
			store.InvalidError{Field: "NewKinds", Rule: "is none of the known values", Value: uint8(3)},
		},
	} {
		_, err := checkpoint.Acquire(t.Context(), st, "index", c.binding)
		requireInvalid(t, c.want, err)
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
	st := open(t)
	refused := func(id checkpoint.ID, made, now checkpoint.Binding) error {
		acquire(t, st, id, made)
		_, err := checkpoint.Acquire(t.Context(), st, id, now)
		return err
	}
	require.EqualError(t, refused("region", checkpoint.Binding{Region: store.Region{Entity: "order", MaxVersion: 5}}, checkpoint.Binding{}),
		`checkpoint "region": made in region (entity=order versions=..5), now read in (everything): checkpoint.Widen reads what is new from the beginning, checkpoint.Rebind continues at the present position`)
	plant(t, st, "later", checkpoint.Record{Origin: st.Origin(), Region: "\x09later"}.Encode())
	_, err := checkpoint.Acquire(t.Context(), st, "later", checkpoint.Binding{})
	require.ErrorContains(t, err, `made in region ("\tlater"), now`)
	for want, kinds := range map[string][2][]string{
		"handled kinds changed, added [a], removed [b, c]": {{"b", "c"}, {"a"}},
		"handled all kinds, now only a, b":                 {nil, {"a", "b"}},
		"handled only c, now all kinds":                    {{"c"}, nil},
	} {
		id := checkpoint.ID(want)
		err := refused(id, checkpoint.Binding{Kinds: kinds[0]}, checkpoint.Binding{Kinds: kinds[1]})
		require.EqualError(t, err, fmt.Sprintf("checkpoint %q: %s: set NewKinds to choose whether events of added kinds that were passed are handled, "+
			"or accept the change with checkpoint.Rebind", id, want))
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
	require.True(t, inspect(t, st, "index").Pass.Empty() && l.Pass().Empty())
}

func TestAnAuditEventReportsThatTheKindsChanged(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", checkpoint.Binding{Region: orders, Kinds: []string{"a"}})
	require.Zero(t, st.Head())
	b := checkpoint.Binding{Region: orders, Kinds: []string{"b"}, NewKinds: checkpoint.NewKindsFromNow}
	acquire(t, st, "index", b)
	requireLastAudit(t, st, checkpoint.AuditRebound, checkpoint.Audit{Worker: "index", Region: b.Reads().String()})
	b.Kinds, b.NewKinds = []string{"a", "b"}, checkpoint.NewKindsBackfill
	acquire(t, st, "index", b)
	requireLastAudit(t, st, checkpoint.AuditWidened, checkpoint.Audit{Worker: "index", Region: b.Reads().String()})
	head := st.Head()
	acquire(t, st, "index", b)
	require.Equal(t, head, st.Head())
}
