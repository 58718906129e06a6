package reactortest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestAWorkerIsAddedToARunAndRemovedFromIt(t *testing.T) {
	w := &warehouse{}
	stock := func() *reactor.Reactor { return reactor.New("stock", reactor.On(w.reserve)) }
	run := reactortest.Start(t, supervision.Group{Name: "shop", Children: []supervision.Child{
		cursor.Worker{Name: "other", Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }},
	}})
	run.Given(order(1))
	require.NoError(t, run.Add("shop", stock()))
	require.ErrorIs(t, run.Add("shop", stock()), supervision.ErrDuplicate)
	run.Settle()
	run.Then(reserved{"order:1"})
	run.Remove("stock")
	run.Given(order(2))
	run.Settle()
	run.Then()
	require.NoError(t, run.Add("shop", stock()))
	run.Settle()
	run.Then(reserved{"order:2"}) // it continues where it was
	run.Crash(1)
	require.NoError(t, run.Add("shop", stock()), "the crash has lost it")
	run.Given(order(3))
	run.Settle()
	run.Then(reserved{"order:3"})
}

func TestAWorkerThatIsAddedToARunIsRefusedOrWaitsAsInASystem(t *testing.T) {
	away := errors.New("connection refused")
	mended := false
	table := cursor.Worker{
		Name:   "table",
		Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) {
			if mended {
				return 0, nil
			}
			return 0, supervision.Wait(away)
		},
	}
	run := reactortest.Start(t, supervision.Group{Name: "g"})
	require.NoError(t, run.Add("g", table))
	require.Equal(t, actors.Retrying, run.Status("table").State)
	require.ErrorIs(t, run.Status("table").Reason, away)
	mended = true
	run.Advance(time.Hour)
	require.Equal(t, actors.Idle, run.Status("table").State)
	run.Remove("table")
	table.Kinds = []string{"order.placed"}
	require.Error(t, run.Add("g", table))
	require.Error(t, run.Add("h", table))
}
