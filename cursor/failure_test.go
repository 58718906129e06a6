package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errBroken = errors.New("broken")

// stepWith lets a worker handle five events with h and gives what came of it.
func stepWith(t *testing.T, ctx context.Context, h cursor.Handler, limit int) (*store.Store, *cursor.Runner, cursor.Outcome, error) {
	t.Helper()
	st := open(t)
	fill(t, st, 5, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: h})
	out, err := r.Step(ctx, 5, limit)
	return st, r, out, err
}

// failAt handles what is before Events[i] and fails there.
func failAt(i int, fail func() error) cursor.Handler {
	return func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for k := range b.Events {
			b.Begin(k)
			react(b, k)
			if k == i {
				return cursor.Stop, fail()
			}
		}
		return cursor.Continue, nil
	}
}

func TestWhatWasHandledBeforeTheFailureIsCommitted(t *testing.T) {
	type row struct {
		handler   cursor.Handler
		limit     int
		event     store.Position
		committed int
		panicked  bool
	}
	for name, c := range map[string]row{
		"named error": {
			handler: failAt(2, func() error { return fmt.Errorf("wrapped: %w", cursor.FailedAt(2, errBroken)) }),
			event:   3, committed: 2,
		},
		"named error at the first":    {handler: failAt(0, func() error { return cursor.FailedAt(0, errBroken) }), event: 1},
		"error without a name":        {handler: failAt(2, func() error { return errBroken })},
		"name of no event":            {handler: failAt(2, func() error { return cursor.FailedAt(5, errBroken) })},
		"negative name":               {handler: failAt(2, func() error { return cursor.FailedAt(-1, errBroken) })},
		"error in a batch of one":     {handler: failAt(0, func() error { return errBroken }), limit: 1, event: 1},
		"panic while at an event":     {handler: failAt(2, func() error { panic(errBroken) }), event: 3, committed: 2, panicked: true},
		"panic without a name":        {handler: func(context.Context, *cursor.Batch) (cursor.Action, error) { panic(errBroken) }, panicked: true},
		"panic in a batch of one":     {handler: func(context.Context, *cursor.Batch) (cursor.Action, error) { panic(errBroken) }, limit: 1, event: 1, panicked: true},
		"later events' reactions too": {handler: reactThenFailAtSecond, event: 2, committed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			st, r, out, err := stepWith(t, t.Context(), c.handler, c.limit)
			var failed *cursor.HandlerError
			require.ErrorAs(t, err, &failed)
			require.ErrorIs(t, err, errBroken)
			require.Equal(t, "reserve", failed.Worker)
			require.Equal(t, c.event, failed.Event)
			require.Equal(t, out.Handled, failed.Size)
			require.Equal(t, c.panicked, failed.Panic)
			if c.panicked {
				require.Contains(t, string(failed.Stack), "failure_test.go")
			}
			require.Equal(t, cursor.Continue, out.Action)
			require.Equal(t, c.committed, out.Committed)
			require.Len(t, reactions(t, st), c.committed)
			require.Equal(t, store.Position(c.committed), r.Progress().Position)
			require.Equal(t, store.Position(c.committed), record(t, st, "reserve").Scanned)
		})
	}
}

func reactThenFailAtSecond(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
	_, _ = reactAll(ctx, b)
	return cursor.Continue, cursor.FailedAt(1, errBroken)
}

func TestAfterAFailureTheNextStepReadsFromTheLastCommittedEvent(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	failures := 3
	var got [][]store.Position
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		got = append(got, at(b.Events))
		if failures > 0 {
			failures--
			return cursor.Continue, cursor.FailedAt(1, errBroken)
		}
		return reactAll(ctx, b)
	}})
	for range 3 {
		_, err := r.Step(t.Context(), 5, 0)
		require.ErrorIs(t, err, errBroken)
	}
	_, err := r.Step(t.Context(), 5, 0)
	require.NoError(t, err)
	require.Equal(t, [][]store.Position{{1, 2, 3, 4, 5}, {2, 3, 4, 5}, {3, 4, 5}, {4, 5}}, got)
}

func TestAPanicWithoutAnErrorIsToldInWords(t *testing.T) {
	_, _, _, err := stepWith(t, t.Context(), func(context.Context, *cursor.Batch) (cursor.Action, error) { panic("no good") }, 0)
	require.ErrorContains(t, err, "handler panicked in a batch of 5: no good")
}

func TestAnUnknownActionIsAFailure(t *testing.T) {
	st, _, out, err := stepWith(t, t.Context(), func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		_, err := reactAll(ctx, b)
		return 9, err
	}, 0)
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 0, out.Committed)
	require.Empty(t, reactions(t, st))
}

