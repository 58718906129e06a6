package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

type Placed struct{ Order, SKU string }

func (Placed) Kind() string { return "order.placed" }

func (Placed) SchemaVersion() uint16 { return 2 }

type Reserved struct{ Order string }

func (Reserved) Kind() string { return "stock.reserved" }

// Forgetful has a field that JSON does not carry.
type Forgetful struct {
	Kept string
	lost string
}

func (Forgetful) Kind() string { return "forgetful" }

var errUnknown = errors.New("unknown SKU")

type Stock struct{ unknown string }

func (s *Stock) placed(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
	if e.Body.SKU == s.unknown {
		return errUnknown
	}
	out.Append(store.At("stock:"+e.Body.SKU, "shop"), Reserved{Order: e.Body.Order})
	return nil
}

func TestPlacedReservesStock(t *testing.T) {
	stock := &Stock{}
	got := reactortest.React(t, reactor.New("r", reactor.On(stock.placed)), Placed{"42", "lamp"}, Placed{"43", "desk"})
	require.Equal(t, []reactor.Reaction{
		{At: store.At("stock:lamp", "shop"), Payload: Reserved{Order: "42"}},
		{At: store.At("stock:desk", "shop"), Payload: Reserved{Order: "43"}},
	}, got)
}

// collect returns a reactor that appends the events it handles to seen.
func collect[T store.Payload](seen *[]reactor.Event[T]) *reactor.Reactor {
	return reactor.New("r", reactor.On(func(_ context.Context, e reactor.Event[T], _ *reactor.Reactions) error {
		*seen = append(*seen, e)
		return nil
	}))
}

func TestEventsAreTheSameInEveryRun(t *testing.T) {
	var seen []reactor.Event[Placed]
	r := collect(&seen)
	for range 2 {
		reactortest.React(t, r, Placed{}, Placed{})
	}
	require.Len(t, seen, 4)
	require.Equal(t, seen[:2], seen[2:])
	for i, e := range seen[:2] {
		n := uint64(i + 1)
		require.Equal(t, store.Position(n), e.Position)
		require.Equal(t, n, e.Version)
		require.Equal(t, fmt.Sprintf("00000000-%04x-7000-8000-%012x", n, n), e.ID.String())
		require.Equal(t, e.ID, e.Correlation)
		require.Equal(t, time.UnixMilli(int64(n)).UTC(), e.Time.Time())
		require.Equal(t, uint16(2), e.SchemaVersion)
	}
}

func TestPayloadsAreEncodedAndDecodedOnTheirWay(t *testing.T) {
	var seen []reactor.Event[Forgetful]
	reactortest.React(t, collect(&seen), Forgetful{Kept: "k", lost: "l"})
	require.Equal(t, Forgetful{Kept: "k"}, seen[0].Body)
}

func TestEventsLieInTheRegionUnlessACoordinateIsGiven(t *testing.T) {
	var seen []reactor.Event[Placed]
	r := collect(&seen)
	reactortest.React(t, r, Placed{})
	r.Region = store.Region{Entity: "order", Scope: "shop"}
	reactortest.React(t, r, Placed{}, reactortest.At(store.At("order:42", "shop"), Placed{}))
	require.Equal(t, store.At("entity", "test"), seen[0].Coordinate)
	require.Equal(t, store.At("order", "shop"), seen[1].Coordinate)
	require.Equal(t, store.At("order:42", "shop"), seen[2].Coordinate)
	require.Equal(t, uint64(1), seen[2].Version, "another entity counts for itself")
}

func TestAFailureIsReturnedWithTheReactionsBeforeIt(t *testing.T) {
	stock := &Stock{unknown: "desk"}
	got, err := reactortest.ReactErr(t, reactor.New("r", reactor.On(stock.placed)), Placed{"42", "lamp"}, Placed{"43", "desk"})
	require.ErrorIs(t, err, errUnknown)
	require.ErrorContains(t, err, "event 2")
	require.Len(t, got, 1)
}

func TestAnInvalidReactorIsAnErrorEvenWithoutAPayload(t *testing.T) {
	_, err := reactortest.ReactErr(t, reactor.New("r"))
	require.ErrorIs(t, err, reactor.ErrDefinition)
	require.ErrorContains(t, err, "no routes")
}

func TestAPayloadThatTheReactorDoesNotReadIsAnError(t *testing.T) {
	var seen []reactor.Event[Placed]
	r := collect(&seen)
	r.Region.Scope = "shop"
	for _, p := range []store.Payload{Reserved{}, reactortest.At(store.At("order:42", "elsewhere"), Placed{})} {
		_, err := reactortest.ReactErr(t, r, p)
		require.ErrorIs(t, err, reactor.ErrUnseen)
	}
	_, err := reactortest.ReactErr(t, r, nil)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.Empty(t, seen)
}

// recorder is a test that records its failure in place of failing.
type recorder struct {
	testing.TB
	failure string
}

func (r *recorder) Fatalf(format string, args ...any) { r.failure = fmt.Sprintf(format, args...) }

func TestAnErrorFailsTheTest(t *testing.T) {
	stock := &Stock{unknown: "desk"}
	rec := &recorder{TB: t}
	reactortest.React(rec, reactor.New("r", reactor.On(stock.placed)), Placed{"43", "desk"})
	require.Contains(t, rec.failure, errUnknown.Error())
}
