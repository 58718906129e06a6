package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// sum keeps how many events a key had, and reacts with nothing but that.
func sum(b *cursor.Batch, i int, key string) error {
	n, err := summed(b.Side(i, key))
	if err != nil {
		return err
	}
	b.React(i, store.At("stock:lamp", "shop"), reserved{For: b.Events[i].Position})
	return b.Put(i, key, []byte(strconv.Itoa(n+1)))
}

func summed(value []byte, found bool, err error) (int, error) {
	if err != nil || !found {
		return 0, err
	}
	return strconv.Atoi(string(value))
}

// summing counts the events of each entity.
func summing(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i := range b.Events {
		b.Begin(i)
		if err := sum(b, i, b.Events[i].Coordinate.Entity); err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
	}
	return cursor.Continue, nil
}

// keptBy returns what the worker keeps that had the name "reserve" first, by key.
func keptBy(t tb, st *store.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	prefix := checkpoint.KeptPrefix("reserve")
	for side, err := range st.Sides(prefix) {
		require.NoError(t, err)
		all[strings.TrimPrefix(side.Key, prefix)] = string(side.Value)
	}
	return all
}

func stateful(handle cursor.Handler) cursor.Worker {
	return cursor.Worker{Region: orders, Stateful: true, Handle: handle}
}

func TestAHandlerReadsWhatTheEventsBeforeItHaveKept(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, size := range []int{1, 3, 0} {
			st := open(t)
			fill(t, st, 23, 1)
			w := stateful(summing)
			w.Lanes, w.BatchSize = lanes, size
			drain(t, runner(t, st, w))
			require.Equal(t, map[string]string{"order:0": "5", "order:1": "5", "order:2": "5", "order:3": "4", "order:4": "4"},
				keptBy(t, st))
			require.Len(t, reactions(t, st), 23)
		}
	}
}

func TestWhatIsPutIsInTheCommitOfTheReactionsAndTheCheckpoint(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	run := runner(t, st, stateful(summing))
	drain(t, run)
	info, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	for key := range keptBy(t, st) {
		side, found, err := st.Side(checkpoint.KeptPrefix("reserve") + key)
		require.NoError(t, err)
		require.True(t, found)
		require.Equal(t, info.Revision, side.Revision)
	}
}

func TestWhatIsPutForAnEventThatFailsIsDropped(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "a", "bad", "a", "a")
	sick := true
	run := runner(t, st, stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events { // it looks at all of them before it says what failed
			if err := sum(b, i, "all"); err != nil {
				return cursor.Continue, err
			}
		}
		for i, e := range b.Events {
			if sick && e.Coordinate.Entity == "order:bad" {
				return cursor.Continue, cursor.FailedAt(i, errors.New("sick"))
			}
		}
		return cursor.Continue, nil
	}))
	_, err := run.Step(t.Context(), 0, 0)
	require.Error(t, err)
	require.Equal(t, map[string]string{"all": "2"}, keptBy(t, st))
	sick = false
	drain(t, run)
	require.Equal(t, map[string]string{"all": "5"}, keptBy(t, st))
	require.Len(t, reactions(t, st), 5)
}

func TestWhatIsPutAfterAnEventThatFailsLeavesWhatWasKept(t *testing.T) {
	st := open(t)
	keyed(t, st, "c")
	sick := true
	run := runner(t, st, stateful(func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if _, err := summing(ctx, b); err != nil || !sick || len(b.Events) == 1 {
			return cursor.Continue, err
		}
		return cursor.Continue, cursor.FailedAt(1, errors.New("sick"))
	}))
	drain(t, run)
	keyed(t, st, "a", "b", "c")
	_, err := run.Step(t.Context(), 0, 0)
	require.Error(t, err)
	require.Equal(t, map[string]string{"order:a": "1", "order:c": "1"}, keptBy(t, st))
	sick = false
	drain(t, run)
	require.Equal(t, map[string]string{"order:a": "1", "order:b": "1", "order:c": "2"}, keptBy(t, st))
}

// A batch whose reactions are refused in part is committed in parts, each of which rests on the one
// before.
func TestABatchThatIsCommittedInPartsKeepsWhatEachPartLeaves(t *testing.T) {
	st := open(t)
	fill(t, st, 16, 0)
	lost := 0
	run := runner(t, st, stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if err := sum(b, i, "all"); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
			if e.Position == 11 && lost < 2 {
				lost++
				b.Propose(i, store.Proposal{At: store.At("stock:desk", "shop"), Payload: reserved{}, Expect: store.Exactly(9)})
			}
		}
		return cursor.Continue, nil
	}))
	for range 2 {
		_, err := run.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, cursor.ErrCommit)
		require.Equal(t, map[string]string{"all": "10"}, keptBy(t, st))
	}
	drain(t, run)
	require.Equal(t, map[string]string{"all": "16"}, keptBy(t, st))
	require.Equal(t, matching(t, st, orders), reactions(t, st))
}

