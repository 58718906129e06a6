package bench

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkWakeUp: from the acknowledgement of an append to the waiter that runs, in a process that
// is idle in between. The limit is a condition variable, with a write in front of it and a sync
// where Penstock has one.
func BenchmarkWakeUp(b *testing.B) {
	for _, mode := range []store.SyncMode{store.SyncNever, store.SyncAlways} {
		b.Run("sync="+mode.String(), func(b *testing.B) {
			f := newRecorder(b)
			for b.Loop() {
				limit := wakeTurn(b, openBell(mode == store.SyncAlways))
				ours := wakeTurn(b, openWait(store.Options{Sync: mode}))
				f.add("limit-p50-us", figures.Micros(limit.P50))
				f.add("limit-p99-us", figures.Micros(limit.P99))
				f.add("penstock-p50-us", figures.Micros(ours.P50))
				f.add("penstock-p99-us", figures.Micros(ours.P99))
				f.add("x-limit-p50<=2.5", float64(ours.P50)/float64(limit.P50))
				f.add("x-limit-p99<=2", float64(ours.P99)/float64(limit.P99))
			}
			f.report()
		})
	}
}

// waker is a store with a goroutine waiting: wait returns once ring has been called as often as it
// says, or was stopped.
type waker struct {
	ring  func() error
	wait  func(rung int) error
	close func() error // wait returns an error from then on
}

// wakeTurn rings at random intervals and takes the time from the return of ring to that of wait.
func wakeTurn(b *testing.B, open func(b *testing.B, dir string) waker) workload.Outcome {
	b.Helper()
	dir, remove := newDir(b)
	defer remove()
	w := open(b, dir)
	woken := make(chan time.Time)
	go func() {
		defer close(woken)
		for rung := 1; w.wait(rung) == nil; rung++ {
			woken <- time.Now()
		}
	}()
	took := make([]time.Duration, int(2*turnTime.Milliseconds()))
	for i := range took {
		time.Sleep(workload.Spacing())
		must(b, w.ring())
		acknowledged := time.Now()
		took[i] = (<-woken).Sub(acknowledged)
	}
	must(b, w.close())
	for range woken {
	}
	return workload.Outcome{P50: figures.Quantile(took, 0.5), P99: figures.Quantile(took, 0.99)}
}

var errStopped = errors.New("stopped")

// openBell is a counter under a mutex with a condition variable.
func openBell(synced bool) func(b *testing.B, dir string) waker {
	return func(b *testing.B, dir string) waker {
		b.Helper()
		z := newZeroed(b, dir)
		var mu sync.Mutex
		moved := sync.NewCond(&mu)
		count, closed := 0, false
		return waker{
			ring: func() (err error) {
				_, err = appendRecord(z, count, synced)
				mu.Lock()
				count++
				moved.Broadcast()
				mu.Unlock()
				return err
			},
			wait: func(rung int) error {
				mu.Lock()
				defer mu.Unlock()
				for count < rung && !closed {
					moved.Wait()
				}
				if closed {
					return errStopped
				}
				return nil
			},
			close: func() error {
				mu.Lock()
				closed = true
				moved.Broadcast()
				mu.Unlock()
				return z.Close()
			},
		}
	}
}

func openWait(o store.Options) func(b *testing.B, dir string) waker {
	return func(b *testing.B, dir string) waker {
		b.Helper()
		st, ctx, i := openStore(b, dir, o), b.Context(), 0
		return waker{
			ring: func() error {
				i++
				_, err := st.Append(ctx, workload.Coordinates[0], store.Any, workload.Event(i))
				return err
			},
			wait: func(rung int) error {
				_, err := st.Wait(ctx, store.Position(rung-1))
				return err
			},
			close: st.Close,
		}
	}
}
