package store

import "strings"

// entityCache keeps the states of entities as of the open batch: of those that were used last, and
// of all that are used in the open batch, which the log does not show yet. The log has the others.
//
// It belongs to the holder of the committer's role.
type entityCache struct {
	limit  int
	states map[string]*entityState
	ring   []*entityState // all of them
	hand   int            // of the clock: the next of ring that may have to leave
	batch  uint64         // number of the open one
	since  uint64         // see begin
}

// entityState is what the next event of an entity continues.
type entityState struct {
	version uint64
	hash    [32]byte
	ahead   uint64 // its events that precede in the batch that admitVersions looks at, else 0

	// Of the cache.
	name  string
	place int    // in the ring
	batch uint64 // that it was last used in
	used  bool   // since the hand passed
}

// evictionSteps bounds how many states a new one looks at for one that can leave. More than one
// leaves where there are too many, so that after a batch of many entities the cache shrinks again.
const evictionSteps = 16

func newEntityCache(limit int) entityCache {
	return entityCache{limit: limit, states: make(map[string]*entityState)}
}

// begin says that a batch is opened, and that the ones before it can be read in the log: visible or
// not, as they are looked up among all that was assigned. discards is a number that grows each time
// the log forgets states: then the cache does, too, or the next event of an entity that readers
// find absent would continue what is unknown.
func (c *entityCache) begin(discards uint64) {
	c.batch++
	if c.since != discards {
		*c = entityCache{limit: c.limit, states: make(map[string]*entityState), batch: c.batch, since: discards}
	}
}

// get returns the state of an entity, nil where it is not in the cache. It stays as long as the
// batch is open.
func (c *entityCache) get(name string) *entityState {
	s := c.states[name]
	if s != nil {
		s.batch, s.used = c.batch, true
	}
	return s
}

// add puts in the state of an entity that get did not find, and returns it as get would. The name
// may lie in memory of the caller's.
func (c *entityCache) add(name string, version uint64, hash [32]byte) *entityState {
	for steps := 0; len(c.ring) >= c.limit && steps < evictionSteps; steps++ {
		c.step()
	}
	s := &entityState{
		version: version, hash: hash,
		name: strings.Clone(name), place: len(c.ring), batch: c.batch, used: true,
	}
	c.states[s.name] = s
	c.ring = append(c.ring, s)
	return s
}

// step moves the hand by one state, which leaves if it was not used since the last time.
func (c *entityCache) step() {
	if len(c.ring) == 0 {
		return
	}
	c.hand %= len(c.ring)
	s := c.ring[c.hand]
	if s.batch != c.batch && !s.used {
		c.remove(s) // the hand stands at another one now
		return
	}
	s.used = false
	c.hand++
}

func (c *entityCache) remove(s *entityState) {
	delete(c.states, s.name)
	last := len(c.ring) - 1
	c.ring[s.place] = c.ring[last]
	c.ring[s.place].place = s.place
	c.ring[last] = nil
	c.ring = c.ring[:last]
}

// forget drops the state of an entity, if there is one. It is not used in the open batch.
func (c *entityCache) forget(name string) {
	if s := c.states[name]; s != nil {
		c.remove(s)
	}
}

// forgetNew drops the empty states of entities of a commit that is refused: a program that is
// refused again and again does not fill the memory.
func (c *entityCache) forgetNew(events []requestEvent) {
	for i := range events {
		state := events[i].state
		if state != nil && state.version == 0 && c.states[state.name] == state {
			c.remove(state)
		}
	}
}
