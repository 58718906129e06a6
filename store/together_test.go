package store_test

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// As one that finds that an event is no longer parked, and looks for what came of it.
func TestWhatWasCommittedTogetherIsSeenTogether(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	const commits = 20_000
	commit := func(n int) {
		_, err := st.Commit(t.Context(), store.Batch{
			Events: []store.Proposal{{At: store.At("a", "test"), Payload: store.Raw{Type: "k"}}},
			Sides:  []store.SideWrite{{Key: "count", Value: []byte(strconv.Itoa(n))}},
		})
		require.NoError(t, err)
	}
	count := func() store.Position {
		side, _, err := st.Side("count")
		require.NoError(t, err)
		n, err := strconv.Atoi(string(side.Value))
		require.NoError(t, err)
		return store.Position(n)
	}
	commit(1)
	var done atomic.Bool
	var bad atomic.Int64
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for !done.Load() {
				if n := count(); st.Head() < n {
					bad.Add(1)
				}
				if head := st.Head(); count() < head {
					bad.Add(1)
				}
			}
		})
	}
	for n := 2; n <= commits; n++ {
		commit(n)
	}
	done.Store(true)
	readers.Wait()
	require.Zero(t, bad.Load())
}
