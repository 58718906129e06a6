package actors

import (
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestMailboxesThatWaitForNothingShareAFewGoroutines(t *testing.T) {
	const n = 1000
	var d dispatcher
	var most atomic.Int64
	var done sync.WaitGroup
	done.Add(n)
	before := runtime.NumGoroutine()
	d.Schedule(func() {
		for range n {
			d.Schedule(func() {
				for now := int64(runtime.NumGoroutine()); now > most.Load(); {
					most.Store(now)
				}
				done.Done()
			})
		}
	})
	done.Wait()
	require.Less(t, int(most.Load()), before+n/10)
}

func TestAMailboxThatWaitsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dispatcher
		open := make(chan struct{})
		var done sync.WaitGroup
		done.Add(101)
		for range 100 {
			d.Schedule(func() {
				<-open
				done.Done()
			})
		}
		d.Schedule(func() {
			close(open)
			done.Done()
		})
		done.Wait()
		synctest.Wait()
		require.False(t, d.spare)
	})
}

func TestAMailboxThatEndsItsGoroutineRunsAgainAndHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d dispatcher
		var runs, others atomic.Int64
		ending := func() {
			if runs.Add(1) < 3 {
				runtime.Goexit()
			}
		}
		d.Schedule(func() {
			d.Schedule(ending)
			for range 100 {
				d.Schedule(func() { others.Add(1) })
			}
		})
		synctest.Wait()
		require.EqualValues(t, 3, runs.Load())
		require.EqualValues(t, 100, others.Load())
	})
}

func TestMailboxesRunInTheOrderInWhichTheyWereScheduled(t *testing.T) {
	d := dispatcher{spare: true} // no goroutine
	var got, want []int
	scheduled := 0
	schedule := func() {
		i := scheduled
		scheduled++
		want = append(want, i)
		d.Schedule(func() { got = append(got, i) })
	}
	for range 10 {
		schedule()
	}
	for range 10_000 { // it is never empty
		d.next(false)()
		schedule()
	}
	require.LessOrEqual(t, cap(d.queue), 64)
	for mailbox := d.next(false); mailbox != nil; mailbox = d.next(false) {
		mailbox()
	}
	require.Equal(t, want, got)
}

// Else a profile, and the stack of a handler that hangs, would show what is none of the worker's.
func TestAMailboxIsNotLabelledAsTheHandlerThatScheduledIt(t *testing.T) {
	var d dispatcher
	found, end := make(chan []byte), make(chan struct{})
	d.Schedule(func() {
		pprof.SetGoroutineLabels(pprof.WithLabels(t.Context(), pprof.Labels(profileLabel, "w")))
		d.Schedule(func() { found <- stackOf("w") })
		pprof.SetGoroutineLabels(t.Context())
		<-end
	})
	require.Empty(t, string(<-found))
	close(end)
}
