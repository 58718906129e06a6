package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func TestEveryChangeFencesTheReaderThatRuns(t *testing.T) {
	for name, call := range map[string]func(context.Context, *store.Store) error{
		"reset": func(ctx context.Context, st *store.Store) error { return apply(ctx, st, "index", checkpoint.Reset{}) },
		"rewind": func(ctx context.Context, st *store.Store) error {
			return apply(ctx, st, "index", checkpoint.Rewind{To: 2})
		},
		"rebind": func(ctx context.Context, st *store.Store) error {
			return apply(ctx, st, "index", checkpoint.Rebind{Region: store.Region{}})
		},
		"delete": func(ctx context.Context, st *store.Store) error { return apply(ctx, st, "index", checkpoint.Delete{}) },
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 5)
			l := acquire(t, st, "index", bound)
			require.NoError(t, move(t, st, l, 3))
			require.NoError(t, call(t.Context(), st))
			require.ErrorIs(t, move(t, st, l, 4), checkpoint.ErrFenced)
			if info, err := checkpoint.Inspect(st, "index"); err == nil {
				require.Equal(t, uint64(2), info.Record.Epoch)
			}
		})
	}
}

func TestChangesNeedACheckpoint(t *testing.T) {
	st := open(t)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Reset{}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rewind{}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: orders}), checkpoint.ErrNotFound)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Delete{}), checkpoint.ErrNotFound)
}

func TestRewindGoesOnlyBackwardsAndNeverBeyondTheHead(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))

	require.Equal(t, &checkpoint.PositionError{Err: checkpoint.ErrNotBackwards, ID: "index", Position: 4, Bound: 3},
		apply(t.Context(), st, "index", checkpoint.Rewind{To: 4}))
	require.Equal(t, uint64(1), inspect(t, st, "index").Record.Epoch, "nothing was written")

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 2}))
	r := inspect(t, st, "index").Record
	require.Equal(t, store.Position(2), r.Scanned)
	require.Equal(t, store.Position(2), r.Delivered)

	r.Scanned = 100
	plant(t, st, "index", r.Encode())
	require.Equal(t, &checkpoint.PositionError{Err: checkpoint.ErrAhead, ID: "index", Position: 50, Bound: st.Head()},
		apply(t.Context(), st, "index", checkpoint.Rewind{To: 50}))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 5}), "a position that is ahead can be brought back")
	acquire(t, st, "index", bound)
}

func TestResetStartsOverAlsoInAForeignHistory(t *testing.T) {
	st := open(t)
	foreign := checkpoint.Record{
		Origin: store.Origin{Store: uuid.New()}, Region: orders.Identity(), Epoch: 4, Scanned: 77, Delivered: 70,
	}
	plant(t, st, "index", foreign.Encode())
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rewind{}), store.ErrForeignHistory)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: orders}), store.ErrForeignHistory)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Reset{}))
	require.Equal(t, checkpoint.Record{Origin: st.Origin(), Region: orders.Identity(), Epoch: 5},
		inspect(t, st, "index").Record)
	acquire(t, st, "index", bound)
}

func TestRebindKeepsThePosition(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))
	other := checkpoint.Binding{Region: store.Region{Scope: "shop"}, Kinds: []string{"b", "a"}}
	requireInvalid(t, store.InvalidError{Field: "region kind", Rule: "must not be empty"},
		apply(t.Context(), st, "index", checkpoint.Rebind{Region: other.Region, Kinds: []string{""}}))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rebind{Region: other.Region, Kinds: other.Kinds}))
	require.Equal(t, store.Position(3), acquire(t, st, "index", other).Record().Scanned)
	_, err := checkpoint.Acquire(t.Context(), st, "index", bound)
	require.ErrorIs(t, err, checkpoint.ErrRegion)
}

func TestADeletedCheckpointBeginsAtItsStart(t *testing.T) {
	st := open(t)
	fill(t, st, 5)
	require.NoError(t, move(t, st, acquire(t, st, "index", bound), 3))
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	_, err := checkpoint.Inspect(st, "index")
	require.ErrorIs(t, err, checkpoint.ErrNotFound)
	r := acquire(t, st, "index", bound).Record()
	require.Equal(t, store.Position(0), r.Scanned)
	require.Equal(t, uint64(1), r.Epoch)
}

