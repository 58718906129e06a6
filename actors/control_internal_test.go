package actors

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// taken are all calls that wait, and are to be carried out before the next batch.
func (c *calls) taken() (all []*control) {
	for more := true; more; {
		var m *control
		if m, more = c.next(); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// A second rewind by the same call would emit again what was emitted after the first.
func TestACallIsMadeOnceEvenIfItsWorkerIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, workers, err := planTree(nested(fine))
		require.NoError(t, err)
		sys, p := newSystem(openMemory(t), Options{Logger: zap.NewNop()}, nil, workers), workers[1]

		m := newControl(nil)
		asked := make(chan error)
		ask := func() { asked <- awaitAnswer(t.Context(), sys, p, m).err }
		p.calls.add(m)
		require.True(t, p.calls.serve(actor.NewPID("nonhost", "w"), 1), "the first incarnation is told of it")
		go ask()
		synctest.Wait()
		require.Equal(t, []*control{m}, p.calls.taken())
		require.True(t, m.claim(), "the worker begins with it")
		require.False(t, p.calls.serve(actor.NewPID("nonhost", "w"), 2), "the next incarnation does not get it")
		p.published.begin(true)
		time.Sleep(time.Hour)
		require.Empty(t, asked)
		m.reply <- answer{}
		require.NoError(t, <-asked)

		m = newControl(nil)
		p.calls.add(m)
		go ask()
		synctest.Wait()
		require.True(t, p.calls.serve(actor.NewPID("nonhost", "w"), 3), "the second one ended without having begun")
		require.Equal(t, []*control{m}, p.calls.taken())
		p.published.set(Halted, nil)
		var halted *HaltedError
		require.ErrorAs(t, <-asked, &halted)
		require.False(t, m.claim(), "the worker must not begin with it any more")

		p.calls.add(m)
		p.calls.remove(m)
		require.Empty(t, p.calls.taken(), "its caller is gone")
	})
}

func TestCallsAreTakenInTheirOrderAndThoseThatComeMeanwhileAreAnnouncedOnce(t *testing.T) {
	var c calls
	var all []*control
	add := func() (told bool) {
		all = append(all, newControl(nil))
		pid, _ := c.add(all[len(all)-1])
		return pid != nil
	}
	require.False(t, add(), "there is no actor")
	require.False(t, add())
	require.True(t, c.serve(actor.NewPID("nonhost", "w"), 1))
	require.True(t, add())
	require.False(t, add(), "it is told already")

	m, more := c.next()
	require.Equal(t, all[:1], []*control{m})
	require.True(t, more)
	c.remove(all[2])
	m, more = c.next()
	require.Equal(t, all[1:2], []*control{m})
	require.False(t, more, "what came since waits for another batch")
	m, more = c.next()
	require.Equal(t, all[3:4], []*control{m})
	require.False(t, more)
	m, more = c.next()
	require.Nil(t, m)
	require.False(t, more)

	require.True(t, add())
	m, _ = c.next()
	require.Equal(t, all[4:5], []*control{m})
	require.True(t, add())
	c.remove(all[5])
	require.False(t, c.serve(actor.NewPID("nonhost", "w"), 2))
	require.True(t, add())
	require.True(t, c.serve(actor.NewPID("nonhost", "w"), 3), "the second one has not looked")
	require.Equal(t, all[6:], c.taken())
}

// Calls that come later must not pay for it.
func TestACallThatIsGivenUpLeavesNothing(t *testing.T) {
	var c calls
	c.serve(actor.NewPID("nonhost", "w"), 1)
	told := 0
	for range 100_000 {
		m := newControl(nil)
		if pid, _ := c.add(m); pid != nil {
			told++
		}
		c.remove(m)
	}
	require.Equal(t, 1, told, "one message is enough")
	require.Empty(t, c.taken())
}

// operated starts a worker that may be restarted as often as it needs, and stops it at the end.
func operated(t *testing.T) *System {
	t.Helper()
	top := nested(fine)
	top.Policy = supervision.Policy{Intensity: 1000, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond}}
	sys, err := Start(t.Context(), openMemory(t), Options{}, top)
	require.NoError(t, err)
	synctest.Wait() // a bug of ours before the workers have begun ends the system
	t.Cleanup(func() {
		require.NoError(t, sys.Stop(context.WithoutCancel(t.Context())))
		time.Sleep(5 * time.Second) // dead letters of protoactor's own messages are counted for a second
	})
	return sys
}

// call makes a call of the worker of operated.
func call(ctx context.Context, sys *System, do func() int) (int, error) {
	return query(ctx, sys, "w", func(context.Context, *drive.Baton) (int, error) { return do(), nil })
}

