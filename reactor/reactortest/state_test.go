package reactortest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// arrived and shelf are of a reactor with state.
type arrived struct {
	SKU    string
	Pieces int
}

func (arrived) Kind() string { return "stock.arrived" }

type wanted struct{ Order, SKU string }

func (wanted) Kind() string { return "order.wanted" }

type shelf struct{ Left, Asked, Taken int }

func (shelf) Kind() string { return "shop.shelf" }

// shelves returns a reactor that reserves what there is, and how often its handler was called.
func shelves(lanes int) (r *reactor.Reactor, calls *int) {
	calls = new(int)
	r = reactor.New("shelves",
		reactor.OnState(func(a arrived) string { return a.SKU }, func(
			_ context.Context, e reactor.Event[arrived], s *shelf, _ *reactor.Reactions,
		) error {
			s.Left += e.Body.Pieces
			return nil
		}),
		reactor.OnState(func(w wanted) string { return w.SKU }, func(
			_ context.Context, e reactor.Event[wanted], s *shelf, out *reactor.Reactions,
		) error {
			*calls++
			if s.Asked++; s.Left > 0 {
				s.Left, s.Taken = s.Left-1, s.Taken+1
				out.Append(store.At("stock:"+e.Body.SKU, "shop"), reserved{Order: e.Body.Order})
			}
			return nil
		}))
	r.Lanes = lanes
	return r, calls
}

func TestTheStateOfAReactorIsSeenInARun(t *testing.T) {
	r, _ := shelves(0)
	run := reactortest.Start(t, r)
	require.Zero(t, reactortest.State[shelf](run, "shelves", "lamp"))
	run.Given(arrived{"lamp", 1}, wanted{"1", "lamp"}, wanted{"2", "lamp"})
	run.Settle()
	run.Then(reserved{"1"})
	require.Equal(t, shelf{Asked: 2, Taken: 1}, reactortest.State[shelf](run, "shelves", "lamp"))
	run.Crash(1)
	run.Given(arrived{"lamp", 1}, wanted{"3", "lamp"})
	run.Settle()
	run.Then(reserved{"3"})
	require.Equal(t, shelf{Asked: 3, Taken: 2}, reactortest.State[shelf](run, "shelves", "lamp"))

	got := reactortest.React(t, r, arrived{"lamp", 1}, wanted{"1", "lamp"}, wanted{"2", "lamp"})
	require.Len(t, got, 1, "it begins with none")
}

// Ten lamps and a hundred orders, with lanes that proceed at different speeds.
func TestOrdersOnLanesReserveWhatThereIs(t *testing.T) {
	for _, lanes := range []int{0, 4} {
		r, calls := shelves(lanes)
		run := reactortest.Start(t, r)
		run.Shuffle(uint64(lanes))
		run.Given(arrived{"lamp", 10}, arrived{"desk", 1})
		for n := range 100 {
			run.Given(reactortest.At(store.At("order:"+string(rune('a'+n%26)), "shop"), wanted{"1", "lamp"}))
			if n%10 == 0 {
				run.Given(wanted{"2", "desk"})
			}
		}
		run.Settle()
		require.Len(t, reactortest.Of[reserved](run), 11)
		require.LessOrEqual(t, *calls, 130)
		require.Equal(t, shelf{Asked: 100, Taken: 10}, reactortest.State[shelf](run, "shelves", "lamp"))
	}
}

// What is taken off a shelf and what is reserved are one commit, whenever the power fails.
func TestACrashLeavesStateAndReactionsThatAgree(t *testing.T) {
	for _, lanes := range []int{0, 3} {
		tree := func() supervision.Child {
			return reactortest.Program(func(st *store.Store) supervision.Child { // at each start, also after a crash
				agree(t, st)
				r, _ := shelves(lanes)
				r.BatchSize = 3
				return r
			})
		}
		reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
			run.Given(arrived{"lamp", 2}, wanted{"1", "lamp"}, arrived{"desk", 1})
			run.Settle()
			run.Given(wanted{"2", "desk"}, wanted{"3", "lamp"}, wanted{"4", "lamp"}, wanted{"5", "desk"})
			run.Settle()
			require.Equal(t, shelf{Asked: 3, Taken: 2}, reactortest.State[shelf](run, "shelves", "lamp"))
			require.Equal(t, shelf{Asked: 2, Taken: 1}, reactortest.State[shelf](run, "shelves", "desk"))
			require.Len(t, reactortest.Of[reserved](run), 3)
		})
	}
}

// agree makes sure that what was taken off the shelves is what was reserved.
func agree(t *testing.T, st *store.Store) {
	t.Helper()
	n := 0
	for _, err := range st.Read(t.Context(), store.Region{Entity: "stock"}, store.Beginning()) {
		require.NoError(t, err)
		n++
	}
	for _, key := range []string{"lamp", "desk"} {
		s, err := reactor.State[shelf](st, nil, "shelves", key)
		if !errors.Is(err, checkpoint.ErrNotFound) { // it has begun
			require.NoError(t, err)
		}
		n -= s.Taken
	}
	require.Zero(t, n)
}

func TestEveryCrashComparesWhatIsKept(t *testing.T) {
	message := fails(t, func(tb testing.TB) {
		var now *reactortest.Run
		tree := func() supervision.Child {
			now = nil
			return reactor.New("r", reactor.OnState(func(wanted) string { return "" }, func(
				_ context.Context, _ reactor.Event[wanted], s *shelf, _ *reactor.Reactions,
			) error {
				s.Asked = 1 + now.Crashes()
				return nil
			}))
		}
		reactortest.EveryCrash(tb, tree, func(run *reactortest.Run) {
			now = run
			run.Given(wanted{})
			run.Settle()
		})
	})
	require.Contains(t, message, `worker "r" keeps shop.shelf/: `)
}
