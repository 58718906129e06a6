package reactor_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
)

func TestErrorsAreASentinelBesideTheirEvidence(t *testing.T) {
	reason := errors.New("not JSON")
	for err, sentinel := range map[error]error{
		&reactor.DecodeError{}:            reactor.ErrPayload,
		&reactor.DecodeError{Err: reason}: reactor.ErrPayload,
		&reactor.LoopError{}:              reactor.ErrLoop,
	} {
		require.ErrorIs(t, err, sentinel)
	}
	require.ErrorIs(t, &reactor.DecodeError{Err: reason}, reason)
}
