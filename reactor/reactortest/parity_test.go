package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// fate is what happens at the attempts at an event, one after the other; then it succeeds.
type fate []string

// play is a tree whose handlers do what their fates say, drawn from a seed, and count their calls.
type play struct {
	mu    sync.Mutex
	fates map[string]fate // by worker and event
	calls map[string]int
}

func newPlay(seed uint64, events int) *play {
	random := rand.New(rand.NewPCG(seed, 1))
	p := &play{fates: make(map[string]fate), calls: make(map[string]int)}
	ways := []string{"error", "error", "panic", "park", "skip", "later", "wait", "too many"}
	for _, worker := range []string{"a", "b", "c", "halting"} {
		for n := range events {
			for random.IntN(4) == 0 {
				at := fmt.Sprint(worker, n)
				way := ways[random.IntN(len(ways))]
				if worker == "b" && way == "panic" {
					way = "error" // of lanes that panic at the same time, one counts
				}
				p.fates[at] = append(p.fates[at], way)
			}
		}
	}
	return p
}

func (p *play) next(worker string, n int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := fmt.Sprint(worker, n)
	p.calls[at]++
	if f := p.fates[at]; len(f) >= p.calls[at] {
		return f[p.calls[at]-1]
	}
	return ""
}

type numbered struct{ N int }

func (numbered) Kind() string { return "in.numbered" }

type answered struct {
	N  int
	By string
}

func (answered) Kind() string { return "out.answered" }

func (p *play) reactor(name string, lanes int) *reactor.Reactor {
	r := reactor.New(name, reactor.On(func(_ context.Context, e reactor.Event[numbered], out *reactor.Reactions) error {
		out.Append(store.At(name+":"+e.Coordinate.Entity, "test"), answered{N: e.Body.N, By: name})
		switch p.next(name, e.Body.N) {
		case "error":
			return errDown
		case "panic":
			panic(errDown)
		case "park":
			return reactor.Park(errDown)
		case "skip":
			return reactor.Skip(errDown)
		case "later":
			return reactor.RetryAfter(time.Second, errDown)
		case "wait":
			return reactor.Wait(errDown)
		case "too many":
			for range 3 {
				out.Append(e.Coordinate, answered{})
			}
		}
		return nil
	}))
	r.Lanes, r.MaxReactions, r.BatchSize = lanes, 3, 4
	return r
}

// sibling is restarted at any time, so how often it is called differs.
const sibling = "sibling"

func (p *play) tree() supervision.Group {
	policy := supervision.Policy{
		Attempts: 3, Intensity: 1000,
		Backoff: supervision.Backoff{Initial: time.Second, Max: 4 * time.Second, Jitter: 1e-12},
	}
	halting := p.reactor("halting", 1)
	halting.Policy = supervision.Policy{Attempts: 2, Exhausted: supervision.ActionHalt, Backoff: policy.Backoff}
	return supervision.Group{Name: "play", Policy: policy, Children: []supervision.Child{
		p.reactor("a", 1), p.reactor("b", 3), halting,
		supervision.Group{Name: "below", Strategy: supervision.RestForOne, Children: []supervision.Child{
			p.reactor("c", 1), p.reactor(sibling, 1), // which nothing happens to but that it is restarted with c
		}},
	}}
}

// ending is what a play comes to.
type ending struct {
	emitted map[string][]int
	parked  map[string][]string
	states  map[string]string
	calls   map[string]int
}

// look fills in what is in the log.
func (e *ending) look(t *testing.T, st *store.Store) {
	t.Helper()
	maps.DeleteFunc(e.calls, func(at string, _ int) bool { return strings.HasPrefix(at, sibling) })
	e.emitted = make(map[string][]int)
	for event, err := range st.Read(t.Context(), store.Region{Category: "out"}, store.Beginning()) {
		require.NoError(t, err)
		var body answered
		require.NoError(t, event.Decode(&body))
		e.emitted[event.Coordinate.Entity] = append(e.emitted[event.Coordinate.Entity], body.N)
	}
}

const playEvents = 24

func inputOf(n int) store.Payload {
	return reactortest.At(store.At(fmt.Sprintf("in:%d", n%5), "test"), numbered{N: n})
}

