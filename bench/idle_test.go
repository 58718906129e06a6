package bench

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkIdleWorkers: what 10,000 workers that have nothing to do cost: memory, goroutines, and
// the time of an append that concerns one of them, beside an append to a store without workers and
// to one with that worker alone.
func BenchmarkIdleWorkers(b *testing.B) {
	const workers = 10_000
	f := newRecorder(b)
	for b.Loop() {
		none, alone, crowd := newArm(b, 0), newArm(b, 1), f.crowd(workers)
		f.woken(crowd)
		silent, waking := newBareArm(b, false), newBareArm(b, true)
		unmatched := &arm{Idle: &delivery.Idle{Store: crowd.Store}} // the same store, and events that match no worker
		appendInTurns(b, none, alone, crowd, unmatched, silent, waking)
		f.add("append-unmatched-us", figures.Micros(figures.Quantile(unmatched.took, 0.5)))
		f.add("x-unmatched", float64(figures.Quantile(crowd.took, 0.5))/float64(figures.Quantile(unmatched.took, 0.5)))
		f.add("limit-none-us", figures.Micros(figures.Quantile(silent.took, 0.5)))
		f.add("limit-wake-us", figures.Micros(figures.Quantile(waking.took, 0.5)))
		f.add("limit-x-none", float64(figures.Quantile(waking.took, 0.5))/float64(figures.Quantile(silent.took, 0.5)))
		f.add("append-none-us", figures.Micros(figures.Quantile(none.took, 0.5)))
		f.add("append-one-us", figures.Micros(figures.Quantile(alone.took, 0.5)))
		f.add("append-idle-us", figures.Micros(figures.Quantile(crowd.took, 0.5)))
		f.add("x-none<=1.05", float64(figures.Quantile(crowd.took, 0.5))/float64(figures.Quantile(none.took, 0.5)))
		f.add("x-one", float64(figures.Quantile(crowd.took, 0.5))/float64(figures.Quantile(alone.took, 0.5)))
		for _, a := range []*arm{none, alone, crowd, silent, waking} {
			a.close(b)
		}
	}
	f.report()
}

// arm is a store with a number of workers, or the limit of one.
type arm struct {
	*delivery.Idle // nil for a limit
	remove         func()
	took           []time.Duration // by appends

	// Of a limit: a file that is written and synced, and, if a goroutine waits, a channel that wakes a
	// goroutine and one on which that answers.
	bare        *machine.Zeroed
	wake, awake chan struct{}
}

// newBareArm is the least that an append can do, with or without a goroutine to wake after it.
func newBareArm(b *testing.B, waking bool) *arm {
	b.Helper()
	dir, remove := newDir(b)
	a := &arm{bare: newZeroed(b, dir), remove: remove}
	if waking {
		a.wake, a.awake = make(chan struct{}, 1), make(chan struct{}, 1)
		go func() {
			for range a.wake {
				a.awake <- struct{}{}
			}
		}()
	}
	return a
}

// appendBare appends a record and wakes the goroutine that waits, if any, before it returns.
func (a *arm) appendBare(b *testing.B, rec []byte) time.Duration {
	b.Helper()
	began := time.Now()
	must(b, a.bare.Write(machine.AppendFrame(nil, rec)))
	must(b, a.bare.Sync())
	if a.wake != nil {
		a.wake <- struct{}{}
	}
	took := time.Since(began)
	if a.wake != nil {
		<-a.awake
	}
	return took
}

func newArm(b *testing.B, workers int) *arm {
	b.Helper()
	dir, remove := newDir(b)
	idle, err := delivery.NewIdle(b.Context(), dir, workers)
	must(b, err)
	return &arm{Idle: idle, remove: remove}
}

func (a *arm) close(b *testing.B) {
	b.Helper()
	if a.wake != nil {
		close(a.wake)
	}
	if a.bare != nil {
		must(b, a.bare.Close())
	} else {
		must(b, a.Close(b.Context()))
	}
	a.remove()
}

// crowd starts idle workers and notes what they hold.
func (f *recorder) crowd(workers int) *arm {
	debug.FreeOSMemory()
	heap, rss, goroutines := machine.MemoryInUse(), machine.Resident(), runtime.NumGoroutine()
	began := time.Now()
	a := newArm(f.b, workers)
	f.add("start-ms", figures.Millis(time.Since(began)))
	debug.FreeOSMemory()
	f.add("heap-MB<=60", (machine.MemoryInUse()-heap)/1e6)
	f.add("rss-MB", float64(machine.Resident()-rss)/1e6)
	f.add("goroutines<=10", float64(runtime.NumGoroutine()-goroutines))
	return a
}

// woken counts the workers that an append which concerns one of them has woken: those that came
// into their state since.
func (f *recorder) woken(a *arm) {
	before := a.System.Status().Workers
	appendTo(f.b, a, len(before)/2)
	a.Settle()
	woken := 0
	for i, w := range a.System.Status().Workers {
		if !w.Since.Equal(before[i].Since) {
			woken++
		}
	}
	f.add("woken<=1", float64(woken))
	if woken == 0 {
		f.b.Fatal("the worker that the append concerns was not woken")
	}
}

// appendInTurns appends to the arms in turns, at the same pace everywhere, until each had two
// turns' time or so.
func appendInTurns(b *testing.B, arms ...*arm) {
	b.Helper()
	const each = 4
	for ends := time.Now().Add(time.Duration(2*len(arms)) * *turnTime); time.Now().Before(ends); {
		for _, a := range arms {
			for i := range each + 1 {
				took := appendTo(b, a, 0)
				if i > 0 { // the first comes after the others
					a.took = append(a.took, took)
				}
				for settled := time.Now().Add(200 * time.Microsecond); time.Now().Before(settled); {
				} // without a sleep, which would cool down the processor
			}
		}
	}
}

// appendTo appends an event for a worker, waits until that has handled it, and returns the time of
// the append alone.
func appendTo(b *testing.B, a *arm, worker int) time.Duration {
	b.Helper()
	if a.bare != nil {
		return a.appendBare(b, make([]byte, workload.RecordBytes))
	}
	took, err := a.Append(b.Context(), worker)
	must(b, err)
	return took
}
