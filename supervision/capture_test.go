package supervision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

// counted is an error that counts the calls of its methods.
type counted struct{ calls *int }

func (c counted) Error() string { *c.calls++; return "counted" }
func (c counted) Unwrap() error { *c.calls++; return supervision.Park(nil) }

func TestACapturedErrorIsJudgedAndShownWithoutACallOfItsMethods(t *testing.T) {
	calls := 0
	err := supervision.Capture(fmt.Errorf("order 7: %w", counted{&calls}))
	require.Positive(t, calls)
	calls = 0
	v := supervision.NewJudge(supervision.Spec{Name: "w"}, nil).Failed(time.Now(), supervision.Failure{Err: err, Event: 7})
	require.Equal(t, supervision.ActionPark, v.Action)
	require.EqualError(t, v.Reason, "event 7, attempt 1: order 7: counted")
	require.Zero(t, calls)

	var mine counted
	require.ErrorAs(t, v.Reason, &mine, "callers find it all the same")
	require.NoError(t, supervision.Capture(nil))
}
