package sagatest

import (
	"slices"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/supervision"
)

// EveryCrash is [reactortest.EveryCrash] for a saga: a power cut at any operation of the disk must
// lead to the same end. Compared are the events, the records of all instances, and the keys of the
// effects that were attempted, once or more often: none that would not be there without a crash,
// and none is missing.
//
// def is called for each run, and makes the world outside, too. A crash takes an attempt of an
// action that it interrupts, so an action must have more attempts than there are crashes: three
// more are enough. In the end the clock is moved until no worker of the saga waits for the next
// attempt at something, by a week at most: a crash may have taken such a delay away. Where an
// instance compensates while other actions of it are in flight, whether these were attempted by
// then depends on when: that is for [EveryFault].
func EveryCrash[S any](tb testing.TB, def func() *saga.Saga[S], scenario func(r *Run[S])) {
	tb.Helper()
	var r *Run[S]
	var want []string
	baseline := true
	program := func() supervision.Child {
		r = prepared(tb, def(), new(tree))
		return r.tree.program()
	}
	reactortest.EveryCrash(tb, program, func(under *reactortest.Run) {
		r.begin(under)
		scenario(r)
		r.rest()
		got := r.faults.keys()
		if baseline {
			want, baseline = got, false
		}
		if !slices.Equal(got, want) {
			tb.Fatalf("sagatest: other effects than without a crash:\n  %q\nwant\n  %q", got, want)
		}
	})
}

// rest moves the clock until the workers of the saga have handled everything, by [patience] at
// most: an action or an undo that nothing waits for any more may be in the delay between two
// attempts.
func (r *Run[S]) rest() {
	r.tb.Helper()
	r.Settle()
	for left := patience; left > 0 && r.lags(); {
		left -= max(time.Millisecond, reactortest.AdvanceNext(r.Run, left))
	}
}

// lags reports whether a worker of the saga has not handled everything.
func (r *Run[S]) lags() bool {
	r.tb.Helper()
	return slices.ContainsFunc(r.saga.Group().Children, func(w supervision.Child) bool {
		return r.Status(w.Spec().Name).Lag > 0
	})
}
