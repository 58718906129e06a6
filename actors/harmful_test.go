package actors_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// harmful is an error whose text, or what it wraps, ends the goroutine or panics.
type harmful struct{ text, wraps func() }

func (h harmful) Error() string { h.text(); return "harmful" }
func (h harmful) Unwrap() error { h.wraps(); return nil }

func TestAnErrorThatDoesHarmWhenItIsReadConcernsItsEventOnly(t *testing.T) {
	fine, panics := func() {}, func() { panic("harm") }
	for _, bad := range []harmful{{panics, fine}, {runtime.Goexit, fine}, {fine, panics}, {fine, runtime.Goexit}} {
		for _, made := range []func(error) error{
			func(err error) error { return err }, supervision.Park, supervision.Skip,
			func(err error) error { return cursor.FailedAt(0, err) }, func(err error) error { panic(err) },
		} {
			for _, lanes := range []int{0, 2} {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					w := handling("w", func(_ context.Context, b *cursor.Batch) error {
						if b.Events[0].Position == 1 {
							return made(bad)
						}
						return nil
					})
					w.Lanes, w.Policy.Attempts = lanes, 2
					sys := start(t, st, w)
					appendInputs(t, st, 1)
					time.Sleep(time.Minute)
					last := appendAll(t, st, input(1), input(2))
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					require.NoError(t, sys.WaitApplied(ctx, "w", last))
					synctest.Wait() // what is applied is shown a moment later
					require.Equal(t, actors.Idle, statusOf(t, sys, "w").State)
					require.ElementsMatch(t, positions(t, st, inputs)[1:], reactions(t, st, "w"))
					require.NoError(t, sys.Stop(t.Context()))
				})
			}
		}
	}
}
