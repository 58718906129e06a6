package sagatest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

// ended is how an instance ended, or is stuck, and what it says of its steps that have failed.
func ended(r *sagatest.Run[order]) []string {
	o := r.Get("42")
	list := []string{o.Life.String(), fmt.Sprint(o.Err)}
	for _, s := range o.Steps {
		if s.Err != "" {
			list = append(list, fmt.Sprintf("%s %s: %s", s.Name, s.Status, s.Err))
		}
	}
	return list
}

func TestWhatAnInstanceSaysOfItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		step, undo sagatest.Fault
		want       []string
	}{
		"a step is refused": {step: sagatest.Refuse, want: []string{
			`compensated`,
			`saga: step "charge": refused: sagatest: the fault of a test`,
			`charge refused: sagatest: the fault of a test`,
		}},
		"a step fails": {step: sagatest.Fail, want: []string{
			`compensated`,
			`saga: step "charge": outcome is unknown: sagatest: the fault of a test (attempt 3)`,
			`charge undone: sagatest: the fault of a test (attempt 3)`,
		}},
		"a step has happened, but fails": {step: sagatest.Lie, want: []string{
			`compensated`,
			`saga: step "charge": outcome is unknown: sagatest: the fault of a test (attempt 3)`,
			`charge undone: sagatest: the fault of a test (attempt 3)`,
		}},
		"a step hangs": {step: sagatest.Hang, want: []string{
			`compensated`,
			`saga: step "charge": outcome is unknown: sagatest: the fault of a test: context deadline exceeded (attempt 3)`,
			`charge undone: sagatest: the fault of a test: context deadline exceeded (attempt 3)`,
		}},
		"the process ends in a step": {step: sagatest.Die, want: []string{
			`compensated`,
			`saga: step "charge": outcome is unknown: the process ended each time it was attempted, 4 times`,
			`charge undone: the process ended each time it was attempted, 4 times`,
		}},
		"an undo is refused": {step: sagatest.Refuse, undo: sagatest.Refuse, want: []string{
			`stuck`,
			`saga: stuck at undo of step "reserve" since 2000-01-01T00:00:00Z: sagatest: the fault of a test`,
			`charge refused: sagatest: the fault of a test`,
		}},
		"an undo fails": {step: sagatest.Refuse, undo: sagatest.Fail, want: []string{
			`stuck`,
			`saga: stuck at undo of step "reserve" since 2000-01-01T00:00:00Z: sagatest: the fault of a test (attempt 3)`,
			`charge refused: sagatest: the fault of a test`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			def := newShop().checkout()
			def.Effects.Policy.Outage.Off = true
			r := sagatest.Start(t, def)
			r.Fault("charge", c.step)
			r.Fault("undo reserve", c.undo)
			given(r, placed{Order: "42", Cents: 900})
			r.Advance(5 * time.Minute)
			require.Equal(t, c.want, ended(r))
		})
	}
}

func TestWhatAnInstanceSaysThatOthersHaveEnded(t *testing.T) {
	ana := checkpoint.Request{By: "ana", Reason: "the customer has called"}
	for name, c := range map[string]struct {
		do   func(r *sagatest.Run[order]) error
		want []string
	}{
		"deadline": {do: func(r *sagatest.Run[order]) error {
			r.Advance(10 * time.Minute)
			return nil
		}, want: []string{
			`compensated`,
			`saga: its deadline has passed`,
			`charge undone: it was not tried again, as the instance compensates`,
		}},
		"cancelled by an event": {do: func(r *sagatest.Run[order]) error {
			given(r, cancelled{"42"})
			return nil
		}, want: []string{
			`compensated`,
			`saga: cancelled: by an event`,
			`charge undone: it was not tried again, as the instance compensates`,
		}},
		"cancelled": {do: func(r *sagatest.Run[order]) error {
			_, err := r.Instances().Cancel(t.Context(), "42", ana)
			return err
		}, want: []string{
			`compensated`,
			`saga: cancelled: the customer has called`,
			`charge undone: it was not tried again, as the instance compensates`,
		}},
		"cancelled without a reason": {do: func(r *sagatest.Run[order]) error {
			_, err := r.Instances().Cancel(t.Context(), "42", checkpoint.Request{})
			return err
		}, want: []string{
			`compensated`,
			`saga: cancelled`,
			`charge undone: it was not tried again, as the instance compensates`,
		}},
		"abandoned": {do: func(r *sagatest.Run[order]) error {
			_, err := r.Instances().Abandon(t.Context(), "42", ana)
			return err
		}, want: []string{
			`failed`,
			`saga: abandoned: the customer has called`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := sagatest.Start(t, newShop().checkout())
			r.Fault("charge", sagatest.Fail)
			given(r, placed{Order: "42", Cents: 900})
			r.Settle()
			require.NoError(t, c.do(r))
			r.Advance(5 * time.Minute)
			require.Equal(t, c.want, ended(r))
		})
	}
}

func TestAStoryTellsWhyAnInstanceTurnsBackAndWhoDecided(t *testing.T) {
	ana := checkpoint.Request{Reason: "the customer has called", By: "ana"}
	for want, do := range map[string]func(r *sagatest.Run[order]){
		"ended compensated (cancelled: by an event)\n": func(r *sagatest.Run[order]) { given(r, cancelled{"42"}) },
		"ended compensated (deadline)\n":               func(r *sagatest.Run[order]) { r.Advance(10 * time.Minute) },
		"asked cancel (the customer has called) by ana\n": func(r *sagatest.Run[order]) {
			_, err := r.Instances().Cancel(t.Context(), "42", ana)
			require.NoError(t, err)
		},
		"ended failed (abandoned: the customer has called)": func(r *sagatest.Run[order]) {
			_, err := r.Instances().Abandon(t.Context(), "42", ana)
			require.NoError(t, err)
		},
	} {
		r := sagatest.Start(t, newShop().checkout())
		r.Fault("charge", sagatest.Fail)
		given(r, placed{Order: "42", Cents: 900})
		r.Settle()
		do(r)
		r.Finish()
		require.Contains(t, r.Story("42"), want)
	}
}
