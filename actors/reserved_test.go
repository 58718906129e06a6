package actors_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Were its failures audited, each would be another event to fail at.
func TestAWorkerThatFailsAtAuditEventsFailsAtNoneOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		fail   func(error) error
		parked int
	}{
		"skips": {supervision.Skip, 0},
		"parks": {supervision.Park, 2},
	} {
		for lanes := 1; lanes <= 3; lanes += 2 {
			t.Run(fmt.Sprint(name, " with lanes ", lanes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					ill := sick()
					var calls atomic.Int32
					auditor := cursor.Worker{
						Name: "auditor", Region: store.Region{Scope: store.ReservedScope}, Lanes: lanes, BatchSize: 1,
						Key: func(e store.Event) string { return fmt.Sprint(e.Position) },
						Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
							calls.Add(1)
							if ill.Load() {
								return cursor.Continue, cursor.FailedAt(0, c.fail(errBroken))
							}
							return cursor.Continue, nil
						},
					}
					sys := start(t, st, auditor, reacting("w"))
					require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
					require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
					time.Sleep(time.Hour)
					s := statusOf(t, sys, "auditor")
					require.Equal(t, actors.Idle, s.State)
					require.Equal(t, c.parked, s.Parked)
					require.EqualValues(t, 2, calls.Load())

					ill.Store(false)
					_, err := sys.Replay(t.Context(), "auditor", cursor.ParkedFilter{All: true}, checkpoint.Request{})
					require.NoError(t, err)
					time.Sleep(time.Hour)
					require.Zero(t, statusOf(t, sys, "auditor").Parked)
					var kinds []string
					for e, err := range st.Read(t.Context(), auditor.Region, store.Beginning()) {
						require.NoError(t, err)
						kinds = append(kinds, e.Kind)
					}
					want := []string{checkpoint.AuditPaused, checkpoint.AuditResumed}
					if c.parked > 0 { // what an operator does is audited all the same
						want = append(want, checkpoint.AuditReplay)
					}
					require.Equal(t, want, kinds)
				})
			})
		}
	}
}
