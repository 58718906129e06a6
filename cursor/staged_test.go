package cursor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// What a handler stages is written while the same handler is at the next batch.
func TestAHandlerMayUseTheMemoryOfWhatItHasStagedAgain(t *testing.T) {
	st := open(t)
	fill(t, st, 4, 0)
	data, headers, meta := []byte(`{"n":0}`), map[string]string{}, map[string]string{}
	r := runner(t, st, cursor.Worker{Region: orders, BatchSize: 2, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		data[5]++
		headers["n"], meta["n"] = string(data), string(data)
		b.Propose(0, store.Proposal{
			At: store.At("stock:1", "shop"), Payload: store.Raw{Type: "stock.reserved", Data: data}, Headers: headers, Meta: meta,
		})
		return cursor.Continue, nil
	}})
	s := submitted(t, r)
	require.NotNil(t, handled(t, r))
	require.NoError(t, send(s))
	e, err := st.GetAt(t.Context(), st.Head())
	require.NoError(t, err)
	require.JSONEq(t, `{"n":1}`, string(e.Payload))
	require.Equal(t, `{"n":1}`, e.Headers()["n"])
	require.Equal(t, `{"n":1}`, e.Meta()["n"])
}
