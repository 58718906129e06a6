package actors

import (
	"context"
	"slices"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// maxLag is how far lag is counted.
const maxLag = 10_000

// Status is a snapshot of a system. The tree is in the paths of its groups and workers.
type Status struct {
	Head store.Position `json:"head"`
	// Transition is the number of the latest [Transition] when the first worker was looked at, 0
	// before the first one: System.Watch after it yields all that happens after this status.
	Transition uint64         `json:"transition"`
	Groups     []GroupStatus  `json:"groups"`  // each before those in it; the first is the top
	Workers    []WorkerStatus `json:"workers"` // in the order of the tree
	// ClockAhead is how far the store's clock is ahead of that of the machine: see store.Stats.
	ClockAhead time.Duration `json:"-"`
	// Err is the result of System.Err.
	Err error `json:"-"`
}

// WorkerStatus is a snapshot of a worker.
type WorkerStatus struct {
	Name string `json:"name"`
	// Path is the names of the groups above it and its own, joined by "/".
	Path  string `json:"path"`
	State State  `json:"state"`
	// Reason of the state, when the worker is in trouble or paused: it wraps the last error. See
	// [ReasonOf] for its kind, and the event that it is about.
	Reason error `json:"-"`
	// Since is when it came into the state, by the clock of the store, to the microsecond.
	Since time.Time `json:"since"`
	// Position up to which everything that concerns the worker is handled and committed, or parked.
	// Where nothing after it does, the checkpoint may have come further, and it counts as lag no more
	// than what concerns others: see Lag.
	Position store.Position `json:"position"`
	// Lag is the number of events that wait for it. What is parked does not count. LagAtLeast says
	// that there may be more: counting ended at 10,000; for a region with a version range, and a
	// worker that was widened, at so many that were looked at, and some 64 MiB of the log.
	Lag        int  `json:"-"`
	LagAtLeast bool `json:"-"`
	// LagTime is how long the oldest of them has waited by the clock of the store, to the millisecond;
	// LagBytes how much of the log there is from it on, events for other workers included. Both are 0
	// where nothing waits.
	LagTime  time.Duration `json:"-"`
	LagBytes int64         `json:"-"`
	// LagErr is why not all of the lag is known: what was to be counted is damaged, or the store is
	// closed. A figure that is 0 then does not mean that nothing waits.
	LagErr error `json:"-"`
	// OldestPending is the oldest event that waits, 0 where none does or none is known, and
	// OldestPendingKey its key, "" while a worker with a function for keys has not read the event yet.
	OldestPending    store.Position `json:"-"`
	OldestPendingKey string         `json:"-"`
	// Unwritten is what no event of the log has of what the worker reads, for people, as in
	// `no event has kind "order.payed" (there is "order.paid")`. "" while the log is empty, or where
	// asking its index took too long at the start.
	Unwritten string `json:"unwritten"`
	// Stalled says that the watchdog found it behind and not moving.
	Stalled bool `json:"stalled"`
	// Parked is the number of parked events. Held of them did not fail, but follow one of their key
	// that did.
	Parked int `json:"parked"`
	Held   int `json:"held"`
	// Handled counts events since Start, Restarts fresh actors since Start; Attempt is the number of
	// the failed attempt while it is retrying or restarting.
	Handled  uint64 `json:"handled"`
	Restarts int    `json:"restarts"`
	Attempt  int    `json:"attempt"`
	// Budget is how many restarts are left to it.
	Budget Budget `json:"budget"`
	// Failing are the events that failed and are not done, by position, each with its own reason: the
	// first 100, and MoreFailing is how many there are beside them. With lanes others are handled
	// meanwhile, and State may be Running; in an outage all of them wait for its end. What is parked
	// is none of them.
	Failing     []FailingEvent `json:"failing"`
	MoreFailing int            `json:"moreFailing"`
	// InFlight are the calls of its handler that have not returned, by lane. System.Stack has where
	// they are.
	InFlight []Handling `json:"inFlight"`
	// Definition is what it was declared with.
	Definition Definition `json:"definition"`
}

// FailingEvent is an event that failed and will be tried again, or is being tried.
type FailingEvent struct {
	Event store.Position `json:"event"` // 0 for what keeps all events from being handled
	Key   string         `json:"key"`   // of the event
	// Due is when it is tried again: zero while it is being tried, and in an outage, where one after
	// the other is.
	Due    time.Time `json:"-"`
	Reason error     `json:"-"` // of its own latest failure
	// Attempt is the number of the one that failed; in an outage, where none counts, of those that did
	// before.
	Attempt int `json:"attempt"`
}

// maxFailing bounds WorkerStatus.Failing.
const maxFailing = 100

// failingEvents are the first events that fail, and how many there are beside them.
type failingEvents struct {
	first []FailingEvent
	more  int
}

// Status describes the system and all its workers. It does not wait for any of them; for each one
// that is behind it reads one event, or as many as [WorkerStatus] says for its lag.
func (s *System) Status() Status {
	transition := s.transitions.begin(FromNow) // before all that it covers
	workers, now := s.workers.all(), s.store.Now()
	status := Status{
		Head: s.store.Head(), Transition: transition, Err: s.Err(), ClockAhead: s.store.Stats().ClockAhead,
		Groups: make([]GroupStatus, len(s.groups)), Workers: make([]WorkerStatus, len(workers)),
	}
	for i, g := range s.groups {
		status.Groups[i] = groupStatus(g, &s.charges, now)
	}
	for i, p := range workers {
		w := &status.Workers[i]
		*w = statusOf(s.store, p, status.Head)
		w.Budget = s.charges.left(p.Node, w.Definition.Policy, now)
	}
	return status
}

func statusOf(st *store.Store, p *node, head store.Position) WorkerStatus {
	w, v := p.published.status()
	w.InFlight = p.published.inFlight(0, nil)
	w.Definition = definitionOf(&p.baton.Worker, v.reads(&p.baton.Worker))
	if !v.acquired {
		return w
	}
	region, _ := sought(p, *v.region)
	w.Unwritten, _ = p.unwritten.Load().say(context.Background(), st, region, head)
	w.LagErr = measure(&w, st, p, v.progress(), head)
	return w
}

// measure fills in what waits for a worker.
func measure(w *WorkerStatus, st *store.Store, n *node, at cursor.Progress, head store.Position) error {
	ctx := context.Background()
	b, err := at.Backlog(ctx, st, head, maxLag)
	w.Lag, w.LagAtLeast = b.Events, b.AtLeast
	oldest := b.Oldest
	if err != nil || oldest.Position == 0 {
		return err
	}
	w.OldestPending, w.OldestPendingKey = oldest.Position, keyOf(n, oldest)
	w.LagTime = max(0, st.Now().Sub(oldest.Time.Time()))
	w.LagBytes, err = st.Bytes(ctx, oldest.Position-1, head)
	return err
}

// keyOf returns the key of an event that waits, "" where only the worker can know it and has not
// read the event yet. The function of the user is not called here: it belongs to the worker.
func keyOf(n *node, e store.Event) string {
	if n.baton.Worker.Key == nil {
		return e.Coordinate.Entity
	}
	if oldest := n.oldest.Load(); oldest != nil && oldest.event == e.Position {
		return oldest.key
	}
	return ""
}

func (c *published) status() (WorkerStatus, view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := WorkerStatus{
		Name:     c.of.Worker.Name,
		Path:     c.of.Path,
		State:    c.state,
		Reason:   c.reason,
		Since:    time.UnixMicro(c.since).UTC(),
		Position: c.position,
		Stalled:  c.stalled,
		Parked:   int(c.parked),
		Held:     int(c.held),
		Handled:  c.handled,
		Restarts: int(c.restarts),
		Attempt:  int(c.attempt),
	}
	if c.failing != nil {
		w.Failing, w.MoreFailing = slices.Clone(c.failing.first), c.failing.more
	}
	return w, c.copy()
}

// reportParked reports to watchers that an event was parked or skipped.
func (c *published) reportParked(d drive.Decision) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reason := &EventError{
		Err: ErrParked, Worker: c.of.Worker.Name, Event: d.First, Key: supervision.BlameOf(d.Reason).Key, Attempt: d.Attempt,
		Reason: d.Reason.Error(),
	}
	if d.Action == supervision.ActionSkip {
		reason.Err = ErrSkipped
	}
	c.tell(c.reason, nil)
	c.watch.report(Transition{
		Time: c.now(), Worker: c.of.Worker.Name, Path: c.of.Path, From: c.state, To: c.state, Reason: reason, Attempt: d.Attempt, Position: c.position,
	})
	c.notify()
}