func TestAHandlerThatEndsItsGoroutineIsAFailureOfTheNextStep(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	broken := true
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if broken {
			b.Begin(2)
			runtime.Goexit()
		}
		return reactAll(ctx, b)
	}})
	done := make(chan bool)
	go func() {
		returned := false
		defer func() { done <- returned }()
		_, _ = r.Step(t.Context(), 5, 0)
		returned = true
	}()
	require.False(t, <-done)

	out, err := r.Step(t.Context(), 5, 0)
	var failed *cursor.HandlerError
	require.ErrorAs(t, err, &failed)
	require.ErrorIs(t, err, cursor.ErrGoexit)
	require.True(t, failed.Panic)
	require.Equal(t, store.Position(3), failed.Event)
	require.Contains(t, string(failed.Stack), "failure_test.go")
	require.Equal(t, cursor.Outcome{Handled: 5, Committed: 2}, out)

	broken = false
	drain(t, r)
	require.Equal(t, []store.Position{3, 4, 5}, reactions(t, st), "it was done with the first two, and had not reacted")
}

func TestAnEndedContextRecordsNothing(t *testing.T) {
	for name, end := range map[string]func() error{
		"error":       func() error { return errBroken },
		"named error": func() error { return cursor.FailedAt(2, errBroken) },
		"panic":       func() error { panic(errBroken) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			st, r, out, err := stepWith(t, ctx, func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
				_, _ = reactAll(ctx, b)
				cancel()
				return cursor.Continue, end()
			}, 0)
			require.ErrorIs(t, err, context.Canceled)
			var failed *cursor.HandlerError
			require.NotErrorAs(t, err, &failed)
			require.Equal(t, 0, out.Committed)
			require.Empty(t, reactions(t, st))
			require.Equal(t, store.Position(0), r.Progress().Position)

			called := false
			r = runner(t, st, cursor.Worker{Region: orders, Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
				called = true
				return cursor.Continue, nil
			}})
			_, err = r.Step(ctx, 0, 0)
			require.ErrorIs(t, err, context.Canceled)
			require.False(t, called)
		})
	}
}

func TestAHandlerThatIsDoneIsCommittedAlthoughItsContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st, r, out, err := stepWith(t, ctx, func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		cancel()
		return reactAll(ctx, b)
	}, 0)
	require.NoError(t, err)
	require.Equal(t, 5, out.Committed)
	require.Equal(t, []store.Position{1, 2, 3, 4, 5}, reactions(t, st))
	require.Equal(t, store.Position(5), r.Progress().Stored)
	require.NoError(t, r.Flush(ctx), "nothing to flush")
}

func TestTheTextOfAFailureNamesItsEventOnce(t *testing.T) {
	for want, handler := range map[string]cursor.Handler{
		`handler failed at event 3: broken`:            failAt(2, func() error { return cursor.FailedAt(2, errBroken) }),
		`handler panicked at event 3: broken`:          failAt(2, func() error { panic(errBroken) }),
		`handler panicked at event 3: a word`:          failAt(2, func() error { panic("a word") }),
		`handler failed in a batch of 5: broken`:       failAt(2, func() error { return errBroken }),
		`handler failed at event 3: shop: position 3:`: failAt(2, func() error { return fmt.Errorf("shop: position 3: %w", cursor.FailedAt(2, errBroken)) }),
		`handler failed in a batch of 5: cursor: event 9 of the batch: broken`: failAt(2, func() error {
			return cursor.FailedAt(9, errBroken)
		}),
	} {
		_, _, _, err := stepWith(t, t.Context(), handler, 0)
		require.ErrorContains(t, err, `cursor: worker "reserve": `+want)
	}
}

// A handler may run a runner of its own. What its error says about an event is about that one's
// batch.
func TestTheErrorOfARunnerInsideAHandlerNamesNoEventOfItsBatch(t *testing.T) {
	st := open(t)
	fill(t, st, 5, 0)
	inner := runner(t, st, cursor.Worker{Name: "inner", Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		if len(b.Events) > 4 {
			return cursor.Continue, cursor.FailedAt(4, supervision.Skip(errBroken))
		}
		return cursor.Continue, nil
	}})
	var handled []store.Position
	outer := runner(t, st, cursor.Worker{Name: "outer", Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if _, err := inner.Step(ctx, 0, 0); err != nil {
			return cursor.Continue, fmt.Errorf("inner: %w", err)
		}
		for _, e := range b.Events {
			handled = append(handled, e.Position)
		}
		return cursor.Continue, nil
	}})
	_, err := outer.Step(t.Context(), 0, 0)
	var failure *cursor.HandlerError
	require.ErrorAs(t, err, &failure)
	require.Zero(t, failure.Event)
	_, directed := supervision.DirectiveOf(err)
	require.False(t, directed)
	for range 5 {
		_, err = outer.Step(t.Context(), 0, 0)
	}
	require.NoError(t, err)
	require.Len(t, handled, 5)
}
