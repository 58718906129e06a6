package actors

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// State of a worker.
type State = drive.State

// The states of a worker; see package drive for what each of them means.
const (
	Starting   = drive.Starting
	Idle       = drive.Idle
	Running    = drive.Running
	Retrying   = drive.Retrying
	Outage     = drive.Outage
	Full       = drive.Full
	Throttled  = drive.Throttled
	Restarting = drive.Restarting
	Paused     = drive.Paused
	Halted     = drive.Halted
	Ended      = drive.Ended
	Stopped    = drive.Stopped
)

// published is the state of a worker as other goroutines see it. Its actor and the supervisor write
// it, any goroutine reads it; it outlives restarts. Two incarnations never write at the same time:
// the supervisor spawns one after the end of the one before.
type published struct {
	// Set before the first incarnation, and never changed.
	of    *drive.Node // of it Path and the name of its Worker, which never change
	watch *transitions
	now   func() time.Time // of the store

	// mu guards all that follows. It is held for a few assignments, never while a user's function
	// runs, and taken before that of transitions.
	mu sync.Mutex

	// The supervisor writes what it decides (Starting, Restarting, Halted, Ended, Stopped), the actor
	// what it does; State.MayBecome refuses what comes too late of either.
	state   State
	told    State // and as watchers were told last
	stalled bool  // of the actor and the watchdog
	begun   bool  // of the actor: an incarnation has acquired its checkpoint
	attempt int32
	reason  error
	since   int64 // in microseconds since 1970, as a time.Time takes as much again
	// toldReason is why, as watchers were told last.
	toldReason error

	// The actor of the present incarnation writes them. While a commit is under way the goroutine of
	// that does, and the actor does not.
	position store.Position   // everything up to here is done
	scanned  store.Position   // everything up to here is done, except pending
	pending  []store.Position // ascending; replaced as a whole, so that views may share it
	besides  *besides         // replaced as a whole, as pending; nil in nearly all workers
	movedAt  time.Time        // when position changed last: with a monotonic reading, for what elapses
	region   *store.Region    // see cursor.Progress; everything before begun
	handled  uint64           // events, since Start
	failing  *failingEvents   // replaced as a whole, as pending; nil in nearly all workers
	parked   int32
	held     int32

	// The supervisor writes them.
	hung     bool // its handler did not return in time
	returned bool // and has since
	removed  bool // it is no part of the system any more
	restarts int32
	cancel   context.CancelCauseFunc // of the handlers of the latest incarnation
	aborted  uint64                  // the latest incarnation whose handlers were cancelled

	slots *slots // of the latest incarnation that has called its handler, which sets it; nil before the first

	changed chan struct{} // closed at the next change; nil while no goroutine waits
}

// everything is what a worker may read of which that is not known yet.
//
//nolint:gochecknoglobals // nothing changes it
var everything store.Region

// watched is done once, before anything is published.
func (c *published) watched(by *transitions, now func() time.Time) {
	c.watch, c.now, c.since, c.movedAt = by, now, now().UnixMicro(), time.Now()
	c.region = &everything
}

// arm records how to cancel the contexts of the handlers of an incarnation, and does so at once if
// abort was called for it already.
func (c *published) arm(gen uint64, cancel context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	if gen <= c.aborted {
		cancel(nil)
	}
}

// abort ends the contexts of the handlers of an incarnation.
func (c *published) abort(gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aborted = gen
	if c.cancel != nil {
		c.cancel(nil)
	}
}

// handed records where the handlers of an incarnation are found.
func (c *published) handed(all *slots) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots = all
}

// inFlight describes what the handlers have in flight: see slots.
func (c *published) inFlight(event store.Position, end error) []Handling {
	c.mu.Lock()
	all := c.slots
	c.mu.Unlock()
	return all.inFlight(event, end)
}

// begin records that an incarnation starts; later says that another one was before it.
func (c *published) begin(later bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if later {
		c.restarts++
	}
	c.hung, c.returned = false, false
	c.notify()
}

// gone records that an incarnation has ended, and so that its handlers have returned.
func (c *published) gone() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.returned = true
}

// show enters a state that the tree orders, unless the present one may not become it.
func (c *published) show(e drive.Effect) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.MayBecome(e.State) {
		return
	}
	if e.State == Restarting || e.State == Retrying {
		c.attempt = int32(e.Attempt)
	}
	c.come(e.State, e.Err)
	c.tell(e.Err, e.Stack)
	c.notify()
}

// set changes the state, unless the present one may not become it.
func (c *published) set(state State, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enter(state, reason) {
		c.notify()
	}
}

// hang records that a handler does not return, and halts the worker for that reason, unless it is
// halted already.
func (c *published) hang(stack []byte) {
	held := c.inFlight(0, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung = true
	reason := &HungError{
		Workers: []string{c.of.Worker.Name}, Positions: []store.Position{c.position}, InFlight: held, Stack: stack,
	}
	if c.state.MayBecome(Halted) {
		c.come(Halted, reason)
		c.tell(reason, stack)
	}
	c.notify()
}

// remove records that the worker is no part of the system any more, and so stopped for good.
func (c *published) remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.removed = true
	c.enter(Stopped, nil)
	c.notify()
}

