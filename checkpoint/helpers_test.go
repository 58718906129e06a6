package checkpoint_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

var (
	orders = store.Region{Entity: "order", Scope: "shop"}
	bound  = checkpoint.Binding{Region: orders}
)

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// fill appends n events.
func fill(t *testing.T, st *store.Store, n int) {
	t.Helper()
	for i := range n {
		_, err := st.Append(t.Context(), store.At("order:"+strconv.Itoa(i%3), "shop"), store.Any, placed())
		require.NoError(t, err)
	}
}

func placed() store.Payload { return store.Raw{Type: "order.placed", Data: []byte("{}")} }

func acquire(t *testing.T, st *store.Store, id checkpoint.ID, b checkpoint.Binding) *checkpoint.Lease {
	t.Helper()
	l, err := checkpoint.Acquire(t.Context(), st, id, b)
	require.NoError(t, err)
	return l
}

// move commits the checkpoint at p.
func move(t *testing.T, st *store.Store, l *checkpoint.Lease, p store.Position) error {
	t.Helper()
	var b store.Batch
	l.Stage(&b, checkpoint.Move{Scanned: p, Delivered: p, Clean: true})
	return l.Committed(st.Commit(t.Context(), b))
}

func inspect(t *testing.T, st *store.Store, id checkpoint.ID) checkpoint.Info {
	t.Helper()
	info, err := checkpoint.Inspect(st, id)
	require.NoError(t, err)
	return info
}

// requireState requires an error to be a state of a checkpoint, said in these words.
func requireState(t *testing.T, err, state error, text string) {
	t.Helper()
	require.ErrorIs(t, err, state)
	require.EqualError(t, err, text)
}

// requireInvalid requires an error to name this field, rule, limit and value.
func requireInvalid(t *testing.T, want store.InvalidError, err error) {
	t.Helper()
	var invalid *store.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, want, *invalid)
	require.ErrorIs(t, err, store.ErrInvalid)
}

// apply makes a change without reason and author.
func apply(ctx context.Context, st *store.Store, id checkpoint.ID, c checkpoint.Change) error {
	_, err := checkpoint.Apply(ctx, st, id, c, checkpoint.Request{})
	return err
}

// plant writes raw bytes where the checkpoint is kept.
func plant(t *testing.T, st *store.Store, id checkpoint.ID, value []byte) {
	t.Helper()
	_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: "checkpoint/" + string(id), Value: value}}})
	require.NoError(t, err)
}
