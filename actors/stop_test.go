package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// deaf is a worker named slow that handles one event at a time and ignores its context: it sends
// each event to entered, and then waits for a token of release.
func deaf() (w cursor.Worker, entered chan store.Position, release chan struct{}) {
	entered, release = make(chan store.Position, 100), make(chan struct{})
	w = handling("slow", func(_ context.Context, b *cursor.Batch) error {
		entered <- b.Events[0].Position
		<-release
		return nil
	})
	w.BatchSize = 1
	return w, entered, release
}

func TestStopFinishesTheBatchInFlightAndStartsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		sys := start(t, st, reacting("first"), slow, reacting("last"))
		receipt := appendInputs(t, st, 3)
		require.Equal(t, store.Position(1), <-entered)
		require.NoError(t, sys.WaitApplied(t.Context(), "first", receipt))

		stopped, waited := make(chan error), make(chan error)
		go func() { stopped <- sys.Stop(t.Context()) }()
		go func() { waited <- sys.WaitApplied(t.Context(), "slow", receipt) }()
		synctest.Wait()
		more := appendInputs(t, st, 3) // no worker handles these any more
		synctest.Wait()
		release <- struct{}{}
		require.NoError(t, <-stopped)
		require.ErrorIs(t, <-waited, actors.ErrStopped)
		require.Empty(t, entered)
		require.Equal(t, []store.Position{1}, reactions(t, st, "slow"))
		require.Len(t, reactions(t, st, "first"), 3)
		require.Equal(t, store.Position(1), record(t, st, "slow").Record.Scanned)

		close(release)
		next := start(t, st, slow, reacting("first"))
		require.NoError(t, next.WaitApplied(t.Context(), "slow", more))
		require.NoError(t, next.WaitApplied(t.Context(), "first", more))
		requireExactlyOnce(t, st, "slow")
		requireExactlyOnce(t, st, "first")
	})
}

func TestAHandlerThatHonoursItsContextEndsCleanlyAndNothingIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		patient := handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			if calls++; calls > 1 {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("interrupted: %w", context.Cause(ctx))
		})
		patient.Policy = steady(1, time.Second) // a single attempt would halt it
		sys := startWith(t, st, actors.Options{DrainTimeout: time.Minute}, reacting("before"), patient, reacting("after"))
		receipt := appendInputs(t, st, 2)
		synctest.Wait()
		began := time.Now()
		require.NoError(t, sys.Stop(t.Context()))
		require.Equal(t, time.Minute, time.Since(began))
		require.NoError(t, sys.Err())
		w := statusOf(t, sys, "w")
		require.Equal(t, actors.Stopped, w.State)
		require.NoError(t, w.Reason)
		require.Zero(t, w.Restarts)
		require.Empty(t, reactions(t, st, "w"))
		require.Equal(t, 1, calls)

		require.NoError(t, start(t, st, patient).WaitApplied(t.Context(), "w", receipt))
		requireExactlyOnce(t, st, "w")
	})
}

func TestAHandlerThatDoesNotReturnIsNamedAfterBothTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		sys := startWith(t, st, actors.Options{DrainTimeout: time.Hour, KillTimeout: time.Minute},
			reacting("first"), slow, reacting("last"))
		receipt := appendInputs(t, st, 3)
		<-entered
		release <- struct{}{}
		<-entered
		began := time.Now()
		results := make(chan error)
		for range 10 {
			go func() { results <- sys.Stop(t.Context()) }()
		}
		var all []error
		for range 10 {
			all = append(all, <-results)
		}
		require.Equal(t, time.Hour+time.Minute, time.Since(began))
		for _, err := range append(all, sys.Stop(t.Context())) {
			require.ErrorIs(t, err, actors.ErrHung)
			var hung *actors.HungError
			require.ErrorAs(t, err, &hung)
			require.Equal(t, []string{"slow"}, hung.Workers)
			require.Equal(t, []store.Position{1}, hung.Positions)
			require.ErrorContains(t, err, `"slow" (after position 1)`)
		}
		<-sys.Done()
		require.Equal(t, actors.Running, statusOf(t, sys, "slow").State)
		require.Equal(t, actors.Stopped, statusOf(t, sys, "first").State)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "slow", receipt), actors.ErrStopped)

		close(release) // at last
		synctest.Wait()
		require.Equal(t, []store.Position{1, 2}, reactions(t, st, "slow"), "what was handled after all is kept, once")
		require.Empty(t, entered)
	})
}

