package reactortest_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// begun is the first event of a worker: what comes after it is counted.
type begun struct{}

func (begun) Kind() string { return "begun" }

// begins emits one event when it opens for the first time, and keeps what number each event has.
func begins(lanes int) cursor.Worker {
	return cursor.Worker{
		Name: "begins", Stateful: true, Lanes: lanes,
		Open: func(_ context.Context, o *cursor.Opening) error {
			if _, found, err := o.Side("begun"); found || err != nil {
				return err
			}
			if err := o.Put("begun", []byte("1")); err != nil {
				return err
			}
			return o.Propose(store.Proposal{At: store.At("a", "test"), Payload: begun{}})
		},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				key := "of " + e.Coordinate.Entity
				value, _, err := b.Side(i, key)
				if err != nil {
					return cursor.Continue, cursor.FailedAt(i, err)
				}
				n, _ := strconv.Atoi(string(value))
				if err := b.Put(i, key, []byte(strconv.Itoa(n+1))); err != nil {
					return cursor.Continue, cursor.FailedAt(i, err)
				}
			}
			return cursor.Continue, nil
		},
	}
}

func TestACrashOpensAWorkerWhollyOrNotAtAll(t *testing.T) {
	for _, lanes := range []int{1, 3} {
		reactortest.EveryCrash(t, func() supervision.Child { return begins(lanes) }, func(run *reactortest.Run) {
			run.Given(reactortest.At(store.At("a", "test"), bell{}), reactortest.At(store.At("b", "test"), bell{}))
			run.Settle()
			run.Given(reactortest.At(store.At("b", "test"), bell{}))
			run.Settle()
			require.Len(t, reactortest.Of[begun](run), 1)
		})
	}
}
