package actors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var (
	errBroken = errors.New("broken")
	inputs    = store.Region{Entity: "in"}
	elsewhere = store.At("noise", "test")
)

// reacted is the reaction of a worker to the event at a position.
type reacted struct{ For store.Position }

func (reacted) Kind() string { return "out.reacted" }

func input(i int) store.Proposal {
	return store.Proposal{At: store.At(fmt.Sprintf("in:%d", i%7), "test"), Payload: store.Raw{Type: "in.made", Data: []byte("1")}}
}

func noise(size int) store.Proposal {
	return store.Proposal{At: elsewhere, Payload: store.Raw{Type: "noise", Data: make([]byte, size)}}
}

// appendAll commits the proposals in one batch, so that a worker that finds them finds them all.
func appendAll(tb testing.TB, st *store.Store, proposals ...store.Proposal) store.Receipt {
	tb.Helper()
	r, err := st.Commit(tb.Context(), store.Batch{Events: proposals})
	require.NoError(tb, err)
	return r
}

func appendInputs(tb testing.TB, st *store.Store, n int) store.Receipt {
	tb.Helper()
	var batch []store.Proposal
	for i := range n {
		batch = append(batch, input(i))
	}
	return appendAll(tb, st, batch...)
}

// receiptOf makes a receipt of the event at a position: with that of the head everything is waited
// for.
func receiptOf(tb testing.TB, st *store.Store, p store.Position) store.Receipt {
	tb.Helper()
	at, err := st.AnchorAt(tb.Context(), p)
	require.NoError(tb, err)
	return store.Receipt{Origin: st.Origin(), Events: []store.Recorded{{ID: at.Event, Position: at.Position}}}
}

func memory(tb testing.TB, o store.Options) *store.Store {
	tb.Helper()
	st, err := storetest.Open(o)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, st.Close()) })
	return st
}

func tree(children ...supervision.Child) supervision.Group {
	return supervision.Group{Name: "test", Children: children}
}

// start runs workers until the end of the test.
func start(tb testing.TB, st *store.Store, children ...supervision.Child) *actors.System {
	tb.Helper()
	return startWith(tb, st, actors.Options{}, children...)
}

func startWith(tb testing.TB, st *store.Store, o actors.Options, children ...supervision.Child) *actors.System {
	tb.Helper()
	sys, err := actors.Start(tb.Context(), st, o, tree(children...))
	require.NoError(tb, err)
	tb.Cleanup(func() { sys.Stop(context.WithoutCancel(tb.Context())) })
	return sys
}

// react stages a reaction of the worker to Events[i].
func react(worker string, b *cursor.Batch, i int) {
	b.React(i, store.At("out:"+worker, "test"), reacted{For: b.Events[i].Position})
}

func reactAll(worker string, b *cursor.Batch) {
	for i := range b.Events {
		react(worker, b, i)
	}
}

// reacting is a worker that reacts once to each input.
func reacting(name string) cursor.Worker {
	return handling(name, func(context.Context, *cursor.Batch) error { return nil })
}

// handling is a worker that reacts once to each input and calls h for each batch.
func handling(name string, h func(context.Context, *cursor.Batch) error) cursor.Worker {
	return cursor.Worker{Name: name, Region: inputs, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		reactAll(name, b)
		return cursor.Continue, h(ctx, b)
	}}
}

// positions returns the positions of the events of a region, reading the store directly.
func positions(tb testing.TB, st *store.Store, r store.Region) []store.Position {
	tb.Helper()
	list := []store.Position{}
	for e, err := range st.Read(tb.Context(), r, store.Beginning()) {
		require.NoError(tb, err)
		list = append(list, e.Position)
	}
	return list
}

// reactions returns the positions that a worker has reacted to, in the order of the log.
func reactions(tb testing.TB, st *store.Store, worker string) []store.Position {
	tb.Helper()
	list := []store.Position{}
	for e, err := range st.Read(tb.Context(), store.Region{Entity: "out:" + worker}, store.Beginning()) {
		require.NoError(tb, err)
		var body reacted
		require.NoError(tb, json.Unmarshal(e.Payload, &body))
		list = append(list, body.For)
	}
	return list
}

// requireExactlyOnce requires one reaction of the worker to each input, in order.
func requireExactlyOnce(tb testing.TB, st *store.Store, worker string) {
	tb.Helper()
	require.Equal(tb, positions(tb, st, inputs), reactions(tb, st, worker), "reactions of %s", worker)
}

func statusOf(tb testing.TB, sys *actors.System, worker string) actors.WorkerStatus {
	tb.Helper()
	for _, w := range sys.Status().Workers {
		if w.Name == worker {
			return w
		}
	}
	tb.Fatalf("no worker %q", worker)
	return actors.WorkerStatus{}
}

func record(tb testing.TB, st *store.Store, worker string) checkpoint.Info {
	tb.Helper()
	info, err := checkpoint.Inspect(st, checkpoint.ID(worker))
	require.NoError(tb, err)
	return info
}

// steady has delays that do not vary: a jitter of 1 ns is as good as none.
func steady(attempts int, delay time.Duration) supervision.Policy {
	return supervision.Policy{
		Exhausted: supervision.ActionHalt,
		Attempts:  attempts,
		Backoff:   supervision.Backoff{Initial: delay, Max: delay, Jitter: 1e-12},
	}
}

// apply changes the checkpoint of a worker.
func apply(ctx context.Context, sys *actors.System, worker string, c checkpoint.Change) error {
	_, err := sys.Apply(ctx, worker, c, checkpoint.Request{})
	return err
}
