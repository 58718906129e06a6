package cursor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
)

func TestErrorsAreASentinelBesideTheirEvidence(t *testing.T) {
	for err, sentinel := range map[error]error{
		&cursor.KeyError{Err: errBroken}:    cursor.ErrKey,
		&cursor.ParkLimitError{}:            cursor.ErrParkLimit,
		&cursor.WorkerError{Err: errBroken}: cursor.ErrWorker,
	} {
		require.ErrorIs(t, err, sentinel)
	}
	require.ErrorIs(t, &cursor.KeyError{Err: errBroken}, errBroken)
}
