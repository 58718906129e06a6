package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestOnlyACheckpointAloneDoesNotWaitForItsSync(t *testing.T) {
	reaction := []store.Proposal{{At: store.At("stock:1", "shop")}}
	o := owner{worker: &Worker{}}
	require.True(t, o.lazy(store.Batch{}))
	require.False(t, o.lazy(store.Batch{Events: reaction}))
	o.worker.SyncCheckpoints = true
	require.False(t, o.lazy(store.Batch{}))
	require.False(t, o.lazy(store.Batch{Events: reaction}))
}
