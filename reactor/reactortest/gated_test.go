package reactortest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// oneOfEach is a gate that lets each article be reserved once.
func oneOfEach(_ context.Context, c *store.Case) error {
	article := store.Region{Entity: c.Proposal.At.Entity}
	c.Require(article)
	for _, err := range c.Read(article) {
		if err != nil {
			return err
		}
		return errors.New("sold out")
	}
	return nil
}

func TestAReactionThatAGateDeniesFailsItsEventInARun(t *testing.T) {
	gates := []store.Gate{{Name: "one of each", Region: store.Region{Entity: "stock"}, Judge: oneOfEach}}
	for name, wrap := range map[string]func(supervision.Child) supervision.Child{
		"tree": func(tree supervision.Child) supervision.Child { return tree },
		"program": func(tree supervision.Child) supervision.Child {
			return reactortest.Program(func(*store.Store) supervision.Child { return tree })
		},
	} {
		t.Run(name, func(t *testing.T) {
			stock := reactor.New("stock", reactor.On((&warehouse{}).reserve))
			stock.Policy.Attempts = 1
			run := reactortest.Start(t, reactortest.Gated{Gates: gates, Tree: wrap(stock)})
			for _, order := range []string{"order:1", "order:2"} {
				run.Given(reactortest.At(store.At(order, "shop"), ordered{SKU: "lamp"}))
			}
			run.Crash(1) // the store is opened with them each time
			run.Settle()
			run.Then(reactortest.At(store.At("stock:lamp", "shop"), reserved{Order: "order:1"}))
			parked := run.Parked("stock")
			require.Len(t, parked, 1)
			require.Contains(t, parked[0].Error, "sold out")
		})
	}
}

func TestReactShowsTheReasonForABypass(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[ordered], out *reactor.Reactions) error {
		out.Propose(store.Proposal{At: store.At("stock:lamp", "shop"), Payload: reserved{Order: "1"}, Bypass: "counted by hand"})
		return nil
	}))
	require.Equal(t, []reactor.Reaction{{
		At: store.At("stock:lamp", "shop"), Payload: reserved{Order: "1"}, Bypass: "counted by hand",
	}}, reactortest.React(t, r, ordered{SKU: "lamp"}))
}
