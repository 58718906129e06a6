package actors

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// watchBuffer is how many transitions wait for a slow watcher.
const watchBuffer = 1024

// Transition reports that a worker came into a state, or into the same one for another reason; or
// that it has parked an event or skipped one, with an [EventError] as the reason
// and without another state.
//
// What fails in the same way is reported once: not each time that it is waited for, nor each probe
// of an outage, nor what is handled in lanes beside an event that is being retried. Status has the
// latest of it.
type Transition struct {
	Time     time.Time
	Worker   string
	Path     string // names of the groups above it and its own, joined by "/"
	From, To State
	// Reason wraps the last error, and says at which event, where the worker is in trouble.
	Reason error
	// Stack of a panic, or of a handler that does not return.
	Stack []byte
	// Attempt is the number of the failed attempt.
	Attempt int
	// Position up to which everything was done then.
	Position store.Position
	// Missed is the number of transitions left out before this one because the watcher was too slow.
	Missed int
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

// watchers of a system. The zero value has none, and so has a nil one.
type watchers = *watcherList

// watcherList is locked after a published, and before each of its watchers.
type watcherList struct {
	mu   sync.Mutex
	list map[*watcher]struct{}
}

// watcher is filled by the goroutines that report, and emptied by the one that runs its loop.
type watcher struct {
	mu      sync.Mutex
	waiting []Transition  // oldest first, at most watchBuffer
	missed  int           // dropped since the last one that was taken
	ready   chan struct{} // holds a token when something waits
}

// report passes a transition on. It never waits.
func (w *watcherList) report(t Transition) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.list {
		one.push(t)
	}
}

func (w *watcher) push(t Transition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == watchBuffer {
		w.missed += 1 + w.waiting[0].Missed
		w.waiting = w.waiting[1:]
	}
	if w.missed > 0 && len(w.waiting) > 0 {
		w.waiting[0].Missed += w.missed
		w.missed = 0
	}
	w.waiting = append(w.waiting, t)
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *watcher) take() []Transition {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.waiting
	w.waiting = nil
	return taken
}

// Watch yields every transition of every worker, in order, from the call on (not only from the
// first step of the loop), until ctx ends or the system has stopped. For a slow watcher the last
// 1,024 are kept; how many older ones were dropped is in Transition.Missed. It never holds up a
// worker. A caller that does not run the loop must end ctx.
func (s *System) Watch(ctx context.Context) iter.Seq[Transition] {
	w := &watcher{ready: make(chan struct{}, 1)}
	s.watchers.mu.Lock()
	s.watchers.list[w] = struct{}{}
	s.watchers.mu.Unlock()
	leave := func() {
		s.watchers.mu.Lock()
		delete(s.watchers.list, w)
		s.watchers.mu.Unlock()
	}
	unhook := context.AfterFunc(ctx, leave) // where the loop is never run
	return func(yield func(Transition) bool) {
		defer unhook()
		defer leave()
		for {
			done := s.isDone()
			for _, t := range w.take() {
				if !yield(t) {
					return
				}
			}
			if done {
				return
			}
			select {
			case <-w.ready:
			case <-s.done:
			case <-ctx.Done():
				return
			}
		}
	}
}
