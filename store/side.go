package store

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// sideTable holds the present side values. mu is held for map operations only, and no other lock is
// taken under it. A SideValue in it is never changed, only replaced, and its Value never written
// to: so readers may keep what they got.
type sideTable struct {
	mu     sync.RWMutex
	values map[string]SideValue
}

func (t *sideTable) get(key string) (SideValue, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	v, ok := t.values[key]
	return v, ok
}

// publish applies the side writes of a group and moves the head under the same lock, so that what
// was committed together is seen together: a caller that finds a side value finds the events beside
// it, and one that sees the head and then asks for a side value waits until it is there.
func (t *sideTable) publish(pending map[string]SideValue, head *atomic.Uint64, to Position) map[string]SideValue {
	if len(pending) == 0 {
		head.Store(uint64(to))
		return pending
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	head.Store(uint64(to))
	return t.merge(pending)
}

// merge applies side writes; a zero SideValue deletes. The key of the value is kept rather than
// that of the map, so that the two share their memory. It returns an empty map for the next group:
// a map that was large once stays so, and would be walked whole for each group after. Called with
// mu held, or before the store is open.
func (t *sideTable) merge(pending map[string]SideValue) map[string]SideValue {
	for key, value := range pending {
		if value.Revision == 0 {
			delete(t.values, key)
		} else {
			t.values[value.Key] = value
		}
	}
	if len(pending) > maxPooledItems {
		return make(map[string]SideValue)
	}
	clear(pending)
	return pending
}

// Side returns the present value of a side key, and whether there is one. It may be newer than the
// last sync when it was written by a lazy batch.
func (s *Store) Side(key string) (SideValue, bool) {
	s.catchUp()
	return s.sides.get(key)
}

// Sides iterates over the side values whose key starts with prefix, by key, as they were when it
// was called. It looks at the keys of all side values, whatever the prefix.
//
// What is copied under the lock are keys and slice headers; they are sorted without it, since a
// commit waits for the lock. The loop runs on the copy, so it may commit side values itself.
func (s *Store) Sides(prefix string) iter.Seq[SideValue] {
	s.catchUp()
	s.sides.mu.RLock()
	var keys []string
	for key := range s.sides.values {
		if strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	snapshot := make(map[string]SideValue, len(keys))
	for _, key := range keys {
		snapshot[key] = s.sides.values[key]
	}
	s.sides.mu.RUnlock()
	return func(yield func(SideValue) bool) {
		for _, key := range slices.Sorted(maps.Keys(snapshot)) {
			if !yield(snapshot[key]) {
				return
			}
		}
	}
}
