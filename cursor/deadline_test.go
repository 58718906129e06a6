package cursor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
)

// Handlers look for context.DeadlineExceeded, which is what a client returns that was given their
// context, or one made of it.
func TestTheTimeoutOfAnEventIsADeadlineOfTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		fill(t, st, 2, 0)
		r := runner(t, st, cursor.Worker{Region: orders, Timeout: time.Second, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			made, cancel := context.WithCancel(ctx)
			defer cancel()
			for i := range b.Events {
				b.Begin(i)
				due, ok := made.Deadline()
				require.True(t, ok)
				require.Equal(t, time.Second, time.Until(due), "it begins again with each event")
				time.Sleep(600 * time.Millisecond)
				require.NoError(t, made.Err())
			}
			<-made.Done()
			require.Equal(t, context.DeadlineExceeded, made.Err())
			require.Equal(t, context.DeadlineExceeded, ctx.Err())
			require.Equal(t, cursor.ErrTimeout, context.Cause(ctx))
			require.Equal(t, cursor.ErrTimeout, context.Cause(made))
			return cursor.Continue, made.Err()
		}})
		_, failed := r.Step(t.Context(), 0, 0)
		var failure *cursor.HandlerError
		require.ErrorAs(t, failed, &failure)
		require.True(t, failure.Timeout)
	})
}

func TestAHandlerWithATimeoutIsCancelledWithItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		fill(t, st, 1, 0)
		ctx, cancel := context.WithCancel(t.Context())
		r := runner(t, st, cursor.Worker{Region: orders, Timeout: time.Hour, Handle: func(ctx context.Context, _ *cursor.Batch) (cursor.Action, error) {
			made, end := context.WithCancel(ctx)
			defer end()
			cancel()
			<-made.Done()
			require.Equal(t, context.Canceled, made.Err())
			return cursor.Continue, ctx.Err()
		}})
		_, err := r.Step(ctx, 0, 0)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestTheContextOfAHandlerWithATimeoutEndsWhenItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		fill(t, st, 1, 0)
		lent := make(chan context.Context, 1)
		r := runner(t, st, cursor.Worker{Region: orders, Timeout: time.Hour, Handle: func(ctx context.Context, _ *cursor.Batch) (cursor.Action, error) {
			lent <- ctx
			return cursor.Continue, nil
		}})
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
		kept := <-lent
		<-kept.Done()
		require.Equal(t, context.Canceled, kept.Err())
	})
}
