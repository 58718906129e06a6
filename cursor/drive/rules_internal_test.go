package drive

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// house runs a tree and its workers as a transport would, in virtual time and without a mailbox.
// Handlers return at once, but for those that wait for their context or ignore it.
type house struct {
	t      *testing.T
	tree   *Tree
	now    time.Time
	rooms  []*room
	begun  bool
	closed bool
	failed error
	tale   []string // of the handlers, with times
}

// room is a worker of a house over all its incarnations.
type room struct {
	house   *house
	name    string
	number  int
	lanes   int
	fates   map[store.Position][]string // of the first attempts at an event; later ones succeed
	refused []error                     // of the next acquisitions
	head    store.Position
	engine  *fakeEngine // what it has done is kept from one incarnation to the next
	core    *Worker     // nil where there is no incarnation
	gen     uint64
	starts  int
	shown   State
	reason  error
	attempt int
	hangs   *fakeTask // with a handler that has not returned
	obeys   bool      // its context
	pause   *checkpoint.Pause
	orders  []Operation
	gives   bool     // events up
	ends    []string // of the first calls that give one up
}

// build makes a house of a tree, as in sprout, in which each worker has some events.
func build(t *testing.T, text string, events store.Position, change map[string]func(*supervision.Spec)) *house {
	t.Helper()
	root := sprout(text)
	root.change(change)
	h := &house{t: t, tree: NewTree(root, TreeOptions{KillTimeout: killTimeout}), now: begun}
	for i := range h.tree.leaves {
		h.rooms = append(h.rooms, &room{
			house: h, name: h.tree.leaves[i].node.Name, number: i, lanes: 1, head: events, engine: newFake(t, 1, events),
			fates: make(map[store.Position][]string), shown: Starting,
		})
	}
	return h
}

// room returns a worker by its name.
func (h *house) room(name string) *room {
	for _, r := range h.rooms {
		if r.name == name {
			return r
		}
	}
	h.t.Fatalf("no worker %q", name)
	return nil
}

func (h *house) do(effects []Effect) {
	h.t.Helper()
	for _, e := range effects {
		h.one(e)
	}
}

func (h *house) one(e Effect) {
	h.t.Helper()
	r := h.rooms[e.Leaf]
	switch e.Kind {
	case Spawn:
		r.spawn(e)
	case Begin:
		r.core.Begin()
	case Drain:
		r.core.Drain(h.tree.final != nil)
	case Abort:
		if r.hangs != nil && r.obeys {
			r.give(errCancelled)
		}
	case Decide:
		r.core.Decide(h.now, e.Decision)
	case Show:
		if r.shown.MayBecome(e.State) {
			r.shown, r.reason, r.attempt = e.State, e.Err, e.Attempt
		}
	case Hang:
		r.shown = Halted
	case AllStarted:
		require.NoError(h.t, e.Err)
	case AllStopped:
		h.closed = true
	case Fail:
		h.failed = e.Err
	case Note, Added, Removed: // none comes or goes
	}
}

// rest does all that can be done now.
func (h *house) rest() *house {
	h.t.Helper()
	if !h.begun {
		h.begun = true
		h.do(h.tree.Start(h.now))
	}
	for busy := true; busy; {
		busy = false
		h.do(h.tree.Tick(h.now))
		for _, r := range h.rooms {
			busy = r.turn() || busy
		}
		if h.tree.start.stage == roundHeld {
			h.do(h.tree.Begin())
			busy = true
		}
	}
	return h
}

// pass lets time pass, and everything happen that falls due meanwhile.
func (h *house) pass(d time.Duration) *house {
	h.t.Helper()
	end := h.now.Add(d)
	for h.rest(); h.now.Before(end); h.rest() {
		next, _ := h.tree.Next()
		for _, r := range h.rooms {
			if r.core != nil {
				next = sooner(h.now, next, r.core.Due())
			}
		}
		h.now = sooner(h.now, next, end)
	}
	return h
}

// sooner returns the first of two times that comes after now.
func sooner(now, a, b time.Time) time.Time {
	if a.After(now) && (a.Before(b) || !b.After(now)) {
		return a
	}
	return b
}

// states lists what the workers look like.
func (h *house) states() string {
	var all []string
	for _, r := range h.rooms {
		all = append(all, r.state().String())
	}
	return strings.Join(all, " ")
}

func (r *room) spawn(e Effect) {
	require.Nil(r.house.t, r.core, "%s runs beside itself", r.name)
	r.core = NewWorker(Incarnation{Lanes: r.lanes, Limit: e.Limit, Later: e.Later, Failing: e.Failing, GivesUp: r.gives})
	r.gen = e.Gen
	r.starts++
}

