package cursor_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// handled takes a batch and has it handled, nil where there is none.
func handled(t tb, r *cursor.Runner) *cursor.Task {
	t.Helper()
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	task, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	if task != nil {
		task.Run(t.Context())
	}
	return task
}

// submitted has a batch handled, and its commit begun.
func submitted(t tb, r *cursor.Runner) *cursor.Submission {
	t.Helper()
	task := handled(t, r)
	require.NotNil(t, task)
	r.Finish(task)
	return r.Submit(true)
}

// send hands a submission to the store, and waits for the answer.
func send(s *cursor.Submission) error {
	answer := make(chan error, 1)
	s.Send(func(err error) { answer <- err })
	return <-answer
}

func TestTheNextBatchIsHandledBeforeTheOneBeforeIsWritten(t *testing.T) {
	st := open(t)
	fill(t, st, 9, 1)
	var seen []store.Position
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 3, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		seen = append(seen, at(b.Events)...)
		return reactAll(ctx, b)
	}})
	s := submitted(t, r)
	for k := range 2 {
		next := handled(t, r)
		require.Len(t, seen, 3*k+6)
		require.Len(t, reactions(t, st), 3*k, "batch %d is not written yet", k)
		again, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		require.Nil(t, again, "one is handled ahead, not two")
		require.ErrorIs(t, r.Close(t.Context()), cursor.ErrInFlight)
		_ = send(s)
		n, err := r.Answered(s)
		require.NoError(t, err)
		require.Equal(t, 3, n)
		require.Equal(t, seen[:3*k+3], reactions(t, st))
		require.Equal(t, seen[3*k+2], record(t, st, "reserve").Delivered)
		r.Finish(next)
		s = r.Submit(true)
		require.NotNil(t, s)
	}
	require.Nil(t, handled(t, r), "there are no more")
	_ = send(s)
	_, err := r.Answered(s)
	require.NoError(t, err)
	require.Equal(t, matching(t, st, orders), reactions(t, st))
	require.NoError(t, r.Close(t.Context()))
	require.True(t, record(t, st, "reserve").Clean)
}

// A handler that asks for batches of one event reads in the store what came of the one before, or
// lets a crash repeat one effect at most.
func TestAWorkerOfOneEventAtATimeFindsInTheStoreWhatCameOfTheOneBefore(t *testing.T) {
	st := open(t)
	fill(t, st, 6, 0)
	var found []int
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 1, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		found = append(found, len(reactions(t, st)))
		return reactAll(ctx, b)
	}})
	for task := handled(t, r); task != nil; task = handled(t, r) {
		r.Finish(task)
		s := r.Submit(true)
		require.True(t, s.Alone())
		_ = send(s)
		_, err := r.Answered(s)
		require.NoError(t, err)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 5}, found)
}

// A checkpoint that the next reader believes must not say that what is handled ahead is done.
func TestTheCheckpointSaysNothingOfWhatIsHandledAhead(t *testing.T) {
	st := open(t)
	fill(t, st, 6, 2)
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll})
	s := submitted(t, r)
	require.NotNil(t, handled(t, r))
	_ = send(s)
	_, err := r.Answered(s)
	require.NoError(t, err)
	require.Less(t, record(t, st, "reserve").Scanned, matching(t, st, orders)[3])
	require.Empty(t, record(t, st, "reserve").Pending)
	require.Equal(t, matching(t, st, orders)[2], r.Progress().Delivered)

	next := runner(t, st, cursor.Worker{Region: orders, Handle: reactAll})
	for range 3 {
		drain(t, next)
	}
	require.Equal(t, matching(t, st, orders), reactions(t, st))
}

func TestWhatIsHandledAheadIsHandledAgainWhereTheCommitBeforeIsRefused(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{SegmentBytes: 1 << 20})
	require.NoError(t, err)
	defer st.Close()
	fill(t, st, 9, 0)
	var attempts []uint32
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll})
	s := submitted(t, r)
	ahead := handled(t, r)
	disk.SetCapacity(1)
	fillUp(t, st)
	_ = send(s)
	_, err = r.Answered(s)
	require.ErrorIs(t, err, store.ErrDiskFull)
	require.ErrorIs(t, err, cursor.ErrCommit)
	r.Drop(ahead)
	_, err = r.Commit(t.Context())
	require.ErrorIs(t, err, store.ErrDiskFull)
	disk.SetCapacity(1 << 40)
	n, err := r.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n, "what was handled before is not handled again")
	drain(t, r)
	require.Equal(t, matching(t, st, orders), reactions(t, st))
	for e, err := range st.Read(t.Context(), stocks, store.Beginning()) {
		require.NoError(t, err)
		by, _ := e.Emitter()
		attempts = append(attempts, by.Attempt)
	}
	require.Equal(t, []uint32{1, 1, 1, 2, 2, 2, 1, 1, 1}, attempts, "its handler ran twice")
}