func TestStopWithAnEndedContextCancelsHandlersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		appendInputs(t, st, 1)
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		require.NoError(t, sys.Stop(ended))
		require.NoError(t, sys.Stop(ended))
		require.Zero(t, time.Since(began))
	})
}

func TestInsideAHandlerStopAndWaitingForItselfAreRefused(t *testing.T) {
	for name, call := range map[string]func(ctx context.Context, f func(context.Context) error) error{
		"its context": func(ctx context.Context, f func(context.Context) error) error { return f(ctx) },
		"a context made of it": func(ctx context.Context, f func(context.Context) error) error {
			below, cancel := context.WithTimeout(ctx, time.Hour)
			defer cancel()
			return f(below)
		},
		"another context": func(_ context.Context, f func(context.Context) error) error { return f(t.Context()) },
		"a goroutine with its context": func(ctx context.Context, f func(context.Context) error) error {
			result := make(chan error)
			go func() { result <- f(ctx) }()
			return <-result
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var sys *actors.System
				stops, waits := make(chan error, 1), make(chan error, 1)
				w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
					self := store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: b.Events[0].ID, Position: b.Events[0].Position}}}
					stops <- call(ctx, func(ctx context.Context) error { return sys.Stop(ctx) })
					waits <- call(ctx, func(ctx context.Context) error { return sys.WaitApplied(ctx, "w", self) })
					return nil
				})
				sys = start(t, st, w)
				began := time.Now()
				receipt := appendInputs(t, st, 1)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				require.ErrorIs(t, <-stops, actors.ErrInsideHandler)
				require.ErrorIs(t, <-waits, actors.ErrInsideHandler)
				require.Zero(t, time.Since(began))
				require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)), "the system continues")
			})
		})
	}
}

func TestAStopThatAHandlerWaitsForIsBoundedByTheTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		result := make(chan error, 1)
		sys = start(t, st, handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			go func() { result <- sys.Stop(t.Context()) }()
			<-ctx.Done()
			return ctx.Err()
		}))
		appendInputs(t, st, 1)
		require.NoError(t, <-result)
	})
}

func TestChildrenStopInReverseOrderAndWriteTheirPositions(t *testing.T) {
	st := memory(t, store.Options{})
	var names []string
	narrow := func(i int) supervision.Child { // nothing ever matches
		name := fmt.Sprintf("w%d", i)
		names = append(names, name)
		return cursor.Worker{Name: name, Region: store.Region{Entity: name}, Handle: reacting("").Handle}
	}
	sys := start(t, st,
		narrow(0),
		supervision.Group{Name: "a", Children: []supervision.Child{
			narrow(1), supervision.Group{Name: "b", Children: []supervision.Child{narrow(2), narrow(3)}}, narrow(4),
		}},
		narrow(5))
	head := appendAll(t, st, noise(1), noise(1)).Position()
	for _, name := range names {
		require.Less(t, record(t, st, name).Record.Scanned, head)
	}
	require.NoError(t, sys.Stop(t.Context()))
	revision := ^uint64(0)
	for _, name := range names {
		info := record(t, st, name)
		require.Equal(t, head, info.Record.Scanned)
		require.Less(t, info.Revision, revision, "%s stopped before its predecessor", name)
		revision = info.Revision
	}
}