// acquire makes an engine that begins with what is not done.
func (r *room) acquire() {
	if len(r.refused) > 0 {
		err := r.refused[0]
		r.refused = r.refused[1:]
		r.core.Refused(err)
		return
	}
	before := r.engine
	r.engine = newFake(r.house.t, r.lanes, r.head)
	r.engine.done, r.engine.parked, r.engine.given = before.done, before.parked, before.given
	r.core.Acquired(r.engine, r.pause)
}

// turn does what the worker orders, until it waits. It reports whether there was anything.
func (r *room) turn() (busy bool) {
	for r.core != nil {
		intake := Take
		if r.hangs != nil {
			intake = ReadAhead
		}
		s := r.core.Next(context.Background(), r.house.now, intake)
		if s.Kind == StepWait {
			return busy
		}
		busy = s.Kind != StepPull || busy
		r.step(s)
	}
	return busy
}

func (r *room) step(s Step) {
	h := r.house
	switch s.Kind {
	case StepReport:
		h.do(h.tree.Report(h.now, r.number, r.gen, s.Update))
	case StepAcquire:
		r.acquire()
	case StepRun:
		r.handle(s.Task.(*fakeTask))
	case StepCommit:
		r.core.Commit(context.Background(), h.now)
	case StepFlush:
		_ = r.core.Flush(context.Background(), h.now, 0)
	case StepOperate:
		o := r.orders[0]
		r.orders = r.orders[1:]
		if r.pause = o.Pause; o.Moved {
			clear(r.engine.done)
			r.engine.ready, r.engine.scanned, r.engine.failed = nil, 0, make(map[store.Position]bool)
		}
		r.core.Operated(context.Background(), h.now, o)
	case StepUnpause:
		r.pause = nil
		r.core.Operated(context.Background(), h.now, Operation{})
	case StepDrained:
		r.gone()
	default:
	}
}

// order has an operator do something.
func (r *room) order(o Operation) {
	r.orders = append(r.orders, o)
	r.core.Operate()
}

func (r *room) gone() {
	gen := r.gen
	r.core, r.gen = nil, 0
	r.house.do(r.house.tree.Gone(r.house.now, r.number, gen))
}

// handle runs a handler, and tells of it: the time, the worker with its event, the fate.
func (r *room) handle(task *fakeTask) {
	if task.given {
		r.giveUp(task)
		return
	}
	fate := "ok"
	if all := r.fates[task.event]; len(all) > 0 {
		fate, r.fates[task.event] = all[0], all[1:]
	}
	h := r.house
	h.tale = append(h.tale, fmt.Sprintf("%v %s%d %s", h.now.Sub(begun), r.name, task.event, fate))
	f := failure(task.event)
	switch task.err = f; fate {
	case "panic":
		f.Panic = true
	case "park":
		f.Err = supervision.Park(errBroken)
	case "skip":
		f.Err = supervision.Skip(errBroken)
	case "halt":
		f.Err = supervision.Halt(errBroken)
	case "later":
		f.Err = supervision.RetryAfter(time.Minute, errBroken)
	case "wait":
		f.Err = supervision.Wait(errBroken)
	case "ok":
		task.err = nil
	case "race":
		task.err, r.engine.raced[task.event] = nil, true
	case "stop":
		task.err, task.action = nil, cursor.Stop
	case "waits", "hangs":
		task.err, r.hangs, r.obeys = nil, task, fate == "waits"
		return
	}
	r.core.Finished(task)
}

// give lets a handler that did not return do so.
func (r *room) give(err error) {
	task := r.hangs
	task.err, r.hangs = err, nil
	r.core.Finished(task)
}

// state is what the worker looks like: what its tree has shown, or what it says itself.
func (r *room) state() State {
	if r.core != nil && r.shown == Starting {
		return r.core.State()
	}
	return r.shown
}