func TestACorruptCheckpointIsListedWithItsErrorAndCanOnlyBeDeleted(t *testing.T) {
	st := open(t)
	acquire(t, st, "a", bound)
	plant(t, st, "b", []byte("rubbish"))
	acquire(t, st, "c", bound)

	var ids []checkpoint.ID
	for info, err := range checkpoint.List(st) {
		ids = append(ids, info.ID)
		require.NotZero(t, info.Revision)
		if info.ID == "b" {
			require.ErrorIs(t, err, checkpoint.ErrCorrupt)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, inspect(t, st, info.ID), info)
	}
	require.Equal(t, []checkpoint.ID{"a", "b", "c"}, ids)
	for _, err := range checkpoint.List(st) {
		require.NoError(t, err)
		break // may be left at any time
	}

	require.ErrorIs(t, apply(t.Context(), st, "b", checkpoint.Reset{}), checkpoint.ErrCorrupt)
	require.NoError(t, apply(t.Context(), st, "b", checkpoint.Delete{}))
	acquire(t, st, "b", bound)
}

func TestAnEndedContextWritesNothing(t *testing.T) {
	st := open(t)
	before := acquire(t, st, "index", bound).Record()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := checkpoint.Acquire(ctx, st, "index", bound)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, apply(ctx, st, "index", checkpoint.Reset{}), context.Canceled)
	require.ErrorIs(t, apply(ctx, st, "index", checkpoint.Delete{}), context.Canceled)
	require.Equal(t, before, inspect(t, st, "index").Record)
}

// changed is a checkpoint that has come some way, with or without what can lie beside it.
func changed(t *rapid.T) (*store.Store, *checkpoint.Lease) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	for i := range 12 {
		_, err := st.Append(t.Context(), store.At(fmt.Sprint("order:", i%3), "shop"), store.Any, placed())
		require.NoError(t, err)
	}
	l, err := checkpoint.Acquire(t.Context(), st, "index", bound)
	require.NoError(t, err)
	at := store.Position(rapid.Uint64Range(0, 12).Draw(t, "at"))
	m := checkpoint.Move{Scanned: at, Delivered: at, Clean: true}
	var b store.Batch
	if at > 2 && rapid.Bool().Draw(t, "pending") {
		m.Pending = []store.Position{2}
	}
	if at > 1 && rapid.Bool().Draw(t, "parked") {
		b.Sides = append(b.Sides, checkpoint.Parked{Position: 1}.Write("index"))
	}
	l.Stage(&b, m)
	require.NoError(t, l.Committed(st.Commit(t.Context(), b)))
	return st, l
}

func someChange(t *rapid.T) checkpoint.Change {
	to := store.Position(rapid.Uint64Range(0, 14).Draw(t, "to"))
	return rapid.SampledFrom([]checkpoint.Change{
		checkpoint.Rewind{To: to},
		checkpoint.Rewind{To: to, Emit: true},
		checkpoint.SkipTo{To: to},
		checkpoint.Reset{},
		checkpoint.Widen{Region: store.Region{}},
		checkpoint.Rebind{Region: store.Region{Scope: "shop"}},
		checkpoint.Rename{To: "other"},
		checkpoint.Delete{},
	}).Draw(t, "change")
}

func TestADryRunReportsWhatHappensAndWritesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st, _ := changed(t)
		defer st.Close()
		c, head := someChange(t), st.Head()
		before, _ := checkpoint.Inspect(st, "index")
		dry, refused := checkpoint.Apply(t.Context(), st, "index", c, checkpoint.Request{DryRun: true})
		after, err := checkpoint.Inspect(st, "index")
		require.NoError(t, err)
		require.Equal(t, before, after)
		require.Equal(t, head, st.Head())

		out, err := checkpoint.Apply(t.Context(), st, "index", c, checkpoint.Request{})
		require.Equal(t, refused, err)
		require.Equal(t, dry, out)
		if err == nil {
			require.Contains(t, out.String(), c.String())
		}
	})
}

func TestTheUndoOfAChangeTakesItBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st, _ := changed(t)
		defer st.Close()
		before, err := checkpoint.Inspect(st, "index")
		require.NoError(t, err)
		c := someChange(t)
		out, err := checkpoint.Apply(t.Context(), st, "index", c, checkpoint.Request{})
		if err != nil || out.Undo == nil {
			return
		}
		id := checkpoint.ID("index")
		if rename, ok := c.(checkpoint.Rename); ok {
			id = rename.To
		}
		_, err = checkpoint.Apply(t.Context(), st, id, out.Undo, checkpoint.Request{})
		require.NoError(t, err, "%s", out)
		after, err := checkpoint.Inspect(st, "index")
		require.NoError(t, err, "%s", out)
		require.Equal(t, before.Record.Floor(), after.Record.Floor(), "%s", out)
		require.Equal(t, before.Record.Region, after.Record.Region, "%s", out)
		require.Equal(t, before.Record.Kinds, after.Record.Kinds, "%s", out)
		if _, skipped := c.(checkpoint.SkipTo); skipped {
			return // what was skipped counts as handled, and emits again: as good as the first time
		}
		require.True(t, after.Pass.Empty(), "%s", out)
	})
}

func TestALiveChangeIsTheColdOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		live, l := changed(t)
		defer live.Close()
		c := someChange(t)
		copied, err := storetest.Open(store.Options{}) // with the same events and side values
		require.NoError(t, err)
		defer copied.Close()
		for range live.Head() {
			_, err := copied.Append(t.Context(), store.At("order:1", "shop"), store.Any, placed())
			require.NoError(t, err)
		}
		r := l.Record()
		r.Origin = copied.Origin()
		sides := []store.SideWrite{{Key: "checkpoint/index", Value: r.Encode()}}
		for p, err := range checkpoint.ParkedEvents(live, "index") {
			require.NoError(t, err)
			sides = append(sides, p.Write("index"))
		}
		_, err = copied.Commit(t.Context(), store.Batch{Sides: sides})
		require.NoError(t, err)

		var b store.Batch
		move := checkpoint.Move{Scanned: r.Scanned, Delivered: r.Delivered, Pending: r.Pending, Clean: r.Clean}
		got, err := l.StageChange(t.Context(), live, &b, move, c, checkpoint.Request{})
		if errors.Is(err, checkpoint.ErrRunning) {
			require.Equal(t, store.Batch{}, b)
			return
		}
		want, wantErr := checkpoint.Apply(t.Context(), copied, "index", c, checkpoint.Request{})
		require.Equal(t, wantErr, err)
		require.Equal(t, want, got)
		if err != nil {
			require.Equal(t, store.Batch{}, b)
			return
		}
		require.NoError(t, l.Committed(live.Commit(t.Context(), b)))
		there, err := checkpoint.Inspect(copied, "index")
		require.NoError(t, err)
		here := l.Record()
		here.Origin, here.Epoch = there.Record.Origin, there.Record.Epoch
		require.Equal(t, there.Record, here)
		require.Equal(t, there.Pass, l.Pass())
	})
}

func TestARequestSaysWhyAndWhoWithinLimits(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", bound)
	q := checkpoint.Request{Reason: "two\nlines", By: "ann"}
	_, err := checkpoint.Apply(t.Context(), st, "index", checkpoint.Reset{}, q)
	require.NoError(t, err)
	_, a := lastAudit(t, st, "index")
	require.Equal(t, [2]string{q.Reason, q.By}, [2]string{a.Reason, a.By})

	for _, c := range []struct {
		bad  checkpoint.Request
		want store.InvalidError
	}{
		{
			checkpoint.Request{Reason: strings.Repeat("x", 1024+1)},
			store.InvalidError{Field: "reason bytes", Limit: 1024, Value: int64(1024 + 1)},
		},
		{checkpoint.Request{Reason: "\xff"}, store.InvalidError{Field: "reason", Rule: "must be UTF-8", Value: "\xff"}},
		{
			checkpoint.Request{By: strings.Repeat("x", 255+1)},
			store.InvalidError{Field: "by bytes", Limit: 255, Value: int64(255 + 1)},
		},
		{checkpoint.Request{By: "\xff"}, store.InvalidError{Field: "by", Rule: "must be UTF-8", Value: "\xff"}},
		{
			checkpoint.Request{By: "a\nb"},
			store.InvalidError{Field: "by", Rule: "must not hold control characters", Value: "a\nb"},
		},
		{
			checkpoint.Request{By: "a\u202eb"},
			store.InvalidError{Field: "by", Rule: "must not hold line separators or marks of direction", Value: "a\u202eb"},
		},
		{
			checkpoint.Request{Reason: "a\u009b31m"}, // which colours what a terminal shows after it
			store.InvalidError{
				Field: "reason", Rule: "must not hold control characters other than tab and newline", Value: "a\u009b31m",
			},
		},
	} {
		_, err := checkpoint.Apply(t.Context(), st, "index", checkpoint.Reset{}, c.bad)
		requireInvalid(t, c.want, err)
		requireInvalid(t, c.want, c.bad.Validate())
	}
	_, err = checkpoint.Apply(t.Context(), st, "index", nil, q)
	requireInvalid(t, store.InvalidError{Field: "change", Rule: "must not be nil"}, err)
}

func TestAnOutcomeIsOneLineInWords(t *testing.T) {
	out := checkpoint.Outcome{Change: checkpoint.SkipTo{To: 9}, To: 9, Skipped: -1}
	require.Equal(t, "skip to 9: from 0 to 9, skipped: unknown", out.String())
	out = checkpoint.Outcome{
		Change: checkpoint.Rewind{To: 5}, From: 90000, To: 5, Again: 10_000, AtLeast: true,
		Parked: make([]checkpoint.Parked, 2), Undo: checkpoint.SkipTo{To: 90000},
	}
	require.Equal(t, "rewind to 5: from 90000 to 5, handled again: at least 10000, no longer parked: 2, "+
		"undone by: skip to 90000", out.String())
}
