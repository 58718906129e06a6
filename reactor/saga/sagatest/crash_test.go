package sagatest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/supervision"
)

// An instance ends while its action waits for its next attempt, in a backoff or in an outage.
func TestEveryCrashOfAnInstanceThatTurnsBackFromAFailingAction(t *testing.T) {
	for name, tc := range map[string]struct {
		outage supervision.OutagePolicy
		turn   func(r *sagatest.Run[order])
	}{
		"cancelled in a backoff": {supervision.OutagePolicy{Off: true}, func(r *sagatest.Run[order]) { given(r, cancelled{"42"}) }},
		"too late in an outage":  {supervision.OutagePolicy{}, func(*sagatest.Run[order]) {}},
	} {
		if underRace && name != "cancelled in a backoff" {
			continue // it takes as long again
		}
		t.Run(name, func(t *testing.T) {
			def := func() *saga.Saga[order] {
				d := newShop().checkout()
				d.Effects.Policy.Attempts, d.Effects.Policy.Outage, d.Deadline = 1000, tc.outage, 5*time.Minute
				return d
			}
			sagatest.EveryCrash(t, def, func(r *sagatest.Run[order]) {
				r.Fault("charge", sagatest.Fail)
				given(r, placed{Order: "42", Cents: 900})
				r.Advance(time.Minute)
				tc.turn(r)
				for _, o := range r.Finish() {
					require.Equal(t, saga.Compensated, o.Life)
				}
			})
		})
	}
}
