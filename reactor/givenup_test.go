package reactor_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type Refund struct{ Order string }

func (Refund) Kind() string { return "order.refund" }

type Refunded struct{ Order string }

func (Refunded) Kind() string { return "order.refunded" }

// A kind without such a route is parked or skipped as in any reactor, and so is what a route leaves
// to that.
func TestWhatHasNoRouteForItIsParkedOrSkippedAsEver(t *testing.T) {
	for name, c := range map[string]struct {
		exhausted supervision.Action
		err       error
		parked    int
	}{
		"used up and parked":  {supervision.ActionPark, errors.New("bad"), 2},
		"used up and skipped": {supervision.ActionSkip, errors.New("bad"), 0},
		"parked":              {supervision.ActionSkip, reactor.Park(errors.New("bad")), 2},
		"skipped":             {supervision.ActionPark, reactor.Skip(errors.New("bad")), 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := reactor.New("refunds",
				reactor.On(func(context.Context, reactor.Event[Refund], *reactor.Reactions) error { return c.err }),
				reactor.On(func(context.Context, reactor.Event[Refunded], *reactor.Reactions) error { return c.err }),
				reactor.OnGivenUp(func(_ context.Context, _ reactor.Event[Refund], why reactor.Failure, _ *reactor.Reactions) error {
					require.ErrorContains(t, why.Err, "bad")
					return why.Err
				}))
			r.Policy = supervision.Policy{Attempts: 2, Exhausted: c.exhausted, Outage: supervision.OutagePolicy{Off: true}}
			run := reactortest.Start(t, r)
			run.Given(reactortest.At(store.At("order:1", "shop"), Refund{"1"}), reactortest.At(store.At("order:2", "shop"), Refunded{"2"}))
			run.Advance(time.Hour)
			require.Len(t, run.Parked("refunds"), c.parked)
			for _, p := range run.Parked("refunds") {
				require.NotContains(t, p.Error, "given up")
			}
			require.Zero(t, run.Status("refunds").Lag)
		})
	}
}
