package saga_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

// An attempt is under way when the instance is suspended, and its answer is held. Neither the
// action nor the undo is carried out once more.
func TestWhatIsAnsweredIsNotCarriedOutAgainByAResume(t *testing.T) {
	for name, end := range map[string]saga.Life{"reserve": saga.Completed, "undo reserve": saga.Compensated} {
		w, calls := newWorld(), 0
		if end == saga.Compensated {
			w.fails["charge"] = []error{saga.Refuse(errDown)}
		}
		var run *reactortest.Run
		s := w.checkout()
		s.Effects.Around = func(ctx context.Context, a saga.Attempt, call func(context.Context) error) error {
			if a.String() != name {
				return call(ctx)
			}
			calls++
			_, err := s.In(run.Store()).Suspend(ctx, "42", ana)
			return errors.Join(err, call(ctx))
		}
		run = reactortest.Start(t, s)
		run.Given(reactortest.At(at("42"), placed("42")))
		run.Settle()
		require.Equal(t, 1, get(t, s, run).Held)
		_, err := s.In(run.Store()).Resume(t.Context(), "42", ana)
		require.NoError(t, err)
		run.Settle()
		require.Equal(t, end, get(t, s, run).Life)
		require.Equal(t, 1, calls, name)
	}
}

// What is attempted once at most, and asks, is so with a suspension meanwhile, too.
func TestAnActionThatIsAttemptedOnceIsNotAttemptedAgainByAResume(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	s := charged(w)
	run := reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Step("checkout")
	run.Step("checkout.do")
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(time.Minute)
	require.Equal(t, 1, get(t, s, run).Held)
	_, err = in.Resume(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	require.Equal(t, []string{"charge"}, w.calls)
}