func playStepByStep(t *testing.T, seed uint64) (e ending) {
	t.Helper()
	p := newPlay(seed, playEvents)
	run := reactortest.Start(t, p.tree())
	for n := range playEvents {
		run.Given(inputOf(n))
	}
	run.Advance(time.Hour)
	e.parked, e.states, e.calls = map[string][]string{}, map[string]string{}, p.calls
	e.look(t, run.Store())
	for _, name := range []string{"a", "b", "c", "halting", sibling} {
		e.states[name] = string(run.Status(name).State)
		for _, parked := range run.Parked(name) {
			e.parked[name] = append(e.parked[name], fmt.Sprint(parked.Position, parked.Held, parked.Attempts))
		}
	}
	return e
}

func playByActors(t *testing.T, seed uint64) (e ending) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(seed, playEvents)
		st, err := store.Open("", store.Options{InMemory: true})
		require.NoError(t, err)
		defer st.Close()
		for n := range playEvents {
			_, err := st.Append(t.Context(), store.At(fmt.Sprintf("in:%d", n%5), "test"), store.Any, numbered{N: n})
			require.NoError(t, err)
		}
		sys, err := actors.Start(t.Context(), st, actors.Options{}, p.tree())
		require.NoError(t, err)
		time.Sleep(time.Hour)
		e.parked, e.states = map[string][]string{}, map[string]string{}
		for _, w := range sys.Status().Workers {
			e.states[w.Name] = w.State.String()
			for parked, err := range sys.Parked(w.Name) {
				require.NoError(t, err)
				e.parked[w.Name] = append(e.parked[w.Name], fmt.Sprint(parked.Position, parked.Held, parked.Attempts))
			}
		}
		if err := sys.Stop(t.Context()); err != nil {
			require.ErrorIs(t, err, actors.ErrHalted)
		}
		e.calls = p.calls
		e.look(t, st)
	})
	return e
}

// What a test of a reactor shows must be what happens when the actors run it.
func TestARunComesToWhatTheActorsComeTo(t *testing.T) {
	seed, plays := uint64(time.Now().UnixNano()), 30
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		plays = 3000
	}
	states := make(map[string]int)
	for n := range plays {
		seed := seed + uint64(n)
		want, got := playByActors(t, seed), playStepByStep(t, seed)
		require.Equal(t, want, got, "PENSTOCK_SEED=%d", seed)
		for _, state := range want.states {
			states[state]++
		}
		states["parked"] += len(slices.Concat(slices.Collect(maps.Values(want.parked))...))
	}
	t.Logf("%d plays: %v", plays, states)
}

// failing is a test that may fail.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(errFailed)
}

var errFailed = errors.New("the test failed")

func fails(t *testing.T, do func(tb testing.TB)) (said string) {
	t.Helper()
	f := &failing{TB: t}
	defer func() {
		require.Equal(t, errFailed, recover())
		said = f.said
	}()
	do(f)
	return ""
}

func TestAReactorThatKeepsItsStateInMemoryDoesNotSurviveEveryCrash(t *testing.T) {
	said := fails(t, func(tb testing.TB) {
		reactortest.EveryCrash(tb, func() supervision.Child {
			count := 0
			return reactor.New("counter", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
				count++
				out.Append(store.At("count", "shop"), numbered{N: count})
				return nil
			}))
		}, func(run *reactortest.Run) {
			run.Given(order(1))
			run.Settle()
			run.Given(order(2))
			run.Settle()
		})
	})
	require.Contains(t, said, "after a power cut at operation")
}

func TestThenTellsWhatWasEmittedInstead(t *testing.T) {
	run := reactortest.Start(t, shop(&warehouse{}))
	_ = run
	said := fails(t, func(tb testing.TB) {
		run := reactortest.Start(tb, shop(&warehouse{}))
		run.Given(order(1))
		run.Settle()
		run.Then(reactortest.At(store.At("stock:chair", "shop"), reserved{"order:1"}))
	})
	require.Contains(t, said, `stock.reserved at stock:lamp@shop {"Order":"order:1"}`)
	require.Contains(t, said, `stock.reserved at stock:chair@shop {"Order":"order:1"}`)
}

func TestWhatCannotRunFailsTheTest(t *testing.T) {
	for want, tree := range map[string]supervision.Child{
		"no routes":        reactor.New("empty"),
		"is neither":       plain{},
		"duplicate name":   supervision.Group{Name: "g", Children: []supervision.Child{reactor.New("x", reactor.On(bill)), reactor.New("x", reactor.On(bill))}},
		"bad name":         supervision.Group{},
		"is volatile":      volatile(),
		"named \"nobody\"": nil,
	} {
		said := fails(t, func(tb testing.TB) {
			if tree == nil {
				reactortest.Start(tb, shop(&warehouse{})).Step("nobody")
			}
			reactortest.Start(tb, tree)
		})
		require.Contains(t, said, want)
	}
}
