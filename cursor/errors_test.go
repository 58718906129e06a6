package cursor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
)

func TestWhatARunnerCouldNotDoIsASentinelBesideItsReason(t *testing.T) {
	for want, what := range map[string]error{
		`cursor: worker "w": commit of the reactions to event 7: broken`: cursor.ErrCommit,
		`cursor: worker "w": key of event 7: broken`:                     cursor.ErrKey,
		`cursor: worker "w": no room to park event 7: broken`:            cursor.ErrParkLimit,
		`cursor: worker "w": external position: broken`:                  cursor.ErrNoPosition,
	} {
		err := &cursor.RunnerError{Worker: "w", Err: what, Event: 7, Reason: errBroken}
		require.ErrorIs(t, err, what)
		require.ErrorIs(t, err, errBroken)
		require.EqualError(t, err, want)
	}
	require.EqualError(t, &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Reason: errBroken},
		`cursor: worker "w": commit: broken`)
}
