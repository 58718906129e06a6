package checkpoint_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func TestAReaderThatBeginsWhileItsNameIsLeftDoesNotTakeTheName(t *testing.T) {
	st, err := storetest.Open(store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	defer st.Close()
	b := checkpoint.Binding{Region: store.Region{Entity: "order"}}
	for range 300 {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 4 {
					if _, err := checkpoint.Acquire(t.Context(), st, "a", b); err != nil && !errors.Is(err, checkpoint.ErrRenamed) {
						t.Error(err)
					}
					_, _ = checkpoint.Apply(t.Context(), st, "a", checkpoint.Rename{To: "b"}, checkpoint.Request{})
				}
			})
		}
		all.Wait()
		_, present, err := st.Side("checkpoint/a")
		require.NoError(t, err)
		_, left, err := st.Side("renamed/a")
		require.NoError(t, err)
		require.False(t, present && left, "two checkpoints have the first name")
		for _, id := range []checkpoint.ID{"a", "b"} {
			_, _ = checkpoint.Apply(t.Context(), st, id, checkpoint.Delete{}, checkpoint.Request{})
		}
	}
}
