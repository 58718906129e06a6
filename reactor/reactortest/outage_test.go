package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// provider is what a handler calls for each order. It may be down, and refuses one order always.
type provider struct {
	down  bool
	bad   string
	calls int
	seen  []string // orders that were charged, as they were
}

var errProvider = errors.New("connection refused")

func (p *provider) charge(order string) error {
	p.calls++
	if p.down || order == p.bad {
		return errProvider
	}
	p.seen = append(p.seen, order)
	return nil
}

func (p *provider) reactor(name string) *reactor.Reactor {
	return reactor.New(name, reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		if err := p.charge(e.Coordinate.Entity); err != nil {
			return err
		}
		out.Append(e.Coordinate, billed{e.Coordinate.Entity})
		return nil
	}))
}

// projector is a worker that keeps its position itself, in batches that fail at the first event
// that does.
func (p *provider) projector(name string) cursor.Worker {
	var position store.Position
	return cursor.Worker{
		Name: name, Kinds: []string{ordered{}.Kind()}, BatchSize: 10,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				if err := p.charge(e.Coordinate.Entity); err != nil {
					return cursor.Continue, cursor.FailedAt(i, err)
				}
				b.React(i, e.Coordinate, billed{e.Coordinate.Entity})
				if !b.Parked() {
					position = e.Position
				}
			}
			return cursor.Continue, nil
		},
		ExternalPosition: func(context.Context, cursor.ResumeState) (store.Position, error) { return position, nil },
	}
}

// charging are the workers that have an outage in the tests below.
func charging(p *provider) map[string]supervision.Child {
	laned := p.reactor("charge")
	laned.Lanes = 8
	return map[string]supervision.Child{"one by one": p.reactor("charge"), "in lanes": laned, "a projector": p.projector("charge")}
}

func TestAnOutageHealsItselfAndTheBadEventAloneIsParked(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(charging(nil))) {
		t.Run(name, func(t *testing.T) {
			p := &provider{down: true, bad: "order:150"}
			run := reactortest.Start(t, charging(p)[name])
			for n := range 300 {
				run.Given(order(n))
			}
			run.Advance(10 * time.Minute)
			s := run.Status("charge")
			require.Equal(t, actors.Outage, s.State)
			var outage *supervision.OutageError
			require.ErrorAs(t, s.Reason, &outage)
			require.ErrorIs(t, outage.Err, errProvider)
			require.Equal(t, ordered{}.Kind(), outage.Dependency)
			require.Equal(t, run.Now().Add(-10*time.Minute), outage.Since)
			require.Equal(t, s.Due, outage.Next)
			require.Positive(t, s.Due.Sub(run.Now()))
			require.Less(t, p.calls, 100)
			p.down = false
			run.Advance(2 * time.Minute)
			require.Len(t, reactortest.Of[billed](run), 299)
			require.Len(t, p.seen, 299, "each once")
			parked := run.Parked("charge")
			require.Len(t, parked, 1)
			require.Equal(t, "order:150", parked[0].Key)
			require.Equal(t, actors.Idle, run.Status("charge").State)
		})
	}
}

func TestAnOutageKeepsTheOrderOfEachKey(t *testing.T) {
	for name := range charging(nil) {
		t.Run(name, func(t *testing.T) {
			p := &provider{down: true}
			run := reactortest.Start(t, charging(p)[name])
			for n := range 60 {
				run.Given(order(n % 7))
			}
			run.Advance(10 * time.Minute)
			p.down = false
			run.Advance(2 * time.Minute)
			require.Len(t, p.seen, 60)
			latest := make(map[string]store.Position)
			for e, err := range run.Store().Read(t.Context(), store.Region{Kinds: []string{billed{}.Kind()}}, store.Beginning()) {
				require.NoError(t, err)
				cause, err := run.Store().Get(t.Context(), e.Cause)
				require.NoError(t, err)
				require.Greater(t, cause.Position, latest[e.Coordinate.Entity], "order of %s", e.Coordinate.Entity)
				latest[e.Coordinate.Entity] = cause.Position
			}
		})
	}
}

