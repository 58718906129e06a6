package sagatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Run is a saga over a store in memory: a [reactortest.Run] of its two workers, in whose actions
// faults can be put. It is not safe for concurrent use.
type Run[S any] struct {
	*reactortest.Run

	tb     testing.TB
	saga   *saga.Saga[S]
	faults *faults
	tree   *tree
}

// tree is what the run has in its processes from the next start on.
type tree struct {
	saga   supervision.Child
	beside []supervision.Child
	counts bool // attempts in what looks like an outage
}

// program makes the tree of a process.
func (t *tree) program() supervision.Child {
	return reactortest.Program(func(*store.Store) supervision.Child {
		return supervision.Group{Name: "sagatest", Children: append([]supervision.Child{t.saga}, t.beside...)}
	})
}

// Start opens a new store and has the workers of a saga begin: nothing is handled yet. The saga is
// copied, with what it has around its attempts, which sees the faults.
func Start[S any](tb testing.TB, def *saga.Saga[S]) *Run[S] {
	tb.Helper()
	r := prepared(tb, def, new(tree))
	r.begin(reactortest.Start(tb, r.tree.program()))
	return r
}

// prepared returns a run that has not begun.
func prepared[S any](tb testing.TB, def *saga.Saga[S], in *tree) *Run[S] {
	r := &Run[S]{tb: tb, faults: newFaults(), tree: in}
	r.takes(def)
	return r
}

// takes has the saga run in the next process.
func (r *Run[S]) takes(def *saga.Saga[S]) {
	copied := *def
	r.saga, r.tree.saga = &copied, &copied
	r.saga.Effects.Policy.Outage.Off = r.saga.Effects.Policy.Outage.Off || r.tree.counts
	r.saga.Effects.Around = r.faults.around
	if outer := def.Effects.Around; outer != nil {
		r.saga.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
			return outer(ctx, a, func(ctx context.Context) error { return r.faults.around(ctx, a, next) })
		}
	}
}

func (r *Run[S]) begin(under *reactortest.Run) {
	r.Run = under
	r.faults.die = r.restart
}

// restart ends the process, and begins another one.
func (r *Run[S]) restart() { r.Crash(uint64(len(r.faults.calls))) }

// Beside has other children, such as the reactors that answer the saga, run beside it, in a group,
// from now on and after crashes. The process is started again for it, so it is best called first.
func (r *Run[S]) Beside(children ...supervision.Child) {
	r.tb.Helper()
	r.tree.beside = append(r.tree.beside, children...)
	r.restart()
}

// Deploy ends the process, without warning, and begins one with another version of the saga, or
// with another setting of it: faults, attempts and the log stay. Where the state of both is of one
// type, it returns the same run. Where it is not, the run before is over.
//
//	r = sagatest.Deploy(r, second.With(first))
func Deploy[Old, New any](r *Run[Old], def *saga.Saga[New]) *Run[New] {
	r.tb.Helper()
	now, same := any(r).(*Run[New])
	if !same {
		now = &Run[New]{Run: r.Run, tb: r.tb, faults: r.faults, tree: r.tree}
	}
	now.takes(def)
	now.restart()
	return now
}

// Fault has an action fail from now on: that of a step by its name, its undo as "undo NAME". A
// fault takes the place of the one before; 0 takes that away. It fails the test where the saga has
// no such action.
func (r *Run[S]) Fault(action string, f Fault) {
	r.tb.Helper()
	actions, err := r.saga.Actions()
	if err != nil || !slices.Contains(actions, action) {
		text := fmt.Sprintf("sagatest: the saga has no action %q, but %q", action, actions)
		if err != nil {
			text += fmt.Sprintf("; %v", err)
		}
		r.tb.Fatalf("%s", text)
	}
	r.faults.by[action] = f
}

// Clock sets the clock of the machine, forwards by d or back by -d, without time passing: see
// reactortest.SetClock.
func (r *Run[S]) Clock(d time.Duration) { reactortest.SetClock(r.Run, d) }

