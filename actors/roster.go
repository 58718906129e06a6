package actors

import (
	"slices"
	"sync"
)

// roster is the workers of a system. The supervisor changes it, any goroutine reads it. Its lock is
// taken after no other, and before none.
type roster struct {
	mu     sync.RWMutex
	list   []*node // in the order of the tree; replaced as a whole, so that readers may keep it
	byName map[string]*node
}

func newRoster(workers []*node) *roster {
	r := &roster{list: workers, byName: make(map[string]*node, len(workers))}
	for _, n := range workers {
		r.byName[n.name()] = n
	}
	return r
}

// all returns the workers there are now.
func (r *roster) all() []*node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.list
}

// find returns a worker by its name, nil if there is none.
func (r *roster) find(name string) *node {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byName[name]
}

// add puts a worker at its place in the tree.
func (r *roster) add(n *node, at int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.Insert(slices.Clone(r.list), at, n)
	r.byName[n.name()] = n
}

func (r *roster) remove(n *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = slices.DeleteFunc(slices.Clone(r.list), func(other *node) bool { return other == n })
	delete(r.byName, n.name())
}