// enter changes the state, unless the present one may not become it. Called with mu held.
func (c *published) enter(state State, reason error) (entered bool) {
	if !c.state.MayBecome(state) {
		return false
	}
	c.come(state, reason)
	c.tell(reason, nil)
	return true
}

// come changes the state. Called with mu held.
func (c *published) come(state State, reason error) {
	from := c.state
	if from != state {
		c.since = c.now().UnixMicro()
		if working(state) && !working(from) { // how long it was idle, paused or halted does not count as a stall
			c.movedAt, c.stalled = time.Now(), false
		}
	}
	c.state, c.reason = state, reason
}

// moved records a position that was reached, and the state in which, Idle or Running. Where
// something is still failing, that it runs is no news to watchers.
func (c *published) moved(state State, position store.Position, failing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := position != c.position || state != c.state
	c.move(position)
	switch {
	case !c.state.MayBecome(state):
	case failing && state == Running && c.told == Retrying:
		c.attempt = 0
		c.come(state, nil)
	default:
		c.attempt = 0
		c.enter(state, nil)
	}
	if changed {
		c.notify()
	}
}

// move is called with mu held.
func (c *published) move(position store.Position) {
	if position != c.position {
		c.position, c.movedAt, c.stalled = position, time.Now(), false
	}
}

// reached records that everything up to a position is done, by a commit that was submitted: then
// nothing is pending or parked, and the pass is an ordinary one. Where that was beside the next
// batch, it comes before what the actor records next.
func (c *published) reached(position store.Position, handled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handled += uint64(handled)
	c.move(position)
	c.scanned, c.pending = position, nil
	c.notify()
}

// acquired records where an incarnation begins, and what it reads.
func (c *published) acquired(p cursor.Progress) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(p.Position)
	c.region, c.begun = p.Region, true
	c.notify()
}

// progress records what is done, and what is pending.
func (c *published) progress(p cursor.Progress, handled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := p.Position != c.position || p.Scanned != c.scanned || len(p.Pending) != len(c.pending) ||
		p.Parked != int(c.parked) || handled > 0
	c.handled += uint64(handled)
	c.move(p.Position)
	c.scanned, c.parked, c.held = p.Scanned, int32(p.Parked), int32(p.Held)
	c.besides = besidesOf(p)
	if len(p.Pending) > 0 || len(c.pending) > 0 {
		c.pending = slices.Clone(p.Pending)
	}
	if changed {
		c.notify()
	}
}

// wait records that the worker waits for a retry, and why. An incarnation that is about to be
// replaced may wait, too, for another event than the one that it is replaced for: then the attempt
// is that of the restart, as the reason is.
func (c *published) wait(state State, reason error, attempt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.state.MayBecome(state) {
		return
	}
	if state == Retrying && c.state == Retrying && c.reason == reason { //nolint:errorlint // the very same one was shown
		return
	}
	c.attempt = int32(attempt)
	if c.enter(state, reason) {
		c.notify()
	}
}

// fails records the first of what failed and is not done, and how much there is altogether.
func (c *published) fails(waits []drive.Wait, all int) {
	var list *failingEvents
	if all > 0 {
		list = &failingEvents{more: all - len(waits)}
		for _, w := range waits {
			list.first = append(list.first, FailingEvent(w))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failing = list
}

// notify wakes the goroutines that wait for a change. Called with mu held.
func (c *published) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// view is a consistent copy of what others need. changed is set by await only.
type view struct {
	state    State
	reason   error
	position store.Position
	scanned  store.Position
	pending  []store.Position // read-only: shared with published
	besides  *besides
	region   *store.Region // read-only
	parked   int
	acquired bool // position and region are known
	hung     bool
	returned bool // since
	removed  bool
	changed  <-chan struct{}
}

// progress is what is needed of it to tell what waits.
func (v *view) progress() cursor.Progress {
	p := cursor.Progress{Region: v.region, Scanned: v.scanned, Pending: v.pending}
	if v.besides != nil {
		p.Pass, p.ParkedAhead = v.besides.pass, v.besides.ahead
	}
	return p
}

// besides is what else tells what of a worker's events is done, beside its positions.
type besides struct {
	pass  checkpoint.Pass
	ahead []store.Position // see cursor.Progress.ParkedAhead
}

func besidesOf(p cursor.Progress) *besides {
	if p.Pass.Empty() && len(p.ParkedAhead) == 0 {
		return nil
	}
	return &besides{pass: p.Pass, ahead: p.ParkedAhead}
}

func (c *published) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copy()
}

// copy is called with mu held.
func (c *published) copy() view {
	return view{
		state: c.state, reason: c.reason, position: c.position, scanned: max(c.scanned, c.position), pending: c.pending,
		besides: c.besides, region: c.region, parked: int(c.parked), acquired: c.begun, hung: c.hung,
		returned: c.returned, removed: c.removed,
	}
}

// await is view for callers that wait for a change: changed is closed at the next one.
func (c *published) await() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	v := c.copy()
	v.changed = c.changed
	return v
}
