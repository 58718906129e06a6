package supervision_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

var errStock = errors.New("no stock")

func TestDirectivesAreFoundHoweverTheyAreWrapped(t *testing.T) {
	retry := supervision.Directive{Action: supervision.ActionRetry, Delay: time.Second}
	halt := supervision.Directive{Action: supervision.ActionHalt}
	for what, c := range map[string]struct {
		err  error
		want supervision.Directive
	}{
		"plain retry":         {supervision.RetryAfter(time.Second, errStock), retry},
		"plain halt":          {supervision.Halt(errStock), halt},
		"wrapped":             {fmt.Errorf("a: %w", fmt.Errorf("b: %w", supervision.Halt(errStock))), halt},
		"joined":              {errors.Join(errStock, supervision.RetryAfter(time.Second, nil)), retry},
		"outermost decides":   {supervision.RetryAfter(time.Second, supervision.Halt(errStock)), retry},
		"outermost decides 2": {supervision.Halt(supervision.RetryAfter(time.Second, errStock)), halt},
		"wait for":            {supervision.WaitFor(time.Minute, errStock), supervision.Directive{Action: supervision.ActionRetry, NoAttempt: true, Delay: time.Minute}},
		"wait":                {supervision.Wait(errStock), supervision.Directive{Action: supervision.ActionRetry, NoAttempt: true}},
		"negative delay":      {supervision.RetryAfter(-time.Second, errStock), supervision.Directive{Action: supervision.ActionRetry}},
		"panicked":            {&supervision.PanicError{Err: supervision.Halt(errStock)}, halt},
	} {
		t.Run(what, func(t *testing.T) {
			got, ok := supervision.DirectiveOf(c.err)
			require.True(t, ok)
			require.Equal(t, c.want, got)
		})
	}
	for _, err := range []error{nil, errStock} {
		_, ok := supervision.DirectiveOf(err)
		require.False(t, ok)
	}
}

func TestDirectivesWrapTheirError(t *testing.T) {
	for _, err := range []error{supervision.RetryAfter(time.Second, errStock), supervision.Halt(errStock)} {
		require.ErrorIs(t, err, errStock)
	}
	require.EqualError(t, supervision.RetryAfter(1500*time.Millisecond, errStock), "retry after 1.5s: no stock")
	require.EqualError(t, supervision.Halt(errStock), "halt: no stock")
}

func TestADirectiveWithoutAnErrorIsStillAnError(t *testing.T) {
	require.EqualError(t, supervision.RetryAfter(time.Second, nil), "retry after 1s")
	require.EqualError(t, supervision.Halt(nil), "halt")
	require.NoError(t, errors.Unwrap(supervision.Halt(nil)))
}
