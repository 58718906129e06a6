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
		reactor.ErrNoRoutes:               reactor.ErrDefinition,
		&reactor.DuplicateKindError{}:     reactor.ErrDefinition,
		&reactor.NilHandlerError{}:        reactor.ErrDefinition,
		&reactor.PayloadTypeError{}:       reactor.ErrDefinition,
		&reactor.UpcasterError{}:          reactor.ErrDefinition,
		&reactor.SchemaError{}:            reactor.ErrPayload,
		&reactor.DecodeError{Err: reason}: reactor.ErrPayload,
		&reactor.DepthError{}:             reactor.ErrLoop,
		&reactor.StormError{}:             reactor.ErrLoop,
	} {
		require.ErrorIs(t, err, sentinel)
	}
	require.ErrorIs(t, &reactor.DecodeError{Err: reason}, reason)
}