func TestACrashInAnOutageLosesNoEventAndNeedsNoHand(t *testing.T) {
	for _, name := range []string{"one by one", "in lanes"} {
		t.Run(name, func(t *testing.T) {
			p := &provider{down: true}
			run := reactortest.Start(t, charging(p)[name])
			for n := range 40 {
				run.Given(order(n))
			}
			for range 3 {
				run.Advance(7 * time.Minute)
				run.Crash(1)
			}
			run.Advance(10 * time.Minute)
			require.Equal(t, actors.Outage, run.Status("charge").State)
			p.down = false
			run.Advance(2 * time.Minute)
			require.Len(t, reactortest.Of[billed](run), 40)
			require.Empty(t, run.Parked("charge"))
		})
	}
}

func TestTheOutageOfOneDependencyLeavesThoseOfOthersAlone(t *testing.T) {
	p := &provider{}
	cards := func(order string) bool { return order < "order:2" } // 0, 1, 10 to 19
	r := reactor.New("charge", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		if p.calls++; p.down && cards(e.Coordinate.Entity) {
			return errProvider
		}
		out.Append(e.Coordinate, billed{e.Coordinate.Entity})
		return nil
	}))
	r.Lanes = 4
	r.Dependency = func(e store.Event) string { return fmt.Sprint(cards(e.Coordinate.Entity)) }
	p.down = true
	run := reactortest.Start(t, r)
	for n := range 20 {
		run.Given(order(n))
	}
	run.Advance(time.Minute)
	require.Len(t, reactortest.Of[billed](run), 8)
	require.Equal(t, actors.Outage, run.Status("charge").State)
	p.down = false
	run.Advance(time.Minute)
	require.Len(t, reactortest.Of[billed](run), 20)
}

func TestWhatIsTheFaultOfTheEventsIsNoOutage(t *testing.T) {
	for name, fail := range map[string]func(out *reactor.Reactions) error{
		"a directive to park": func(*reactor.Reactions) error { return reactor.Park(errProvider) },
		"a fault that is to be tried again later": func(*reactor.Reactions) error {
			return reactor.RetryAfter(time.Second, &reactor.LoopError{})
		},
		"reactions that are refused": func(out *reactor.Reactions) error {
			out.Append(store.At("", ""), billed{})
			return nil
		},
		"a payload that cannot be read": func(*reactor.Reactions) error {
			return fmt.Errorf("read: %w", &reactor.DecodeError{Err: errProvider})
		},
		"a chain of reactions that is too long": func(*reactor.Reactions) error { return &reactor.LoopError{} },
	} {
		t.Run(name, func(t *testing.T) {
			r := reactor.New("r", reactor.On(func(_ context.Context, _ reactor.Event[ordered], out *reactor.Reactions) error {
				return fail(out)
			}))
			r.Lanes, r.Policy.Attempts = 4, 3
			run := reactortest.Start(t, r)
			for n := range 5 {
				run.Given(order(n))
			}
			run.Advance(time.Hour)
			require.Len(t, run.Parked("r"), 5)
			require.Equal(t, actors.Idle, run.Status("r").State)
		})
	}
}

func TestAWorkerWithNoRoomIsFullUntilThereIs(t *testing.T) {
	p := &provider{bad: "order:1"}
	for _, child := range []supervision.Child{p.reactor("charge"), p.projector("charge")} {
		p.bad = "order:1"
		if r, ok := child.(*reactor.Reactor); ok {
			r.MaxParked, r.BatchSize, r.Policy.Outage.Off = 5, 2, true
		}
		if w, ok := child.(cursor.Worker); ok {
			w.MaxParked, w.BatchSize, w.Policy.Outage.Off = 5, 2, true
			child = w
		}
		run := reactortest.Start(t, child)
		for range 20 {
			run.Given(order(1))
		}
		run.Advance(time.Hour)
		s := run.Status("charge")
		require.Equal(t, actors.Full, s.State)
		require.ErrorIs(t, s.Reason, cursor.ErrParkLimit)
		require.Equal(t, 5, s.Parked)
		require.Equal(t, 15, s.Lag)
		p.bad = ""
		run.Replay("charge", cursor.ParkedFilter{All: true})
		run.Settle()
		require.Len(t, reactortest.Of[billed](run), 20)
		require.Equal(t, actors.Idle, run.Status("charge").State)
	}
}

