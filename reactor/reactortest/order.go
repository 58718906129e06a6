package reactortest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// orderSample is how many runs [EveryOrder] makes at most, and with -short.
const (
	orderSample      = 1000
	orderSampleShort = 100
)

// EveryOrder runs a scenario again and again, with the steps of the workers in another order each
// time. Where one of them is between its handler and its commit, others that have something to
// handle take whole steps, one or several, and may be interrupted themselves; so they do before a
// handler reads with [Run.Store], and where it is the turn of one of them in [Run.Settle]. The
// scenario checks what must hold in any order:
//
//	reactortest.EveryOrder(t, tree, func(run *reactortest.Run) {
//		run.Given(order, cancellation)
//		run.Settle()
//		require.False(t, shipped(run) && refunded(run))
//	})
//
// That finds what actors show once in a thousand runs: two workers that decide about one entity,
// each by what it has read before the other commits, and no Expect that would refuse the second.
//
// tree is called for each run, as by [EveryCrash]. The first run has no step out of turn, then come
// all those with one, then with two, and so on, up to 1,000 runs (100 with -short); how many there
// were is logged. When a run fails, its order is logged with a value for the environment variable
// PENSTOCK_ORDER, which repeats it alone. The scenario must do the same each time.
func EveryOrder(tb testing.TB, tree func() supervision.Child, scenario func(r *Run)) {
	tb.Helper()
	if given := os.Getenv("PENSTOCK_ORDER"); given != "" {
		orderRun(tb, tree(), scenario, parseChoices(tb, given))
		return
	}
	limit := orderSample
	if testing.Short() {
		limit = orderSampleShort
	}
	runs, plans := 0, []choices{nil}
	for ; len(plans) > 0 && runs < limit; runs++ {
		plan := plans[0]
		widths := orderRun(tb, tree(), scenario, plan)
		plans = plans[1:]
		for point := plan.end(); point < len(widths) && runs+len(plans) < limit; point++ {
			for option := range widths[point] {
				plans = append(plans, plan.with(choice{point: point, option: option + 1}))
			}
		}
	}
	if len(plans) > 0 {
		tb.Logf("reactortest: %d orders of steps, up to those with %d out of turn", runs, len(plans[0]))
	} else {
		tb.Logf("reactortest: all %d orders of steps", runs)
	}
}

// choice lets another worker go first at one point of a run.
type choice struct {
	point  int // counted from 0
	option int // which of those that could go, counted from 1
}

// choices are all steps out of turn of a run, by ascending points.
type choices []choice

// end is the first point after all choices.
func (c choices) end() int {
	if len(c) == 0 {
		return 0
	}
	return c[len(c)-1].point + 1
}

func (c choices) with(next choice) choices { return append(slices.Clip(c), next) }

// at returns the option that is chosen at a point, 0 if it is no one's.
func (c choices) at(point int) int {
	for _, other := range c {
		if other.point == point {
			return other.option
		}
	}
	return 0
}

func (c choices) String() string {
	if len(c) == 0 {
		return "none"
	}
	texts := make([]string, len(c))
	for i, other := range c {
		texts[i] = fmt.Sprintf("%d:%d", other.point, other.option)
	}
	return strings.Join(texts, ",")
}

func parseChoices(tb testing.TB, given string) (plan choices) {
	tb.Helper()
	if given == "none" {
		return nil
	}
	for text := range strings.SplitSeq(given, ",") {
		var c choice
		if _, err := fmt.Sscanf(text, "%d:%d", &c.point, &c.option); err != nil {
			tb.Fatalf("reactortest: PENSTOCK_ORDER=%q: %v", given, err)
		}
		plan = append(plan, c)
	}
	return plan
}

// orderRun makes one run, and returns for each point how many other workers could have gone there.
func orderRun(tb testing.TB, tree supervision.Child, scenario func(r *Run), plan choices) (widths []int) {
	tb.Helper()
	r := newRun(tb, tree)
	order := &interleaving{run: r, plan: plan}
	ended := false
	defer func() {
		if !ended {
			tb.Logf("reactortest: the test failed in this order of steps, which PENSTOCK_ORDER=%s repeats alone:\n%s",
				plan, strings.Join(order.lines, "\n"))
		}
	}()
	defer r.close()
	r.boot()
	r.order = order
	scenario(r)
	ended = true
	return order.widths
}

// interleaving is the order of the steps of a run.
type interleaving struct {
	run    *Run
	plan   choices
	widths []int    // for each point so far, how many other workers could have gone there
	lines  []string // what was done
	depth  int      // of steps within steps
}

// log adds a line to what was done.
func (o *interleaving) log(format string, args ...any) {
	if o != nil {
		o.lines = append(o.lines, strings.Repeat("    ", o.depth)+"  "+fmt.Sprintf(format, args...))
	}
}

// count says how many events there are.
func count(n int) string {
	if n == 1 {
		return "1 event"
	}
	return fmt.Sprintf("%d events", n)
}

// next is the worker that goes first at this point, nil if none does.
func (o *interleaving) next(ready []*worker) *worker {
	option := o.plan.at(len(o.widths))
	o.widths = append(o.widths, len(ready))
	if option < 1 || option > len(ready) {
		return nil
	}
	return ready[option-1]
}

// midway lets other workers take steps while one is between its handler and its commit.
func (o *interleaving) midway(w *worker) error {
	if o == nil {
		return nil
	}
	o.depth++
	defer func() { o.depth-- }()
	_, err := o.others(w)
	return err
}

// inside is midway for a handler that is about to read.
func (o *interleaving) inside() {
	if o == nil {
		return
	}
	r := o.run
	r.tb.Helper()
	r.inside = false
	err := o.midway(nil)
	switch {
	case crashed(err):
		r.died = true
	case err != nil:
		r.tb.Fatalf("reactortest: %v", err)
	}
	r.inside = true
}

// before lets other workers go before the one whose turn it is, if that has something to handle. It
// reports whether any did.
func (o *interleaving) before(turn int) (stepped bool) {
	if o == nil {
		return false
	}
	r := o.run
	r.tb.Helper()
	err := r.guard(func() error {
		w := r.all[turn]
		s, err := w.status()
		if err == nil && s.State == drive.Running {
			stepped, err = o.others(w)
		}
		return err
	})
	if err != nil {
		r.tb.Fatalf("reactortest: %v", err)
	}
	return stepped
}

// others lets workers other than w take steps, as the order says.
func (o *interleaving) others(w *worker) (stepped bool, err error) {
	for {
		ready, err := o.ready(w)
		if err != nil || len(ready) == 0 {
			return stepped, err
		}
		next := o.next(ready)
		if next == nil {
			return stepped, nil
		}
		stepped = true
		if _, err := next.step(); err != nil {
			return stepped, err
		}
	}
}

// ready returns the workers other than w that have something to handle and are not midway.
func (o *interleaving) ready(w *worker) (ready []*worker, err error) {
	for _, other := range o.run.all {
		if other == w || other.midway {
			continue
		}
		s, err := other.status()
		if err != nil {
			return nil, err
		}
		if s.State == drive.Running {
			ready = append(ready, other)
		}
	}
	return ready, nil
}
