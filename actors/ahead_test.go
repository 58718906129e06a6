package actors_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A caller that waits for an event must not wait for the handler of the next one, too.
func TestAnEventIsAppliedOnceItIsWrittenThoughTheNextIsWithItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		w := handling("slow", func(_ context.Context, b *cursor.Batch) error {
			time.Sleep(actors.AheadFrom())
			if b.Events[0].Position > 2 {
				<-release
			}
			return nil
		})
		w.BatchSize = 2
		appendInputs(t, st, 6)
		sys := start(t, st, w)
		require.NoError(t, sys.WaitApplied(t.Context(), "slow", receiptOf(t, st, 2)))
		synctest.Wait()
		require.Equal(t, store.Position(2), statusOf(t, sys, "slow").Position)
		require.Equal(t, []store.Position{1, 2}, reactions(t, st, "slow"))
		close(release)
		require.NoError(t, sys.WaitApplied(t.Context(), "slow", receiptOf(t, st, 6)))
		requireExactlyOnce(t, st, "slow")
		require.EqualValues(t, 6, statusOf(t, sys, "slow").Handled)
	})
}

// Stop waits for the commit under way, and for what was handled beside it.
func TestStopWritesWhatWasHandledAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		actors.HandleAhead(t)
		st := memory(t, store.Options{})
		second := make(chan struct{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position == 3 {
				close(second)
				time.Sleep(time.Second)
			}
			return nil
		})
		w.BatchSize = 2
		appendInputs(t, st, 6)
		sys := start(t, st, w)
		<-second
		require.NoError(t, sys.Stop(t.Context()))
		require.Equal(t, []store.Position{1, 2, 3, 4}, reactions(t, st, "w"))
		require.True(t, record(t, st, "w").Record.Clean)
	})
}

// panicsAhead is a worker whose handler fills the disk with its first batch, so that the commit of
// that is refused, and panics in the second one meanwhile, once.
func panicsAhead(t *testing.T, st *store.Store, disk *storetest.Disk, end func(*cursor.Batch)) (w cursor.Worker, room func()) {
	var calls atomic.Int32
	w = handling("w", func(_ context.Context, b *cursor.Batch) error {
		switch calls.Add(1) {
		case 1:
			full(t, st, disk)
		case 2:
			end(b)
		}
		return nil
	})
	w.BatchSize = 2
	w.Policy = supervision.Policy{Attempts: 1} // one attempt at an event would park it
	return w, func() { disk.SetCapacity(1 << 30) }
}

// The state of a handler that has panicked cannot be trusted, whatever becomes of the batch.
func TestAPanicBesideACommitThatIsRefusedRestartsTheWorkerOnceThatIsWrittenAndIsNoAttempt(t *testing.T) {
	for name, end := range map[string]func(*cursor.Batch){
		"panic":             func(*cursor.Batch) { panic(errBroken) },
		"panic at an event": func(b *cursor.Batch) { b.Begin(1); panic(errBroken) },
		"that parks":        func(b *cursor.Batch) { b.Begin(1); panic(supervision.Park(errBroken)) },
		"goexit":            func(*cursor.Batch) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				actors.HandleAhead(t)
				st, disk := small(t)
				w, room := panicsAhead(t, st, disk, end)
				last := appendInputs(t, st, 6)
				core, logs := observer.New(zapcore.InfoLevel)
				sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
				time.Sleep(time.Hour)
				s := statusOf(t, sys, "w")
				require.Equal(t, actors.Retrying, s.State)
				require.ErrorIs(t, s.Reason, store.ErrDiskFull)
				require.Zero(t, s.Restarts, "what was handled before is still to be written")
				require.Empty(t, reactions(t, st, "w"))
				room()
				require.NoError(t, sys.WaitApplied(t.Context(), "w", last))
				requireExactlyOnce(t, st, "w")
				require.Equal(t, 1, statusOf(t, sys, "w").Restarts)
				require.Zero(t, statusOf(t, sys, "w").Parked)
				require.Equal(t, 1, logs.FilterMessage("worker restarts").FilterFieldKey("stack").Len())
			})
		})
	}
}

func TestATemporaryWorkerThatPanicsBesideACommitThatIsRefusedHaltsOnceThatIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		actors.HandleAhead(t)
		st, disk := small(t)
		w, room := panicsAhead(t, st, disk, func(*cursor.Batch) { panic(errBroken) })
		w.Restart = supervision.Temporary
		last := appendInputs(t, st, 6)
		sys := start(t, st, w)
		time.Sleep(time.Minute)
		room()
		require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", last), actors.ErrHalted)
		require.ErrorIs(t, statusOf(t, sys, "w").Reason, errBroken)
		require.Equal(t, []store.Position{1, 2}, reactions(t, st, "w"))
	})
}

// Workers that fail and panic at random while commits are under way, or refused for want of room,
// and are paused meanwhile. No handler is called again by the incarnation in which it has panicked.
func TestHandlingAheadKeepsEachReactionOnceWhateverFails(t *testing.T) {
	for seed := range uint64(15) {
		synctest.Test(t, func(t *testing.T) {
			actors.HandleAhead(t)
			st, disk := small(t)
			random := rand.New(rand.NewPCG(seed, 3))
			dice := rand.New(rand.NewPCG(seed, 4)) // of the handler
			var calm atomic.Bool
			panicked := make(map[cursor.Ownership]bool)
			w := cursor.Worker{
				Name: "w", Region: inputs, BatchSize: 2 + random.IntN(4),
				Policy: supervision.Policy{
					Attempts: 1000, Intensity: 1000, Outage: supervision.OutagePolicy{Off: true},
					Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 2 * time.Millisecond},
				},
				Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
					at, fate := dice.IntN(len(b.Events)), dice.IntN(10)
					owner, _ := b.AtLeastOnce()
					assert.False(t, panicked[owner], "seed %d", seed)
					time.Sleep(time.Millisecond)
					for i := range b.Events {
						b.Begin(i)
						react("w", b, i)
						if i < at || calm.Load() {
							continue
						}
						switch fate {
						case 0:
							return cursor.Continue, cursor.FailedAt(i, errBroken)
						case 1:
							panicked[owner] = true
							panic(errBroken)
						case 2:
							return cursor.Continue, errBroken
						}
					}
					return cursor.Continue, nil
				},
			}
			sys := start(t, st, w)
			for range 20 {
				appendInputs(t, st, 1+random.IntN(9))
				room := func() {}
				if random.IntN(3) == 0 {
					room = full(t, st, disk)
				}
				time.Sleep(time.Duration(random.IntN(5)) * time.Millisecond)
				room()
				if random.IntN(4) == 0 {
					require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
					require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
				}
			}
			calm.Store(true)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receiptOf(t, st, positions(t, st, inputs)[len(positions(t, st, inputs))-1])))
			requireExactlyOnce(t, st, "w")
		})
	}
}
