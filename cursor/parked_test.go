package cursor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func parkedOf(entries ...checkpoint.Parked) *parkedList {
	var list parkedList
	for i := range entries {
		list.add(&entries[i])
	}
	return &list
}

func positionsOf(list []checkpoint.Parked) (positions []store.Position) {
	for _, e := range list {
		positions = append(positions, e.Position)
	}
	return positions
}

// two keys: 1 failed and 4 is held after it; 2 failed.
func twoKeys() *parkedList {
	return parkedOf(
		checkpoint.Parked{Position: 1, Key: "a", Error: "broken"},
		checkpoint.Parked{Position: 2, Key: "b", Error: "broken"},
		checkpoint.Parked{Position: 4, Key: "a", Held: true},
	)
}

func TestAReplayIsOverWhenAllOfItsKeyIsHandled(t *testing.T) {
	list := twoKeys()
	require.False(t, list.replaying())
	list.replay([]string{"a"})
	require.True(t, list.replaying())
	require.True(t, list.draining())
	require.True(t, list.at[4].Replaying)
	require.False(t, list.at[2].Replaying)

	q := &list.keys["a"].queue
	q.events = events(1, 4)
	list.handled(q, 1)
	require.True(t, list.replaying())
	require.Nil(t, list.at[1])
	q.phase = queueBlocked
	require.False(t, list.draining(), "it waits for a decision")
	list.handled(q, 1)
	require.False(t, list.replaying())
	require.Zero(t, list.held)
	require.Len(t, list.at, 1)
}

func TestAReplayThatFailsParksTheWholeKeyAgain(t *testing.T) {
	list := twoKeys()
	list.replay([]string{"a"})
	list.handled(&queue{key: "a", events: events(1)}, 1)
	entries := list.fail("a", ErrTimeout.Error(), 3, time.Now())
	require.Len(t, entries, 1)
	require.False(t, entries[0].Held, "it failed itself now")
	require.Equal(t, 3, entries[0].Attempts)
	require.Zero(t, list.held)
	require.False(t, list.replaying())
}

func TestWhatIsHeldAfterADiscardedEventIsHandled(t *testing.T) {
	list := twoKeys()
	list.discard(list.at[1])
	require.Nil(t, list.at[1])
	require.True(t, list.at[4].Replaying)
	require.True(t, list.replaying())
	list.discard(list.at[2])
	require.NotContains(t, list.keys, "b")
}

// mixed has a key with an event that was put off, one that failed, and one held for that.
func mixed() *parkedList {
	return parkedOf(
		checkpoint.Parked{Position: 3, Key: "a", Held: true, Replaying: true},
		checkpoint.Parked{Position: 5, Key: "a", Error: "broken"},
		checkpoint.Parked{Position: 7, Key: "a", Held: true},
	)
}

func replayingOf(list *parkedList) (positions []store.Position) {
	for _, p := range list.positions() {
		if list.at[p].Replaying {
			positions = append(positions, p)
		}
	}
	return positions
}

func TestAnEventThatWasPutOffTakesNoneWithItThatFailed(t *testing.T) {
	list := mixed()
	require.True(t, list.replaying())
	k := list.keys["a"]
	k.queue.events = events(3)
	list.handled(&k.queue, 1)
	list.resume("a")
	require.Empty(t, replayingOf(list), "5 waits for an operator")
	require.False(t, list.replaying())

	list.discard(list.at[5])
	require.Equal(t, []store.Position{7}, replayingOf(list))
	require.True(t, list.replaying())
}

func TestWhatIsHeldForTwoEventsWaitsForBoth(t *testing.T) {
	list := mixed()
	list.discard(list.at[5])
	require.Equal(t, []store.Position{3, 7}, replayingOf(list), "3 is about to be handled anyway")

	list = mixed()
	list.fail("a", ErrTimeout.Error(), 3, time.Now())
	list.discard(list.at[3])
	require.Empty(t, replayingOf(list), "7 is held for 5, too")
	list.discard(list.at[5])
	require.Equal(t, []store.Position{7}, replayingOf(list))
}

// loaded are the events of the key "a" that are handled next.
func loaded(t *testing.T, list *parkedList) (positions []store.Position) {
	t.Helper()
	st := openInternal(t)
	for range 9 {
		appendSized(t, st, "order:1", 1)
	}
	k := list.keys["a"]
	p := replays{shared: &shared{own: owner{st: st, worker: &Worker{}}, list: *list}}
	require.NoError(t, p.load(t.Context(), k, st.Head(), 10))
	for _, e := range k.queue.events {
		positions = append(positions, e.Position)
	}
	return positions
}

func TestOfAReplayOnlyWhatIsToBeHandledAgainIsLoaded(t *testing.T) {
	require.Equal(t, []store.Position{3}, loaded(t, mixed()))
	list := mixed()
	list.replay([]string{"a"})
	require.Equal(t, []store.Position{3, 5, 7}, loaded(t, list))
	list = mixed()
	list.discard(list.at[3])
	require.Equal(t, []store.Position{5}, loaded(t, list), "it is probed where it is")
}

func TestAnEventIsHandledAgainOnlyIfWhatItIsHeldForIs(t *testing.T) {
	for name, c := range map[string]struct {
		event     store.Position
		replaying bool
	}{
		"after the one that was put off": {4, true},
		"after the one that failed":      {6, false},
		"after all":                      {9, false},
	} {
		st := openInternal(t)
		for range 9 {
			appendSized(t, st, "order:1", 1)
		}
		r, err := NewRunner(t.Context(), st, Worker{
			Name: "w", Handle: func(context.Context, *Batch) (Action, error) { return Continue, nil },
			ExternalPosition: func(context.Context, ResumeState) (store.Position, error) { return 0, nil },
		})
		require.NoError(t, err)
		r.list = *mixed()
		r.park.hold("a", &events(c.event)[0])
		require.NoError(t, CheckParked(r), name)
		require.Equal(t, c.replaying, r.list.at[c.event].Replaying, name)
	}
}

func TestWhatIsHeldForAnEventThatIsSkippedWhereItIsParkedIsHandled(t *testing.T) {
	st := openInternal(t)
	for range 3 {
		appendSized(t, st, "order:1", 1)
	}
	ill := true
	r, err := NewRunner(t.Context(), st, Worker{
		Name: "w", Handle: func(context.Context, *Batch) (Action, error) {
			if ill {
				return Continue, FailedAt(0, ErrTimeout)
			}
			return Continue, nil
		},
	})
	require.NoError(t, err)
	settle := func(a supervision.Action) {
		require.NoError(t, r.Settle(1, supervision.Verdict{Action: a, Reason: ErrTimeout, Attempt: 1}))
		_, err := r.Commit(t.Context())
		require.NoError(t, err)
		require.NoError(t, CheckParked(r))
	}
	_, err = r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	settle(supervision.ActionPark)
	task, err := DependenciesOf(r).ProbeAt(t.Context(), 1)
	require.NoError(t, err)
	task.Run(t.Context())
	r.Finish(task)
	settle(supervision.ActionSkip)
	require.Equal(t, []store.Position{2, 3}, replayingOf(&r.list))
	ill = false
	for r.Progress().Parked > 0 {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
}