// Events are deferred, taken back, parked and probed on the way; each of that may be what a crash
// leaves.
func TestAnOutageHealsItselfAfterACrashAnywhereInIt(t *testing.T) {
	for _, name := range []string{"one by one", "in lanes"} {
		t.Run(name, func(t *testing.T) {
			var p *provider
			tree := func() supervision.Child {
				p = &provider{}
				r := charging(p)[name].(*reactor.Reactor)
				r.Policy = supervision.Policy{Attempts: 20, Backoff: supervision.Backoff{Initial: time.Second, Max: 4 * time.Second}}
				r.Policy.Outage = supervision.OutagePolicy{Keys: 2, UsedUp: 2}
				return r
			}
			reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
				p.down = true
				for n := range 6 {
					run.Given(order(n % 4))
				}
				run.Advance(3 * time.Minute)
				p.down = false
				run.Advance(time.Minute)
				require.Len(t, reactortest.Of[billed](run), 6)
				require.Empty(t, run.Parked("charge"))
			})
		})
	}
}

// twoKinds is a worker that fails at one of its two kinds while the provider is down.
func (p *provider) twoKinds(lanes int) cursor.Worker {
	return cursor.Worker{
		Name: "charge", Kinds: []string{ordered{}.Kind(), reserved{}.Kind()}, Lanes: lanes,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				b.Begin(i)
				if p.calls++; p.down && e.Kind == (ordered{}).Kind() {
					return cursor.Continue, cursor.FailedAt(i, errProvider)
				}
				b.React(i, e.Coordinate, billed{e.Coordinate.Entity})
			}
			return cursor.Continue, nil
		},
	}
}

func TestAKindThatIsNotReadAnyMoreLeavesNothingOfItsOutage(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		p := &provider{down: true}
		run := reactortest.Start(t, p.twoKinds(lanes))
		for n := range 20 {
			run.Given(order(n))
		}
		for n := range 5 {
			run.Given(reactortest.At(store.At(fmt.Sprintf("stock:%d", n), "shop"), reserved{}))
		}
		run.Advance(10 * time.Minute)
		require.Equal(t, actors.Outage, run.Status("charge").State)
		run.Apply("charge", checkpoint.Rebind{Kinds: []string{reserved{}.Kind()}})
		run.Advance(time.Minute)
		require.Len(t, reactortest.Of[billed](run), 5, "lanes %d", lanes)
		deferred := len(run.Parked("charge"))
		if deferred == 0 {
			require.Equal(t, actors.Idle, run.Status("charge").State)
		}
		p.down = false
		run.Advance(time.Minute)
		require.Len(t, reactortest.Of[billed](run), 5+deferred, "what it had to handle when it was rebound")
		require.Empty(t, run.Parked("charge"))
		require.Equal(t, actors.Idle, run.Status("charge").State)
	}
}

func TestARewindInAnOutageLosesNothingAndRepeatsNothing(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		p := &provider{}
		run := reactortest.Start(t, p.twoKinds(lanes))
		for n := range 20 {
			run.Given(order(n))
			run.Settle()
			p.down = n >= 4
		}
		run.Advance(10 * time.Minute)
		require.Equal(t, actors.Outage, run.Status("charge").State)
		run.Apply("charge", checkpoint.Rewind{To: 2})
		run.Advance(10 * time.Minute)
		require.Equal(t, actors.Outage, run.Status("charge").State)
		p.down = false
		run.Advance(time.Minute)
		require.Len(t, reactortest.Of[billed](run), 20, "lanes %d", lanes)
		require.Empty(t, run.Parked("charge"))
		require.Equal(t, actors.Idle, run.Status("charge").State)
	}
}

