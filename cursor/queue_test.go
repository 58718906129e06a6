package cursor

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func events(positions ...store.Position) (list []store.Event) {
	for _, p := range positions {
		list = append(list, store.Event{Position: p, Payload: []byte("four")})
	}
	return list
}

func TestReadyQueuesAreTakenInTheOrderInWhichTheyBecameSo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var f fifo
	var model []*queue
	for range 10_000 {
		if random.IntN(2) == 0 {
			q := &queue{}
			f.push(q)
			model = append(model, q)
		} else if q := f.pop(); len(model) == 0 {
			require.Nil(t, q)
		} else {
			require.Same(t, model[0], q)
			model = model[1:]
		}
		require.Equal(t, len(model) == 0, f.empty())
		require.True(t, slices.Equal(model, slices.Collect(f.all())))
	}
	require.Less(t, cap(f.list), 1024, "it does not grow as it moves on")
}

func TestAWorkerWithoutLanesHasOneQueueForEverything(t *testing.T) {
	var w window
	w.add("a", events(1))
	w.add("b", events(2, 3))
	q := w.take()
	require.Len(t, q.events, 3)
	require.Equal(t, 12, w.bytes)
	require.Nil(t, w.take())
	w.pop(q, 3)
	require.Zero(t, w.bytes)
	w.add("a", events(4))
	require.Same(t, q, w.take())
}

func TestQueuesOfKeysAreForgottenOnceTheyAreEmptyAndIdle(t *testing.T) {
	w := window{laned: true}
	w.add("a", events(1))
	w.add("b", events(2))
	w.add("a", events(3))
	a, b := w.take(), w.take()
	require.Equal(t, []string{"a", "b"}, []string{a.key, b.key})
	require.Nil(t, w.take(), "each of them is listed once")
	b.begin()
	w.pop(b, 1)
	require.Len(t, w.keys, 2, "a task of it is in flight")
	b.end()
	w.forget(b)
	w.pop(a, 2)
	require.Empty(t, w.keys)
	require.Zero(t, w.bytes)
}

func TestAQueueThatWaitsForADecisionIsNotTaken(t *testing.T) {
	w := window{laned: true}
	w.add("a", events(1, 2))
	q := w.take()
	q.begin()
	q.fail()
	w.list(q)
	require.Nil(t, w.take())
	require.False(t, q.undecided(), "what came before it is not committed yet")
	q.end()
	w.list(q)
	require.Nil(t, w.take())
	require.True(t, q.undecided())
	q.decide()
	w.list(q)
	require.Same(t, q, w.readyAt(1))
	require.Nil(t, w.readyAt(2), "it begins with another event")
	require.Same(t, q, w.take())
}

// The slices that batches are given are parts of a page that others share.
func TestEventsThatFollowDoNotWriteToThePageOfThoseBefore(t *testing.T) {
	page := events(1, 2, 3)
	w := window{laned: true}
	w.add("a", page[:1])
	w.add("a", events(9))
	require.Equal(t, store.Position(2), page[1].Position)
}

func TestLimitsOfBatchesGrowAgainAndStartAgainWithTheNextQueue(t *testing.T) {
	var w window
	w.limitTo(4)
	w.add("", events(1, 2))
	q := w.take()
	q.grow()
	require.EqualValues(t, 8, q.limit)
	w.pop(q, 2)
	require.EqualValues(t, 4, q.limit, "that of a first batch")
	q.limit = MaxBatchSize / 2
	q.grow()
	require.Zero(t, q.limit, "none")
}

// What was returned before the present commit is what others may still read.
func TestTheListsOfTwoFrontiersInARowAreKeptApart(t *testing.T) {
	var w window
	for p := store.Position(1); p <= 40; p++ {
		w.done = w.done.read(p)
	}
	w.at = place{scanned: 40, delivered: 40}
	for p := store.Position(2); p <= 40; p += 2 {
		next := w.after([]store.Position{p})
		_, pending := next.checkpoint(w.at)
		before := slices.Clone(w.done.undone)
		w.advance(next, 1)
		want := slices.Clone(pending)
		require.NotContains(t, w.done.undone, p)
		w.after([]store.Position{w.done.undone[0]}) // a commit that fails
		require.Equal(t, want, pending)
		require.Len(t, before, len(w.done.undone)+1)
	}
}
