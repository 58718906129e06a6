package cursor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// parkedList is what a worker has parked, as its side values say or will say after the next commit.
// It changes nothing but itself.
//
// An entry is in keys and in at, as the same pointer; it is never copied, so a change is seen in
// both. What is in the list is what the log says after the next commit, not before: a handler must
// not look at it, since it runs beside changes.
type parkedList struct {
	keys    map[string]*parkedKey // nil in most workers
	at      map[store.Position]*checkpoint.Parked
	replays map[string]*parkedKey // the keys of which the first event is to be handled again
	held    int                   // events that did not fail

	sorted []store.Position // of at; nil until it is asked for, and never written to: batches share it
}

// parkedKey is what is parked of one key: mostly the event that failed, and those held after it.
// Where events of a worker that keeps its position itself are deferred, or come again, there may
// be others before one that failed:
//
//	3 held, replaying    it is handled again
//	7 failed             it waits for an operator
//	9 held               it waits for 7
//
// What an entry is held for is before it, so one that is to be handled again is handled only when
// all before it are gone.
type parkedKey struct {
	entries []*checkpoint.Parked // ascending, but for those of a back-fill, which come last until the next runner
	// queue has the first entries, in their order: those that are handled again, a batch at a time,
	// or one that is probed. None is put before them: while something before an entry of such a
	// worker is not done, the entry is not loaded.
	queue queue
}

func (k *parkedKey) replaying() bool { return len(k.entries) > 0 && k.entries[0].Replaying }

// orphaned reports whether nothing of a key has failed, nor is to be handled again.
func (k *parkedKey) orphaned() bool {
	return !slices.ContainsFunc(k.entries, func(e *checkpoint.Parked) bool { return !e.Held || e.Replaying })
}

// failed returns the entries of a key that failed themselves, whether they are about to be handled
// again or not.
func (k *parkedKey) failed() (failed []*checkpoint.Parked) {
	for _, e := range k.entries {
		if !e.Held {
			failed = append(failed, e)
		}
	}
	return failed
}

// waiting returns the entries of a key that failed and wait for an operator.
func (k *parkedKey) waiting() []*checkpoint.Parked {
	return slices.DeleteFunc(k.failed(), func(e *checkpoint.Parked) bool { return e.Replaying })
}

// replayable returns the entries of a key for which that is replayed: those that failed, or the
// first one where none did, as that may fail now.
func (k *parkedKey) replayable() []*checkpoint.Parked {
	if failed := k.failed(); len(failed) > 0 {
		return failed
	}
	return []*checkpoint.Parked{k.entries[0]}
}

// freed returns what is held for nothing that failed and waits: what stands before the first such
// entry, once some of them are gone.
func (k *parkedKey) freed(gone ...*checkpoint.Parked) (free []*checkpoint.Parked) {
	for _, e := range k.entries {
		switch {
		case slices.Contains(gone, e):
		case !e.Held && !e.Replaying:
			return free
		default:
			free = append(free, e)
		}
	}
	return free
}

// readParked reads the list of a worker from its side values.
func readParked(st *store.Store, id checkpoint.ID) (list parkedList, err error) {
	for e, err := range checkpoint.ParkedEvents(st, id) {
		if err != nil {
			return parkedList{}, fmt.Errorf("read what is parked: %w", err)
		}
		list.add(&e)
	}
	return list, nil
}

func byPosition(a, b checkpoint.Parked) int { return cmp.Compare(a.Position, b.Position) }

func (p *parkedList) empty() bool { return len(p.at) == 0 }

// positions returns all that is parked, ascending.
func (p *parkedList) positions() []store.Position {
	if p.sorted == nil {
		p.sorted = slices.Sorted(maps.Keys(p.at))
	}
	return p.sorted
}

// before returns what is parked before a position, ascending.
func (p *parkedList) before(end store.Position) []store.Position {
	all := p.positions()
	n, _ := slices.BinarySearch(all, end)
	return slices.Clip(all[:n])
}

// replaying reports whether something is to be handled again.
func (p *parkedList) replaying() bool { return len(p.replays) > 0 }

// draining reports whether something is to be handled again and waits neither for a decision nor
// for the end of an outage.
func (p *parkedList) draining() bool {
	for _, k := range p.replays {
		if k.queue.phase < queueFailing {
			return true
		}
	}
	return false
}

