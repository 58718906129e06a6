package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// What can have no effect is not what was meant.
func TestADefinitionSaysNothingWithoutEffect(t *testing.T) {
	w := newWorld()
	starts := saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order })
	reserve := func() *saga.Action[order, string] { return saga.Do("reserve", w.action("reserve"), w.back("reserve")) }
	timer := saga.OnTimer("late", func(context.Context, saga.Fired, *saga.Tx[order]) error { return nil })
	for text, s := range map[string]*saga.Saga[order]{
		`timer late can be set by no handler of this list of steps`: saga.Steps("checkout", starts, reserve(), timer),
		`it has no handler: Starts is for Steps, and Start for New`: saga.New("checkout", starts, reserve()),
		`step reserve has an undo, and stands behind the pivot`:     saga.Steps("checkout", starts, saga.Pivot[order](), reserve()),
		`step reserve has UndoAttempts, and no undo`: saga.Steps("checkout", starts,
			saga.Do[order, string]("reserve", w.action("reserve"), nil).UndoAttempts(3)),
		`Starts of order.placed has a nil function`: saga.Steps("checkout", saga.Starts[order](byOrder, nil), reserve()),
	} {
		_, err := s.Actions()
		require.ErrorIs(t, err, saga.ErrDefinition)
		require.ErrorContains(t, err, text)
	}
}

// Two definitions of one version are an error wherever the saga is used.
func TestFormerVersionsHaveTheirOwnNumbers(t *testing.T) {
	w := newWorld()
	s := w.checkout().With(w.checkout())
	_, actions := s.Actions()
	_, picture := s.Picture()
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	_, start := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	for _, err := range []error{actions, picture, start} {
		require.ErrorIs(t, err, saga.ErrDefinition)
		require.ErrorContains(t, err, "With has two definitions of version 1: each needs its own Saga.Version")
	}
}

// A key that cannot be is the same at each attempt.
func TestAnEventWithAnImpossibleKeyIsParkedAtOnce(t *testing.T) {
	s := newWorld().checkout()
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("")))
	run.Settle()
	parked := run.Parked("checkout")
	require.Len(t, parked, 1)
	require.Contains(t, parked[0].Error, `(order.placed): saga: invalid key: ""`)
}

// An instance that has ended is drawn by the definition that it ended by.
func TestAnInstanceIsDrawnByItsOwnVersion(t *testing.T) {
	w := newWorld()
	first := saga.Steps("checkout",
		saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }), saga.Do("reserve", w.action("reserve"), nil))
	second := saga.Steps("checkout",
		saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }), saga.Do("reserve", w.action("reserve"), nil),
		saga.Do("insure", w.action("insure"), nil))
	second.Version = 2
	run := reactortest.Start(t, first)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	run.Advance(time.Second)
	for _, s := range []*saga.Saga[order]{second, second.With(first)} {
		one, err := s.In(run.Store()).Picture("42")
		require.NoError(t, err)
		var text strings.Builder
		require.NoError(t, one.Text(&text))
		require.Equal(t, "(order.placed)\n└─ reserve  done\n   └─ completed\n", text.String())
	}
}
