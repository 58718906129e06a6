package reactor_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

type beat struct{ N int }

func (beat) Kind() string { return "clock.beat" }

func TestANilPayloadIsARefusedReaction(t *testing.T) {
	r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[beat], out *reactor.Reactions) error {
		out.Append(store.At("a", "test"), (*beat)(nil))
		return nil
	}))
	_, err := reactortest.ReactErr(t, r, beat{})
	require.ErrorIs(t, err, reactor.ErrReaction)
	require.ErrorIs(t, err, store.ErrInvalid)
}