// A table of what handlers do and what follows: one worker with the policy of [steady], so three
// attempts a second apart, and ten restarts.
func TestTheRulesOfOneWorker(t *testing.T) {
	halting := func(s *supervision.Spec) { s.Policy.Exhausted = supervision.ActionHalt }
	skipping := func(s *supervision.Spec) { s.Policy.Exhausted = supervision.ActionSkip }
	once := func(s *supervision.Spec) { s.Policy.Attempts = 1 }
	temporary := func(s *supervision.Spec) { s.Restart = supervision.Temporary }
	permanent := func(s *supervision.Spec) { s.Restart = supervision.Permanent }
	for name, c := range map[string]struct {
		change func(*supervision.Spec)
		lanes  int
		fates  string // of event 1, then those of event 2
		tale   string
		parked []store.Position
		done   int
		starts int
		state  State
	}{
		"an error is tried again in place": {
			fates: "error", tale: "0s a1 error, 1s a1 ok, 1s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"an event whose attempts are used up is parked": {
			fates: "error error error", tale: "0s a1 error, 1s a1 error, 2s a1 error, 2s a2 ok",
			parked: []store.Position{1}, done: 2, starts: 1, state: Idle,
		},
		"or skipped": {
			change: skipping, fates: "error error error", tale: "0s a1 error, 1s a1 error, 2s a1 error, 2s a2 ok",
			done: 2, starts: 1, state: Idle,
		},
		"or its worker halts": {
			change: halting, fates: "error error error", tale: "0s a1 error, 1s a1 error, 2s a1 error", starts: 1, state: Halted,
		},
		"a panic is an attempt, and restarts": {
			fates: "panic error", tale: "0s a1 panic, 1s a1 error, 2s a1 ok, 2s a2 ok", done: 2, starts: 2, state: Idle,
		},
		"a panic restarts the worker also where its event is parked": {
			change: once, fates: "panic", tale: "0s a1 panic, 0s a2 ok", parked: []store.Position{1}, done: 2, starts: 2, state: Idle,
		},
		"panics end the worker where its policy says so": {
			change: halting, fates: "panic panic panic", tale: "0s a1 panic, 1s a1 panic, 2s a1 panic", starts: 3, state: Halted,
		},
		"a temporary worker is not restarted": {
			change: temporary, fates: "panic", tale: "0s a1 panic", starts: 1, state: Halted,
		},
		"a handler is obeyed that parks": {
			fates: "park", tale: "0s a1 park, 0s a2 ok", parked: []store.Position{1}, done: 2, starts: 1, state: Idle,
		},
		"that skips":           {fates: "skip", tale: "0s a1 skip, 0s a2 ok", done: 2, starts: 1, state: Idle},
		"that halts":           {fates: "halt", tale: "0s a1 halt", starts: 1, state: Halted},
		"that tries later":     {fates: "later", tale: "0s a1 later, 1m0s a1 ok, 1m0s a2 ok", done: 2, starts: 1, state: Idle},
		"that waits":           {fates: "wait wait wait wait", tale: "0s a1 wait, 1s a1 wait, 2s a1 wait, 3s a1 wait, 4s a1 ok, 4s a2 ok", done: 2, starts: 1, state: Idle},
		"that ends the worker": {fates: "stop", tale: "0s a1 stop", done: 1, starts: 1, state: Ended},
		"a permanent worker is started again when it ends": {
			change: permanent, fates: "stop", tale: "0s a1 stop, 1s a2 ok", done: 2, starts: 2, state: Idle,
		},
		"three lost races are free": {
			fates: "race race race", tale: "0s a1 race, 0s a1 race, 0s a1 race, 0s a1 ok, 0s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"the fourth is an attempt": {
			fates: "race race race race",
			tale:  "0s a1 race, 0s a1 race, 0s a1 race, 0s a1 race, 1s a1 ok, 1s a2 ok", done: 2, starts: 1, state: Idle,
		},
		"another lane continues while one event waits": {
			lanes: 2, fates: "error", tale: "0s a1 error, 0s a2 ok, 1s a1 ok", done: 2, starts: 1, state: Idle,
		},
		"and is not handled again when its worker restarts": {
			lanes: 2, fates: "error panic", tale: "0s a1 error, 0s a2 ok, 1s a1 panic, 2s a1 ok", done: 2, starts: 2, state: Idle,
		},
		"attempts are counted by event": {
			fates: "error error; error error", done: 2, starts: 1, state: Idle,
			tale: "0s a1 error, 1s a1 error, 2s a1 ok, 2s a2 error, 3s a2 error, 4s a2 ok",
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, "t(a)", 2, map[string]func(*supervision.Spec){"a": c.change})
			a := h.rooms[0]
			a.lanes = max(1, c.lanes)
			for i, fates := range strings.Split(c.fates, ";") {
				a.fates[store.Position(i+1)] = strings.Fields(fates)
			}
			h.pass(time.Hour)
			require.Equal(t, c.tale, strings.Join(h.tale, ", "))
			require.Equal(t, c.parked, a.engine.parked)
			require.Len(t, a.engine.done, c.done)
			require.Equal(t, c.starts, a.starts)
			require.Equal(t, c.state.String(), a.state().String())
		})
	}
}

// fate says what the handler of a worker does at its event 1.
func (h *house) fate(name string, fates ...string) *house {
	h.room(name).fates[1] = fates
	return h
}

func (h *house) told() string { return strings.Join(h.tale, ", ") }