func TestTwoLanesThatShareWhatTheyKeepLoseNoWrite(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b", "c", "a", "b", "c")
	w := stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			if err := sum(b, i, "all"); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	})
	w.Lanes = 4
	run := runner(t, st, w)
	refused := 0
	for done := false; !done; {
		_, err := run.Fill(t.Context(), 0)
		require.NoError(t, err)
		var tasks []*cursor.Task
		for {
			task, err := run.Next(t.Context(), 0)
			require.NoError(t, err)
			if task == nil {
				break
			}
			tasks = append(tasks, task)
		}
		for _, task := range tasks { // each reads before any of them is committed
			task.Run(t.Context())
			run.Finish(task)
		}
		for run.Dirty() {
			var lost *cursor.RunnerError
			if _, err := run.Commit(t.Context()); errors.As(err, &lost) {
				require.ErrorIs(t, err, store.ErrConflict)
				require.NoError(t, run.Settle(lost.Event, again))
				refused++
			} else {
				require.NoError(t, err)
			}
		}
		done = len(tasks) == 0
	}
	require.Positive(t, refused)
	require.Equal(t, map[string]string{"all": "6"}, keptBy(t, st))
	require.ElementsMatch(t, matching(t, st, orders), reactions(t, st))
}

func TestNoBatchIsHandledAheadOfOneThatPutsSomething(t *testing.T) {
	st := open(t)
	fill(t, st, 9, 0)
	puts := true
	w := stateful(func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if puts {
			return summing(ctx, b)
		}
		for i := range b.Events {
			_, _, err := b.Side(i, "order:0")
			require.NoError(t, err)
		}
		return reactAll(ctx, b)
	})
	w.BatchSize = 3
	run := runner(t, st, w)
	for _, puts = range []bool{true, false, true} {
		s := submitted(t, run)
		require.Equal(t, puts, s.Alone())
		require.NoError(t, send(s))
		_, err := run.Answered(s)
		require.NoError(t, err)
	}
	require.Equal(t, map[string]string{"order:0": "1", "order:1": "2", "order:2": "2", "order:3": "1"}, keptBy(t, st))
}

func TestANewerOwnerRefusesWhatItsPredecessorPuts(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	former := runner(t, st, stateful(summing))
	task := handled(t, former)
	former.Finish(task)
	drain(t, runner(t, st, stateful(summing)))
	_, err := former.Commit(t.Context())
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.Equal(t, map[string]string{"order:0": "1", "order:1": "1", "order:2": "1"}, keptBy(t, st))
}

func TestWhatIsPutAsNothingIsRemoved(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "a", "a")
	n := 0
	w := stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		n++
		value, found, err := b.Side(0, "k")
		require.NoError(t, err)
		require.Equal(t, n > 1 && n != 3, found)
		switch n {
		case 1:
			require.NoError(t, b.Put(0, "k", []byte{})) // an empty value is one
		case 2:
			require.Empty(t, value)
			require.NotNil(t, value)
			require.NoError(t, b.Put(0, "k", nil))
			_, found, _ = b.Side(0, "k")
			require.False(t, found)
		}
		return cursor.Continue, nil
	})
	w.BatchSize = 1
	drain(t, runner(t, st, w))
	require.Equal(t, 3, n)
	require.Empty(t, keptBy(t, st))
}

func TestAWorkerKeepsNothingUnlessItIsStateful(t *testing.T) {
	st := open(t)
	fill(t, st, 1, 0)
	w := stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		_, _, err := b.Side(0, "k")
		require.ErrorIs(t, err, cursor.ErrStateless)
		return cursor.Continue, b.Put(0, "k", nil)
	})
	w.Stateful = false
	_, err := runner(t, st, w).Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrStateless)

	for _, bad := range []cursor.Worker{
		{Name: "w", Handle: summing, Stateful: true, Volatile: true},
		{Name: "w", Handle: summing, Stateful: true, ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) {
			return 0, nil
		}},
	} {
		_, err := bad.CursorWorker()
		require.ErrorIs(t, err, cursor.ErrWorker)
		require.ErrorContains(t, err, "Stateful")
	}
}

func TestABadKeyOrValueIsRefusedWhenItIsPut(t *testing.T) {
	b := cursor.NewBatch([]store.Event{{Position: 1}}, cursor.Ownership{FirstName: "w"})
	for _, key := range []string{"a\nb", "\xff", strings.Repeat("k", 1024)} {
		var invalid *store.InvalidError
		require.ErrorAs(t, b.Put(0, key, nil), &invalid, "%q", key)
	}
	require.ErrorIs(t, b.Put(0, "k", make([]byte, 1<<20+1)), store.ErrInvalid)
	require.NoError(t, b.Put(0, "k", make([]byte, 1<<20)))
	require.NoError(t, b.Put(0, "", []byte("x")))
	require.Panics(t, func() { _ = b.Put(1, "k", nil) })
	require.Panics(t, func() { _, _, _ = b.Side(1, "k") })
	value := []byte("mine")
	require.NoError(t, b.Put(0, "k", value))
	value[0] = 'M'
	kept, found, err := b.Side(0, "k")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "mine", string(kept), "it is copied")
}

