package actors

import (
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
	// Retrying: it waits to try an event again, or for the store to have room.
	Retrying
	// Restarting: it waits to be started as a fresh actor.
	Restarting
	// Halted: its policy gave it up, and this system runs it no more. The next Start tries the event again, with a fresh
	// count of attempts; there is no way to resume a single worker.
	Halted
	// Ended: its handler said that it is done.
	Ended
	// Stopped: the system was stopped.
	Stopped
)

// String gives the name of the state in lower case.
func (s State) String() string {
	names := [...]string{"starting", "idle", "running", "retrying", "restarting", "halted", "ended", "stopped"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// cell is what the outside may know of a worker. Its actor writes it, anybody reads it; it outlives restarts.
type cell struct {
	name string

	mu       sync.Mutex
	state    State
	reason   error
	since    time.Time
	position store.Position
	region   store.Region
	begun    bool   // an incarnation has acquired its checkpoint
	handled  uint64 // events, since Start
	restarts int
	attempt  int
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

func newCell(name string) *cell { return &cell{name: name, since: time.Now()} }

// set changes the state, unless it is final.
func (c *cell) set(state State, reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.enter(state, reason) {
		c.notify()
	}
}

// enter changes the state, unless it is final. It is called under mu.
func (c *cell) enter(state State, reason error) (entered bool) {
	if c.state == Halted || c.state == Ended {
		return false
	}
	if c.state != state {
		c.since = time.Now()
	}
	c.state, c.reason = state, reason
	return true
}

// moved notes progress.
func (c *cell) moved(state State, position store.Position, handled int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := position != c.position || state != c.state
	c.enter(state, nil)
	c.attempt, c.position = 0, position
	c.handled += uint64(handled)
	if news {
		c.notify()
	}
}

// acquired notes where an incarnation begins.
func (c *cell) acquired(position store.Position, region store.Region) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position, c.region, c.begun = position, region, true
	c.notify()
}

// failing notes that it waits for another try, and why.
func (c *cell) failing(state State, reason error, attempt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempt = attempt
	if state == Restarting {
		c.restarts++
	}
	if c.enter(state, reason) {
		c.notify()
	}
}

// notify wakes those who wait for a change. It is called under mu.
func (c *cell) notify() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// view is a consistent copy. changed is only there for those who asked to watch.
type view struct {
	state    State
	reason   error
	position store.Position
	region   store.Region
	acquired bool // position and region are known
	changed  <-chan struct{}
}

func (c *cell) view() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return view{state: c.state, reason: c.reason, position: c.position, region: c.region, acquired: c.begun}
}

func (c *cell) watch() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return view{c.state, c.reason, c.position, c.region, c.begun, c.changed}
}

// settled notes a position that was reached without handling anything.
func (c *cell) settled(position store.Position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if position != c.position {
		c.position = position
		c.notify()
	}
}
