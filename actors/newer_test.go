package actors_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// weighed is at version 2 in the build of today, and weighedOnce what the former one knew.
type weighed struct{ Grams int }

func (weighed) Kind() string          { return "in.weighed" }
func (weighed) SchemaVersion() uint16 { return 2 }

type weighedOnce struct{ Grams int }

func (weighedOnce) Kind() string { return "in.weighed" }

// weighing reacts to each event that it can read. T says of which build it is.
func weighing[T store.Payload](handled *atomic.Int64) *reactor.Reactor {
	r := reactor.New("w", reactor.On(func(_ context.Context, e reactor.Event[T], out *reactor.Reactions) error {
		handled.Add(1)
		out.Append(store.At("out:w", "test"), reacted{For: e.Position})
		return nil
	}))
	r.Types = reactor.NewTypes(reactor.TypeOf[weighedOnce]())
	var zero T
	if _, now := any(zero).(weighed); now {
		same := func(data []byte) ([]byte, error) { return data, nil }
		r.Types = reactor.NewTypes(reactor.TypeOf[weighed](reactor.Upcast(1, same)))
	}
	return r
}

func TestWhatWasTooNewIsNotParkedAnyMoreOnceABuildHasStartedThatReadsIt(t *testing.T) {
	for _, lanes := range []int{0, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			var handled atomic.Int64
			former, present := weighing[weighedOnce](&handled), weighing[weighed](&handled)
			former.Lanes, present.Lanes = lanes, lanes
			at := store.At("scales:1", "test")
			var receipts []store.Receipt
			for _, p := range []store.Payload{weighedOnce{1}, weighed{2}, weighedOnce{3}} {
				receipts = append(receipts, appendAll(t, st, store.Proposal{At: at, Payload: p}))
			}

			sys := start(t, st, former)
			require.NoError(t, sys.WaitApplied(t.Context(), "w", receipts[0]))
			require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipts[1]), actors.ErrParked)
			require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipts[2]), actors.ErrParked)
			var parked *actors.EventError
			require.ErrorAs(t, sys.WaitCaughtUp(t.Context(), "w"), &parked)
			require.Equal(t, receipts[1].Position(), parked.Event)
			require.NoError(t, sys.Stop(t.Context()))
			require.EqualValues(t, 1, handled.Load())

			sys = start(t, st, present)
			for _, receipt := range receipts {
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
			}
			require.NoError(t, sys.WaitCaughtUp(t.Context(), "w"))
			require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st, "w"))
			require.NoError(t, sys.Stop(t.Context()))
		})
	}
}
