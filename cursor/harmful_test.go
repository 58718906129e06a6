package cursor_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// harmful is an error whose text panics, or ends the goroutine.
type harmful struct{ exit bool }

func (h harmful) Error() string {
	if h.exit {
		runtime.Goexit()
	}
	panic("no text")
}

// step is Runner.Step for handlers that may end the goroutine.
func step(ctx context.Context, r *cursor.Runner) (err error) {
	_, err = r.Fill(ctx, 0)
	if err != nil {
		return err
	}
	task, err := r.Next(ctx, 0)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		task.Run(ctx)
	}()
	<-done
	r.Finish(task)
	return task.Err()
}

func TestAnErrorWhoseTextDoesHarmIsAPanicOfTheHandlerAndSafeToShow(t *testing.T) {
	for _, exit := range []bool{false, true} {
		for what, handle := range map[string]cursor.Handler{
			"returned": func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, harmful{exit} },
			"named": func(context.Context, *cursor.Batch) (cursor.Action, error) {
				return cursor.Continue, cursor.FailedAt(0, supervision.Park(harmful{exit}))
			},
			"panicked": func(context.Context, *cursor.Batch) (cursor.Action, error) { panic(harmful{exit}) },
		} {
			st := open(t)
			fill(t, st, 1, 0)
			r := runner(t, st, cursor.Worker{Region: orders, Handle: handle})
			err := step(t.Context(), r)
			var failed *cursor.HandlerError
			require.ErrorAs(t, err, &failed, what)
			require.True(t, failed.Panic, what)
			require.Equal(t, store.Position(1), failed.Event, what)
			require.NotEmpty(t, failed.Error(), what)
			require.NoError(t, r.Settle(1, toPark(err, 1)), what)
			drain(t, r)
			require.Equal(t, 1, r.Progress().Parked, what)
		}
	}
}

func TestAFunctionThatReturnsAnErrorWhoseTextDoesHarmFailsAlone(t *testing.T) {
	st := open(t)
	for _, exit := range []bool{false, true} {
		_, err := cursor.NewRunner(t.Context(), st, cursor.Worker{
			Name: "reserve", Region: orders, Handle: reactAll,
			ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) { return 0, harmful{exit} },
		})
		require.ErrorContains(t, err, `worker "reserve": external position: `)
	}
}
