package cursor_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// countOpening keeps how often a worker was opened, and emits that.
func countOpening(_ context.Context, o *cursor.Opening) error {
	n, err := summed(o.Side("opened"))
	if err != nil {
		return err
	}
	if err := o.Put("opened", []byte(strconv.Itoa(n+1))); err != nil {
		return err
	}
	return o.Propose(store.Proposal{At: bills, Payload: overdue{Order: n + 1}, Causation: store.Causation{Depth: 7}})
}

// opening is a worker that counts its events, and how often it was opened.
func opening() cursor.Worker {
	w := stateful(summing)
	w.Name, w.Open = "reserve", countOpening
	return w
}

func TestAWorkerOpensEachTimeItHasItsCheckpointAndBeforeItsFirstEvent(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		st := open(t)
		fill(t, st, 4, 0)
		w := opening()
		w.Lanes = lanes
		seen := ""
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			value, _, err := b.Side(0, "opened")
			require.NoError(t, err)
			seen += string(value)
			return summing(ctx, b)
		}
		for n := range 3 {
			r := runner(t, st, w)
			require.Equal(t, strconv.Itoa(n+1), keptBy(t, st)["opened"])
			require.Len(t, reminded(t, st), n+1)
			require.Equal(t, uint64(n+1), record(t, st, "reserve").Epoch)
			_, err := r.Step(t.Context(), 0, 1)
			require.NoError(t, err)
			require.NoError(t, r.Close(t.Context()))
		}
		require.Equal(t, "123", seen)
	}
}

// What it leaves has the revision of the checkpoint, and begins a chain in the name of the worker.
func TestWhatAWorkerLeavesAsItOpensIsOneCommitWithItsCheckpoint(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	runner(t, st, opening())
	info, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	side, found, err := st.Side(checkpoint.KeptPrefix("reserve") + "opened")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, info.Revision, side.Revision)
	e, err := st.GetAt(t.Context(), 2)
	require.NoError(t, err)
	require.Zero(t, e.Depth)
	require.Zero(t, e.Cause)
	by, emitted := e.Emitter()
	require.True(t, emitted)
	require.Equal(t, store.Emitter{Worker: "reserve", Epoch: 1, Attempt: 1}, by)
}

// It reads what the worker keeps, and sees what it puts.
func TestAnOpeningHasAllThatTheWorkerKeeps(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	w := stateful(summing)
	drain(t, runner(t, st, w))
	_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: "kept/reserve0", Value: []byte("a stranger's")}}})
	require.NoError(t, err)
	called := false
	w.Open = func(_ context.Context, o *cursor.Opening) error {
		called = true
		require.Same(t, st, o.Store())
		require.Equal(t, checkpoint.ID("reserve"), o.ID)
		require.EqualValues(t, 2, o.Epoch)
		for bounds, want := range map[[2]string]string{
			{"", ""}: "order:0 order:1 order:2 order:3 order:4 ", {"order:1", "order:3"}: "order:1 order:2 ", {"order:4", ""}: "order:4 ",
		} {
			got := ""
			for side, err := range o.Range(bounds[0], bounds[1]) {
				require.NoError(t, err)
				require.Equal(t, "1", string(side.Value))
				got += side.Key + " "
			}
			require.Equal(t, want, got)
		}
		require.NoError(t, o.Put("order:1", nil))
		_, found, err := o.Side("order:1")
		require.NoError(t, err)
		require.False(t, found)
		require.ErrorIs(t, o.Put("a\nb", nil), store.ErrInvalid)
		require.ErrorIs(t, o.Propose(store.Proposal{At: bills, Payload: oversized()}), store.ErrInvalid)
		return nil
	}
	runner(t, st, w)
	require.True(t, called)
	require.NotContains(t, keptBy(t, st), "order:1")

	w.Stateful, w.Name = false, "another"
	w.Open = func(_ context.Context, o *cursor.Opening) error {
		for _, err := range o.Range("", "") {
			require.ErrorIs(t, err, cursor.ErrStateless)
		}
		return o.Put("k", nil)
	}
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, cursor.ErrStateless)
	w.Volatile = true
	_, err = w.CursorWorker()
	require.ErrorContains(t, err, "Open")
}

func TestAWorkerThatDoesNotOpenLeavesNothing(t *testing.T) {
	for name, fails := range map[string]func() error{
		"error": func() error { return errBroken },
		"panic": func() error { panic(errBroken) },
		"end":   func() error { runtime.Goexit(); return nil },
		"halt":  func() error { return supervision.Halt(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 1, 0)
			sick := true
			w := opening()
			w.Open = func(ctx context.Context, o *cursor.Opening) error {
				require.NoError(t, countOpening(ctx, o))
				if sick {
					return fails()
				}
				return nil
			}
			_, err := cursor.NewRunner(t.Context(), st, w)
			require.ErrorIs(t, err, cursor.ErrOpen)
			if name != "end" {
				require.ErrorIs(t, err, errBroken)
			}
			d, directed := supervision.DirectiveOf(err)
			require.Equal(t, name == "halt", directed && d.Action == supervision.ActionHalt)
			require.Empty(t, keptBy(t, st))
			require.Empty(t, reminded(t, st))
			sick = false
			runner(t, st, w)
			require.Equal(t, []int{1}, reminded(t, st))
		})
	}
}