func TestACallThatEndsItsActorOrGoroutineLosesNoOtherCall(t *testing.T) {
	for name, end := range map[string]func(){"panic": func() { panic("a bug of ours") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sys := operated(t)
				gate := make(chan struct{})
				var made atomic.Int32
				answers := make(chan error, 7)
				ask := func(want int, do func()) {
					got, err := call(t.Context(), sys, func() int { do(); made.Add(1); return want })
					if err == nil && got != want {
						err = errors.New("the result of another call")
					}
					answers <- err
				}
				for i, do := range []func(){func() { <-gate }, func() {}, end, func() {}, end, func() {}, func() {}} {
					go ask(i, do)
					synctest.Wait()
				}
				close(gate)
				unknown := 0
				for range cap(answers) {
					if err := <-answers; err != nil {
						require.ErrorIs(t, err, store.ErrOutcomeUnknown)
						unknown++
					}
				}
				require.Equal(t, 2, unknown)
				require.EqualValues(t, 5, made.Load())
				got, err := call(t.Context(), sys, func() int { return 9 })
				require.NoError(t, err)
				require.Equal(t, 9, got)
			})
		})
	}
}

// A call is made at most once; one that is answered without an error was made; one that was not
// begun when its caller left is never made.
func TestCallsAreAnsweredOnceWhateverHappensToTheirCallersAndTheirWorker(t *testing.T) {
	seed := rand.Uint64()
	synctest.Test(t, func(t *testing.T) {
		sys := operated(t)
		random := rand.New(rand.NewPCG(seed, 0))
		var waiting sync.WaitGroup
		for range 300 {
			patience, lasts, fate := random.IntN(40), random.IntN(5), random.IntN(20)
			waiting.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(patience)*time.Millisecond+500*time.Microsecond)
				defer cancel()
				var made atomic.Int32
				_, err := call(ctx, sys, func() int {
					made.Add(1)
					time.Sleep(time.Duration(lasts) * time.Millisecond)
					switch fate {
					case 0:
						panic("a bug of ours")
					case 1:
						runtime.Goexit()
					}
					return 0
				})
				unknown := errors.Is(err, store.ErrOutcomeUnknown)
				time.Sleep(time.Minute)
				switch {
				case err == nil, unknown:
					if made.Load() != 1 {
						t.Errorf("made %d times, error %v, seed %d", made.Load(), err, seed)
					}
				case !errors.Is(err, context.DeadlineExceeded) || made.Load() != 0:
					t.Errorf("made %d times, error %v, seed %d", made.Load(), err, seed)
				}
			})
			if random.IntN(3) == 0 {
				time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			}
		}
		waiting.Wait()
		_, err := call(t.Context(), sys, func() int { return 0 })
		require.NoError(t, err, "seed %d", seed)
	})
}

// Under the race detector this fails where a call writes to what its caller has left.
func TestACallerThatGivesUpSharesNothingWithItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys := operated(t)
		appendOne(t, sys.store)
		for i := range 300 {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for range i % 30 {
					runtime.Gosched()
				}
				cancel()
			}()
			if out, err := sys.Apply(ctx, "w", checkpoint.Reset{}, checkpoint.Request{DryRun: true}); err != nil {
				require.Zero(t, out)
			}
			_, _, _ = sys.TakeGaps(ctx, "w")
			cancel()
		}
	})
}

// Else its caller might still see a handler hang that has returned.
func TestARemovalOfAWorkerThatHasEndedIsAnsweredOnceItIsCarriedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sys, err := Start(t.Context(), openMemory(t), Options{Logger: zap.NewNop()},
			nested(func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Stop, nil }))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, sys.Stop(context.WithoutCancel(t.Context()))) })
		appendOne(t, sys.store)
		synctest.Wait()
		n := sys.workers.find("w")
		require.Equal(t, Ended, n.published.view().state)
		m := &removal{leaf: n.Leaf, reply: make(chan error)} // without room: the supervisor waits with its answer
		sys.actors.Root.Send(sys.supervisor, m)
		synctest.Wait()
		require.True(t, n.published.view().removed)
		require.NoError(t, <-m.reply)
	})
}

// What a worker has published and pulled with is looked at on other goroutines, without a lock.
func TestAWorkerThatReadsAnotherRegionChangesNothingInTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		narrow, wide := store.Region{Entity: "order:1", Scope: "shop"}, store.Region{Scope: "shop"}
		st, sys := watching(t, 1, narrow)
		n := sys.workers.find("w0")
		shown := n.published.view().region
		var pulled *pull
		for _, pulled = range sys.parked.pulls {
		}
		_, err := sys.Apply(t.Context(), "w0", checkpoint.Widen{Region: wide}, checkpoint.Request{})
		require.NoError(t, err)
		require.Equal(t, narrow, *shown)
		require.Equal(t, narrow, *pulled.region)
		require.Equal(t, wide, *n.published.view().region)
		synctest.Wait()
		require.Len(t, sys.parked.byTerm, 1, "nothing of the pull before is left")
		appendOrder(t, st)
		synctest.Wait()
		require.EqualValues(t, 1, handledBy(sys))
	})
}
