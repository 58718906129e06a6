package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// scheduled is a schedule over a log of n events of one key each, all of them in the window but the
// first two, which are parked and to be handled again.
func scheduled(t *testing.T, n int) *schedule {
	t.Helper()
	st := openInternal(t)
	for range n {
		appendSized(t, st, "order:1", 1)
	}
	all := &shared{
		own: owner{st: st, worker: &Worker{}, emission: &emission{}},
		win: window{laned: true, at: place{scanned: st.Head()}},
		list: *parkedOf(
			checkpoint.Parked{Position: 1, Key: "parked", Replaying: true},
			checkpoint.Parked{Position: 2, Key: "too", Replaying: true}),
	}
	for p := store.Position(3); p <= st.Head(); p++ {
		all.win.add(string(rune('a'+p)), events(p))
	}
	return &schedule{shared: all, replays: &replays{shared: all}, guard: &crashGuard{shared: all}}
}

func first(t *testing.T, s *schedule) store.Position {
	t.Helper()
	q, err := s.next(t.Context())
	require.NoError(t, err)
	if q == nil {
		return 0
	}
	q.begin()
	return q.events[0].Position
}

func TestParkedEventsTakeTurnsWithNewOnes(t *testing.T) {
	s := scheduled(t, 5)
	for _, want := range []store.Position{1, 3, 2, 4, 5, 0} {
		require.Equal(t, want, first(t, s))
	}
}

// How often it asks depends on when an actor is woken.
func TestWhoseTurnItIsDoesNotDependOnHowOftenAWorkerAsksForNothing(t *testing.T) {
	for asked := range 4 {
		for newest, turn := range map[int]store.Position{3: 3, 4: 1} { // the last one was parked, or new
			s := scheduled(t, newest)
			queues := make(map[store.Position]*queue)
			for range newest {
				q, err := s.next(t.Context())
				require.NoError(t, err)
				queues[q.events[0].Position] = q
				q.begin()
			}
			for range asked {
				require.Zero(t, first(t, s))
			}
			for _, event := range []store.Position{1, 3} {
				queues[event].phase = queueBlocked
				s.release(queues[event])
			}
			require.Equal(t, turn, first(t, s), "after %d empty answers", asked)
		}
	}
}

func TestTheEventAtWhichTheProcessEndedComesFirst(t *testing.T) {
	for _, event := range []store.Position{1, 2, 4} {
		s := scheduled(t, 4)
		s.guard.arm(10, 9, checkpoint.Record{Trying: event, Tries: 1})
		require.Equal(t, event, first(t, s))
	}
}

// Else it would be tried without a pause, with a commit each time, for as long as its dependency is
// unavailable.
func TestTheEventAtWhichTheProcessEndedWaitsWithItsDependency(t *testing.T) {
	for _, event := range []store.Position{1, 4} {
		s := scheduled(t, 4)
		s.replays.waits = &suspension{own: &s.own, names: map[string]struct{}{"": {}}}
		s.replays.waits.failed = func(store.Position) (string, bool) { return "", false }
		s.own.worker.Dependency = func(store.Event) string { return "" }
		s.guard.arm(10, 9, checkpoint.Record{Trying: event, Tries: 1})
		require.Zero(t, first(t, s))
	}
}

// A read that fails, at damage for instance, has had its turn, also where it is to find out what
// the event waits for.
func TestParkedEventsThatCannotBeReadDoNotKeepNewOnesFromTheirTurn(t *testing.T) {
	for _, names := range []map[string]struct{}{nil, {"down": {}}} {
		s := scheduled(t, 4)
		s.replays.waits = &suspension{own: &s.own, names: names}
		s.replays.waits.failed = func(store.Position) (string, bool) { return "up", true }
		require.NoError(t, s.own.st.Close())
		for _, want := range []store.Position{3, 4} {
			_, err := s.next(t.Context())
			require.ErrorIs(t, err, store.ErrClosed)
			require.Equal(t, want, first(t, s))
		}
	}
}

func TestAQueueIsHandledAgainOnceItIsDecidedAbout(t *testing.T) {
	s := scheduled(t, 3)
	q, err := s.next(t.Context())
	require.NoError(t, err)
	q.phase = queueBlocked
	require.Same(t, q, s.failed(1))
	require.Nil(t, s.failed(2))
	require.Equal(t, store.Position(3), first(t, s))
	require.Equal(t, store.Position(2), first(t, s))
	require.False(t, s.idle(), "a replay is in flight")
	s.list.handled(&s.list.keys["too"].queue, 1)
	require.True(t, s.idle(), "what waits for a decision cannot be taken")
	s.release(q)
	require.False(t, s.idle())
	require.Equal(t, store.Position(1), first(t, s))
}
