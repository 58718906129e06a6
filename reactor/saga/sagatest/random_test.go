package sagatest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
)

// drawn is a list of steps that was drawn, and the world outside: which effects are there.
type drawn struct {
	random  *rand.Rand
	steps   []string // in the order of requests
	undo    map[string]bool
	there   map[string]bool // by instance and step
	undone  []string        // the undos, by instance and step, in the order of their first calls
	actions []saga.Part[order]
	pivoted bool // what follows has no undo
}

// draw draws a list; withdraws says that the branches of a stage may be withdrawn.
func draw(seed uint64, withdraws bool) *drawn {
	d := &drawn{random: rand.New(rand.NewPCG(seed, 1)), undo: make(map[string]bool), there: make(map[string]bool)}
	stages := 1 + d.random.IntN(4)
	pivot := d.random.IntN(2*stages + 1)
	for i := range stages {
		if i == pivot {
			d.actions, d.pivoted = append(d.actions, saga.Pivot[order]()), true
		}
		if d.random.IntN(3) > 0 {
			d.actions = append(d.actions, d.step())
			continue
		}
		var branches []saga.Branch[order]
		for range 1 + d.random.IntN(3) {
			branches = append(branches, d.step())
		}
		all := saga.All(fmt.Sprint("all", i), branches...)
		if d.random.IntN(2) == 0 && withdraws && !d.pivoted {
			all.Withdraw()
		}
		d.actions = append(d.actions, all)
	}
	return d
}

func (d *drawn) step() *saga.Action[order, string] {
	name := fmt.Sprint("s", len(d.steps))
	d.steps = append(d.steps, name)
	var undo func(_ context.Context, at saga.Step[order], done saga.Done[string]) error
	if d.random.IntN(4) > 0 && !d.pivoted {
		d.undo[name] = true
		undo = func(_ context.Context, at saga.Step[order], _ saga.Done[string]) error {
			effect := at.Instance + "/" + name
			if !slices.Contains(d.undone, effect) {
				d.undone = append(d.undone, effect)
			}
			delete(d.there, effect)
			return nil
		}
	}
	a := saga.Do(name, func(_ context.Context, at saga.Step[order]) (string, error) {
		d.there[at.Instance+"/"+name] = true
		return "", nil
	}, undo)
	if d.random.IntN(6) == 0 {
		a.Ask()
	}
	return a
}

func (d *drawn) saga(deadline time.Duration) *saga.Saga[order] {
	parts := []saga.Part[order]{
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order} }),
		saga.CancelOn[order](func(e cancelled) string { return e.Order }),
	}
	s := saga.Steps("drawn", append(parts, d.actions...)...)
	s.Deadline = deadline
	s.Effects.Policy.Attempts = 3
	return s
}

func (d *drawn) check(tb testing.TB, r *sagatest.Run[order]) {
	tb.Helper()
	for o, err := range r.Instances().List() {
		require.NoError(tb, err)
		story := r.Story(o.Key)
		d.checkNothingInFlight(tb, r, o.Key)
		last := len(d.steps)
		for _, name := range d.steps {
			there := d.there[o.Key+"/"+name]
			switch o.Life {
			case saga.Completed:
				require.True(tb, there, "step %s is missing\n%s", name, story)
			case saga.Compensated:
				require.False(tb, there && d.undo[name], "step %s is not undone\n%s", name, story)
			default:
				require.Fail(tb, "it has another end", "%s: %v\n%s", o.Life, o.Err, story)
			}
		}
		for _, effect := range d.undone {
			var n int
			if _, err := fmt.Sscanf(effect, o.Key+"/s%d", &n); err != nil {
				continue
			}
			require.Less(tb, n, last, "undone in the wrong order: %q\n%s", d.undone, story)
			last = n
		}
	}
}

// checkNothingInFlight requires that an undo is requested where each action has its outcome, and
// the undo before it, too.
func (d *drawn) checkNothingInFlight(tb testing.TB, r *sagatest.Run[order], key string) {
	tb.Helper()
	flight := make(map[string]bool)
	for e, err := range r.Instances().History(tb.Context(), key) {
		require.NoError(tb, err)
		var of struct {
			Step string `json:"step"`
			Undo bool   `json:"undo"`
		}
		switch what := strings.TrimPrefix(e.Kind, "saga.drawn."); what {
		case "requested", "done", "refused", "unknown", "withdrawn":
			require.NoError(tb, json.Unmarshal(e.Payload, &of))
			require.NotEmpty(tb, of.Step)
			name := saga.Attempt{Step: of.Step, Undo: of.Undo}.String()
			if what != "requested" {
				delete(flight, name)
				continue
			}
			require.False(tb, of.Undo && len(flight) > 0, "%s is requested while %v is in flight", name, flight)
			flight[name] = true
		}
	}
}

// seeds are those of a number of rounds, from PENSTOCK_SEED on where that is given.
func seeds(t *testing.T, rounds int, round func(t *testing.T, seed uint64)) {
	t.Helper()
	first := rand.Uint64N(1 << 32)
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, err := strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		first = seed
	}
	for i := range uint64(rounds) {
		t.Run(fmt.Sprint("PENSTOCK_SEED=", first+i), func(t *testing.T) { round(t, first+i) })
	}
}

func TestAnyListOfStepsEndsWholeOrUndone(t *testing.T) {
	seeds(t, 1, func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 2))
		deadline := []time.Duration{0, time.Second, time.Minute, time.Hour}[random.IntN(4)]
		two, cancels, at := random.IntN(2) == 0, random.IntN(2) == 0, 1+random.IntN(5)
		var d *drawn
		sagatest.EveryFault(t, func() *saga.Saga[order] {
			d = draw(seed, true)
			return d.saga(deadline)
		}, func(r *sagatest.Run[order]) {
			given(r, placed{Order: "42"})
			if two {
				given(r, placed{Order: "43"})
			}
			for range at {
				r.Step("drawn")
				r.Step("drawn.do")
			}
			if cancels {
				given(r, cancelled{"42"})
			}
			r.Settle()
		}, func(r *sagatest.Run[order]) { d.check(t, r) })
	})
}

func TestAnyListOfStepsWithFaultsSurvivesACrashAnywhere(t *testing.T) {
	once := []sagatest.Fault{
		sagatest.Refuse, sagatest.Fail.Times(1), sagatest.Lie.Times(2), sagatest.Hang.Times(1), sagatest.Panic.Times(1), sagatest.Die.Times(1),
	}
	seeds(t, 1, func(t *testing.T, seed uint64) {
		var d *drawn
		sagatest.EveryCrash(t, func() *saga.Saga[order] {
			d = draw(seed, false)
			s := d.saga(0)
			s.Effects.Policy.Attempts = 100
			return s
		}, func(r *sagatest.Run[order]) {
			actions, err := d.saga(0).Actions()
			require.NoError(t, err)
			random := rand.New(rand.NewPCG(seed, 3))
			for range 2 {
				r.Fault(actions[random.IntN(len(actions))], once[random.IntN(len(once))])
			}
			given(r, placed{Order: "42"})
			r.Advance(time.Minute)
			given(r, cancelled{"42"})
			r.Advance(time.Minute)
		})
	})
}
