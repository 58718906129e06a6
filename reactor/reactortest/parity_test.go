package reactortest_test

import (
	"context"
	"encoding/json"
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

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A play is a tree of workers and a script, drawn from a seed and played twice: by the actors in a
// bubble, and step by step. The seed decides what the handlers do at each attempt at each event,
// and what an operator does meanwhile.
//
//	plain     one after the other
//	laned     in three lanes
//	bulk      a batch handler, which does not say at which event it fails
//	halting   whose events are not parked
//	once      a batch handler that is never restarted
//	again     ends itself now and then, and is started again
//	resting   before a sibling, which is restarted with it
//	climbing  escalates, so that its whole group is restarted
type play struct {
	mu    sync.Mutex
	fates map[string][]string // of the first attempts, by worker and event; later ones succeed
	calls map[string]int
	acts  []act
}

// act is what an operator does.
type act struct {
	what   string
	worker string
	pick   int
}

// key selects what is replayed.
func (a act) key() cursor.ParkedFilter { return cursor.ParkedFilter{Key: inputOf(a.pick).Entity} }

// sibling begins the names of workers that are restarted with others: how often their handlers are
// called depends on the timing.
const sibling = "sibling"

var (
	players = []string{"plain", "laned", "bulk", "halting", "once", "again", "resting", "climbing"}
	fates   = map[string][]string{
		"plain":    {"error", "error", "panic", "park", "skip", "later", "wait", "too many", "race", "race", "race"},
		"laned":    {"error", "error", "park", "skip", "later", "wait", "too many"}, // of lanes that panic together, one counts
		"bulk":     {"error", "error", "panic", "park", "skip", "later", "wait"},
		"halting":  {"error", "panic", "park", "race", "halt"},
		"once":     {"error", "park", "panic"},
		"again":    {"stop", "back", "error", "panic"},
		"resting":  {"error", "panic", "park"},
		"climbing": {"error", "panic", "later"},
	}
	operations = []string{"append", "append", "append", "pause", "rest", "resume", "rewind", "emit", "replay", "discard", "skip", "reset"}
)

// When an actor sees an append depends on the scheduler, and so does the end of its batch, unless
// all batches, appends and rewinds keep to multiples of one number.
const (
	playBatch  = 3
	playEvents = 8 * playBatch
	playActs   = 12
)

func newPlay(seed uint64) *play {
	random := rand.New(rand.NewPCG(seed, 1))
	p := &play{fates: make(map[string][]string), calls: make(map[string]int)}
	for _, worker := range players {
		for n := range playEvents + playBatch*playActs {
			for at := fmt.Sprint(worker, n); random.IntN(4) == 0; {
				p.fates[at] = append(p.fates[at], fates[worker][random.IntN(len(fates[worker]))])
			}
		}
	}
	for range playActs {
		p.acts = append(p.acts, act{
			operations[random.IntN(len(operations))], players[random.IntN(len(players))], random.IntN(1000),
		})
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

// fail returns the error of a fate, or panics.
func fail(fate string) error {
	switch fate {
	case "error":
		return errDown
	case "panic":
		panic(errDown)
	case "park":
		return reactor.Park(errDown)
	case "skip":
		return reactor.Skip(errDown)
	case "halt":
		return reactor.Halt(errDown)
	case "later":
		return reactor.RetryAfter(time.Second, errDown)
	case "wait":
		return reactor.Wait(errDown)
	}
	return nil
}

func (p *play) reactor(name string) *reactor.Reactor {
	r := reactor.New(name, reactor.On(func(_ context.Context, e reactor.Event[numbered], out *reactor.Reactions) error {
		at, fate := store.At(name+":"+e.Coordinate.Entity, "test"), p.next(name, e.Body.N)
		expect := store.Any
		if fate == "race" {
			expect = store.Exactly(1000)
		}
		out.Propose(store.Proposal{At: at, Payload: answered{N: e.Body.N, By: name}, Expect: expect})
		for range 3 * strings.Count(fate, "too many") {
			out.Append(at, answered{})
		}
		return fail(fate)
	}))
	r.MaxReactions, r.BatchSize = 3, playBatch
	return r
}

func (p *play) batches(name string) cursor.Worker {
	return cursor.Worker{Name: name, Region: store.Region{Category: "in"}, BatchSize: playBatch, Handle: func(
		_ context.Context, b *cursor.Batch,
	) (cursor.Action, error) {
		for i, e := range b.Events {
			var in numbered
			if err := json.Unmarshal(e.Payload, &in); err != nil {
				return cursor.Continue, err
			}
			b.React(i, store.At(name+":"+e.Coordinate.Entity, "test"), answered{N: in.N, By: name})
			switch fate := p.next(name, in.N); fate {
			case "stop":
				return cursor.Stop, nil
			case "back":
				return cursor.StopWithRollback, nil
			default:
				if err := fail(fate); err != nil {
					return cursor.Continue, err
				}
			}
		}
		return cursor.Continue, nil
	}}
}

func (p *play) tree() supervision.Group {
	policy := supervision.Policy{
		Attempts: 5, Intensity: 1000,
		Backoff: supervision.Backoff{Initial: time.Second, Max: 4 * time.Second, Jitter: 1e-12},
	}
	laned, halting, once, climbing := p.reactor("laned"), p.reactor("halting"), p.batches("once"), p.reactor("climbing")
	laned.Lanes = 3
	halting.Policy = supervision.Policy{Attempts: 2, Exhausted: supervision.ActionHalt, Backoff: policy.Backoff}
	once.Restart = supervision.Temporary
	climbing.Policy = supervision.Policy{Attempts: 3, Intensity: -1, OverBudget: supervision.ActionEscalate, Backoff: policy.Backoff}
	again := p.batches("again")
	again.Restart, again.BatchSize = supervision.Permanent, 1
	return supervision.Group{Name: "play", Policy: policy, Children: []supervision.Child{
		p.reactor("plain"), laned, p.batches("bulk"), halting, once, again,
		supervision.Group{Name: "rest", Strategy: supervision.RestForOne, Children: []supervision.Child{
			p.reactor("resting"), p.reactor(sibling + "-1"),
		}},
		supervision.Group{Name: "all", Strategy: supervision.OneForAll, Children: []supervision.Child{
			p.reactor(sibling + "-2"),
			supervision.Group{
				Name: "inner", Policy: supervision.Policy{Intensity: 3, Period: time.Minute, Backoff: policy.Backoff},
				Children: []supervision.Child{climbing},
			},
		}},
	}}
}

// player runs a play: with the actors, or as a Run of this package.
type player interface {
	store() *store.Store
	given(from, count int)
	wait(d time.Duration)
	status(worker string) standing // without the name
	do(worker string, a act, to store.Position) error
}

// ending is the result of a play.
type ending struct {
	story    [][]standing // after each act
	outcomes []string     // of each act
	emitted  map[string][]int
	parked   map[string][]string
	calls    map[string]int
}

// perform runs a play. The pauses between the acts have fractions of their own, so that nothing
// falls due at the time of an act.
func (p *play) perform(t *testing.T, by player) (e ending) {
	t.Helper()
	inputs := 0
	given := func(count int) {
		by.given(inputs, count)
		inputs += count
	}
	given(playEvents)
	for i, a := range p.acts {
		by.wait(7*time.Second + time.Duration(i+1)*13*time.Millisecond)
		outcome := "not done"
		state, lag := by.status(a.worker).state, by.status(a.worker).lag
		if a.what == "skip" {
			a.pick = -1 // how far past its last event a worker has scanned is chance
		}
		switch {
		case a.what == "append":
			given(playBatch)
			outcome = "done"
		case state == "restarting" || state == "halted" && a.what != "resume": // it would have to be waited for
		case a.what == "skip" && lag == 0:
		case (a.what == "replay" || a.what == "resume") && replaying(t, by.store(), a.worker):
			// While an actor waits for the outcome of one key it handles another, and may halt or panic
			// there.
		default:
			outcome = fmt.Sprint(by.do(a.worker, a, inputAt(t, by.store(), a.pick)) == nil)
		}
		by.wait(0)
		e.outcomes = append(e.outcomes, fmt.Sprint(a, " ", outcome))
		e.story = append(e.story, p.look(t, by))
	}
	by.wait(time.Hour)
	e.story = append(e.story, p.look(t, by))
	e.calls = p.calls
	maps.DeleteFunc(e.calls, func(at string, _ int) bool { return strings.HasPrefix(at, sibling) })
	e.emitted, e.parked = emittedIn(t, by.store()), make(map[string][]string)
	for _, worker := range players {
		for parked, err := range checkpoint.ParkedEvents(by.store(), checkpoint.ID(worker)) {
			require.NoError(t, err)
			event, err := by.store().GetAt(t.Context(), parked.Position)
			require.NoError(t, err)
			e.parked[worker] = append(e.parked[worker],
				fmt.Sprint(event.Coordinate, " ", event.Version, " ", parked.Held, " ", parked.Attempts))
		}
	}
	return e
}

// standing is the status of a worker, as far as it is compared.
type standing struct {
	worker, state     string
	attempt           int
	lag, parked, held int
	restarts          int
	replaying         bool
}

// look returns how all workers of one lane stand.
func (p *play) look(t *testing.T, by player) (all []standing) {
	t.Helper()
	for _, worker := range players {
		if worker == "laned" {
			continue
		}
		s := by.status(worker)
		s.worker, s.replaying = worker, replaying(t, by.store(), worker)
		if worker == "climbing" {
			s.restarts = 0 // each group above counts too
		}
		if s.state != "retrying" && s.state != "restarting" {
			s.attempt = 0
		}
		all = append(all, s)
	}
	return all
}

// requireSame compares how all workers stand. An actor that waits for a retry may write or check
// for new events meanwhile, and shows as running or idle then; of several lanes that wait it shows
// the latest failure, where a run shows the next retry. So the state and attempt of such workers
// are taken from the other side.
func requireSame(t *testing.T, want, got []standing, message ...any) {
	t.Helper()
	for i, s := range want {
		passing := s.state == "idle" || s.state == "running"
		if s.replaying && s.state == "retrying" || passing && (s.lag > 0 || s.replaying) {
			s.state, s.attempt = got[i].state, got[i].attempt
		}
		if s.replaying {
			s.attempt = got[i].attempt
		}
		require.Equal(t, s, got[i], message...)
	}
}

func replaying(t *testing.T, st *store.Store, worker string) bool {
	t.Helper()
	for parked, err := range checkpoint.ParkedEvents(st, checkpoint.ID(worker)) {
		require.NoError(t, err)
		if parked.Replaying {
			return true
		}
	}
	return false
}

// inputAt returns the position of one of the inputs that end a batch, -1 for the last one.
func inputAt(t *testing.T, st *store.Store, pick int) store.Position {
	t.Helper()
	var inputs []store.Position
	for e, err := range st.Read(t.Context(), store.Region{Category: "in"}, store.Beginning()) {
		require.NoError(t, err)
		inputs = append(inputs, e.Position)
	}
	batches := len(inputs) / playBatch
	return inputs[playBatch*((pick+batches)%batches)+playBatch-1]
}

func emittedIn(t *testing.T, st *store.Store) map[string][]int {
	t.Helper()
	emitted := make(map[string][]int)
	for event, err := range st.Read(t.Context(), store.Region{Category: "out"}, store.Beginning()) {
		require.NoError(t, err)
		var body answered
		require.NoError(t, event.Decode(&body))
		emitted[event.Coordinate.Entity] = append(emitted[event.Coordinate.Entity], body.N)
	}
	return emitted
}

func inputOf(n int) store.Coordinate { return store.At(fmt.Sprintf("in:%d", n%5), "test") }

// What a test of a reactor shows must be what happens when the actors run it.
func TestARunEndsAsTheActorsEnd(t *testing.T) {
	seed, plays := uint64(time.Now().UnixNano()), 30
	if testing.Short() {
		plays = 5
	}
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		plays = 3000
	}
	seen := make(map[string]int)
	for n := range plays {
		seed := seed + uint64(n)
		var want ending
		synctest.Test(t, func(t *testing.T) {
			p := newPlay(seed)
			want = p.perform(t, startActors(t, p.tree()))
		})
		p := newPlay(seed)
		got := p.perform(t, stepper{t: t, run: reactortest.Start(t, p.tree())})
		for i := range want.story {
			requireSame(t, want.story[i], got.story[i], "after act %d of %v, PENSTOCK_SEED=%d", i+1, want.outcomes, seed)
			for _, s := range want.story[i] {
				seen[s.state]++
			}
		}
		want.story, got.story = nil, nil
		require.Equal(t, want, got, "PENSTOCK_SEED=%d", seed)
		for _, outcome := range want.outcomes {
			seen[outcome[strings.LastIndex(outcome, "}")+2:]]++
		}
		seen["parked"] += len(slices.Concat(slices.Collect(maps.Values(want.parked))...))
	}
	t.Logf("%d plays: %v", plays, seen)
}