func (p *parkedList) add(e *checkpoint.Parked) {
	if p.keys == nil {
		p.keys, p.at = make(map[string]*parkedKey), make(map[store.Position]*checkpoint.Parked)
		p.replays = make(map[string]*parkedKey)
	}
	k := p.keys[e.Key]
	if k == nil {
		k = &parkedKey{queue: queue{key: e.Key, parked: true}}
		p.keys[e.Key] = k
	}
	k.entries = append(k.entries, e)
	p.at[e.Position], p.sorted = e, nil
	if e.Held {
		p.held++
	}
	p.index(e.Key)
}

// sort puts the last entry of a key in its place among the others. One that comes after it may be
// in the queue already, and in flight: so what was handled is taken off by its position.
func (p *parkedList) sort(key string) {
	entries := p.keys[key].entries
	n := len(entries) - 1
	last := entries[n]
	i, _ := slices.BinarySearchFunc(entries[:n], last, func(a, b *checkpoint.Parked) int { return byPosition(*a, *b) })
	copy(entries[i+1:], entries[i:n])
	entries[i] = last
	p.index(key)
}

// drop removes the first n entries of a key.
func (p *parkedList) drop(key string, n int) {
	k := p.keys[key]
	p.sorted = nil
	for _, e := range k.entries[:n] {
		delete(p.at, e.Position)
		if e.Held {
			p.held--
		}
	}
	if k.entries = k.entries[n:]; len(k.entries) == 0 {
		delete(p.keys, key)
	}
	p.index(key)
}

// remove removes an entry of a key, wherever it stands.
func (p *parkedList) remove(e *checkpoint.Parked) {
	k := p.keys[e.Key]
	i := slices.Index(k.entries, e)
	copy(k.entries[1:i+1], k.entries[:i])
	k.entries[0] = e
	p.drop(e.Key, 1)
}

// fail notes that the first entry of a key failed for good when it was handled again: all of them
// wait for another replay. It returns them.
func (p *parkedList) fail(key, said string, attempts int, now time.Time) []*checkpoint.Parked {
	k := p.keys[key]
	failed := k.entries[0]
	if failed.Held {
		p.held--
	}
	failed.Held, failed.Doubt = false, false
	failed.Error, failed.Attempts, failed.Since = checkpoint.Clip(said), attempts, now
	for _, e := range k.entries {
		e.Replaying = false
	}
	p.index(key)
	return k.entries
}

// replay marks all entries of some keys as to be handled again.
func (p *parkedList) replay(keys []string) {
	for _, key := range keys {
		for _, e := range p.keys[key].entries {
			e.Replaying = true
		}
		p.index(key)
	}
}

// resumed returns the side writes of [parkedList.resume] for when the entries up to one are gone.
func (p *parkedList) resumed(id checkpoint.ID, last *checkpoint.Parked) (sides []store.SideWrite) {
	entries := p.keys[last.Key].entries
	entries = entries[slices.Index(entries, last)+1:]
	if len(entries) == 0 || entries[0].Replaying {
		return nil
	}
	for _, e := range (&parkedKey{entries: entries}).freed() {
		again := *e
		again.Replaying = true
		sides = append(sides, again.Write(id))
	}
	return sides
}

// resume lets be handled what is first now, if nothing says so yet and it is held for nothing: as
// after an event that was handled where it was parked.
func (p *parkedList) resume(key string) {
	if k := p.keys[key]; k != nil && !k.replaying() {
		p.free(key)
	}
}

// free lets what is held for nothing that waits be handled.
func (p *parkedList) free(key string) {
	k := p.keys[key]
	if k == nil {
		return
	}
	for _, e := range k.freed() {
		e.Replaying = true
	}
	p.index(key)
}

// discard removes an entry; what was held for it alone is handled. The queue is emptied, since it
// may have the event: no task of it is in flight when an operator discards.
func (p *parkedList) discard(e *checkpoint.Parked) {
	p.keys[e.Key].queue = queue{key: e.Key, parked: true}
	p.remove(e)
	p.free(e.Key)
}

// index keeps the list of replays, after a change of a key.
func (p *parkedList) index(key string) {
	if k := p.keys[key]; k != nil && k.replaying() {
		p.replays[key] = k
	} else {
		delete(p.replays, key)
	}
}

// handled removes the first n events of a queue, which were handled again.
func (p *parkedList) handled(q *queue, n int) {
	p.drop(q.key, n)
	if q.events = q.events[n:]; len(q.events) == 0 {
		q.events = nil
	}
}