// fillUp appends until there is no room for anything.
func fillUp(t *testing.T, st *store.Store) {
	t.Helper()
	for size := 512 << 10; size > 0; {
		_, err := st.Append(t.Context(), store.At("noise", "shop"), store.Any, store.Raw{Type: "noise", Data: make([]byte, size)})
		if err != nil {
			require.ErrorIs(t, err, store.ErrDiskFull)
			size /= 2
		}
	}
}

func TestAFencedWorkerWritesNeitherWhatIsUnderWayNorWhatItHandledAhead(t *testing.T) {
	st := open(t)
	fill(t, st, 6, 0)
	w := cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll}
	old := runner(t, st, w)
	s := submitted(t, old)
	ahead := handled(t, old)
	r := trusting(t, st, w)
	_ = send(s)
	_, err := old.Answered(s)
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	old.Drop(ahead)
	_, err = old.Commit(t.Context())
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.Empty(t, reactions(t, st))
	drain(t, r)
	require.Equal(t, matching(t, st, orders), reactions(t, st))
}

// Each is a case that Runner.Submit names.
func TestNothingIsHandledAheadOfWhatDecidesAboutIt(t *testing.T) {
	worker := func(change func(*cursor.Worker)) cursor.Worker {
		w := cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll}
		change(&w)
		return w
	}
	handler := func(end func(*cursor.Batch) (cursor.Action, error)) cursor.Worker {
		return worker(func(w *cursor.Worker) {
			w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				_, _ = reactAll(ctx, b)
				return end(b)
			}
		})
	}
	for name, w := range map[string]cursor.Worker{
		"lanes":    worker(func(w *cursor.Worker) { w.Lanes = 2 }),
		"volatile": worker(func(w *cursor.Worker) { w.Volatile = true }),
		"position": worker(func(w *cursor.Worker) {
			w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) { return 0, nil }
		}),
		"lazy": worker(func(w *cursor.Worker) { w.Handle = nothing }),
		"stop": handler(func(*cursor.Batch) (cursor.Action, error) { return cursor.Stop, nil }),
		"failure": handler(func(*cursor.Batch) (cursor.Action, error) {
			return cursor.Continue, cursor.FailedAt(1, errBroken)
		}),
		"race": handler(func(b *cursor.Batch) (cursor.Action, error) {
			b.Propose(2, store.Proposal{At: store.At("stock:1", "shop"), Payload: placed{}, Expect: store.Exactly(7)})
			return cursor.Continue, nil
		}),
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			fill(t, st, 9, 0)
			s := submitted(t, runner(t, st, w))
			require.True(t, s == nil || s.Alone())
		})
	}
	t.Run("synced checkpoint", func(t *testing.T) { // it has something to wait for
		st := open(t)
		fill(t, st, 9, 0)
		require.NotNil(t, submitted(t, runner(t, st, worker(func(w *cursor.Worker) { w.Handle, w.SyncCheckpoints = nothing, true }))))
	})
}

func TestNothingIsHandledAheadBesideWhatIsParkedOrReplayedOrMayKillTheProcess(t *testing.T) {
	w := cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll}
	prepared := func(t *testing.T) (*store.Store, *cursor.Runner) {
		st := open(t)
		fill(t, st, 12, 0)
		r := runner(t, st, w)
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		return st, r
	}
	t.Run("neither", func(t *testing.T) {
		_, r := prepared(t)
		require.NotNil(t, submitted(t, r))
	})
	t.Run("replayed", func(t *testing.T) {
		_, r := prepared(t)
		require.NoError(t, apply(t.Context(), r, checkpoint.Rewind{To: 0}))
		require.Nil(t, submitted(t, r))
	})
	t.Run("crash", func(t *testing.T) {
		st, _ := prepared(t)
		require.Nil(t, submitted(t, runner(t, st, w)))
	})
	t.Run("parked", func(t *testing.T) {
		st, _ := prepared(t)
		broken := w
		broken.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, errBroken }
		r := trusting(t, st, broken)
		first, err := r.Step(t.Context(), 0, 1)
		require.ErrorIs(t, err, errBroken)
		require.Zero(t, first.Committed)
		require.NoError(t, r.Settle(4, toPark(errBroken, 1)))
		_, err = r.Commit(t.Context())
		require.NoError(t, err)
		require.Nil(t, submitted(t, trusting(t, st, w)))
	})
}

