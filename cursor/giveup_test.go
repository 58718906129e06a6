package cursor_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errHopeless = errors.New("hopeless")

// resigned is the reaction to an event that is given up.
type resigned struct {
	For      store.Position
	Attempts int
}

func (resigned) Kind() string { return "stock.resigned" }

// resign is a GiveUp that reacts.
func resign(_ context.Context, b *cursor.Batch, _ error, attempts int) error {
	b.React(0, store.At("stock:lamp", "shop"), resigned{For: b.Events[0].Position, Attempts: attempts})
	return nil
}

// givingUp is a worker that fails at one event and gives it up.
func givingUp(bad store.Position, f func(context.Context, *cursor.Batch, error, int) error) cursor.Worker {
	return cursor.Worker{Region: orders, Handle: brokenAt(bad), GiveUp: f}
}

// audits lists the kinds of audit events about an event, with what they say last.
func audits(t tb, st *store.Store, event store.Position) (kinds []string, last checkpoint.Audit) {
	t.Helper()
	for e, err := range checkpoint.Audits(t.Context(), st, "reserve", 0) {
		require.NoError(t, err)
		a, err := checkpoint.AuditOf(t.Context(), st, e)
		require.NoError(t, err)
		if a.Position == event {
			kinds, last = append(kinds, e.Kind), a
		}
	}
	return kinds, last
}

func TestAnEventIsGivenUpInPlaceOfBeingParkedOrSkipped(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, v := range []supervision.Verdict{toPark(errBroken, 3), toSkip(errBroken, 3)} {
			st := open(t)
			keyed(t, st, "a", "bad", "bad", "b")
			w := givingUp(2, func(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
				require.Equal(t, errBroken, failure)
				require.Len(t, b.Events, 1)
				require.Equal(t, 3, b.Attempt(0))
				return resign(ctx, b, failure, attempts)
			})
			w.Lanes = lanes
			r := runner(t, st, w)
			for !r.IsFailed(2) {
				_, _ = r.Step(t.Context(), 0, 0)
			}
			require.True(t, cursor.GiveUp(r, 2, v))
			drain(t, r)
			require.Equal(t, []store.Position{1, 2, 3, 4}, sorted(reactions(t, st)))
			require.Equal(t, []string{"stock.resigned", "stock.reserved"}, kindsFor(t, st, 2, 3), "in the order of their key")
			require.Zero(t, r.Progress().Parked)
			kinds, said := audits(t, st, 2)
			require.Equal(t, []string{checkpoint.AuditGivenUp}, kinds)
			require.Equal(t, checkpoint.Audit{Worker: "reserve", Position: 2, Error: errBroken.Error(), Attempts: 3}, said)
			calls := 0
			w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) { calls++; return cursor.Continue, nil }
			drain(t, runner(t, st, w))
			require.Zero(t, calls, "it is done")
		}
	}
}

func sorted(list []store.Position) []store.Position {
	slices.Sort(list)
	return list
}

// kindsFor lists the kinds of the reactions to some events, in the order of the log.
func kindsFor(t tb, st *store.Store, events ...store.Position) (kinds []string) {
	t.Helper()
	for e, err := range st.Read(t.Context(), stocks, store.Beginning()) {
		require.NoError(t, err)
		var body reserved
		require.NoError(t, e.Decode(&body))
		for _, p := range events {
			if body.For == p {
				kinds = append(kinds, e.Kind)
			}
		}
	}
	return kinds
}

// failedVerdict takes a step in which an event cannot be given up, and returns the failure.
func failedVerdict(t tb, r *cursor.Runner) *cursor.HandlerError {
	t.Helper()
	_, err := r.Step(t.Context(), 0, 0)
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.False(t, failed.Evidence, "it says nothing of what the handler depends on")
	return failed
}

