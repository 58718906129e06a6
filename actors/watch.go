package actors

import (
	"context"
	"fmt"
	"iter"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// FromNow has [System.Watch] begin with the first transition after the call.
const FromNow = math.MaxUint64

const (
	// keptTransitions is how many transitions of a system can be watched after they happened.
	keptTransitions = 1024
	// transitionPage bounds how long a watcher keeps those waiting that report one.
	transitionPage = 64
)

// Transition reports that a worker came into a state, or into the same one for another reason; or
// that it has parked an event or skipped one, with an [EventError] as the reason
// and without another state.
//
// What fails in the same way is reported once: not each time that it is waited for, nor each probe
// of an outage, nor what is handled in lanes beside an event that is being retried. Status has the
// latest of it.
type Transition struct {
	// Number counts the transitions of a system, all workers together: from 1, without a hole.
	Number uint64    `json:"number"`
	Time   time.Time `json:"time"`
	Worker string    `json:"worker"`
	Path   string    `json:"path"` // names of the groups above it and its own, joined by "/"
	From   State     `json:"from"`
	To     State     `json:"to"`
	// Reason wraps the last error, and says at which event, where the worker is in trouble: see
	// [ReasonOf].
	Reason error `json:"-"`
	// Stack of a panic, or of a handler that does not return.
	Stack []byte `json:"-"`
	// Attempt is the number of the failed attempt.
	Attempt int `json:"attempt"`
	// Position up to which everything was done then.
	Position store.Position `json:"position"`
	// Missed is the number of transitions left out before this one, because the watcher was too slow
	// or began too late for them.
	Missed int `json:"missed"`
}

// tell reports the present state to watchers, unless they know it, with the stack of what led to
// it. Called with mu held.
func (c *published) tell(reason error, stack []byte) {
	if c.state != c.told || reason != nil && (c.toldReason == nil || gist(reason) != gist(c.toldReason)) {
		c.watch.report(Transition{
			Time: c.now(), Worker: c.of.Worker.Name, Path: c.of.Path, From: c.told, To: c.state, Reason: reason, Stack: stack,
			Attempt: int(c.attempt), Position: c.position,
		})
	}
	c.told, c.toldReason = c.state, reason
}

// gist is what is news in a reason: neither how often it was waited for, nor what the latest probe
// of an outage said.
func gist(reason error) string {
	switch e := reason.(type) { //nolint:errorlint // the outermost is that of the state
	case *supervision.WaitError:
		return fmt.Sprint(e.Event, e.Err)
	case *supervision.OutageError:
		return fmt.Sprint(e.Dependency, e.Since)
	case interface{ Unwrap() []error }: // several outages are joined
		var all []string
		for _, one := range e.Unwrap() {
			if _, is := one.(*supervision.OutageError); !is { //nolint:errorlint // as above
				return reason.Error()
			}
			all = append(all, gist(one))
		}
		return strings.Join(all, "\n")
	}
	return reason.Error()
}

// transitions are the latest ones of a system. Those that report one never wait for those that
// watch: these copy what is kept, a page at a time, and wait for what follows without being known
// here. The lock is taken after that of a published, and before none.
type transitions struct {
	mu      sync.Mutex
	ring    []Transition  // number n is at (n-1) % keptTransitions
	last    uint64        // number of the latest one
	changed chan struct{} // closed at the next one; nil while no goroutine waits
}

// report numbers a transition and keeps it. A nil receiver, as of a worker that is in no system,
// keeps none.
func (k *transitions) report(t Transition) {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if t.Number = k.last + 1; len(k.ring) < keptTransitions {
		k.ring = append(k.ring, t)
	} else {
		k.ring[k.last%keptTransitions] = t
	}
	k.last = t.Number
	if k.changed != nil {
		close(k.changed)
		k.changed = nil
	}
}

// page adds the first few of those after a number to a list. The channel is closed once there are
// more.
func (k *transitions) page(after uint64, list []Transition) ([]Transition, <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	from := max(after, k.last-uint64(len(k.ring)))
	for n := from; n < min(k.last, from+transitionPage); n++ {
		list = append(list, k.ring[n%keptTransitions])
	}
	if len(list) > 0 {
		list[0].Missed = int(from - after)
	}
	if k.changed == nil {
		k.changed = make(chan struct{})
	}
	return list, k.changed
}

// begin is the number after which to watch. One that was not reached yet is that of another system,
// of which this one knows nothing.
func (k *transitions) begin(after uint64) uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case after == FromNow:
		return k.last
	case after > k.last:
		return 0
	}
	return after
}

// Watch yields the transitions of all workers in order, those after the one with a number first,
// until ctx ends or the system has stopped: 0 for all that are kept, the number of the last one
// that was seen to resume, [Status.Transition] for all since a Status, [FromNow] for those from the
// call on (not only from the first step of the loop). The last 1,024 are kept, also for a slow
// watcher; how many older ones it does not get is in Transition.Missed. It never holds up a worker.
//
// The numbers begin again with each system: one that this system has not reached was of another,
// and then all that are kept are yielded.
func (s *System) Watch(ctx context.Context, after uint64) iter.Seq[Transition] {
	begin := s.transitions.begin(after)
	return func(yield func(Transition) bool) {
		list := make([]Transition, 0, transitionPage)
		for after := begin; ; {
			done := s.isDone() // before the look: then there is nothing after it
			var changed <-chan struct{}
			if list, changed = s.transitions.page(after, list[:0]); len(list) > 0 {
				for _, t := range list {
					if !yield(t) {
						return
					}
				}
				if after = list[len(list)-1].Number; ctx.Err() == nil {
					continue
				}
			}
			if done || ctx.Err() != nil {
				return
			}
			select {
			case <-changed:
			case <-s.done:
			case <-ctx.Done():
				return
			}
		}
	}
}
