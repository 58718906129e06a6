package supervision_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

var errBoom = errors.New("boom")

// fault is an error that is the event's.
type fault struct{}

func (fault) Error() string { return "cannot be read" }
func (fault) Fault()        {}

// decided is the failure of another worker, about which was decided there.
type decided struct{ err error }

func (d decided) Error() string  { return d.err.Error() }
func (d decided) Unwrap() error  { return d.err }
func (d decided) Decided() error { return nil }

func TestWhatAHandlerReturnsIsEvidenceUnlessItSaysOtherwise(t *testing.T) {
	refused := errors.New("connection refused")
	for _, c := range []struct {
		err      error
		evidence bool
	}{
		{nil, false},
		{refused, true},
		{fmt.Errorf("charge: %w", refused), true},
		{supervision.RetryAfter(time.Second, refused), true},
		{supervision.RetryAfter(time.Second, fault{}), false},
		{supervision.Wait(refused), true},
		{supervision.Wait(fault{}), false},
		{fmt.Errorf("charge: %w", supervision.Wait(refused)), true},
		{supervision.Park(refused), false},
		{supervision.Skip(refused), false},
		{fmt.Errorf("charge: %w", supervision.Halt(refused)), false},
		{fault{}, false},
		{fmt.Errorf("read: %w", errors.Join(refused, fault{})), false},
		{decided{fault{}}, true},
		{decided{supervision.Park(refused)}, true},
	} {
		require.Equal(t, c.evidence, supervision.Evidence(c.err), "%v", c.err)
	}
}

func TestAnOutageNamesItsDependencyItsBeginAndTheLastError(t *testing.T) {
	err := &supervision.OutageError{Dependency: "cards", Since: time.Unix(0, 0), Err: errBoom}
	require.EqualError(t, err, `outage of "cards" since 1970-01-01T00:00:00Z, last error: `+errBoom.Error())
	require.ErrorIs(t, err, supervision.ErrOutage)
	require.ErrorIs(t, err, errBoom)
}

func TestAChargeCountsAnAttemptAndLeavesTheVerdictToTheNextFailure(t *testing.T) {
	j := supervision.NewJudge(supervision.Spec{Policy: supervision.Policy{Attempts: 4}}, nil)
	j.Charge(7)
	require.Equal(t, []uint64{7}, j.Failing())
	require.Equal(t, 2, j.Failed(time.Unix(0, 0), supervision.Failure{Err: errBoom, Event: 7}).Attempt)
	for range 9 {
		j.Charge(7)
	}
	v := j.Failed(time.Unix(0, 0), supervision.Failure{Err: errBoom, Event: 7})
	require.Equal(t, []any{supervision.ActionPark, 4}, []any{v.Action, v.Attempt})
	j.Charge(0)
	require.Empty(t, j.Failing())
}
