package sagatest

import (
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
)

const (
	// faultPairs is how many runs with two faults [EveryFault] makes, and with -short.
	faultPairs      = 50
	faultPairsShort = 20
	// maxRetries is how often an operator retries what is stuck.
	maxRetries = 20
)

// single are the faults that each action has, one after the other.
//
//nolint:gochecknoglobals // a table
var single = []Fault{Refuse, Fail.Times(1), Fail, Lie.Times(1), Lie, Hang, Panic, Die.Times(1), Die}

// EveryFault runs a scenario once without a fault, and then again with each [Fault] of each action
// and undo that it reaches, those that are reached by the faults of others included: once, and each
// time. Each of these has two runs. In one of them the attempts at an action are used up; in the
// other one they are not where it looks like an outage of what the action calls, and what is
// carried out at the same time is in another order. Then it draws pairs of faults: 50, or 20 with
// -short.
//
// The faults last for an hour more than the deadline of the saga. After that each instance must
// end, or be stuck, within a week ([Run.Finish]), and an operator retries what is stuck. At last
// the invariant is called, which fails the test where the world outside is not as it must be,
// whatever has happened: all money that was taken is for goods that were sent, or is given back.
//
// def is called for each run, and makes the world outside, too, which must be a fresh one each
// time. Its actions should have an effect once for each key, however often they are called: whether
// they do is what is found out. The scenario must not require how an instance ends; it may look at
// it, and answer.
//
// When a run fails, its faults are logged with a value for the environment variable PENSTOCK_FAULT,
// which repeats it alone. PENSTOCK_SEED repeats the orders and the pairs.
func EveryFault[S any](
	tb testing.TB, def func() *saga.Saga[S], scenario func(r *Run[S]), invariant func(r *Run[S]),
) {
	tb.Helper()
	h := &hunt[S]{tb: tb, def: def, scenario: scenario, invariant: invariant}
	if given := os.Getenv("PENSTOCK_FAULT"); given != "" {
		p, err := parsePlan(given)
		if err != nil {
			tb.Fatalf("sagatest: PENSTOCK_FAULT: %v", err)
		}
		called := h.run(p)
		for action := range p.faults {
			if !slices.Contains(called, action) {
				tb.Fatalf("sagatest: PENSTOCK_FAULT=%q: %q was never called, but %q", given, action, called)
			}
		}
		return
	}
	seed := seedOf(tb)
	random := rand.New(rand.NewPCG(seed, 0))
	h.reach(plan{}, h.run(plan{}))
	if len(h.reached) == 0 {
		tb.Fatalf("sagatest: the scenario calls no action")
	}
	for i := 0; i < len(h.reached); i++ { // it grows on the way
		h.singles(h.reached[i], random)
	}
	one := h.runs
	h.pairs(random)
	tb.Logf("sagatest: %d runs with up to one fault more than leads to the action, %d with two, PENSTOCK_SEED=%d; never called: %s",
		one, h.runs-one, seed, strings.Join(h.missed(), ", "))
}

func seedOf(tb testing.TB) uint64 {
	tb.Helper()
	given := os.Getenv("PENSTOCK_SEED")
	if given == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(given, 10, 64)
	if err != nil {
		tb.Fatalf("sagatest: PENSTOCK_SEED: %v", err)
	}
	return seed
}

// hunt is an [EveryFault].
type hunt[S any] struct {
	tb        testing.TB
	def       func() *saga.Saga[S]
	scenario  func(r *Run[S])
	invariant func(r *Run[S])
	runs      int
	reached   []target
}

// target is an action that some run has called, with the first plan that led there.
type target struct {
	action string
	by     plan
}

// reach takes in the actions that a run has called.
func (h *hunt[S]) reach(by plan, actions []string) {
	for _, action := range actions {
		if !slices.ContainsFunc(h.reached, func(t target) bool { return t.action == action }) {
			h.reached = append(h.reached, target{action: action, by: by})
		}
	}
}

// singles makes the runs in which an action has one of the faults, beside what leads to it.
func (h *hunt[S]) singles(at target, random *rand.Rand) {
	h.tb.Helper()
	for _, f := range single {
		p := at.by.with(at.action, f)
		h.reach(p, h.run(p))
		p.order, p.outage = seedOfOrder(random), true
		h.reach(p, h.run(p))
	}
}

// pairs makes the runs with two faults, one of them of an action that goes forward, since undos are
// not reached otherwise.
func (h *hunt[S]) pairs(random *rand.Rand) {
	h.tb.Helper()
	n := faultPairs
	if testing.Short() {
		n = faultPairsShort
	}
	var forward []string
	for _, t := range h.reached {
		if !strings.HasPrefix(t.action, "undo ") {
			forward = append(forward, t.action)
		}
	}
	for range n {
		if len(forward) == 0 {
			return
		}
		first, second := forward[random.IntN(len(forward))], h.reached[random.IntN(len(h.reached))].action
		p := plan{order: seedOfOrder(random), outage: random.IntN(2) == 0}
		p = p.with(first, single[random.IntN(len(single))]).with(second, single[random.IntN(len(single))])
		h.run(p)
	}
}

// seedOfOrder draws one that is short to write.
func seedOfOrder(random *rand.Rand) uint64 { return 1 + random.Uint64N(1_000_000) }

// missed are the actions that no run has called.
func (h *hunt[S]) missed() []string {
	all, err := h.def().Actions()
	if err != nil {
		h.tb.Fatalf("sagatest: %v", err)
	}
	all = slices.DeleteFunc(all, func(action string) bool {
		return slices.ContainsFunc(h.reached, func(t target) bool { return t.action == action })
	})
	if len(all) == 0 {
		all = []string{"none"}
	}
	return all
}

// run makes one run, and returns the actions that it has called.
func (h *hunt[S]) run(p plan) []string {
	h.tb.Helper()
	h.runs++
	tb := &scope{TB: h.tb}
	defer tb.close()
	ended := false
	defer func() {
		if !ended {
			h.tb.Logf("sagatest: the test failed with the faults %[1]s; PENSTOCK_FAULT=%[1]q repeats it alone", p)
		}
	}()
	r := prepared(tb, h.def(), &tree{counts: !p.outage})
	r.begin(reactortest.Start(tb, r.tree.program()))
	if p.order != 0 {
		r.Shuffle(p.order)
	}
	maps.Copy(r.faults.by, p.faults) // also of actions that the saga has from a Deploy on
	h.scenario(r)
	h.finish(r)
	h.invariant(r)
	ended = true
	return r.faults.names()
}

// finish has all instances end, in the end without faults. What the actions themselves leave stuck
// stays so.
func (h *hunt[S]) finish(r *Run[S]) {
	h.tb.Helper()
	r.Advance(r.saga.Deadline + time.Hour)
	clear(r.faults.by)
	all := r.Finish()
	if len(all) == 0 {
		h.tb.Fatalf("sagatest: the scenario has started no instance%s", r.parked())
	}
	for range maxRetries {
		if !r.retry(all) {
			return
		}
		all = r.Finish()
	}
}

// scope is a test whose cleanups are called before it ends, as there are many runs.
type scope struct {
	testing.TB
	cleanups []func()
}

// Cleanup has do called at the end of the run.
func (s *scope) Cleanup(do func()) { s.cleanups = append(s.cleanups, do) }

func (s *scope) close() {
	for _, do := range slices.Backward(s.cleanups) {
		do()
	}
}
