package actors_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// clumsy is a worker that reacts to each input and fails at random, in every way there is.
func clumsy(name string, seed uint64) cursor.Worker {
	dice := rand.New(rand.NewPCG(seed, 1))
	return cursor.Worker{
		Name: name, Region: inputs, BatchSize: 1 + dice.IntN(40),
		Policy: supervision.Policy{
			Intensity: 1000, Period: time.Millisecond, Attempts: 100,
			Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 20 * time.Millisecond},
		},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			at, way := dice.IntN(len(b.Events)), dice.IntN(12)
			if way < 3 {
				b.Begin(0)
			}
			for i := range b.Events {
				if way < 3 {
					b.Begin(i)
				}
				react(name, b, i)
				if i != at {
					continue
				}
				switch way {
				case 0, 3:
					panic(errBroken)
				case 1, 4:
					runtime.Goexit()
				case 2:
					return cursor.Continue, cursor.FailedAt(i, errBroken)
				case 5:
					return cursor.Continue, errBroken
				}
			}
			return cursor.Continue, nil
		},
	}
}

func TestEachReactionIsWrittenOnceAndInOrderWhateverHandlersDo(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{SegmentBytes: 256 << 10})
			var names []string
			nested := supervision.Group{Name: "deepest"}
			for i := range 20 {
				name := fmt.Sprintf("w%d", i)
				names = append(names, name)
				nested.Children = append(nested.Children, clumsy(name, seed<<8+uint64(i)))
				if i%4 == 3 {
					nested = supervision.Group{Name: fmt.Sprintf("around%d", i), Children: []supervision.Child{nested}}
				}
			}
			sys := start(t, st, nested)
			var last store.Receipt
			for range 100 {
				last = appendInputs(t, st, 1+rand.N(6))
				if rand.N(4) == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			for _, name := range names {
				require.NoError(t, sys.WaitApplied(t.Context(), name, last))
				requireExactlyOnce(t, st, name)
				w := statusOf(t, sys, name)
				require.Len(t, positions(t, st, inputs), int(w.Handled))
				require.Zero(t, w.Lag)
			}
			require.NoError(t, sys.Stop(t.Context()))
		})
	}
}

func TestAHandlerThatEndsItsGoroutineIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error {
			if calls++; calls < 3 {
				runtime.Goexit()
			}
			return nil
		}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		requireExactlyOnce(t, st, "w")
		require.Equal(t, 2, statusOf(t, sys, "w").Restarts)
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestManyRestartsKeepNoMemory(t *testing.T) {
	st, err := store.Open(t.TempDir(), store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	w := handling("w", nil)
	w.Volatile, w.BatchSize = true, 1
	w.Policy = supervision.Policy{
		Intensity: 1000, Period: time.Nanosecond, Attempts: 1 << 30, Backoff: supervision.Backoff{Initial: 1, Max: 1},
	}
	const rounds = 5000
	calls, heap := 0, []uint64{}
	w.Handle = func(context.Context, *cursor.Batch) (cursor.Action, error) {
		if calls++; calls%rounds == 0 {
			heap = append(heap, heapInUse())
		}
		if calls <= 3*rounds {
			panic(errBroken)
		}
		return cursor.Continue, nil
	}
	sys := start(t, st, w)
	require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
	require.Equal(t, 3*rounds, statusOf(t, sys, "w").Restarts)
	require.Less(t, heap[2], heap[0]+100*rounds, "bytes of heap after %d restarts each", rounds)
	require.NoError(t, sys.Stop(t.Context()))
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