// Attempts returns all attempts so far, in order, those over crashes, too.
func (r *Run[S]) Attempts() []saga.Attempt { return slices.Clone(r.faults.calls) }

// Instances are those of the saga, to be asked for and operated. They are others after a crash:
// call it again after each other call of the Run.
func (r *Run[S]) Instances() *saga.Instances[S] {
	r.tb.Helper()
	return r.saga.In(r.Store())
}

// Get returns the instance of a key, and fails the test where there is none.
func (r *Run[S]) Get(key string) saga.Instance[S] {
	r.tb.Helper()
	o, err := r.Instances().Get(key)
	if err != nil {
		r.tb.Fatalf("sagatest: %v", err)
	}
	return o
}

// patience is how long [Run.Finish] waits.
const patience = 7 * 24 * time.Hour

// Finish moves the clock until each instance has ended or is [saga.Stuck], no further than that and
// by a week at most, and returns them by key. It fails the test where one has not, with its story,
// what it waits for, what the workers of the saga are at, and what was parked.
func (r *Run[S]) Finish() []saga.Instance[S] {
	r.tb.Helper()
	r.Settle()
	var all, open []saga.Instance[S]
	for left := patience; ; {
		all, open = r.list()
		if len(open) == 0 {
			return all
		}
		if left <= 0 {
			break
		}
		left -= max(time.Millisecond, reactortest.AdvanceNext(r.Run, left))
	}
	for _, o := range open {
		why, err := r.Instances().Explain(o.Key)
		if err != nil {
			why = err.Error()
		}
		r.tb.Logf("sagatest: the story of %q:\n%s\n%s", o.Key, r.Story(o.Key), why)
	}
	r.tb.Fatalf("sagatest: %q has not ended after %s, and is not stuck%s%s", open[0].Key, patience, r.states(), r.parked())
	return nil
}

// states tells what the workers of the saga are at.
func (r *Run[S]) states() string {
	r.tb.Helper()
	var b strings.Builder
	for _, w := range r.saga.Group().Children {
		name := w.Spec().Name
		switch s := r.Status(name); {
		case s.Reason == nil:
			fmt.Fprintf(&b, "\n  %s is %s", name, s.State)
		case s.Due.IsZero():
			fmt.Fprintf(&b, "\n  %s is %s: %v", name, s.State, s.Reason)
		default:
			fmt.Fprintf(&b, "\n  %s is %s, next try in %s: %v", name, s.State, s.Due.Sub(r.Now()).Round(time.Millisecond), s.Reason)
		}
	}
	return b.String()
}

// list returns all instances, and those that have not come to rest.
func (r *Run[S]) list() (all, open []saga.Instance[S]) {
	r.tb.Helper()
	for o, err := range r.Instances().List() {
		if err != nil {
			r.tb.Fatalf("sagatest: instance %q: %v", o.Key, err)
		}
		all = append(all, o)
		if !o.Life.Ended() && o.Life != saga.Stuck {
			open = append(open, o)
		}
	}
	return all, open
}

// parked tells what the workers of the saga have parked.
func (r *Run[S]) parked() string {
	r.tb.Helper()
	var b strings.Builder
	for _, w := range r.saga.Group().Children {
		for _, p := range r.Parked(w.Spec().Name) {
			fmt.Fprintf(&b, "\n  %s has parked event %d: %s", w.Spec().Name, p.Position, p.Error)
		}
	}
	return b.String()
}

// retry has an operator retry what is stuck, and reports whether anything was.
func (r *Run[S]) retry(all []saga.Instance[S]) (stuck bool) {
	r.tb.Helper()
	for _, o := range all {
		if o.Life != saga.Stuck {
			continue
		}
		stuck = true
		why := checkpoint.Request{By: "sagatest", Reason: "the fault is over"}
		if _, err := r.Instances().Retry(r.tb.Context(), o.Key, why); err != nil {
			r.tb.Fatalf("sagatest: %v", err)
		}
	}
	return stuck
}
