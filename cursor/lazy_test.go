package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestOnlyACheckpointAloneDoesNotWaitForItsSync(t *testing.T) {
	reaction := []store.Proposal{{At: store.At("stock:1", "shop")}}
	var r Runner
	require.True(t, r.lazy(store.Batch{}))
	require.False(t, r.lazy(store.Batch{Events: reaction}))
	r.worker.SyncCheckpoints = true
	require.False(t, r.lazy(store.Batch{}))
	require.False(t, r.lazy(store.Batch{Events: reaction}))
}
