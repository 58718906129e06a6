package sagatest

import (
	"slices"
	"testing"

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
// more are enough. Where an instance compensates while other actions of it are in flight, whether
// these were attempted by then depends on when: that is for [EveryFault].
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
		r.Settle()
		got := r.faults.keys()
		if baseline {
			want, baseline = got, false
		}
		if !slices.Equal(got, want) {
			tb.Fatalf("sagatest: other effects than without a crash:\n  %q\nwant\n  %q", got, want)
		}
	})
}
