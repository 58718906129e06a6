package cursor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// guarding is a guard for a runner that has read up to 9 and has not done 5, armed until 7 is
// passed and three more are done.
func guarding() (*crashGuard, *window, *parkedList) {
	all := &shared{win: window{at: place{scanned: 9}}}
	all.win.done = all.win.done.read(5)
	g := &crashGuard{shared: all}
	g.arm(3, 7, checkpoint.Record{Trying: 5, Tries: 2})
	return g, &all.win, &all.list
}

func TestTheCrashGuardIsOnUntilWhatMayHaveBeenInFlightIsPassed(t *testing.T) {
	g, w, p := guarding()
	require.True(t, g.on())
	w.done = w.done.after([]store.Position{5}, nil)
	require.False(t, g.on(), "everything up to 9 is done")
	p.add(&checkpoint.Parked{Position: 2, Key: "a", Replaying: true})
	require.True(t, g.on(), "a replay may have been in flight too")
	p.drop("a", 1)
	g.expire()
	p.add(&checkpoint.Parked{Position: 2, Key: "a", Replaying: true})
	require.False(t, g.on(), "one that begins later was not")

	g, _, _ = guarding()
	g.committed(2)
	require.True(t, g.on())
	g.committed(2)
	require.False(t, g.on(), "no more were in flight")
}

func TestWhetherTheCrashGuardIsOnIsReadWithoutAChange(t *testing.T) {
	g, w, _ := guarding()
	w.done = w.done.after([]store.Position{5}, nil)
	before := *g
	require.False(t, g.on())
	require.Equal(t, before, *g)
}

func TestEndsOfTheProcessAreCountedPerEvent(t *testing.T) {
	g, _, _ := guarding()
	require.Equal(t, store.Position(5), g.marked())
	require.Equal(t, 2, g.begin(5), "two processes ended at it")
	var m checkpoint.Move
	g.stamp(&m)
	require.Equal(t, uint32(3), m.Tries, "if this one ends now, it is the third")
	g.survived()
	m = checkpoint.Move{}
	g.stamp(&m)
	require.Equal(t, uint32(2), m.Tries)

	require.Zero(t, g.begin(6), "of another event nothing is known")
	g.survived()
	require.Zero(t, g.marked())
	g.begin(6)
	g.forget(5)
	require.Equal(t, store.Position(6), g.marked())
	g.forget(6)
	require.Zero(t, g.marked())
}

func TestACrashGuardThatIsOffMarksNothing(t *testing.T) {
	g, _, _ := guarding()
	g.begin(5)
	g.disarm()
	g.survived() // of the attempt that was in flight
	var m checkpoint.Move
	g.stamp(&m)
	require.Zero(t, m)
	require.Zero(t, g.marked())
	require.False(t, g.on())
}
