package saga

import (
	"slices"
	"sync"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// tries are how often requests were attempted by this owner. An answer may be refused, by a full
// disk or a gate, and the request handled again: so it counts until the answer is committed. Any
// goroutine uses it.
type tries struct {
	mu    sync.Mutex
	n     map[store.Position]int
	ended []store.Position // were answered; maybe not for good
}

// maxEnded is how many may have been answered before it is looked which of them are done.
const maxEnded = 1024

// of returns how often a request was attempted.
func (t *tries) of(at store.Position) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[at]
}

// add counts an attempt, and returns its number.
func (t *tries) add(at store.Position) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = make(map[store.Position]int)
	}
	t.n[at]++
	return t.n[at]
}

// forget takes a request out that no instance waits for.
func (t *tries) forget(at store.Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.n, at)
}

// answered notes that a request is answered, which its worker commits then.
func (t *tries) answered(st *store.Store, worker checkpoint.ID, at store.Position) {
	if !t.end(at) {
		return
	}
	if info, err := checkpoint.Inspect(st, worker); err == nil { // else the next answer looks
		t.sweep(info.Record.Done)
	}
}

// end notes that a request is answered, and reports whether it is time for a sweep.
func (t *tries) end(at store.Position) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = append(t.ended, at)
	return len(t.ended) >= maxEnded
}

// isAnswered reports whether a request is answered, maybe not for good.
func (t *tries) isAnswered(at store.Position) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.ended, at)
}

// sweep forgets the requests that were answered for good.
func (t *tries) sweep(done func(store.Position) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = slices.DeleteFunc(t.ended, func(at store.Position) bool {
		if !done(at) {
			return false
		}
		delete(t.n, at)
		return true
	})
}