func TestARetryWaitsForTheEndOfAPauseAndADelayIsNotShortened(t *testing.T) {
	h := build(t, "t(a)", 1, nil).fate("a", "error", "error", "later").rest()
	h.room("a").order(Operation{Pause: &checkpoint.Pause{}})
	h.pass(time.Hour)
	require.Equal(t, "paused", h.states())
	h.room("a").order(Operation{})
	h.rest()
	require.Equal(t, "0s a1 error, 1h0m0s a1 error", h.told())
	h.room("a").order(Operation{Pause: &checkpoint.Pause{Until: h.now.Add(100 * time.Millisecond)}})
	h.pass(time.Second)
	require.Equal(t, "0s a1 error, 1h0m0s a1 error, 1h0m1s a1 later", h.told())
	require.Equal(t, "idle", h.pass(time.Hour).states())
}

func TestAnOperatorWhoMovesAWorkerGivesItsEventsFreshAttempts(t *testing.T) {
	h := build(t, "t(a)", 1, nil).fate("a", "error", "error", "error", "error").pass(time.Second)
	h.room("a").order(Operation{Moved: true})
	h.pass(time.Hour)
	require.Equal(t, "0s a1 error, 1s a1 error, 1s a1 error, 2s a1 error, 3s a1 ok", h.told())
	require.Empty(t, h.room("a").engine.parked)
}

func TestAWorkerThatIsResumedBeginsWithFreshAttempts(t *testing.T) {
	halting := func(s *supervision.Spec) { s.Policy.Exhausted = supervision.ActionHalt }
	h := build(t, "t(a)", 1, map[string]func(*supervision.Spec){"a": halting}).fate("a", "error", "error", "error", "panic", "error")
	require.Equal(t, "halted", h.pass(time.Hour).states())
	require.ErrorIs(t, h.room("a").reason, errBroken)
	effects, err := h.tree.Resume(h.now, 0)
	require.NoError(t, err)
	h.do(effects)
	require.Equal(t, "idle", h.pass(time.Minute).states())
	require.Equal(t, 3, h.room("a").starts)
}

func TestAHandlerThatIsCancelledWithItsSiblingIsNotCharged(t *testing.T) {
	once := func(s *supervision.Spec) { s.Policy.Attempts = 1 }
	h := build(t, "t*(a b)", 1, map[string]func(*supervision.Spec){"a": once}).fate("a", "waits").fate("b", "panic").pass(time.Minute)
	require.Equal(t, "0s a1 waits, 0s b1 panic, 1s b1 ok, 1s a1 ok", h.told())
	require.Empty(t, h.room("a").engine.parked)
	require.Equal(t, "idle idle", h.states())
}

func TestAHandlerThatIgnoresItsContextHaltsItsWorkerAloneAndIsNeverRunBesideItself(t *testing.T) {
	h := build(t, "t*(a b)", 1, nil).fate("a", "hangs").fate("b", "panic").pass(time.Minute)
	require.Equal(t, "halted idle", h.states())
	require.Equal(t, "0s a1 hangs, 0s b1 panic, 6s b1 ok", h.told(), "after the timeout, and its own delay")
	_, err := h.tree.Resume(h.now, 0)
	require.ErrorIs(t, err, ErrHung)
	h.room("a").give(nil)
	h.rest()
	require.Empty(t, h.room("a").engine.undone(), "what it did is written all the same")
	effects, err := h.tree.Resume(h.now, 0)
	require.NoError(t, err)
	h.do(effects)
	require.Equal(t, "idle idle", h.rest().states())
}

func TestAStopLetsWhatIsInFlightEndAndWritesIt(t *testing.T) {
	h := build(t, "t(a b)", 2, nil).fate("a", "hangs").fate("b", "error").rest()
	h.do(h.tree.Stop(h.now))
	h.pass(time.Hour)
	require.False(t, h.closed, "it waits for the handler")
	require.Len(t, h.tale, 2, "nothing new begins")
	h.room("a").give(nil)
	h.rest()
	require.True(t, h.closed)
	require.True(t, h.room("a").engine.done[1])
	require.Equal(t, "stopped stopped", h.states())
}

func TestAWorkerThatCannotAcquireIsWaitedForByTheSiblingsThatWereRestartedWithIt(t *testing.T) {
	for _, text := range []string{"t*(a b c)", "t*(a g*(b c))"} {
		h := build(t, text, 1, nil).fate("a", "panic").rest()
		h.room("c").refused = []error{errBroken}
		h.pass(time.Minute)
		require.Equal(t, "0s a1 panic, 0s b1 ok, 2s c1 ok, 2s a1 ok", h.told(), text)
		for name, starts := range map[string]int{"a": 2, "b": 2, "c": 2} {
			require.Equal(t, starts, h.room(name).starts, "%s: %s", text, name)
		}
	}
}
