package reactortest_test

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type revoked struct{}

func (revoked) Kind() string { return "order.revoked" }

type shipped struct{}

func (shipped) Kind() string { return "order.shipped" }

type refunded struct{}

func (refunded) Kind() string { return "order.refunded" }

// clerk decides about orders by what it reads in the store.
type clerk struct {
	st      *store.Store
	expects bool // that nothing has happened to the order since it has read
}

// answer emits an event unless the order has one of another kind.
func (c clerk) answer(ctx context.Context, order store.Coordinate, unless string, answer store.Payload, out *reactor.Reactions) error {
	version, err := c.st.Version(ctx, order.Entity)
	if err != nil {
		return err
	}
	n, err := c.st.Count(ctx, store.Region{Entity: order.Entity, Kinds: []string{unless}}, 0, c.st.Head(), 1)
	if err != nil || n > 0 {
		return err
	}
	p := store.Proposal{At: order, Payload: answer}
	if c.expects {
		p.Expect = store.Exactly(version)
	}
	out.Propose(p)
	return nil
}

func (c clerk) ship(ctx context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
	return c.answer(ctx, e.Coordinate, refunded{}.Kind(), shipped{}, out)
}

func (c clerk) refund(ctx context.Context, e reactor.Event[revoked], out *reactor.Reactions) error {
	return c.answer(ctx, e.Coordinate, shipped{}.Kind(), refunded{}, out)
}

// clerks are two workers that decide about the same orders.
func clerks(expects bool) func() supervision.Child {
	return func() supervision.Child {
		return reactortest.Program(func(st *store.Store) supervision.Child {
			c := clerk{st: st, expects: expects}
			return supervision.Group{Name: "shop", Children: []supervision.Child{
				reactor.New("shipping", reactor.On(c.ship)), reactor.New("refunds", reactor.On(c.refund)),
			}}
		})
	}
}

// revoke has an order placed and revoked.
func revoke(tb testing.TB, run *reactortest.Run) {
	tb.Helper()
	at := store.At("order:1", "shop")
	run.Given(reactortest.At(at, ordered{}), reactortest.At(at, revoked{}))
	run.Settle()
	if s, r := len(reactortest.Of[shipped](run)), len(reactortest.Of[refunded](run)); s+r != 1 {
		tb.Fatalf("shipped %d times and refunded %d times", s, r)
	}
}

func TestTwoWorkersThatDecideWithoutAnExpectationAreFoundOut(t *testing.T) {
	run := reactortest.Start(t, clerks(false)())
	revoke(t, run) // in turn they get on

	message := fails(t, func(tb testing.TB) {
		reactortest.EveryOrder(tb, clerks(false), func(run *reactortest.Run) { revoke(tb, run) })
	})
	require.Contains(t, message, "shipped 1 times and refunded 1 times")
	require.Contains(t, message, `
  shipping handles 1 event from position 1
      refunds handles 1 event from position 2
      refunds commits 1 event
  shipping commits 1 event`)

	order := regexp.MustCompile("PENSTOCK_ORDER=([0-9:,]+) repeats").FindStringSubmatch(message)
	require.NotNil(t, order, message)
	t.Setenv("PENSTOCK_ORDER", order[1])
	runs := 0
	again := fails(t, func(tb testing.TB) {
		reactortest.EveryOrder(tb, clerks(false), func(run *reactortest.Run) { runs++; revoke(tb, run) })
	})
	require.Equal(t, message, again)
	require.Equal(t, 1, runs)
}

func TestAnExpectationHoldsInEveryOrderAndThroughEveryCrash(t *testing.T) {
	runs := 0
	reactortest.EveryOrder(t, clerks(true), func(run *reactortest.Run) { runs++; revoke(t, run) })
	require.Greater(t, runs, 3)
	reactortest.EveryCrash(t, clerks(true), func(run *reactortest.Run) { revoke(t, run) })
}

// The reading itself is a point at which others may go, where it is done through the run.
func TestOthersTakeStepsBeforeAHandlerReads(t *testing.T) {
	seen := make(map[int]bool)
	var run *reactortest.Run
	reads := reactor.New("reads", reactor.On(func(ctx context.Context, _ reactor.Event[ordered], _ *reactor.Reactions) error {
		n, err := run.Store().Count(ctx, store.Region{Kinds: []string{billed{}.Kind()}}, 0, 0, 10)
		seen[n] = true
		return err
	}))
	reactortest.EveryOrder(t, func() supervision.Child {
		return supervision.Group{Name: "g", Children: []supervision.Child{reads, reactor.New("bills", reactor.On(bill))}}
	}, func(r *reactortest.Run) {
		run = r
		run.Given(order(1), reserved{}, reserved{})
		run.Settle()
	})
	require.Equal(t, map[int]bool{0: true, 2: true}, seen)
}

// A panic between a handler and its commit takes its neighbour down in the middle of that.
func TestAGroupMayRestartWhileAnotherWorkerIsMidway(t *testing.T) {
	var w *warehouse
	tree := func() supervision.Child {
		panics := once(errDown)
		w = &warehouse{fail: func(string) error {
			if panics("") != nil {
				panic(errDown)
			}
			return nil
		}}
		g := shop(w)
		g.Strategy = supervision.OneForAll
		return g
	}
	reactortest.EveryOrder(t, tree, func(run *reactortest.Run) {
		run.Given(order(1))
		run.Given(reserved{"order:7"})
		run.Settle()
		run.Given(order(2))
		run.Advance(time.Minute)
		require.ElementsMatch(t, []billed{{"order:7"}, {"order:1"}, {"order:2"}}, reactortest.Of[billed](run))
	})
}

func TestALongScenarioIsOrderedInABoundedNumberOfWays(t *testing.T) {
	runs := 0
	reactortest.EveryOrder(t, func() supervision.Child { return shop(&warehouse{}) }, func(run *reactortest.Run) {
		runs++
		for n := range 6 {
			run.Given(order(n), order(n))
			run.Step("stock")
		}
		run.Settle()
	})
	require.LessOrEqual(t, runs, 1000)
}
