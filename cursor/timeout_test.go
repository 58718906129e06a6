package cursor_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func TestAnEventIsNotChargedForTheTimeThatTheOneBeforeItTook(t *testing.T) {
	for name, lookFirst := range map[string]bool{"looks before it begins": true, "begins and looks": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // only the slow event takes time
				st := open(t)
				keyed(t, st, "a", "b", "c", "d")
				slow := true
				r := runner(t, st, cursor.Worker{Region: orders, Timeout: 10 * time.Millisecond, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
					for i, e := range b.Events {
						if lookFirst && ctx.Err() != nil {
							return cursor.Continue, cursor.FailedAt(i, ctx.Err())
						}
						b.Begin(i)
						if !lookFirst && ctx.Err() != nil {
							return cursor.Continue, cursor.FailedAt(i, ctx.Err())
						}
						if slow && e.Position == 2 {
							<-ctx.Done() // and it is done in the end
							slow = false
						}
						react(b, i)
					}
					return cursor.Continue, nil
				}})
				drain(t, r)
				require.Equal(t, []store.Position{1, 2, 3, 4}, reactions(t, st))
			})
		})
	}
}
