package saga

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestAttemptsCountUntilTheirRequestIsDone(t *testing.T) {
	var tried tries
	for at := store.Position(1); at < maxEnded; at++ {
		require.Equal(t, 1, tried.add(at))
		require.False(t, tried.end(at))
	}
	require.Equal(t, 2, tried.add(1), "its answer was refused")
	require.True(t, tried.end(1))
	tried.sweep(func(at store.Position) bool { return at > 1 })
	require.Equal(t, 2, tried.of(1))
	require.Zero(t, tried.of(2))
	require.Len(t, tried.n, 1)
	tried.sweep(func(store.Position) bool { return true })
	require.Empty(t, tried.n)
	require.Empty(t, tried.ended)
}