func TestAnEventThatCannotBeGivenUpIsParkedWithBothErrors(t *testing.T) {
	for name, c := range map[string]struct {
		giveUp func(context.Context, *cursor.Batch, error, int) error
		said   string
	}{
		"error":  {func(context.Context, *cursor.Batch, error, int) error { return errHopeless }, "hopeless"},
		"panic":  {func(context.Context, *cursor.Batch, error, int) error { panic(errHopeless) }, "hopeless"},
		"goexit": {func(context.Context, *cursor.Batch, error, int) error { runtime.Goexit(); return nil }, "Goexit"},
		"refused": {func(_ context.Context, b *cursor.Batch, _ error, _ int) error {
			b.React(0, store.At("", "shop"), placed{})
			return nil
		}, "entity"},
		"timeout": {func(ctx context.Context, _ *cursor.Batch, _ error, _ int) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}, cursor.ErrTimeout.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			keyed(t, st, "bad", "bad", "a")
			w := givingUp(1, func(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
				require.NoError(t, resign(ctx, b, failure, attempts))
				return c.giveUp(ctx, b, failure, attempts)
			})
			w.Timeout = time.Minute
			if name == "timeout" {
				w.Timeout = time.Millisecond
			}
			r := runner(t, st, w)
			failing(t, r)
			require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
			failed := stepAside(t, r)
			if failed.Panic {
				d, _ := supervision.DirectiveOf(failed)
				require.Equal(t, supervision.ActionPark, d.Action)
			}
			require.Equal(t, supervision.ActionPark, failed.Verdict.Action)
			require.Equal(t, 3, failed.Verdict.Attempt)
			require.ErrorIs(t, failed.Verdict.Reason, errBroken)
			require.ErrorContains(t, failed.Verdict.Reason, c.said)
			require.False(t, cursor.GiveUp(r, 1, *failed.Verdict), "once")
			require.NoError(t, r.Settle(1, *failed.Verdict))
			drain(t, r)
			require.Equal(t, []store.Position{3}, reactions(t, st), "2 is held")
			kinds, _ := audits(t, st, 1)
			require.Equal(t, []string{checkpoint.AuditParked}, kinds)
		})
	}
}

// stepAside takes a step on a goroutine that may end, and returns the failure of the handler.
func stepAside(t tb, r *cursor.Runner) *cursor.HandlerError {
	t.Helper()
	var err error
	for range 2 { // the first one may take its goroutine along
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err = r.Step(t.Context(), 0, 0)
		}()
		<-done
		if err != nil {
			break
		}
	}
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.False(t, failed.Evidence, "it says nothing of what the handler depends on")
	return failed
}

func TestAWorkerMayLeaveAnEventToWhatIsDueWithoutGiveUp(t *testing.T) {
	for _, v := range []supervision.Verdict{toPark(errBroken, 3), toSkip(errBroken, 3)} {
		st := open(t)
		keyed(t, st, "bad")
		r := runner(t, st, givingUp(1, func(_ context.Context, _ *cursor.Batch, failure error, _ int) error { return failure }))
		failing(t, r)
		require.True(t, cursor.GiveUp(r, 1, v))
		failed := failedVerdict(t, r)
		require.Equal(t, v.Action, failed.Verdict.Action)
		require.Equal(t, errBroken.Error(), failed.Verdict.Reason.Error(), "no word more")
	}
}

func TestAWorkerMayHaltInPlaceOfGivingUp(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad")
	r := runner(t, st, givingUp(1, func(context.Context, *cursor.Batch, error, int) error { return supervision.Halt(errHopeless) }))
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
	failed := failedVerdict(t, r)
	require.Nil(t, failed.Verdict)
	d, _ := supervision.DirectiveOf(failed)
	require.Equal(t, supervision.ActionHalt, d.Action)
}

func TestAnEventThatEndedTheProcessTooOftenIsGivenUpAndNotHandled(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "bad")
	calls := 0
	w := cursor.Worker{Region: orders, Policy: attempts(2), GiveUp: resign, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		calls++
		return reactAll(ctx, b)
	}}
	die(t, st, w, 1) // both in flight
	die(t, st, w, 1)
	die(t, st, w, 1)
	r := runner(t, st, w)
	_, err := r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrCrashLoop)
	require.True(t, cursor.GiveUp(r, 1, toPark(err, 2)))
	drain(t, r)
	require.Equal(t, 1, calls, "2 alone")
	require.Equal(t, []string{"stock.resigned", "stock.reserved"}, kindsFor(t, st, 1, 2))
	require.Zero(t, r.Progress().Parked)
}

// Nothing but a mark on the disk could tell that it was GiveUp that ended the process.
func TestAnEventThatEndsTheProcessAlsoWhereItIsGivenUpIsParked(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "a")
	w := cursor.Worker{Region: orders, Policy: attempts(2), GiveUp: resign, Handle: reactAll}
	die(t, st, w, 1)
	deaths := 1
	for ; ; deaths++ {
		require.Less(t, deaths, 10)
		r := runner(t, st, w)
		_, err := r.Fill(t.Context(), 0)
		require.NoError(t, err)
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, store.Position(1), task.First())
		if deaths < 3 {
			continue // it dies in the handler
		}
		task.Run(t.Context())
		require.ErrorIs(t, task.Err(), cursor.ErrCrashLoop)
		r.Finish(task)
		if !cursor.GiveUp(r, 1, toPark(task.Err(), 2)) {
			require.ErrorContains(t, task.Err(), "given up")
			require.NoError(t, r.Settle(1, toPark(task.Err(), 2)))
			drain(t, r)
			break
		}
		_, err = r.Commit(t.Context())
		require.NoError(t, err)
		task, err = r.Next(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, store.Position(1), task.First()) // it dies in GiveUp
	}
	require.Equal(t, 4, deaths)
	require.Equal(t, []store.Position{2}, reactions(t, st))
	kinds, _ := audits(t, st, 1)
	require.Equal(t, []string{checkpoint.AuditParked}, kinds)
}

