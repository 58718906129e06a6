package bench

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"

	"github.com/penstock-io/penstock/bench/limit"
	"github.com/penstock-io/penstock/bench/machine"
)

// BenchmarkIdleWorkers: what 10,000 workers that have nothing to do cost: memory, goroutines, and the time of an append that
// concerns one of them, beside an append to a store without workers and to one with that worker alone.
func BenchmarkIdleWorkers(b *testing.B) {
	const workers = 10_000
	f := newFigures(b)
	for b.Loop() {
		none, alone, crowd := newArm(b, 0), newArm(b, 1), f.crowd(workers)
		f.woken(crowd)
		silent, waking := newBareArm(b, false), newBareArm(b, true)
		unmatched := &arm{st: crowd.st} // the same store, and events that concern nobody
		appendInTurns(b, none, alone, crowd, unmatched, silent, waking)
		f.add("append-unmatched-us", micros(quantile(unmatched.took, 0.5)))
		f.add("x-unmatched", float64(quantile(crowd.took, 0.5))/float64(quantile(unmatched.took, 0.5)))
		f.add("limit-none-us", micros(quantile(silent.took, 0.5)))
		f.add("limit-wake-us", micros(quantile(waking.took, 0.5)))
		f.add("limit-x-none", float64(quantile(waking.took, 0.5))/float64(quantile(silent.took, 0.5)))
		f.add("append-none-us", micros(quantile(none.took, 0.5)))
		f.add("append-one-us", micros(quantile(alone.took, 0.5)))
		f.add("append-idle-us", micros(quantile(crowd.took, 0.5)))
		f.add("x-none<=1.05", float64(quantile(crowd.took, 0.5))/float64(quantile(none.took, 0.5)))
		f.add("x-one", float64(quantile(crowd.took, 0.5))/float64(quantile(alone.took, 0.5)))
		for _, a := range []*arm{none, alone, crowd, silent, waking} {
			a.close(b)
		}
	}
	f.report()
}

// arm is a store with a number of workers, each of which waits for events of an entity of its own.
type arm struct {
	st     *store.Store
	sys    *actors.System // nil without workers
	remove func()
	took   []time.Duration // by appends

	// Of a limit: a file that is written and synced, and, if somebody waits, a channel that wakes a goroutine and one on
	// which that answers.
	bare        *limit.Zeroed
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
	must(b, a.bare.Write(limit.AppendFrame(nil, rec)))
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
	a := &arm{st: openStore(b, dir, store.Options{}), remove: remove}
	if workers == 0 {
		return a
	}
	children := make([]supervision.Child, workers)
	for w := range children {
		children[w] = cursor.Worker{
			Name:   idleName(w),
			Region: store.Region{Entity: idleAt(w).Entity, Scope: eventScope},
			Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		}
	}
	a.sys = start(b, a.st, children...)
	a.settle(b)
	return a
}

func idleName(worker int) string { return fmt.Sprintf("worker-%d", worker) }

func idleAt(worker int) store.Coordinate { return store.At(fmt.Sprintf("idle:%d", worker), eventScope) }

// settle waits until all workers are idle.
func (a *arm) settle(b *testing.B) {
	b.Helper()
	for busy := true; busy; {
		busy = false
		for _, w := range a.sys.Status().Workers {
			busy = busy || w.State != actors.Idle
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (a *arm) close(b *testing.B) {
	b.Helper()
	if a.wake != nil {
		close(a.wake)
	}
	if a.bare != nil {
		must(b, a.bare.Close())
		a.remove()
		return
	}
	if a.sys != nil {
		must(b, a.sys.Stop(b.Context()))
	}
	must(b, a.st.Close())
	a.remove()
}

// crowd starts idle workers and notes what they hold.
func (f *figures) crowd(workers int) *arm {
	debug.FreeOSMemory()
	heap, rss, goroutines := memoryInUse(), machine.Resident(), runtime.NumGoroutine()
	began := time.Now()
	a := newArm(f.b, workers)
	f.add("start-ms", millis(time.Since(began)))
	debug.FreeOSMemory()
	f.add("heap-MB<=60", (memoryInUse()-heap)/1e6)
	f.add("rss-MB", float64(machine.Resident()-rss)/1e6)
	f.add("goroutines<=10", float64(runtime.NumGoroutine()-goroutines))
	return a
}

// woken counts the workers that an append which concerns one of them has woken: those that came into their state since.
func (f *figures) woken(a *arm) {
	before := a.sys.Status().Workers
	appendTo(f.b, a, len(before)/2)
	a.settle(f.b)
	woken := 0
	for i, w := range a.sys.Status().Workers {
		if !w.Since.Equal(before[i].Since) {
			woken++
		}
	}
	f.add("woken<=1", float64(woken))
	if woken == 0 {
		f.b.Fatal("the worker that the append concerns was not woken")
	}
}

// appendInTurns appends to the arms in turns, at the same pace everywhere, until each had two turns' time or so.
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

// appendTo appends an event for a worker, waits until that has handled it, and gives the time of the append alone.
func appendTo(b *testing.B, a *arm, worker int) time.Duration {
	b.Helper()
	if a.bare != nil {
		return a.appendBare(b, make([]byte, recordBytes))
	}
	at := idleAt(worker)
	if a.sys == nil {
		at.Entity = "nobody:0"
	}
	began := time.Now()
	receipt, err := a.st.Append(b.Context(), at, store.Any, event(0))
	took := time.Since(began)
	must(b, err)
	if a.sys != nil {
		must(b, a.sys.WaitApplied(b.Context(), idleName(worker), receipt))
	}
	return took
}

// memoryInUse is what is reachable and the stacks, in bytes.
func memoryInUse() float64 {
	heap := heapInUse()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return heap + float64(m.StackInuse)
}
