package cursor_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// world is a store and one worker in it, to which everything happens at random.
type world struct {
	t      *rapid.T
	dir    string
	st     *store.Store
	worker cursor.Worker
	runner *cursor.Runner
	older  []*cursor.Runner // fenced ones that do not know it yet
	closed bool             // the store was closed by a handler
	calm   bool
}

func (w *world) open() {
	st, err := store.Open(w.dir, store.Options{Sync: store.SyncNever})
	require.NoError(w.t, err)
	w.st, w.older, w.closed = st, nil, false
	w.acquire()
}

func (w *world) acquire() {
	if w.runner != nil {
		w.older = append(w.older, w.runner)
	}
	w.runner = trusting(w.t, w.st, w.worker) // nothing in here kills the process, and an event may be in flight more often than one that does
}

func (w *world) crash() {
	require.NoError(w.t, w.st.Close())
	w.runner = nil
	w.open()
}

// handle reacts to each event and comes to grief in one of many ways.
func (w *world) handle(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	fate := "fine"
	if !w.calm {
		fate = rapid.SampledFrom([]string{
			"fine", "fine", "error", "named", "panic", "panic at", "rollback", "stop", "invalid", "conflict", "overtaken", "closed", "cancelled",
		}).Draw(w.t, "fate")
	}
	at := rapid.IntRange(0, len(b.Events)-1).Draw(w.t, "at")
	for i := range b.Events {
		if i == at && (fate == "panic at" || fate == "named" || fate == "cancelled") {
			break
		}
		if fate == "panic at" {
			b.Begin(i)
		}
		react(b, i)
	}
	switch fate {
	case "error":
		return cursor.Continue, errBroken
	case "named":
		return cursor.Continue, cursor.FailedAt(at, errBroken)
	case "panic":
		panic(errBroken)
	case "panic at":
		b.Begin(at)
		panic(errBroken)
	case "rollback":
		return cursor.StopWithRollback, nil
	case "stop":
		return cursor.Stop, nil
	case "invalid":
		b.React(at, store.At("", ""), placed{})
	case "conflict":
		b.Propose(at, store.Proposal{At: store.At("noise", "shop"), Payload: placed{}, Expect: store.Exactly(1 << 40)})
	case "overtaken":
		if !w.closed { // by the batch before, where this one is handled ahead
			w.acquire()
		}
	case "closed":
		require.NoError(w.t, w.st.Close())
		w.closed = true
	case "cancelled":
		ctx.Value(cancelKey{}).(context.CancelFunc)()
		return cursor.Continue, ctx.Err()
	}
	return cursor.Continue, nil
}

type cancelKey struct{}

func (w *world) step(r *cursor.Runner) error {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	ctx = context.WithValue(ctx, cancelKey{}, cancel)
	before := r.Progress().Position
	limit := rapid.IntRange(0, 5).Draw(w.t, "limit")
	out, err := r.Step(ctx, store.Position(rapid.IntRange(0, 50).Draw(w.t, "up to")), limit)
	if r.Progress().Position < before {
		w.t.Fatalf("position went back from %d to %d", before, r.Progress().Position)
	}
	if out.Committed > out.Handled {
		w.t.Fatalf("committed %d of %d", out.Committed, out.Handled)
	}
	return err
}

// ahead is a step that handles a batch, and another one before or after the first is written.
func (w *world) ahead(r *cursor.Runner) error {
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	ctx = context.WithValue(ctx, cancelKey{}, cancel)
	take := func() (*cursor.Task, error) {
		if _, err := r.Fill(ctx, 0); err != nil {
			return nil, err
		}
		t, err := r.Next(ctx, 0)
		if t != nil {
			t.Run(ctx)
		}
		return t, err
	}
	first, err := take()
	if first == nil {
		return err
	}
	r.Finish(first)
	s := r.Submit(true)
	if s == nil {
		_, err = r.Commit(ctx)
		return err
	}
	early := rapid.Bool().Draw(w.t, "early")
	if early {
		_ = send(s)
	}
	second, err := take()
	if !early {
		_ = send(s)
	}
	_, refused := r.Answered(s)
	switch {
	case second != nil && refused != nil:
		r.Drop(second)
	case second != nil:
		r.Finish(second)
	}
	_, later := r.Commit(ctx)
	return errors.Join(err, refused, later)
}

func TestWhateverHappensEveryEventsReactionIsInTheLogOnceAndInOrder(t *testing.T) {
	base, runs := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		dir := filepath.Join(base, strconv.Itoa(runs))
		defer func() { require.NoError(t, os.RemoveAll(dir)) }()
		w := &world{t: t, dir: dir}
		w.worker = cursor.Worker{
			Name: "reserve", Region: orders, Kinds: []string{"order.placed"}, BatchSize: rapid.IntRange(1, 8).Draw(t, "batch size"),
		}
		w.worker.Handle = w.handle
		w.open()
		defer func() { _ = w.st.Close() }()

		for range rapid.IntRange(1, 25).Draw(t, "turns") {
			switch rapid.SampledFrom([]string{"append", "step", "step", "ahead", "ahead", "crash", "acquire", "older", "flush"}).Draw(t, "turn") {
			case "append":
				fill(t, w.st, rapid.IntRange(1, 6).Draw(t, "events"), rapid.IntRange(0, 2).Draw(t, "noise"))
				_, err := w.st.Append(t.Context(), store.At("order:1", "shop"), store.Any, cancelled{})
				require.NoError(t, err)
			case "step":
				if err := w.step(w.runner); errors.Is(err, store.ErrClosed) {
					w.crash()
				}
			case "ahead":
				if err := w.ahead(w.runner); errors.Is(err, store.ErrClosed) {
					w.crash()
				}
			case "crash":
				w.crash()
			case "acquire":
				w.acquire()
			case "older":
				for _, r := range w.older {
					if err := w.step(r); errors.Is(err, store.ErrClosed) {
						w.crash()
						break
					}
				}
			case "flush":
				if err := w.runner.Flush(t.Context()); err != nil {
					require.ErrorIs(t, err, checkpoint.ErrFenced)
				}
			}
		}

		w.calm = true
		w.acquire()
		drain(t, w.runner)
		drain(t, w.runner) // over its own reactions
		var want []store.Position
		for _, p := range matching(t, w.st, orders) {
			e, err := w.st.GetAt(t.Context(), p)
			require.NoError(t, err)
			if e.Kind == "order.placed" {
				want = append(want, p)
			}
		}
		require.Equal(t, want, reactions(t, w.st))
		require.NoError(t, w.runner.Flush(t.Context()))
		require.Equal(t, w.st.Head(), record(t, w.st, "reserve").Scanned)
	})
}
