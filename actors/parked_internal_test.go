package actors

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// watching starts n workers of a region, and returns when they wait for events.
func watching(t *testing.T, n int, region store.Region) (*store.Store, *System) {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	children := make([]supervision.Child, n)
	for i := range children {
		children[i] = cursor.Worker{
			Name: fmt.Sprint("w", i), Region: region,
			Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		}
	}
	sys, err := Start(t.Context(), st, Options{}, supervision.Group{Name: "group", Children: children})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, sys.Stop(context.WithoutCancel(t.Context())))
		require.NoError(t, st.Close())
	})
	synctest.Wait()
	require.EqualValues(t, n, sys.parked.n.Load())
	return st, sys
}

func appendOrder(t *testing.T, st *store.Store) {
	t.Helper()
	_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, store.Raw{Type: "order.placed"})
	require.NoError(t, err)
}

func handledBy(sys *System) (handled uint64) {
	for _, w := range sys.Status().Workers {
		handled += w.Handled
	}
	return handled
}

// The store actor is never told: it is taken to be about to look already.
func TestACommitWakesAWorkerWithoutTheStoreActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, sys := watching(t, 1, store.Region{})
		sys.parked.waking.Store(true)
		for i := range uint64(5) {
			appendOrder(t, st)
			synctest.Wait()
			require.Equal(t, i+1, handledBy(sys))
		}
	})
}

func TestACommitThatConcernsNoWorkerWakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, sys := watching(t, 1, store.Region{Entity: "stock"})
		appendOrder(t, st)
		_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: "side"}}})
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 1, sys.parked.n.Load())
		require.False(t, sys.parked.waking.Load())
	})
}

func TestACommitDoesNotWaitForThePullsAndTheStoreActorWakesTheWorkerThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, sys := watching(t, 1, store.Region{})
		sys.parked.mu.Lock()
		appendOrder(t, st)
		require.Zero(t, handledBy(sys))
		sys.parked.mu.Unlock()
		synctest.Wait()
		require.EqualValues(t, 1, handledBy(sys))
	})
}

// What one commit leaves, the next must not pass.
func TestACommitAfterOneThatLeftItsEventsLeavesThemToTheStoreActorToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, sys := watching(t, 1, store.Region{})
		sys.parked.waking.Store(true)
		sys.parked.mu.Lock()
		appendOrder(t, st)
		sys.parked.mu.Unlock()
		appendOrder(t, st)
		synctest.Wait()
		require.Zero(t, handledBy(sys))
		sys.parked.waking.Store(false)
		appendOrder(t, st)
		synctest.Wait()
		require.EqualValues(t, 3, handledBy(sys))
	})
}

// What the store actor reads, since the pulls were in use while it was committed, wakes the workers
// that it concerns; all of them, where it is too much to look at.
func TestTheStoreActorWakesAllWorkersOnlyWhereThereIsTooMuchToRead(t *testing.T) {
	for name, c := range map[string]struct {
		events, bytes int
		all           bool
	}{
		"little":       {100, 10, false},
		"many events":  {wakeScan + 1, 10, true},
		"large events": {wakeBytes>>20 + 3, 1 << 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, sys := watching(t, 1, store.Region{Entity: "stock"})
				sys.parked.waking.Store(true)
				sys.parked.mu.Lock()
				for left := c.events; left > 0; left -= 16 {
					b := store.Batch{Events: make([]store.Proposal, min(left, 16))}
					for i := range b.Events {
						b.Events[i] = store.Proposal{At: store.At("order:1", "shop"), Payload: store.Raw{Type: "k", Data: make([]byte, c.bytes)}}
					}
					_, err := st.Commit(t.Context(), b)
					require.NoError(t, err)
				}
				sys.parked.mu.Unlock()
				sys.parked.waking.Store(false)
				sys.parked.scan()
				synctest.Wait()
				pulls := slices.Collect(maps.Values(sys.parked.pulls))
				require.Len(t, pulls, 1, "it waits again")
				require.Equal(t, c.all, pulls[0].after == st.Head())
			})
		})
	}
}

func TestAllWorkersWakeWhereOneCommitConcernsMoreThanItWakesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 2*maxWakes + 10
		st, sys := watching(t, workers, store.Region{})
		for i := range uint64(3) {
			appendOrder(t, st)
			synctest.Wait()
			require.Equal(t, (i+1)*workers, handledBy(sys))
		}
	})
}

// The store actor is taken to be about to look already, so that it does not wake the rest.
func TestACommitWakesOnlySoManyWorkersItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers = 3 * maxWakes
		st, sys := watching(t, workers, store.Region{})
		sys.parked.waking.Store(true)
		appendOrder(t, st)
		synctest.Wait()
		require.LessOrEqual(t, handledBy(sys), uint64(maxWakes))
		sys.parked.waking.Store(false)
		sys.parked.scan()
		synctest.Wait()
		require.EqualValues(t, workers, handledBy(sys))
	})
}

// The last of the workers is the one that is woken.
func TestACommitLooksOnlyAtSoManyWorkersOfOtherTenantsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, sys := watching(t, 1, store.Region{Scope: "shop", Kinds: []string{"order.placed"}})
		for range 2 * maxLooks {
			p := &pull{region: &store.Region{Scope: "other", Kinds: []string{"order.placed"}}}
			term := p.region.Terms()[0]
			sys.parked.byTerm[term] = sys.parked.byTerm[term].with(p)
		}
		may := effort{looks: maxLooks, wakes: maxWakes}
		other := store.Event{Position: 1, Kind: "order.placed", Coordinate: store.At("order:1", "third")}
		require.False(t, sys.parked.match(&other, 1, &may))
		require.Equal(t, maxWakes, may.wakes)
		for i := range uint64(3) {
			appendOrder(t, st)
			synctest.Wait()
			require.Equal(t, i+1, handledBy(sys))
		}
	})
}
