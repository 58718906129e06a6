package actors_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func epochs(tb testing.TB, st *store.Store, names ...string) (list []uint64) {
	tb.Helper()
	for _, name := range names {
		list = append(list, record(tb, st, name).Record.Epoch)
	}
	return list
}

// fragile panics at its first batches, the given number of times.
func fragile(name string, times int) cursor.Worker {
	return handling(name, func(_ context.Context, b *cursor.Batch) error {
		if times > 0 {
			times--
			panic("fragile")
		}
		return nil
	})
}

func TestStrategiesDecideWhichSiblingsRestart(t *testing.T) {
	for strategy, want := range map[supervision.Strategy][]uint64{
		supervision.OneForOne:  {1, 2, 1},
		supervision.OneForAll:  {2, 2, 2},
		supervision.RestForOne: {1, 2, 2},
	} {
		t.Run(strategy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				group := supervision.Group{Name: "g", Strategy: strategy, Children: []supervision.Child{
					reacting("a"), fragile("b", 1), reacting("c"),
				}}
				sys := start(t, st, group)
				receipt := appendInputs(t, st, 9)
				for _, name := range []string{"a", "b", "c"} {
					require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
				}
				synctest.Wait()
				require.Equal(t, want, epochs(t, st, "a", "b", "c"))
				for _, name := range []string{"a", "b", "c"} {
					requireExactlyOnce(t, st, name)
				}
			})
		})
	}
}

func TestAGroupRestartCancelsSiblingsAndRestartsSubgroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		cancelled, entered := 0, make(chan struct{})
		waiting := handling("deep", func(ctx context.Context, _ *cursor.Batch) error {
			if cancelled == 0 {
				close(entered)
				<-ctx.Done()
				cancelled++
				return ctx.Err()
			}
			return nil
		})
		group := supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			supervision.Group{Name: "sub", Children: []supervision.Child{waiting, reacting("beside")}},
			handling("b", func(context.Context, *cursor.Batch) error {
				if cancelled == 0 {
					<-entered
					panic("while another is in flight")
				}
				return nil
			}),
		}}
		sys := start(t, st, group, reacting("outside"))
		receipt := appendInputs(t, st, 3)
		for _, name := range []string{"deep", "beside", "b", "outside"} {
			require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
			requireExactlyOnce(t, st, name)
		}
		synctest.Wait()
		require.Equal(t, []uint64{2, 2, 2, 1}, epochs(t, st, "deep", "beside", "b", "outside"))
		require.Equal(t, 1, cancelled)
	})
}

func TestASiblingThatDoesNotReturnIsHaltedWithItsStackAndNeverRunTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		deafOne, entered, release := deaf()
		deafOne.Name = "deaf"
		held, failures := make(chan struct{}), 0
		fails := handling("b", func(context.Context, *cursor.Batch) error {
			<-held
			if failures++; failures == 1 {
				panic("while another is in flight")
			}
			return nil
		})
		group := supervision.Group{
			Name: "g", Strategy: supervision.OneForAll, StopTimeout: time.Minute,
			Children: []supervision.Child{deafOne, reacting("a"), fails},
		}
		sys := start(t, st, group)
		receipt := appendInputs(t, st, 3)
		<-entered
		close(held)
		require.NoError(t, sys.WaitApplied(t.Context(), "b", receipt))
		require.NoError(t, sys.WaitApplied(t.Context(), "a", receipt))
		s := statusOf(t, sys, "deaf")
		require.Equal(t, actors.Halted, s.State)
		var hung *actors.HungError
		require.ErrorAs(t, s.Reason, &hung)
		require.Contains(t, string(hung.Stack), "handle")
		require.ErrorIs(t, sys.Resume(t.Context(), "deaf", checkpoint.Request{}), actors.ErrHung)
		close(release)
		synctest.Wait()
		require.NoError(t, sys.Resume(t.Context(), "deaf", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "deaf", receipt))
	})
}

// escalating returns the policy with failures over the budget escalated to the group above.
func escalating(p supervision.Policy) supervision.Policy {
	p.OverBudget = supervision.ActionEscalate
	return p
}

