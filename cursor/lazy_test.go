package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestOnlyACheckpointAloneDoesNotWaitForItsSync(t *testing.T) {
	reaction := []store.Proposal{{At: store.At("stock:1", "shop")}}
	var r Runner
	require.True(t, r.batch(nil).Lazy)
	require.False(t, r.batch(reaction).Lazy)
	r.worker.SyncCheckpoints = true
	require.False(t, r.batch(nil).Lazy)
	require.False(t, r.batch(reaction).Lazy)
}
