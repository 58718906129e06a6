//go:build unix

package saga_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// inFlight is how many sagas of the benchmark have begun and not ended.
const inFlight = 256

// BenchmarkSteps runs sagas of three steps, each with an undo, that do nothing. It reports what one
// takes on the disk, with the event that starts it, and how long the processors work for it, which
// unlike the rate does not depend on what else the machine does.
func BenchmarkSteps(b *testing.B) {
	for name, mode := range map[string]store.SyncMode{"SyncAlways": store.SyncAlways, "SyncInterval": store.SyncInterval} {
		b.Run(name, func(b *testing.B) { benchmarkSteps(b, mode) })
	}
}

func benchmarkSteps(b *testing.B, mode store.SyncMode) {
	st, err := store.Open(b.TempDir(), store.Options{Sync: mode})
	require.NoError(b, err)
	defer st.Close()
	s := nothing()
	sys, err := actors.Start(b.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(b, err)
	free := make(chan struct{}, inFlight)
	done := make(chan error, 1)
	go func() { done <- ends(b.Context(), st, b.N, free) }()
	b.ReportAllocs()
	b.ResetTimer()
	size, used := st.Stats().LogBytes, cpuTime(b)
	for i := range b.N {
		free <- struct{}{}
		id := strconv.Itoa(100_000 + i)
		go func() {
			if _, err := st.Append(b.Context(), at(id), store.Any, placed(id)); err != nil {
				b.Error(err)
			}
		}()
	}
	require.NoError(b, <-done)
	b.StopTimer()
	b.ReportMetric(float64((cpuTime(b)-used).Microseconds())/float64(b.N), "cpu-µs/op")
	b.ReportMetric(float64(st.Stats().LogBytes-size)/float64(b.N), "disk-B/op")
	require.NoError(b, sys.Stop(context.WithoutCancel(b.Context())))
}

// nothing is a saga of three steps that do nothing.
func nothing() *saga.Saga[order] {
	step := func(name string) saga.Part[order] {
		return saga.Do(name, func(context.Context, saga.Step[order]) (string, error) { return "", nil },
			func(context.Context, saga.Step[order], saga.Done[string]) error { return nil })
	}
	return saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { *o = order{ID: e.Order, Cents: e.Cents} }),
		step("reserve"), step("charge"), step("ship"))
}

// ends lets a place become free for each of n sagas that ends.
func ends(ctx context.Context, st *store.Store, n int, free <-chan struct{}) error {
	for at := store.Position(0); n > 0; {
		head := st.Head()
		for e, err := range st.Read(ctx, store.Region{Kinds: []string{"saga.checkout.ended"}}, store.After(at)) {
			if err != nil {
				return err
			}
			at = e.Position
			n--
			<-free
		}
		if n > 0 {
			if _, err := st.Wait(ctx, max(at, head)); err != nil {
				return err
			}
		}
	}
	return nil
}

func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var used syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
