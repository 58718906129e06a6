package saga_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// looked is a state that counts how often it is read.
type looked struct{ ID string }

var looks atomic.Int64

func (*looked) UnmarshalJSON([]byte) error {
	looks.Add(1)
	return nil
}

func (l looked) MarshalJSON() ([]byte, error) { return []byte(`{}`), nil }

// Each commit wakes all who wait. They read the instance only when it has changed.
func TestWhoWaitsForAnInstanceReadsItOnlyWhenItHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := saga.New("watched",
			saga.Start(byOrder, func(context.Context, reactor.Event[orderPlaced], *saga.Tx[looked]) error { return nil }),
			saga.On(func(e orderCancelled) string { return e.Order },
				func(_ context.Context, _ reactor.Event[orderCancelled], tx *saga.Tx[looked]) error {
					tx.Complete()
					return nil
				}),
		)
		run := reactortest.Start(t, s)
		ended := make(chan saga.Instance[looked], 1)
		go func() {
			o, err := s.In(run.Store()).Wait(t.Context(), "42")
			if err != nil {
				t.Error(err)
			}
			ended <- o
		}()
		synctest.Wait()
		run.Given(reactortest.At(at("42"), placed("42")))
		run.Settle()
		other := func() {
			run.Given(reactortest.At(store.At("order:43", "shop"), placed("43")))
			synctest.Wait()
		}
		other() // the start of an instance alone wakes none
		before := looks.Load()
		require.Positive(t, before)
		for range 10 {
			other()
		}
		require.Equal(t, before, looks.Load())
		run.Given(reactortest.At(at("42"), orderCancelled{Order: "42"}))
		run.Settle()
		require.Equal(t, saga.Completed, (<-ended).Life)
	})
}