func TestACrashBeforeAnEventIsGivenUpHasItHandledAgain(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad")
	r := trusting(t, st, givingUp(1, resign))
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
	_, err := r.Commit(t.Context())
	require.NoError(t, err)
	drain(t, trusting(t, st, cursor.Worker{Region: orders, Handle: reactAll, GiveUp: resign}))
	require.Equal(t, []string{"stock.reserved"}, kindsFor(t, st, 1))
}

// A panic has another incarnation of the same worker made, which gives the event up.
func TestARestartInTheSameProcessGivesUpWhatWasToBe(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "bad", "bad")
	w := givingUp(2, resign)
	w.Name = "reserve"
	w = w.WithBuild("b")
	epoch := uint64(0)
	first, err := cursor.RestartRunner(t.Context(), st, &w, cursor.Former{Epoch: &epoch, Seen: true})
	require.NoError(t, err)
	failing(t, first)
	require.True(t, cursor.GiveUp(first, 2, toPark(errBroken, 3)))
	second, err := cursor.RestartRunner(t.Context(), st, &w, cursor.Former{Epoch: &epoch, Seen: true})
	require.NoError(t, err)
	drain(t, second)
	require.Equal(t, []string{"stock.resigned", "stock.reserved"}, kindsFor(t, st, 2, 3))
	kinds, _ := audits(t, st, 2)
	require.Equal(t, []string{checkpoint.AuditGivenUp}, kinds)
}

func TestAParkedEventThatIsReplayedIsGivenUpWithWhatIsHeldForItHandled(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		keyed(t, st, "bad", "bad", "a")
		w := givingUp(1, resign)
		w.Lanes = lanes
		r := runner(t, st, w)
		for !r.IsFailed(1) {
			_, _ = r.Step(t.Context(), 0, 0)
		}
		require.NoError(t, r.Settle(1, toPark(errBroken, 3)))
		drain(t, r)
		_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		failing(t, r)
		require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 5)))
		drain(t, r)
		require.Equal(t, []string{"stock.resigned", "stock.reserved"}, kindsFor(t, st, 1, 2))
		require.Zero(t, r.Progress().Parked)
		kinds, _ := audits(t, st, 1)
		require.Equal(t, []string{checkpoint.AuditParked, checkpoint.AuditGivenUp}, kinds)
	}
}

// What is committed with an event that is given up rests on what it has read, too.
func TestALostRaceHasAnEventGivenUpOnceMore(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad")
	lamp, version, calls := store.At("stock:lamp", "shop"), store.Absent, 0
	r := runner(t, st, givingUp(1, func(ctx context.Context, b *cursor.Batch, _ error, _ int) error {
		expect := version
		if calls++; calls == 1 { // another writer is faster
			_, err := st.Append(ctx, lamp, store.Absent, reserved{For: 1000})
			require.NoError(t, err)
			version = store.Exactly(1)
		}
		b.Propose(0, store.Proposal{At: lamp, Payload: resigned{For: 1}, Expect: expect})
		return nil
	}))
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
	_, err := r.Step(t.Context(), 0, 0)
	var lost *cursor.RunnerError
	require.ErrorAs(t, err, &lost)
	require.ErrorIs(t, err, store.ErrConflict)
	require.ErrorIs(t, err, errBroken, "and why it is given up")
	require.NoError(t, r.Settle(1, again))
	drain(t, r)
	require.Equal(t, 2, calls)
	require.Equal(t, []string{"stock.resigned"}, kindsFor(t, st, 1))
}

func TestAnEventThatIsErasedBeforeItIsGivenUpIsPassedOver(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "a")
	calls := 0
	w := givingUp(1, func(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
		calls++
		return resign(ctx, b, failure, attempts)
	})
	r := runner(t, st, w)
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
	_, err := store.Erase(t.Context(), st, store.Erasure{Entity: "order:bad", Reason: "test", By: "test"})
	require.NoError(t, err)
	drain(t, r)
	require.Zero(t, calls)
	require.Equal(t, []store.Position{2}, reactions(t, st))
	kinds, _ := audits(t, st, 1)
	require.Empty(t, kinds)
}

