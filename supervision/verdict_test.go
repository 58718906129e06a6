package supervision_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

func TestReasonsNameEventCountAndLastError(t *testing.T) {
	for want, f := range map[string]supervision.Failure{
		"event 42, attempt 1 of 3: no stock":                   errorAt(42),
		"event 42, attempt 1 of 3: panic: no stock":            panicAt(42),
		"restart 1 of 2 within 1m0s: no stock":                 noEvent,
		"restart 1 of 2 within 1m0s: panic: no stock":          panicAt(0),
		"event 42, no attempt, waiting (1): no stock":          noAttempt,
		"event 42, attempt 1: halt: no stock":                  {Event: 42, Err: supervision.Halt(errStock)},
		"halt: no stock":                                       {Err: supervision.Halt(errStock)},
		"restart 1 of 2 within 1m0s: retry after 1s: no stock": {Err: supervision.RetryAfter(time.Second, errStock)},
	} {
		require.EqualError(t, newBench(strict).fail(f).Reason, want)
	}
}

func TestTheStackOfAPanicIsFoundInTheReason(t *testing.T) {
	p := strict
	p.Attempts = 2
	b := newBench(p)
	f := panicAt(42)
	f.Stack = []byte("goroutine 1")
	for _, v := range []supervision.Verdict{b.fail(f), b.fail(f)} {
		var panicked *supervision.PanicError
		require.ErrorAs(t, v.Reason, &panicked)
		require.Equal(t, "goroutine 1", string(panicked.Stack))
		require.NotContains(t, v.Reason.Error(), "goroutine")
	}
}

func TestAFailureWithoutAnErrorStillHasAReason(t *testing.T) {
	for _, f := range []supervision.Failure{{}, {Event: 42}, {Panic: true}, {NoAttempt: true}} {
		v := newBench(strict).fail(f)
		require.ErrorContains(t, v.Reason, "failure without an error")
	}
}

func TestWhatIsWaitedForIsCountedInItsReason(t *testing.T) {
	b := newBench(strict)
	for waits := range 3 {
		var reason *supervision.WaitError
		require.ErrorAs(t, b.fail(noAttempt).Reason, &reason)
		require.Equal(t, supervision.WaitError{Event: 42, Waits: waits + 1, Err: errStock}, *reason)
	}
}

func TestActionsHaveNames(t *testing.T) {
	for want, a := range map[string]supervision.Action{
		"retry": supervision.ActionRetry, "restart": supervision.ActionRestart, "halt": supervision.ActionHalt, "Action(0)": 0,
	} {
		require.Equal(t, want, a.String())
	}
}

func TestErrorsWrapTheirSentinelAndTheLastError(t *testing.T) {
	for sentinel, err := range map[error]error{
		supervision.ErrExhausted: &supervision.ExhaustedError{Event: 1, Attempts: 2, Err: io.EOF},
		supervision.ErrPanic:     &supervision.PanicError{Err: io.EOF},
	} {
		require.ErrorIs(t, err, io.EOF)
		require.ErrorIs(t, err, sentinel)
	}
}

func TestAReasonSaysWhatItIsAboutAndNotWhatTheFailureItselfIs(t *testing.T) {
	other := supervision.FailureError{Event: 9, Key: "other", Attempt: 5, Err: io.EOF}
	for name, c := range map[string]struct {
		policy supervision.Policy
		f      supervision.Failure
		want   supervision.Blame
	}{
		"an attempt":   {f: supervision.Failure{Event: 7, Key: "k", Err: &other}, want: supervision.Blame{Event: 7, Key: "k", Attempt: 1}},
		"the last one": {supervision.Policy{Attempts: 1}, supervision.Failure{Event: 7, Key: "k", Err: &other}, supervision.Blame{Event: 7, Key: "k", Attempt: 1}},
		"a wait":       {f: supervision.Failure{Event: 7, Key: "k", NoAttempt: true}, want: supervision.Blame{Event: 7, Key: "k", Attempt: 1}},
		"a restart":    {f: supervision.Failure{Err: &other}, want: supervision.Blame{Attempt: 1}},
		"one too many": {supervision.Policy{Intensity: -1}, supervision.Failure{Event: 7, Key: "k", Panic: true}, supervision.Blame{Event: 7, Key: "k", Attempt: 1}},
	} {
		v := supervision.NewJudge(supervision.Spec{Name: "w", Policy: c.policy}, nil).Failed(time.Now(), c.f)
		require.Equal(t, c.want, supervision.BlameOf(v.Reason), name)
	}
	require.Zero(t, supervision.BlameOf(io.EOF))
	require.Zero(t, supervision.BlameOf(nil))
	said := supervision.Capture(&other, nil)
	require.True(t, supervision.IsCaptured(said))
	require.False(t, supervision.IsCaptured(&other))
	require.Zero(t, supervision.BlameOf(said))
}
