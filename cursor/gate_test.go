package cursor_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

var errSoldOut = errors.New("sold out")

// The reaction to event 4 of 5 is denied: the others are committed, and the handler has failed
// there.
func TestAReactionThatAGateDeniesIsAFailureOfTheHandlerAtItsEvent(t *testing.T) {
	gate := store.Gate{Name: "stock", Region: store.Region{Entity: "stock"}, Judge: func(_ context.Context, c *store.Case) error {
		var r reserved
		if err := c.Proposal.Decode(&r); err != nil {
			return err
		}
		if r.For == 4 {
			return errSoldOut
		}
		return nil
	}}
	st, err := storetest.Open(store.Options{Gates: []store.Gate{gate}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = st.Close() })
	fill(t, st, 5, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: reactAll})
	out, err := r.Step(t.Context(), 5, 0)
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, store.ErrDenied)
	require.ErrorIs(t, err, errSoldOut)
	require.Equal(t, store.Position(4), failed.Event)
	require.Equal(t, cursor.Outcome{Handled: 5, Committed: 3}, out)
	require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st))
	require.Equal(t, store.Position(3), record(t, st, "reserve").Scanned)
}
