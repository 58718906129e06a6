package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func TestAHandlerMayUseUpTheListOfItsEvents(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	for range 3 {
		_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, placed{})
		require.NoError(t, err)
	}
	r, err := cursor.NewRunner(t.Context(), st, cursor.Worker{Name: "w", Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for ; len(b.Events) > 0; b.Events = b.Events[1:] {
		}
		b.React(0, store.At("stock:1", "shop"), reserved{})
		return cursor.Continue, nil
	}, Region: orders})
	require.NoError(t, err)
	out, err := r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, 3, out.Committed)
	require.Equal(t, store.Position(3), r.Progress().Delivered)
}
