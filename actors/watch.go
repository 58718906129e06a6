package actors

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/penstock-io/penstock/store"
)

// watchBuffer is how many transitions wait for a slow watcher.
const watchBuffer = 1024

// Transition tells that a worker came into a state, or into the same one for another reason; or that it has set an event aside
// or given one up, with a [ParkedError] or [SkippedError] as the reason and without another state. With lanes it shows the oldest
// event that is being retried, and a worker that handles others meanwhile comes into the same state again and again.
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

// watchers are those who watch a system. The zero value has none; a nil one tells nobody.
type watchers = *watcherList

type watcherList struct {
	mu   sync.Mutex
	list map[*watcher]struct{}
}

type watcher struct {
	mu      sync.Mutex
	waiting []Transition
	missed  int
	news    chan struct{} // holds a token when something waits
}

// tell passes a transition on. It never waits.
func (w *watcherList) tell(t Transition) {
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
	case w.news <- struct{}{}:
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

// Watch gives every transition of every worker from the call on, until ctx ends or the system has stopped. A watcher that
// is slow misses the oldest ones, and is told how many; it never holds up a worker.
func (s *System) Watch(ctx context.Context) iter.Seq[Transition] {
	w := &watcher{news: make(chan struct{}, 1)}
	s.watchers.mu.Lock()
	s.watchers.list[w] = struct{}{}
	s.watchers.mu.Unlock()
	leave := func() {
		s.watchers.mu.Lock()
		delete(s.watchers.list, w)
		s.watchers.mu.Unlock()
	}
	unhook := context.AfterFunc(ctx, leave) // for who never runs the loop
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
			case <-w.news:
			case <-s.done:
			case <-ctx.Done():
				return
			}
		}
	}
}