// The process may die with two batches handled and not written.
func TestAfterACrashBothBatchesThatMayHaveBeenInFlightAreHandledOneByOne(t *testing.T) {
	st := open(t)
	fill(t, st, 12, 0)
	w := cursor.Worker{Region: orders, BatchSize: 3, Handle: reactAll}
	s := submitted(t, runner(t, st, w))
	require.NotNil(t, s)
	r := runner(t, st, w)
	for i := range 4 {
		task := handled(t, r)
		if i < 3 {
			require.Equal(t, 1, task.Size())
		}
		r.Finish(task)
		_, err := r.Commit(t.Context())
		require.NoError(t, err)
	}
	require.True(t, r.Progress().Guarded, "the second batch is not passed yet")
	drain(t, r)
	require.Equal(t, matching(t, st, orders), reactions(t, st))
}

// overlapped runs a worker to the end, each batch handled before the one before is written.
func overlapped(t tb, r *cursor.Runner) error {
	var s *cursor.Submission
	for {
		if _, err := r.Fill(t.Context(), 0); err != nil {
			return err
		}
		task, err := r.Next(t.Context(), 0)
		if err != nil {
			return err
		}
		if task != nil {
			task.Run(t.Context())
		}
		if s != nil {
			_ = send(s)
			if _, err := r.Answered(s); err != nil {
				if task != nil {
					r.Drop(task)
				}
				return err
			}
		}
		if task == nil {
			if s == nil {
				return r.Flush(t.Context())
			}
			s = nil
			continue
		}
		r.Finish(task)
		if s = r.Submit(true); s == nil {
			if _, err := r.Commit(t.Context()); err != nil {
				return err
			}
		}
	}
}

func TestALogIsTheSameWhetherBatchesAreHandledAheadOrNot(t *testing.T) {
	contents := func(ahead bool) (list []string) {
		st := open(t)
		fill(t, st, 40, 1)
		r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 7, Handle: reactAll})
		if ahead {
			require.NoError(t, overlapped(t, r))
		} else {
			drain(t, r)
			drain(t, r)
			require.NoError(t, r.Flush(t.Context()))
		}
		for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
			require.NoError(t, err)
			list = append(list, fmt.Sprint(e.Position, e.Coordinate, e.Kind, string(e.Payload), e.Version, e.Depth))
		}
		written := record(t, st, "reserve")
		written.Origin = store.Origin{}
		return append(list, fmt.Sprintf("%+v", written))
	}
	require.Equal(t, contents(false), contents(true))
}

// Wherever the power is cut, the log has the reactions to a prefix, and in the end each once.
func TestAPowerCutBesideABatchThatIsHandledAheadLosesAndRepeatsNoReaction(t *testing.T) {
	w := cursor.Worker{Name: "reserve", Region: orders, BatchSize: 3, Handle: reactAll}
	for cut := 1; ; cut++ {
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{})
		require.NoError(t, err)
		fill(t, st, 12, 0)
		disk.CutAt(disk.Ops() + cut)
		r, err := cursor.RestartRunner(t.Context(), st, &w, cursor.Former{Seen: true})
		if err == nil {
			err = overlapped(t, r)
		}
		whole := err == nil
		disk.Cut()
		_ = st.Close()

		st, err = disk.Rebooted(uint64(cut)).Open("data", store.Options{})
		require.NoError(t, err)
		want := matching(t, st, orders)
		got := reactions(t, st)
		require.Equal(t, want[:len(got)], append([]store.Position{}, got...), "cut %d", cut)
		require.NoError(t, overlapped(t, trusting(t, st, w)))
		require.Equal(t, want, reactions(t, st), "cut %d", cut)
		require.NoError(t, st.Close())
		if whole {
			require.Greater(t, cut, 5)
			return
		}
		require.Less(t, cut, 1000)
	}
}
