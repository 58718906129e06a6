package actors

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/penstock-io/penstock/store"
)

// State of a worker.
type State uint8

// The states of a worker.
const (
	// Starting: it acquires its checkpoint, or has not looked for events yet.
	Starting State = iota
	// Idle: it has handled everything and waits for news.
	Idle
	// Running: it reads, handles or commits.
	Running
	// Retrying: it waits to try an event again, or for the store to have room. With lanes, other events may be handled
	// meanwhile; then it is running.
	Retrying
	// Restarting: it waits to be started as a fresh actor.
	Restarting
	// Paused: an operator lets it rest. See PausedError.
	Paused
	// Halted: its policy gave it up. [System.Resume] starts it again, and so does the next Start, with a fresh count of
	// attempts.
	Halted
	// Ended: its handler said that it is done.
	Ended
	// Stopped: the system was stopped.
	Stopped
)

// String gives the name of the state in lower case.
func (s State) String() string {
	names := [...]string{
		"starting", "idle", "running", "retrying", "restarting", "paused", "halted", "ended", "stopped",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// cell is what the outside may know of a worker. Its actor and its group write it, anybody reads it; it outlives restarts.
// Its lock is held for a few assignments, and taken before that of watchers.
type cell struct {
	name  string
	path  string
	watch watchers

	mu       sync.Mutex
	state    State
	reason   error
	stack    []byte // of the next transition
	since    time.Time
	position store.Position // everything up to here is done
	scanned  store.Position // everything up to here is done, but for undone
	undone   []store.Position
	movedAt  time.Time // when position changed last
	stalled  bool
	parked   int
	held     int
	region   store.Region
	begun    bool   // an incarnation has acquired its checkpoint
	handled  uint64 // events, since Start
	restarts int
	attempt  int
	hung     bool // its handler was given up
	cancel   context.CancelFunc
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

func newCell(name string) *cell {
	now := time.Now()
	return &cell{name: name, since: now, movedAt: now}
}

// arm gives the cell what ends the contexts of the handlers of the present incarnation.
func (c *cell) arm(cancel context.CancelFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
}

// abort ends the contexts of the handlers.
func (c *cell) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		c.cancel()
	}
}

// begin notes that an incarnation starts, and whether another one was before it.
func (c *cell) begin() (later bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	later = c.begun
	if later {
		c.restarts++
	}
	c.hung = false
	if c.enter(Starting, nil) {
		c.notify()
	}
	return later
}

// reopen lets a worker that was halted start again; false if it is not halted.
func (c *cell) reopen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != Halted {
		return false
	}
	c.transit(Starting, nil)
	c.notify()
	return true
}

// set changes the state, unless it is final.
func (c *cell) set(state State, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enter(state, reason) {
		c.notify()
	}
}

// hang notes that a handler was given up.
func (c *cell) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hung = true
}

// note keeps a stack for the transition that follows.
func (c *cell) note(stack []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stack = stack
}

// enter changes the state, unless it is final. What a worker still does that is about to be restarted does not show. It is
// called under mu.
func (c *cell) enter(state State, reason error) (entered bool) {
	switch {
	case c.state == Halted, c.state == Ended:
		return false
	case c.state == Restarting && (state == Running || state == Idle || state == Retrying || state == Paused):
		return false
	}
	c.transit(state, reason)
	return true
}

// transit changes the state and tells those who watch. It is called under mu.
func (c *cell) transit(state State, reason error) {
	from := c.state
	if from != state {
		c.since = time.Now()
		if state.working() && !from.working() { // it may have stood for as long as it liked
			c.movedAt, c.stalled = c.since, false
		}
	}
	again := c.reason != nil && reason != nil && c.reason.Error() == reason.Error()
	c.state, c.reason = state, reason
	if from != state || reason != nil && !again {
		c.watch.tell(Transition{
			Time: time.Now(), Worker: c.name, Path: c.path, From: from, To: state, Reason: reason, Stack: c.stack,
			Attempt: c.attempt, Position: c.position,
		})
	}
	c.stack = nil
}

// moved notes progress.
func (c *cell) moved(state State, position store.Position, handled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := position != c.position || state != c.state || handled > 0
	c.attempt = 0
	c.move(position)
	if state != c.state || c.reason != nil {
		c.enter(state, nil)
	}
	c.handled += uint64(handled)
	if news {
		c.notify()
	}
}

// move is called under mu.
func (c *cell) move(position store.Position) {
	if position != c.position {
		c.position, c.movedAt, c.stalled = position, time.Now(), false
	}
}

// acquired notes where an incarnation begins.
func (c *cell) acquired(position store.Position, region store.Region) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(position)
	c.region, c.begun = region, true
	c.notify()
}

// progress notes exactly what is done.
func (c *cell) progress(position, scanned store.Position, undone []store.Position, parked, held int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := position != c.position || scanned != c.scanned || len(undone) != len(c.undone) || parked != c.parked
	c.move(position)
	c.scanned, c.parked, c.held = scanned, parked, held
	if len(undone) > 0 || len(c.undone) > 0 {
		c.undone = slices.Clone(undone)
	}
	if news {
		c.notify()
	}
}

// failing notes that it waits for another try, and why.
func (c *cell) failing(state State, reason error, attempt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == Retrying && c.state == Retrying && c.reason == reason { //nolint:errorlint // the very same one was told
		return
	}
	c.attempt = attempt
	if c.enter(state, reason) {
		c.notify()
	}
}

// decided notes that something was set aside or given up, which nothing else here may show.
func (c *cell) decided() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify()
}

// notify wakes those who wait for a change. It is called under mu.
func (c *cell) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// view is a consistent copy. changed is only there for those who asked to wait.
type view struct {
	state    State
	reason   error
	position store.Position
	scanned  store.Position
	undone   []store.Position // read-only
	region   store.Region
	parked   int
	acquired bool // position and region are known
	hung     bool
	changed  <-chan struct{}
}

func (c *cell) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.copy()
}

// copy is called under mu.
func (c *cell) copy() view {
	return view{
		state: c.state, reason: c.reason, position: c.position, scanned: max(c.scanned, c.position), undone: c.undone,
		region: c.region, parked: c.parked, acquired: c.begun, hung: c.hung,
	}
}

// await is view for who waits for a change.
func (c *cell) await() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	v := c.copy()
	v.changed = c.changed
	return v
}

// settled notes a position that was reached without handling anything.
func (c *cell) settled(position store.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position != c.position {
		c.move(position)
		c.notify()
	}
}
