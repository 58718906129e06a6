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

	began := time.Now()
	sys := start(t, st, children...)
	started := time.Since(began)
	settled := appendAll(t, st, store.Proposal{At: store.At("worker-77", "test"), Payload: store.Raw{Type: "k"}})
	require.NoError(t, sys.WaitApplied(t.Context(), "worker-77", settled))
	for runtime.NumGoroutine() > goroutines+4 { // those that are ending may still be counted
		runtime.Gosched()
	}
	each := int64(heapInUse()-heap) / workers
	require.Less(t, each, int64(6<<10), "bytes of heap for each idle worker, its checkpoint in the store included")

	began = time.Now()
	const appends = 1000
	for range appends {
		appendAll(t, st, noise(1))
	}
	cost := time.Since(began) / appends
	require.Equal(t, settled.Position(), statusOf(t, sys, "worker-77").Position)

	began = time.Now()
	require.NoError(t, sys.Stop(t.Context()))
	stopped := time.Since(began)
	t.Logf("%d idle workers: start %v, stop %v, %d bytes each; an append %v", workers, started, stopped, each, cost)
	require.Less(t, started, 10*time.Second)
	require.Less(t, stopped, 10*time.Second)
	require.NoError(t, empty.Stop(t.Context()))
}
