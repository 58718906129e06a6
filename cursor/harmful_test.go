package cursor_test

import (
	"context"
	"runtime"
	"testing"
	"time"

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

func TestAFunctionWhoseErrorDoesHarmWhenItIsReadFailsAlone(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	for _, harm := range []harmful{{exit: false}, {exit: true}} {
		for how, fail := range map[string]func() error{
			"returned": func() error { return harm },
			"panicked": func() error { panic(harm) },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err := cursor.NewRunner(ctx, st, cursor.Worker{
				Name: "reserve", Region: orders, Handle: reactAll,
				ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) { return 0, fail() },
			})
			require.ErrorContains(t, err, `worker "reserve": external position: `, how)
			require.NoError(t, ctx.Err(), how)
			cancel()
		}
	}
}

func TestAKeyOrADependencyThatPanicsWithAValueThatDoesHarmHoldsNothingUp(t *testing.T) {
	for _, harm := range []harmful{{exit: false}, {exit: true}} {
		st := open(t)
		keyed(t, st, "1a", "2b")
		d := &dependent{down: "a"}
		w := d.worker()
		w.Dependency = func(store.Event) string { panic(harm) }
		r := runner(t, st, w)
		require.Equal(t, store.Position(1), next(t, r))
		require.Equal(t, placed{}.Kind(), cursor.DependenciesOf(r).Failed(1).Dependency)

		w = cursor.Worker{Name: "keyed", Region: orders, Lanes: 2, Handle: reactAll, Key: func(e store.Event) string {
			if e.Position == 2 {
				panic(harm)
			}
			return e.Coordinate.Entity
		}}
		r, err := cursor.NewRunner(t.Context(), st, w)
		require.NoError(t, err)
		_, err = r.Fill(t.Context(), 0)
		require.ErrorIs(t, err, cursor.ErrKey)
		require.ErrorContains(t, err, "key of event 2")
	}
}
