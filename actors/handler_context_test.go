package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func TestTheContextOfAHandlerEndsWithItsActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		running := make(chan struct{}, 100)
		w := handling("w", func(ctx context.Context, b *cursor.Batch) error {
			running <- struct{}{}
			go func() { <-ctx.Done(); <-running }()
			panic("x")
		})
		w.BatchSize = 1
		w.Policy = steady(10, time.Second)
		sys := start(t, st, w)
		appendInputs(t, st, 1)
		time.Sleep(time.Hour)
		require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
		require.Empty(t, running, "goroutines still running for dead incarnations")
	})
}
