package actors

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestASlowWatcherMissesTheOldestTransitionsAndLearnsHowMany(t *testing.T) {
	var k transitions
	last := 0
	for _, to := range []int{10, 2000, 2000 + keptTransitions, 9000, 9001} {
		before := uint64(last)
		for ; last < to; last++ {
			k.report(Transition{Position: store.Position(last + 1)})
		}
		// Each one is either there, in order, or counted before the one that follows.
		seen, got := before, 0
		for {
			page, _ := k.page(seen, nil)
			if len(page) == 0 {
				break
			}
			for i, tr := range page {
				if i > 0 || got > 0 {
					require.Zero(t, tr.Missed)
				}
				require.Equal(t, seen+uint64(tr.Missed)+1, tr.Number)
				require.Equal(t, store.Position(tr.Number), tr.Position)
				seen = tr.Number
				got++
			}
		}
		require.Equal(t, uint64(to), seen)
		require.Equal(t, min(to-int(before), keptTransitions), got)
	}
}

func TestWhereAWatcherBegins(t *testing.T) {
	var k transitions
	require.Zero(t, k.begin(0))
	require.Zero(t, k.begin(FromNow))
	require.Zero(t, k.begin(7), "of another system")
	for range 5 {
		k.report(Transition{})
	}
	require.Zero(t, k.begin(0))
	require.Equal(t, uint64(4), k.begin(4))
	require.Equal(t, uint64(5), k.begin(5))
	require.Equal(t, uint64(5), k.begin(FromNow))
	require.Zero(t, k.begin(6), "of another system")
}

func TestAWatcherIsWokenByTheNextTransition(t *testing.T) {
	var k transitions
	list, changed := k.page(0, nil)
	require.Empty(t, list)
	select {
	case <-changed:
		require.Fail(t, "nothing happened")
	default:
	}
	k.report(Transition{})
	<-changed
	list, _ = k.page(0, nil)
	require.Len(t, list, 1)
}