func TestAnEventThatIsErasedWhileItIsGivenUpLeavesNothing(t *testing.T) {
	for _, erased := range []bool{false, true} {
		st := open(t)
		keyed(t, st, "bad")
		w := givingUp(1, func(ctx context.Context, b *cursor.Batch, failure error, attempts int) error {
			_, err := store.Erase(ctx, st, store.Erasure{Entity: "order:bad", Reason: "test", By: "test"})
			require.NoError(t, err)
			return resign(ctx, b, failure, attempts)
		})
		w.Erased = erased
		r := runner(t, st, w)
		failing(t, r)
		require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
		drain(t, r)
		kinds, said := audits(t, st, 1)
		if erased {
			require.Equal(t, []string{checkpoint.AuditGivenUp}, kinds)
			require.Equal(t, checkpoint.ErasedText, said.Error, "what failed may have quoted it")
		} else {
			require.Empty(t, kinds)
			require.Empty(t, reactions(t, st))
		}
	}
}

func TestAWorkerThatKeepsSomethingKeepsItAlsoWhereItGivesUp(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "a", "a")
	w := stateful(func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if _, err := summing(ctx, b); err != nil {
			return cursor.Continue, err
		}
		for i, e := range b.Events {
			if e.Position == 2 {
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			}
		}
		return cursor.Continue, nil
	})
	w.GiveUp = func(_ context.Context, b *cursor.Batch, _ error, _ int) error {
		value, _, err := b.Side(0, "order:a")
		require.Equal(t, "1", string(value))
		if err == nil {
			err = b.Put(0, "order:a", []byte("10"))
		}
		_, due := b.Schedule(0, b.Now(0).Add(time.Hour), store.Proposal{At: store.At("stock:lamp", "shop"), Payload: resigned{For: 2}})
		return errors.Join(err, due)
	}
	r := runner(t, st, w)
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 2, toPark(errBroken, 3)))
	drain(t, r)
	require.Equal(t, map[string]string{"order:a": "11"}, keptBy(t, st))
	require.False(t, cursor.Due(r).IsZero())
}

func TestGivingUpNeedsACheckpointThatIsTheWorkersPosition(t *testing.T) {
	w := cursor.Worker{Name: "w", Handle: nothing, GiveUp: resign}
	require.NoError(t, worker(w))
	volatile, external := w, w
	volatile.Volatile = true
	external.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) { return 0, nil }
	for _, bad := range []cursor.Worker{volatile, external} {
		require.ErrorIs(t, worker(bad), cursor.ErrWorker)
		require.ErrorContains(t, worker(bad), "GiveUp")
	}
}

func worker(w cursor.Worker) error {
	_, err := w.CursorWorker()
	return err
}

// What could not be handled is given up, which shows of nothing that it can be reached.
func TestAnEventThatIsGivenUpIsNoSuccessOfItsDependency(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad")
	r := runner(t, st, givingUp(1, resign))
	failing(t, r)
	require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
	task, err := r.Next(t.Context(), 0)
	require.NoError(t, err)
	task.Run(t.Context())
	r.Finish(task)
	require.Empty(t, cursor.DependenciesOf(r).Handled(task))
}

// An outage that begins before an event is given up is a reason to try it again; one that has
// nothing to do with its failure is none to wait.
func TestAnOutageThatBeginsHasOnlyWhatFailedInItTriedAgain(t *testing.T) {
	for _, inIt := range []bool{true, false} {
		st := open(t)
		keyed(t, st, "bad", "a")
		r := runner(t, st, givingUp(1, resign))
		failing(t, r)
		require.True(t, cursor.GiveUp(r, 1, toPark(errBroken, 3)))
		outage := cursor.DependenciesOf(r)
		outage.Suspend(placed{}.Kind(), func(event store.Position) (string, bool) { return placed{}.Kind(), inIt && event == 1 })
		drainAll(t, r)
		if !inIt {
			require.Equal(t, []string{"stock.resigned"}, kindsFor(t, st, 1, 2), "2 waits")
			continue
		}
		require.Empty(t, reactions(t, st))
		outage.Release(placed{}.Kind())
		failing(t, r)
	}
}

// drainAll steps until nothing can be taken.
func drainAll(t tb, r *cursor.Runner) {
	t.Helper()
	for {
		out, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		if out.Handled == 0 {
			return
		}
	}
}
