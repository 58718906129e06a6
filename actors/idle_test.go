package actors_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestTenThousandIdleWorkersCostLittleMemoryAndNoGoroutines(t *testing.T) {
	const workers = 10_000
	st := memory(t, store.Options{})
	handle := func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }
	children := make([]supervision.Child, workers)
	for i := range children {
		name := fmt.Sprintf("worker-%d", i)
		children[i] = cursor.Worker{Name: name, Region: store.Region{Entity: name}, Handle: handle}
	}
	empty := start(t, st) // what an actor system takes by itself
	goroutines, heap := runtime.NumGoroutine(), heapInUse()

	began := cpuTime(t)
	sys := start(t, st, children...)
	started := cpuTime(t) - began
	settled := appendAll(t, st, store.Proposal{At: store.At("worker-77", "test"), Payload: store.Raw{Type: "k"}})
	require.NoError(t, sys.WaitApplied(t.Context(), "worker-77", settled))
	for runtime.NumGoroutine() > goroutines+4 { // those that are ending may still be counted
		runtime.Gosched()
	}
	each := int64(heapInUse()-heap) / workers
	require.Less(t, each, int64(6<<10), "bytes of heap for each idle worker, its checkpoint in the store included")

	began = cpuTime(t)
	const appends = 1000
	for range appends {
		appendAll(t, st, noise(1))
	}
	cost := (cpuTime(t) - began) / appends
	require.Equal(t, settled.Position(), statusOf(t, sys, "worker-77").Position)

	began = cpuTime(t)
	require.NoError(t, sys.Stop(t.Context()))
	stopped := cpuTime(t) - began
	t.Logf("%d idle workers, in CPU time: start %v, stop %v, an append %v; %d bytes each", workers, started, stopped, cost, each)
	most := 10 * time.Second
	if underRace {
		most *= 3
	}
	require.Less(t, started, most)
	require.Less(t, stopped, most)
	require.NoError(t, empty.Stop(t.Context()))
}
