package reactor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

type arrived struct{ SKU string }

func (arrived) Kind() string { return "shop.arrived" }

func cameSKU(a arrived) string { return a.SKU }

func take(_ context.Context, _ reactor.Event[placed], s *shelf, _ *reactor.Reactions) error {
	s.Left--
	return nil
}

func bring(_ context.Context, _ reactor.Event[arrived], s *shelf, _ *reactor.Reactions) error {
	s.Left++
	return nil
}

// What was handled of a kind before it was left out is in the state: it must not be once more.
func TestThePastOfAKindThatIsAddedAgainDoesNotChangeAStateTwice(t *testing.T) {
	st := openStore(t)
	both := reactor.New("r", reactor.OnState(bySKU, take), reactor.OnState(cameSKU, bring))
	both.NewKinds = checkpoint.NewKindsBackfill
	one := reactor.New("r", reactor.OnState(bySKU, take))
	one.NewKinds = checkpoint.NewKindsBackfill // nothing is added
	appendAll(t, st, arrived{"lamp"}, arrived{"lamp"}, placed{"1", "lamp"})
	catchUpAll(t, runner(t, st, both))
	catchUpAll(t, runner(t, st, one))
	w, err := both.CursorWorker()
	require.NoError(t, err)
	_, err = cursor.NewRunner(t.Context(), st, w)
	require.ErrorIs(t, err, checkpoint.ErrStateful)
	require.Equal(t, 1, stateOf(t, st, "lamp").Left)

	both.NewKinds = checkpoint.NewKindsFromNow
	appendAll(t, st, arrived{"lamp"})
	catchUpAll(t, runner(t, st, both))
	require.Equal(t, 2, stateOf(t, st, "lamp").Left)
}

// A build without the state, as after a deploy that was taken back, does not free the checkpoint
// from it: the next one with the state would meet it.
func TestAStateThatABuildWithoutItHasLeftHoldsTheCheckpoint(t *testing.T) {
	st := openStore(t)
	with := reactor.New("r", reactor.OnState(bySKU, take))
	appendAll(t, st, placed{"1", "lamp"}, placed{"2", "lamp"})
	catchUpAll(t, runner(t, st, with))
	run := runner(t, st, reactor.New("r", reactor.On(ignore[placed])))
	catchUpAll(t, run)
	for _, c := range []checkpoint.Change{checkpoint.Rewind{Emit: true}, checkpoint.SkipTo{To: st.Head()}} {
		_, err := run.Apply(t.Context(), c, checkpoint.Request{})
		require.ErrorIs(t, err, checkpoint.ErrStateful)
	}
	_, err := run.Apply(t.Context(), checkpoint.Reset{}, checkpoint.Request{})
	require.NoError(t, err)
	_, err = run.Apply(t.Context(), checkpoint.SkipTo{To: 1}, checkpoint.Request{})
	require.NoError(t, err, "nothing is kept any more")
	catchUpAll(t, runner(t, st, with))
	require.Equal(t, -1, stateOf(t, st, "lamp").Left)
}

type otherShelf struct{ Right int }

func (otherShelf) Kind() string { return "shop.shelf" }

func keepNothing[S, T store.Payload](context.Context, reactor.Event[T], *S, *reactor.Reactions) error {
	return nil
}

func TestTwoTypesOfOneKindOfStateAreNoReactor(t *testing.T) {
	_, err := reactor.New("r",
		reactor.OnState(bySKU, take), reactor.OnState(cameSKU, keepNothing[otherShelf, arrived])).CursorWorker()
	require.ErrorIs(t, err, reactor.ErrDefinition)
	require.ErrorContains(t, err, `"shop.shelf" is the kind of two types of state`)
}

type shopState struct{ N int }

func (shopState) Kind() string { return "shop" }

type branchState struct{ N int }

func (branchState) Kind() string { return "shop/eu" }

func TestKindsOfStateWithASlashShareNoState(t *testing.T) {
	st := openStore(t)
	r := reactor.New("r",
		reactor.OnState(func(p placed) string { return "eu/" + p.SKU }, func(
			_ context.Context, _ reactor.Event[placed], s *shopState, _ *reactor.Reactions,
		) error {
			s.N++
			return nil
		}),
		reactor.OnState(cameSKU, func(_ context.Context, _ reactor.Event[arrived], s *branchState, _ *reactor.Reactions) error {
			s.N++
			return nil
		}))
	appendAll(t, st, placed{"1", "lamp"}, arrived{"lamp"}, placed{"2", "lamp"})
	catchUpAll(t, runner(t, st, r))
	branch, err := reactor.State[branchState](st, nil, "r", "lamp")
	require.NoError(t, err)
	require.Equal(t, branchState{N: 1}, branch)
	whole, err := reactor.State[shopState](st, nil, "r", "eu/lamp")
	require.NoError(t, err)
	require.Equal(t, shopState{N: 2}, whole)
}
