package cursor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var (
	orders = store.Region{Entity: "order"}
	stocks = store.Region{Entity: "stock"}
)

type placed struct{ N int }

func (placed) Kind() string { return "order.placed" }

type cancelled struct{ N int }

func (cancelled) Kind() string { return "order.cancelled" }

// reserved is the reaction to the event at a position.
type reserved struct{ For store.Position }

func (reserved) Kind() string { return "stock.reserved" }

// oversized is a payload that no store takes.
func oversized() store.Payload {
	return store.Raw{Type: "stock.reserved", Data: make([]byte, store.MaxPayloadBytes+1)}
}

// tb is what helpers need of a *testing.T or a *rapid.T.
type tb interface {
	require.TestingT
	Helper()
	Context() context.Context
}

func open(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// fill appends n orders, each followed by noise events that no test region matches.
func fill(t tb, st *store.Store, n, noise int) {
	t.Helper()
	for i := range n {
		b := store.Batch{Events: []store.Proposal{{At: store.At(fmt.Sprintf("order:%d", i%5), "shop"), Payload: placed{N: i}}}}
		for range noise {
			b.Events = append(b.Events, store.Proposal{At: store.At("noise", "shop"), Payload: store.Raw{Type: "noise", Data: []byte("1")}})
		}
		_, err := st.Commit(t.Context(), b)
		require.NoError(t, err)
	}
}

func at(events []store.Event) []store.Position {
	var list []store.Position
	for _, e := range events {
		list = append(list, e.Position)
	}
	return list
}

// matching gives the positions of the region by reading the store directly.
func matching(t tb, st *store.Store, r store.Region) []store.Position {
	t.Helper()
	var list []store.Position
	for e, err := range st.Read(t.Context(), r, store.Beginning()) {
		require.NoError(t, err)
		list = append(list, e.Position)
	}
	return list
}

// reactions gives the positions that the stock events in the log react to, in the order of the log.
func reactions(t tb, st *store.Store) []store.Position {
	t.Helper()
	var list []store.Position
	for e, err := range st.Read(t.Context(), stocks, store.Beginning()) {
		require.NoError(t, err)
		var body reserved
		require.NoError(t, json.Unmarshal(e.Payload, &body))
		list = append(list, body.For)
	}
	return list
}

// react stages one reaction to Events[i].
func react(b *cursor.Batch, i int) {
	b.React(i, store.At("stock:lamp", "shop"), reserved{For: b.Events[i].Position})
}

// reactAll is a handler that reacts once to each event.
func reactAll(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i := range b.Events {
		b.Begin(i)
		react(b, i)
	}
	return cursor.Continue, nil
}

func runner(t tb, st *store.Store, w cursor.Worker) *cursor.Runner {
	t.Helper()
	if w.Name == "" {
		w.Name = "reserve"
	}
	r, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	return r
}

// trusting is a runner in a process that saw the end of the one before, so it does not look for
// what killed that.
func trusting(t tb, st *store.Store, w cursor.Worker) *cursor.Runner {
	t.Helper()
	if w.Name == "" {
		w.Name = "reserve"
	}
	r, err := cursor.RestartRunner(t.Context(), st, &w, cursor.Former{Seen: true})
	require.NoError(t, err)
	return r
}

// again, toPark and toSkip are the verdicts that a runner carries out.
var again = supervision.Verdict{Action: supervision.ActionRetry}

func toPark(reason error, attempts int) supervision.Verdict {
	return supervision.Verdict{Action: supervision.ActionPark, Reason: reason, Attempt: attempts}
}

func toSkip(reason error, attempts int) supervision.Verdict {
	return supervision.Verdict{Action: supervision.ActionSkip, Reason: reason, Attempt: attempts}
}

// drain steps until caught up.
func drain(t tb, r *cursor.Runner) {
	t.Helper()
	for {
		out, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		if out.CaughtUp {
			return
		}
	}
}

func record(t tb, st *store.Store, id checkpoint.ID) checkpoint.Record {
	t.Helper()
	info, err := checkpoint.Inspect(st, id)
	require.NoError(t, err)
	return info.Record
}

// apply changes the checkpoint of a worker that runs.
func apply(ctx context.Context, r cursor.Operator, c checkpoint.Change) error {
	_, err := r.Apply(ctx, c, checkpoint.Request{})
	return err
}

// discard drops one parked event; 0 is none.
func discard(ctx context.Context, of cursor.Operator, event store.Position) error {
	if event == 0 {
		return cursor.ErrNotParked
	}
	_, err := of.Discard(ctx, cursor.ParkedFilter{Position: event}, checkpoint.Request{})
	return err
}

// applyCold changes a checkpoint without its worker.
func applyCold(ctx context.Context, st *store.Store, id checkpoint.ID, c checkpoint.Change) error {
	_, err := checkpoint.Apply(ctx, st, id, c, checkpoint.Request{})
	return err
}