// A batch may be handled in any order; what counts is that of its events.
func TestWhatIsPutCountsInTheOrderOfTheEvents(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "a", "a")
	drain(t, runner(t, st, stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		require.NoError(t, b.Put(2, "k", []byte("last")))
		require.NoError(t, b.Put(0, "k", []byte("draft")))
		require.NoError(t, b.Put(0, "k", []byte("first")))
		for i, want := range []string{"first", "first", "last"} {
			value, _, err := b.Side(i, "k")
			require.NoError(t, err)
			require.Equal(t, want, string(value))
		}
		return cursor.Continue, nil
	})))
	require.Equal(t, map[string]string{"k": "last"}, keptBy(t, st))
}

func TestWhatIsKeptStaysWithItsCheckpoint(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	run := runner(t, st, stateful(summing))
	drain(t, run)
	kept := keptBy(t, st)
	require.ErrorIs(t, apply(t.Context(), run, checkpoint.Rewind{To: 1}), checkpoint.ErrStateful)

	// Another name.
	renamed := stateful(summing)
	renamed.Name, renamed.Formerly = "hold", []string{"reserve"}
	run = runner(t, st, renamed)
	fill(t, st, 5, 0)
	drain(t, run)
	require.Equal(t, "2", keptBy(t, st)["order:0"])
	require.NotEqual(t, kept, keptBy(t, st))

	// All of it again.
	require.NoError(t, apply(t.Context(), run, checkpoint.Reset{}))
	require.Empty(t, keptBy(t, st))
	drain(t, run)
	require.Equal(t, "2", keptBy(t, st)["order:0"])

	// A worker that takes the name of one that was deleted has nothing of it.
	require.NoError(t, applyCold(t.Context(), st, "hold", checkpoint.Delete{}))
	require.Empty(t, keptBy(t, st))
	drain(t, runner(t, st, stateful(summing)))
	require.Equal(t, "2", keptBy(t, st)["order:0"])
}

func TestAPowerCutLeavesWhatIsKeptAndTheReactionsThatWentWithIt(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		everyCut(t, func(int) func(*storetest.Disk) error {
			n := 0
			return func(disk *storetest.Disk) error { return sumAll(t, disk, lanes, &n) }
		})
	}
}

// sumAll appends what is not appended yet, and has it counted, until the power fails.
func sumAll(t *testing.T, disk *storetest.Disk, lanes int, appended *int) error {
	t.Helper()
	st, err := disk.Open("data", store.Options{})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	if err := agree(t, st); err != nil {
		return err
	}
	w := stateful(summing)
	w.Name, w.Lanes = "reserve", lanes
	run, err := cursor.NewRunner(t.Context(), st, w)
	for err == nil && *appended < 4 {
		_, err = st.Commit(t.Context(), store.Batch{
			IdempotencyKey: fmt.Sprint(*appended),
			Events:         []store.Proposal{{At: store.At(fmt.Sprint("order:", *appended%2), "shop"), Payload: placed{N: *appended}}},
		})
		if err == nil {
			*appended++
			_, err = run.Step(t.Context(), 0, 0)
		}
	}
	for out := (cursor.Outcome{}); err == nil && !out.CaughtUp; {
		out, err = run.Step(t.Context(), 0, 0)
	}
	if err == nil {
		err = agree(t, st)
	}
	if err == nil {
		require.Equal(t, map[string]string{"order:0": "2", "order:1": "2"}, keptBy(t, st))
	}
	return err
}

// agree makes sure that what is kept, the reactions and the checkpoint say the same.
func agree(t *testing.T, st *store.Store) error {
	t.Helper()
	total := 0
	for _, value := range keptBy(t, st) {
		n, err := strconv.Atoi(value)
		require.NoError(t, err)
		total += n
	}
	require.Len(t, reactions(t, st), total)
	info, err := checkpoint.Inspect(st, "reserve")
	if errors.Is(err, checkpoint.ErrNotFound) {
		require.Zero(t, total)
		return nil
	}
	done := 0
	for _, p := range matching(t, st, orders) {
		if info.Record.Done(p) {
			done++
		}
	}
	require.Equal(t, done, total)
	return err
}

// A program that reads under the name of a worker is no leave to tear its checkpoint from what it
// keeps.
func TestAPullerOfTheSameNameDoesNotFreeTheCheckpointFromWhatIsKept(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	drain(t, runner(t, st, stateful(summing)))
	_, err := checkpoint.Acquire(t.Context(), st, "reserve", checkpoint.Binding{Region: orders, Pulled: true})
	require.NoError(t, err)
	require.ErrorIs(t, applyCold(t.Context(), st, "reserve", checkpoint.Rewind{Emit: true}), checkpoint.ErrStateful)
}