func TestAnEscalationRestartsTheGroupAndPastTheTopHaltsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		broken := fragile("b", 1<<30)
		broken.Policy = escalating(supervision.Policy{Intensity: -1})
		group := supervision.Group{
			Name: "g", Policy: escalating(supervision.Policy{Intensity: 2, Backoff: supervision.Backoff{Initial: time.Second}}),
			Children: []supervision.Child{reacting("a"), broken},
		}
		sys, err := actors.Start(t.Context(), st, actors.Options{}, group)
		require.NoError(t, err)
		t.Cleanup(func() { _ = sys.Stop(context.WithoutCancel(t.Context())) })
		receipt := appendInputs(t, st, 3)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "b", receipt), actors.ErrHalted)
		time.Sleep(time.Hour)
		require.Equal(t, actors.Halted, statusOf(t, sys, "a").State)
		require.ErrorIs(t, sys.Err(), actors.ErrHalted)
		require.False(t, closed(sys.Done()), "the system is still there, to be looked at")
	})
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		broken := fragile("b", 2)
		broken.Policy = escalating(supervision.Policy{Intensity: -1})
		sub := supervision.Group{Name: "sub", Children: []supervision.Child{reacting("a"), broken}}
		sys := start(t, st, sub, reacting("outside"))
		receipt := appendInputs(t, st, 3)
		for _, name := range []string{"a", "b", "outside"} {
			require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
			requireExactlyOnce(t, st, name)
		}
		require.Equal(t, []uint64{2, 3, 1}, epochs(t, st, "a", "b", "outside"))
	})
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestRestartKindsDecideWhatAnEndMeans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ending := func(name string, r supervision.Restart) supervision.Child {
			w := reacting(name)
			w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				reactAll(name, b)
				return cursor.Stop, nil
			}
			w.BatchSize, w.Restart = 1, r
			return w
		}
		temporary := fragile("temporary", 1)
		temporary.Restart = supervision.Temporary
		sys := start(t, st, ending("permanent", supervision.Permanent), ending("transient", supervision.Transient), temporary)
		appendInputs(t, st, 3)
		time.Sleep(time.Hour)
		require.Len(t, reactions(t, st, "permanent"), 3)
		require.Len(t, reactions(t, st, "transient"), 1)
		require.Equal(t, actors.Ended, statusOf(t, sys, "transient").State)
		require.Equal(t, actors.Halted, statusOf(t, sys, "temporary").State)
	})
}

func TestAWatcherSeesEveryTransitionWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := fragile("w", 1)
		w.BatchSize = 1
		sys := start(t, st, w)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		seen := make(chan []actors.Transition)
		watch := sys.Watch(ctx, actors.FromNow)
		go func() { seen <- slices.Collect(watch) }()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		synctest.Wait()
		cancel()
		var states []actors.State
		for _, tr := range <-seen {
			require.Equal(t, "w", tr.Worker)
			require.Equal(t, "test/w", tr.Path)
			if tr.To == actors.Restarting {
				require.ErrorContains(t, tr.Reason, "fragile")
				require.NotEmpty(t, tr.Stack)
				require.Equal(t, 1, tr.Attempt)
			}
			states = append(states, tr.To)
		}
		require.Equal(t, []actors.State{
			actors.Running, actors.Restarting, actors.Starting, actors.Running, actors.Idle,
		}, slices.Compact(states))

		ended := make(chan bool)
		rest := sys.Watch(t.Context(), actors.FromNow)
		go func() {
			for range rest {
			}
			close(ended)
		}()
		require.NoError(t, sys.Stop(t.Context()))
		<-ended
	})
}