func TestSystemsStartAndStopUnderTrafficWithoutLossOrLeak(t *testing.T) {
	st := memory(t, store.Options{})
	var traffic sync.WaitGroup
	appendSome := func() {
		for range 60 {
			if _, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{input(rand.N(7))}}); err != nil {
				t.Error(err)
			}
		}
	}
	failing := func(name string) cursor.Worker {
		w := handling(name, func(context.Context, *cursor.Batch) error {
			switch rand.N(20) {
			case 0:
				return errBroken
			case 1:
				panic(errBroken)
			}
			return nil
		})
		w.Policy = supervision.Policy{
			Intensity: 1000, Attempts: 1000, Backoff: supervision.Backoff{Initial: time.Microsecond, Max: time.Millisecond},
		}
		return w
	}
	children := []supervision.Child{
		failing("a"), supervision.Group{Name: "g", Children: []supervision.Child{failing("b"), failing("c")}},
	}
	for range 50 {
		traffic.Go(appendSome)
		sys, err := actors.Start(t.Context(), st, actors.Options{}, tree(children...))
		require.NoError(t, err)
		for range rand.N(3) {
			require.NoError(t, sys.WaitApplied(t.Context(), "b", appendInputs(t, st, 1)))
		}
		var stops sync.WaitGroup
		for range 1 + rand.N(3) {
			stops.Go(func() {
				if err := sys.Stop(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		stops.Wait()
	}
	traffic.Wait()
	sys := start(t, st, children...)
	last := appendInputs(t, st, 1)
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, sys.WaitApplied(t.Context(), name, last))
		requireExactlyOnce(t, st, name)
	}
}

func TestStatusDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		slow, entered, release := deaf()
		bad := handling("bad", func(context.Context, *cursor.Batch) error { return errBroken })
		bad.Policy = steady(10, time.Hour)
		sys := start(t, st, supervision.Group{Name: "g", Children: []supervision.Child{slow}}, bad, reacting("good"))
		began := st.Now()
		receipt := appendInputs(t, st, 3)
		<-entered
		require.NoError(t, sys.WaitApplied(t.Context(), "good", receipt))
		synctest.Wait()
		time.Sleep(50 * time.Second)
		s := sys.Status()
		require.Equal(t, st.Head(), s.Head)
		require.NoError(t, s.Err)
		slowly, badly, well := s.Workers[0], s.Workers[1], s.Workers[2]
		require.True(t, errors.Is(badly.Reason, errBroken))
		require.Len(t, badly.Failing, 1)
		require.True(t, errors.Is(badly.Failing[0].Reason, errBroken))
		badly.Reason, badly.Failing[0].Reason = nil, nil
		require.Positive(t, slowly.LagBytes)
		require.Equal(t, slowly.LagBytes, badly.LagBytes)
		slowly.LagBytes, badly.LagBytes = 0, 0
		require.Len(t, slowly.InFlight, 1)
		slowly.InFlight = nil
		for _, w := range []*actors.WorkerStatus{&slowly, &badly, &well} { // TestStatusInJSON has these
			require.Equal(t, 10, w.Budget.Left)
			require.Equal(t, "entity=in", w.Definition.Region)
			w.Budget, w.Definition = actors.Budget{}, actors.Definition{}
		}
		require.Equal(t, actors.WorkerStatus{
			Name: "slow", Path: "test/g/slow", State: actors.Running, Since: began, Lag: 3, LagTime: 50 * time.Second,
			OldestPending: 1, OldestPendingKey: "in:0",
		}, slowly)
		require.Equal(t, actors.WorkerStatus{
			Name: "bad", Path: "test/bad", State: actors.Retrying, Since: began, Lag: 3, LagTime: 50 * time.Second,
			OldestPending: 1, OldestPendingKey: "in:0", Attempt: 1,
			Failing: []actors.FailingEvent{{Event: 1, Key: "in:0", Due: badly.Failing[0].Due, Attempt: 1}},
		}, badly)
		require.Equal(t, actors.WorkerStatus{
			Name: "good", Path: "test/good", State: actors.Idle, Since: began, Position: well.Position, Handled: 3,
		}, well)
		close(release)
	})
}
