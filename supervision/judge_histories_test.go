package supervision_test

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

func fails(name string, f supervision.Failure) step { return step{name: name, failure: f} }

// specs is every combination of what a spec can say, over a policy. A permanent child differs from
// a transient one only when it ends by itself.
func specs(p supervision.Policy) (all []supervision.Spec) {
	for _, restart := range []supervision.Restart{supervision.Transient, supervision.Temporary} {
		for _, exhausted := range []supervision.Action{supervision.ActionPark, supervision.ActionSkip, supervision.ActionHalt} {
			for _, over := range []supervision.Action{supervision.ActionHalt, supervision.ActionEscalate} {
				p.Exhausted, p.OverBudget = exhausted, over
				all = append(all, supervision.Spec{Name: "w", Restart: restart, Policy: p})
			}
		}
	}
	return all
}

// compareSpecs is compareAll for every combination, and requires each answer that it must have seen
// somewhere.
func compareSpecs(t *testing.T, p supervision.Policy, alphabet []step, length int, wanted ...string) {
	t.Helper()
	histories, all := 0, make(map[string]int)
	for _, spec := range specs(p) {
		n, seen := compareAll(t, spec, alphabet, length)
		histories += n
		for action, count := range seen {
			all[action] += count
		}
	}
	requireAllSeen(t, histories, all, wanted...)
}

func TestTheJudgeAgreesWithTheModelInEveryShortHistory(t *testing.T) {
	p := strict
	p.Period = 10 * time.Second // short enough for delays to matter
	at := func(event uint64, err error) supervision.Failure { return supervision.Failure{Event: event, Err: err} }
	compareSpecs(t, p, []step{
		fails("error at 1", errorAt(1)),
		fails("error at 2", errorAt(2)),
		fails("panic at 2", panicAt(2)),
		fails("no event", noEvent),
		fails("wait at 2", supervision.Failure{Event: 2, Err: errStock, NoAttempt: true}),
		fails("waits at 1", at(1, supervision.Wait(errStock))),
		fails("retry after at 1", at(1, supervision.RetryAfter(11*time.Second, errStock))),
		fails("park at 2", at(2, supervision.Park(errStock))),
		fails("skip at 1", at(1, supervision.Skip(errStock))),
		fails("park, no event", at(0, supervision.Park(errStock))),
		fails("halt at 2", at(2, supervision.Halt(errStock))),
		fails("halt, no event", at(0, supervision.Halt(errStock))),
		{name: "1 passed", passed: 1},
		{name: "2 passed", passed: 2},
		{name: "quiet", passes: 10 * time.Second},
	}, 4, "retry", "restart", "park", "skip", "haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

// everything is each thing that can happen: all kinds of failures, with all that an error can say,
// with and without an event, and all that heals.
func everything() (all []step) {
	for event, where := range []string{"no event", "event 1", "event 2"} {
		for says, err := range map[string]error{
			"nothing": errStock, "retry after": supervision.RetryAfter(11*time.Second, errStock), "wait": supervision.Wait(errStock),
			"park": supervision.Park(errStock), "skip": supervision.Skip(errStock), "halt": supervision.Halt(errStock),
		} {
			for kind, f := range map[string]supervision.Failure{"error": {}, "panic": {Panic: true}, "no attempt": {NoAttempt: true}} {
				f.Event, f.Err = uint64(event), err
				all = append(all, fails(kind+" at "+where+" that says "+says, f))
			}
		}
	}
	slices.SortFunc(all, func(a, b step) int { return strings.Compare(a.name, b.name) }) // so that a seed repeats the same
	return append(all,
		step{name: "1 passed", passed: 1}, step{name: "2 passed", passed: 2},
		step{name: "quiet", passes: 10 * time.Second}, step{name: "a while", passes: 4 * time.Second},
		step{name: "ended", ended: true}, step{name: "two deaths at 1", deaths: 2},
	)
}

// kinds is specs for every kind of child, also one that may never be restarted.
func kinds(p supervision.Policy) (all []supervision.Spec) {
	for _, restart := range []supervision.Restart{supervision.Transient, supervision.Permanent, supervision.Temporary} {
		for _, intensity := range []int{-1, 1} {
			p.Intensity = intensity
			for _, s := range specs(p)[:6] {
				s.Restart = restart
				all = append(all, s)
			}
		}
	}
	return all
}

func TestTheJudgeAgreesWithTheModelInEveryPairOfStepsAndInRandomHistories(t *testing.T) {
	p := strict
	p.Period, p.Attempts = 10*time.Second, 3
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	all, seen, histories := everything(), make(map[string]int), 0
	for _, spec := range kinds(p) {
		n, actions := compareAll(t, spec, all, 2)
		histories += n
		for action, count := range actions {
			seen[action] += count
		}
		for range 1000 {
			histories++
			few := make([]step, 5) // so that things happen again
			for i := range few {
				few[i] = all[random.IntN(len(all))]
			}
			compare(t, spec, 12, seen, func() step { return few[random.IntN(len(few))] })
		}
	}
	requireAllSeen(t, histories, seen, "retry", "restart", "park", "skip",
		"haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

func TestTheJudgeAgreesWithTheModelInEveryShortHistoryOfPanics(t *testing.T) {
	p := strict
	p.Intensity, p.Period = 1, 20*time.Second
	parks := panicAt(4)
	parks.Err = supervision.Park(errStock)
	length := 5
	if os.Getenv("PENSTOCK_SOAK") != "" {
		length = 6
	}
	compareSpecs(t, p, []step{
		fails("panic at 1", panicAt(1)),
		fails("panic at 2", panicAt(2)),
		fails("panic at 3", panicAt(3)),
		fails("panic at 4 that parks", parks),
		fails("panic at 5", panicAt(5)),
		{name: "5 passed, later", passed: 5, passes: 15 * time.Second},
	}, length, "restart", "park", "skip", "haltexhausted", "haltintensity", "haltother", "escalateintensity")
}

// requireAllSeen guards against an alphabet that cannot reach what it is meant to test.
func requireAllSeen(t *testing.T, histories int, seen map[string]int, wanted ...string) {
	t.Helper()
	t.Logf("%d histories: %v", histories, seen)
	for _, want := range wanted {
		require.Positive(t, seen[want], want)
	}
}