func TestNobodyWaitsForAWorkerThatDoesNotOpenWhenTheContextEnds(t *testing.T) {
	st := open(t)
	ctx, stop := context.WithCancelCause(t.Context())
	release, over := make(chan struct{}), make(chan struct{})
	w := opening()
	w.Open = func(_ context.Context, o *cursor.Opening) error {
		stop(errBroken)
		<-release
		defer close(over)
		return o.Put("late", []byte("x"))
	}
	_, err := cursor.NewRunner(ctx, st, w)
	require.ErrorIs(t, err, cursor.ErrOpen)
	require.ErrorIs(t, err, errBroken)
	close(release)
	<-over
	require.Empty(t, keptBy(t, st))
}

// The checkpoint is as it was: events that others have overtaken come again, and so does the one
// that may have ended the process.
func TestOpeningMovesNoCheckpoint(t *testing.T) {
	st := open(t)
	fill(t, st, 10, 0)
	w := opening()
	w.Lanes, w.BatchSize = 4, 1
	r := runner(t, st, w)
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	slow, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, store.Position(1), slow.First())
	for range 3 {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		task.Run(t.Context())
		r.Finish(task)
	}
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	before := record(t, st, "reserve")
	require.Equal(t, []store.Position{1}, before.Pending)

	r = runner(t, st, w)
	after := record(t, st, "reserve")
	require.Equal(t, before.Pending, after.Pending)
	require.Equal(t, before.Scanned, after.Scanned)
	task, err := r.Next(t.Context(), 0) // alone, and marked
	require.NoError(t, err)
	require.NotNil(t, task)
	marked := record(t, st, "reserve").Trying
	require.NotZero(t, marked)
	r = runner(t, st, w)
	require.Equal(t, marked, record(t, st, "reserve").Trying)
	drain(t, r)
	require.Len(t, reactions(t, st), 10)
}

// What it keeps is gone, so it opens as it did the first time.
func TestAWorkerThatIsResetOpensAgain(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	r := runner(t, st, opening())
	drain(t, r)
	require.NoError(t, apply(t.Context(), r, checkpoint.Reset{}))
	require.Equal(t, map[string]string{"opened": "1"}, keptBy(t, st))
	drain(t, r)
	require.Equal(t, []int{1, 1}, reminded(t, st))
	require.Equal(t, "1", keptBy(t, st)["order:2"])
}

// A worker that does not open after a reset meets the error with each call, until it does.
func TestAWorkerThatDoesNotOpenAfterAResetHandlesNothing(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	sick := false
	w := opening()
	w.Open = func(ctx context.Context, o *cursor.Opening) error {
		if sick {
			return errBroken
		}
		return countOpening(ctx, o)
	}
	r := runner(t, st, w)
	drain(t, r)
	sick = true
	require.NoError(t, apply(t.Context(), r, checkpoint.Reset{}))
	for range 2 {
		_, err := r.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, cursor.ErrOpen)
	}
	require.Empty(t, keptBy(t, st))
	sick = false
	drain(t, r)
	require.Equal(t, "1", keptBy(t, st)["opened"])
	require.Len(t, reactions(t, st), 6)
}

// An erasure between the look and the commit: what it read may be erased.
func TestAWorkerOpensAgainWhereAnEventIsErasedMeanwhile(t *testing.T) {
	st := open(t)
	fill(t, st, 2, 0)
	calls := 0
	w := opening()
	w.Open = func(ctx context.Context, o *cursor.Opening) error {
		if calls++; calls == 1 {
			forget(t, st, "order:1")
		}
		return countOpening(ctx, o)
	}
	runner(t, st, w)
	require.Equal(t, 2, calls)
	require.Equal(t, []int{1}, reminded(t, st))
}

func TestAPowerCutLeavesAllOrNothingOfAnOpening(t *testing.T) {
	everyCut(t, func(lanes int) func(*storetest.Disk) error {
		return func(disk *storetest.Disk) error { return openAll(t, disk, lanes) }
	})
}

// openAll starts the worker, and has two events handled, until the power fails.
func openAll(t *testing.T, disk *storetest.Disk, lanes int) error {
	t.Helper()
	st, err := disk.Open("data", store.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	opened := func() {
		n, err := strconv.Atoi("0" + keptBy(t, st)["opened"])
		require.NoError(t, err)
		got := reminded(t, st)
		require.Len(t, got, n)
		for i := range got {
			require.Equal(t, i+1, got[i])
		}
	}
	opened()
	w := opening()
	w.Lanes = lanes
	r, err := cursor.NewRunner(t.Context(), st, w)
	for n := 0; err == nil && n < 2; n++ {
		opened()
		_, err = st.Commit(t.Context(), store.Batch{
			IdempotencyKey: fmt.Sprint(n),
			Events:         []store.Proposal{{At: store.At(fmt.Sprint("order:", n), "shop"), Payload: placed{N: n}}},
		})
		if err == nil {
			_, err = r.Step(t.Context(), 0, 0)
		}
	}
	for out := (cursor.Outcome{}); err == nil && !out.CaughtUp; {
		out, err = r.Step(t.Context(), 0, 0)
	}
	if err == nil {
		opened()
		require.Len(t, reactions(t, st), 2)
	}
	return err
}