func TestTheWatchdogNamesTheEventThatHoldsAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w, entered, release := deaf()
		sys := startWith(t, st, actors.Options{WatchdogInterval: time.Second, StallAfter: time.Minute}, w)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stalls := make(chan *actors.EventError, 10)
		watch := sys.Watch(ctx, actors.FromNow)
		go func() {
			for tr := range watch {
				var stalled *actors.EventError
				if errors.Is(tr.Reason, actors.ErrStalled) && errors.As(tr.Reason, &stalled) {
					stalls <- stalled
				}
			}
		}()
		appendInputs(t, st, 3)
		<-entered
		time.Sleep(time.Hour)
		require.Len(t, stalls, 1, "reported once")
		stall := <-stalls
		require.Equal(t, store.Position(1), stall.Event)
		require.Contains(t, stall.Reason, `key "in:0"`)
		require.Equal(t, "in:0", statusOf(t, sys, w.Name).OldestPendingKey)
		require.True(t, statusOf(t, sys, w.Name).Stalled)
		close(release)
		synctest.Wait()
		require.False(t, statusOf(t, sys, w.Name).Stalled)
	})
}

func TestAfterCrashesEventsAreHandledOneByOneAndTheCrashingOneIsParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Policy = supervision.Policy{Attempts: 3}
		appendInputs(t, st, 5)
		for range 4 { // the process crashes while event 3 is handled: its task is never finished
			r, err := cursor.NewRunner(t.Context(), st, w)
			require.NoError(t, err)
			for {
				_, err = r.Fill(t.Context(), 0)
				require.NoError(t, err)
				task, err := r.Next(t.Context(), 2)
				require.NoError(t, err)
				if task.First() > 2 || task.First()+store.Position(task.Size()) > 3 {
					break
				}
				task.Run(t.Context())
				r.Finish(task)
				_, err = r.Commit(t.Context())
				require.NoError(t, err)
			}
		}
		require.False(t, record(t, st, "w").Record.Clean)
		require.Equal(t, store.Position(3), record(t, st, "w").Record.Trying)
		sys := start(t, st, w)
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receiptOf(t, st, 3)), actors.ErrParked)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Contains(t, parkedOf(t, sys)[0].Error, "process ended")
		require.NoError(t, sys.Stop(t.Context()))
		require.True(t, record(t, st, "w").Record.Clean)
	})
}

func TestARestartDoesNotClearTheCrashGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		appendInputs(t, st, 5)
		var sizes []int
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if sizes = append(sizes, len(b.Events)); len(sizes) == 2 {
				panic(errBroken)
			}
			return nil
		})
		r, err := cursor.NewRunner(t.Context(), st, w)
		require.NoError(t, err)
		_, err = r.Fill(t.Context(), 0)
		require.NoError(t, err)
		_, err = r.Next(t.Context(), 0) // and the process crashes
		require.NoError(t, err)
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.Equal(t, []int{1, 1, 1, 1, 1, 1}, sizes[:6], "the second event twice")
	})
}

// Each of them causes a restart, while that of the other is under way.
func TestChildrenThatFailTogetherAllComeBack(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			gate := make(chan struct{})
			failing := func(name string) cursor.Worker {
				calls := 0
				return handling(name, func(context.Context, *cursor.Batch) error {
					if calls++; calls == 1 {
						<-gate
						panic(errBroken)
					}
					return nil
				})
			}
			sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.RestForOne, Children: []supervision.Child{
				failing("a"), failing("b"), failing("c"),
			}})
			last := appendInputs(t, st, 3)
			synctest.Wait()
			close(gate)
			time.Sleep(time.Minute)
			for _, name := range []string{"a", "b", "c"} {
				require.Equal(t, actors.Idle, statusOf(t, sys, name).State, name)
				require.NoError(t, sys.WaitApplied(t.Context(), name, last))
				requireExactlyOnce(t, st, name)
			}
			require.NoError(t, sys.Stop(t.Context()))
		})
	}
}

func TestAWorkerShowsWhyItsGroupWillRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(context.Context, *cursor.Batch) error { panic(errBroken) })
		w.Policy = supervision.Policy{Intensity: -1, OverBudget: supervision.ActionEscalate}
		sys := start(t, st, supervision.Group{
			Name: "below", Children: []supervision.Child{w},
			Policy: supervision.Policy{Backoff: supervision.Backoff{Initial: time.Minute, Max: time.Minute}},
		})
		appendInputs(t, st, 1)
		synctest.Wait()
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Restarting, s.State)
		require.ErrorIs(t, s.Reason, errBroken)
		require.NoError(t, sys.Stop(t.Context()))
	})
}
