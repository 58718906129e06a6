package store

import (
	"iter"
	"maps"
	"slices"
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
//
// A value that cannot be read is an error, with all but the value: a [CorruptError] where it is
// damaged, [ErrClosed], or the file system's.
func (s *Store) Side(key string) (value SideValue, found bool, err error) {
	s.catchUp()
	value, found = s.sides.get(key)
	return value, found, nil
}

// Sides iterates over the side values whose key starts with prefix, by key. It is a
// [Store.SideRange] without a limit.
func (s *Store) Sides(prefix string) iter.Seq2[SideValue, error] {
	return s.SideRange(prefix, prefixEnd(prefix), 0)
}

// SideRange iterates over the side values whose keys are at least from and less than to ("" for all
// from there on), by key, as they were when the loop began: at most limit of them, 0 for all. The
// loop may commit side values itself.
//
// A value that cannot be read comes with its error, and with all but the value; the others follow.
// Any other error is the last thing that the iteration yields: [ErrClosed], or an [InvalidError]
// for a limit below 0.
func (s *Store) SideRange(from, to string, limit int) iter.Seq2[SideValue, error] {
	return func(yield func(SideValue, error) bool) {
		if limit < 0 {
			yield(SideValue{}, &InvalidError{Field: "limit", Rule: "must not be negative", Value: limit})
			return
		}
		s.catchUp()
		values := s.sides.between(from, to)
		for i, key := range slices.Sorted(maps.Keys(values)) {
			if limit > 0 && i == limit || !yield(values[key], nil) {
				return
			}
		}
	}
}

// between copies keys and slice headers under the lock and sorts them without it, as a commit waits
// for the lock.
func (t *sideTable) between(from, to string) map[string]SideValue {
	t.mu.RLock()
	defer t.mu.RUnlock()
	values := make(map[string]SideValue)
	for key, value := range t.values {
		if key >= from && (to == "" || key < to) {
			values[key] = value
		}
	}
	return values
}

// prefixEnd returns the first key after all that start with prefix, "" where there is none.
func prefixEnd(prefix string) string {
	end := []byte(prefix)
	for n := len(end); n > 0; n-- {
		if end[n-1]++; end[n-1] > 0 { // else it was 0xff
			return string(end[:n])
		}
	}
	return ""
}