// Nothing else can be tried: with one key for all, or without a checkpoint that remembers what is
// passed over.
func TestAPolicyThatSkipsDoesSoWhereTheOrderLeavesNothingElseToTry(t *testing.T) {
	for name, change := range map[string]func(*cursor.Worker){
		"one key":       func(w *cursor.Worker) { w.Key = func(store.Event) string { return "" } },
		"no checkpoint": func(w *cursor.Worker) { w.Volatile = true },
	} {
		t.Run(name, func(t *testing.T) {
			p := &provider{down: true}
			w := p.twoKinds(1)
			change(&w)
			w.Policy.Exhausted = supervision.ActionSkip
			run := reactortest.Start(t, w)
			for n := range 5 {
				run.Given(order(n))
			}
			run.Given(reactortest.At(store.At("stock:1", "shop"), reserved{}))
			run.Advance(6 * time.Minute)
			require.Equal(t, actors.Outage, run.Status("charge").State)
			p.down = false
			run.Advance(time.Minute)
			require.Len(t, reactortest.Of[billed](run), 6, "nothing is skipped in an outage of some minutes")

			p.down = true
			for n := range 5 {
				run.Given(order(10 + n))
			}
			run.Given(reactortest.At(store.At("stock:2", "shop"), reserved{}))
			run.Advance(time.Hour)
			require.Len(t, reactortest.Of[billed](run), 7, "nor is anything held up forever")
			require.Empty(t, run.Parked("charge"))
		})
	}
}

// What is read at once may be of one key, so that nothing but its first event can be tried.
func TestBadEventsOfOneKeyThatFillABatchHoldNothingUpForever(t *testing.T) {
	r := reactor.New("charge", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		if e.Coordinate.Entity < "order:4" {
			return errProvider
		}
		out.Append(e.Coordinate, billed{e.Coordinate.Entity})
		return nil
	}))
	r.BatchSize = 2
	run := reactortest.Start(t, r)
	for _, n := range []int{0, 1, 2, 2, 3, 3, 4, 5} {
		run.Given(order(n))
	}
	run.Advance(3 * time.Hour)
	run.Then(billed{"order:4"}, billed{"order:5"})
	require.Len(t, run.Parked("charge"), 6)
}

// As a provider that is overloaded does, with 429 and Retry-After, and then with 503.
func TestAProviderThatRefusesAllForAWhileAndSaysForHowLongIsAnOutage(t *testing.T) {
	for _, lanes := range []int{0, 16} {
		for _, attempts := range []int{1, 3, 10} {
			for _, then := range []bool{false, true} {
				calls := 0
				var run *reactortest.Run
				var began time.Time
				r := reactor.New("charge", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
					calls++
					switch since := run.Now().Sub(began); {
					case since < 5*time.Minute || since < 10*time.Minute && !then:
						return reactor.RetryAfter(time.Second, errProvider)
					case since < 10*time.Minute:
						return errProvider
					}
					out.Append(e.Coordinate, billed{e.Coordinate.Entity})
					return nil
				}))
				r.Lanes, r.Policy.Attempts = lanes, attempts
				run = reactortest.Start(t, r)
				began = run.Now()
				for n := range 200 {
					run.Given(order(n))
				}
				run.Advance(30 * time.Minute)
				about := fmt.Sprintf("lanes %d, attempts %d, then others %t", lanes, attempts, then)
				require.Zero(t, run.Status("charge").Parked, about)
				require.Zero(t, run.Status("charge").Lag, about)
				require.Less(t, calls, 200+400, about)
			}
		}
	}
}
