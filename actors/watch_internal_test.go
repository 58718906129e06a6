package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestASlowWatcherMissesTheOldestTransitionsAndLearnsHowMany(t *testing.T) {
	w := &watcher{ready: make(chan struct{}, 1)}
	publish := func(from, to int) {
		for i := from; i < to; i++ {
			w.push(Transition{Position: store.Position(i)})
		}
	}
	next := 0 // every transition is either there, in order, or counted before the one that follows
	for _, to := range []int{10, 2000, 2000 + watchBuffer, 9000, 9001} {
		publish(next, to)
		require.Len(t, w.ready, 1)
		<-w.ready
		taken := w.take()
		require.LessOrEqual(t, len(taken), watchBuffer)
		for i, tr := range taken {
			if i > 0 {
				require.Zero(t, tr.Missed)
			}
			require.Equal(t, store.Position(next+tr.Missed), tr.Position)
			next = int(tr.Position) + 1
		}
		require.Equal(t, to, next)
	}
}
