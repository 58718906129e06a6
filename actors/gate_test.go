package actors_test

import (
	"context"
	"runtime"
	"slices"
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

// gated is a store with a gate that judges the reactions of workers.
func gated(t *testing.T, judge func(r reacted) error) *store.Store {
	t.Helper()
	return memory(t, store.Options{Gates: []store.Gate{{
		Name: "gate", Region: store.Region{Entity: "out"},
		Judge: func(_ context.Context, c *store.Case) error {
			var r reacted
			if err := c.Proposal.Decode(&r); err != nil {
				return err
			}
			return judge(r)
		},
	}}})
}

// Inputs 1 to 21 have seven keys. What a gate denies is no outage, however many keys it concerns.
func TestAnEventWhoseReactionAGateDeniesIsParkedWithItsKeyAndHandledOnceItIsAllowed(t *testing.T) {
	for name, bad := range map[string][]store.Position{
		"one": {3}, "one of each key": {1, 2, 3, 4, 5, 6, 7}, "most": {4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16},
	} {
		for _, lanes := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					actors.HandleAhead(t)
					ill := sick()
					st := gated(t, func(r reacted) error {
						if ill.Load() && slices.Contains(bad, r.For) {
							return errBroken
						}
						return nil
					})
					w := poisoned(ill)
					w.Lanes, w.BatchSize, w.Policy.Outage = lanes, 4, supervision.OutagePolicy{}
					sys := start(t, st, w)
					appendInputs(t, st, 21)
					time.Sleep(time.Hour)
					want := make(map[store.Position]bool)
					for _, p := range bad {
						for ; p <= 21; p += 7 { // all later ones of its key
							want[p] = true
						}
					}
					require.NotEqual(t, actors.Outage, statusOf(t, sys, "w").State)
					for _, p := range parkedOf(t, sys) {
						require.Contains(t, want, p.Position)
						if !p.Held {
							require.Contains(t, bad, p.Position)
							require.Contains(t, p.Error, errBroken.Error())
							require.Equal(t, 2, p.Attempts)
						}
						delete(want, p.Position)
					}
					require.Empty(t, want)
					ill.Store(false)
					_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
					require.NoError(t, err)
					time.Sleep(time.Hour)
					require.Empty(t, parkedOf(t, sys))
					requirePerKey(t, st)
				})
			})
		}
	}
}

// FailNow of package testing ends a goroutine with runtime.Goexit.
func TestAGateThatEndsItsGoroutineHaltsTheWorkerForWhichItJudges(t *testing.T) {
	for name, ahead := range map[string]bool{"alone": false, "beside a handler": true} {
		for _, lanes := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					if ahead {
						actors.HandleAhead(t)
					}
					ill := sick()
					st := gated(t, func(r reacted) error {
						if ill.Load() && r.For == 5 {
							runtime.Goexit()
						}
						return nil
					})
					w := reacting("w")
					w.Lanes, w.BatchSize = lanes, 2
					sys := start(t, st, w)
					receipt := appendInputs(t, st, 10)
					err := sys.WaitApplied(t.Context(), "w", receipt)
					require.ErrorIs(t, err, actors.ErrHalted)
					require.ErrorContains(t, err, "Goexit")
					ill.Store(false)
					require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
					require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
					requirePerKey(t, st)
					require.NoError(t, sys.Stop(t.Context()))
				})
			})
		}
	}
}
