package actors

import (
	"context"
	"time"

	"github.com/penstock-io/penstock/store"
)

// MaxLag is how far lag is counted: a worker with this lag is at least that far behind.
const MaxLag = 10_000

// Status is what a system looks like at a moment.
type Status struct {
	Head    store.Position
	Workers []WorkerStatus // in the order of the tree
	// Err is what System.Err says.
	Err error
}

// WorkerStatus is what a worker looks like at a moment.
type WorkerStatus struct {
	Name string
	// Path is the names of the groups above it and its own, joined by "/".
	Path  string
	State State
	// Reason of the state, when the worker is in trouble: it wraps the last error, and says at which event.
	Reason error
	// Since is when it came into the state.
	Since time.Time
	// Position up to which everything that concerns the worker is handled and committed.
	Position store.Position
	// Lag is the number of events that wait for it, exact below MaxLag. A region with a version range may be
	// overestimated.
	Lag int
	// Handled counts events since Start, Restarts fresh actors since Start; Attempt is the number of the failed attempt
	// while it is retrying or restarting.
	Handled  uint64
	Restarts int
	Attempt  int
}

// Status describes the system and all its workers. It does not wait for any of them.
func (s *System) Status() Status {
	status := Status{Head: s.store.Head(), Workers: make([]WorkerStatus, len(s.workers)), Err: s.Err()}
	for i, p := range s.workers {
		w, region := p.cell.status()
		w.Path = p.path
		if lag, err := s.store.Count(context.Background(), region, w.Position, status.Head, MaxLag); err == nil {
			w.Lag = lag
		}
		status.Workers[i] = w
	}
	return status
}

func (c *cell) status() (WorkerStatus, store.Region) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return WorkerStatus{
		Name:     c.name,
		State:    c.state,
		Reason:   c.reason,
		Since:    c.since,
		Position: c.position,
		Handled:  c.handled,
		Restarts: c.restarts,
		Attempt:  c.attempt,
	}, c.region
}
