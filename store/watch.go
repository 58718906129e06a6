package store

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

// A Watcher is told what becomes visible by the goroutine that makes it so. It is for those that
// wake many readers and must know which: a reader that waits for the head has [Store.Wait].
//
// Its methods hold up all that commit: they must return within microseconds, wait for nothing, and
// call neither [Store.Commit] nor [Store.Close].
type Watcher interface {
	// Published is called after the head has moved, and before the commit that moved it is
	// acknowledged, which may be the end of a fence; one call after the other, in the order of
	// positions. p is valid until it returns.
	Published(p *Publication)
	// Ended is called when the head will not move again: with [ErrPoisoned] after a write has failed,
	// with [ErrClosed] when the store was closed; also beside Published, and more than once.
	Ended(err error)
}

// Publication is what became visible at once: the events after a position, up to the head.
type Publication struct {
	After, Head Position
	// Segment is the number of the one that is written: it grows each time one is begun.
	Segment uint32

	// Late says that events became visible later than they were written, as a fence has ended. Of such
	// a publication there are no outlines: the events are read from the store.
	Late bool

	group []*request // that was committed
}

// Outlines iterates over the events without reading them. Of each there are Position, Coordinate,
// Kind and Version: what a [Region] matches.
func (p *Publication) Outlines() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		if p.Late {
			return
		}
		for _, req := range p.group {
			for i, at := range req.receipt.Events {
				if at.Position <= p.After { // of a receipt that was stored before
					break
				}
				terms := &req.events[i].terms
				e := Event{Position: at.Position, Version: at.Version, Kind: terms.Kind}
				e.Coordinate = Coordinate{Entity: terms.Entity, Scope: terms.Scope}
				if !yield(e) {
					return
				}
			}
		}
	}
}

// Watch has a watcher called from now on. What became visible before it returns, the watcher may
// not be told of. A call that has begun may outlast stop. A store that is opened read-only tells
// nothing, and the error is [ErrReadOnly]: its head moves when it is looked at.
func Watch(s *Store, w Watcher) (stop func(), err error) {
	if s.options.ReadOnly {
		return nil, ErrReadOnly
	}
	if w == nil {
		return nil, &InvalidError{Field: "watcher", Rule: "must not be nil"}
	}
	s.watchers.add(&w)
	switch poisoned := s.committer.writer.poisoned(); { // looked at last: from now on it is told
	case s.closed.Load():
		w.Ended(ErrClosed)
	case poisoned != nil:
		w.Ended(poisoned)
	}
	return func() { s.watchers.remove(&w) }, nil
}

// watchers are those of a store. The list that is pointed to never changes, so that a commit loads
// it without a lock; nil where there is none.
type watchers struct {
	list atomic.Pointer[[]*Watcher]
	mu   sync.Mutex // held to replace the list
}

func (l *watchers) add(w *Watcher) {
	l.replace(func(list []*Watcher) []*Watcher { return append(list, w) })
}

func (l *watchers) remove(w *Watcher) {
	l.replace(func(list []*Watcher) []*Watcher {
		return slices.DeleteFunc(list, func(other *Watcher) bool { return other == w })
	})
}

func (l *watchers) replace(change func([]*Watcher) []*Watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := change(slices.Clone(l.all()))
	l.list.Store(&list)
}

func (l *watchers) all() []*Watcher {
	if list := l.list.Load(); list != nil {
		return *list
	}
	return nil
}

// published tells all of what a group of so many events has made visible after a position. The
// group's answers have not left yet, so that its memory is still the committer's.
func (l *watchers) published(s *Store, after Position, events uint32, group []*request) {
	list, head := l.all(), Position(s.head.Load())
	if len(list) == 0 || head == after {
		return
	}
	p := Publication{
		After: after, Head: head, Segment: LastSegment(s),
		Late: head-after != Position(events), group: group,
	}
	for _, w := range list {
		(*w).Published(&p)
	}
}

func (l *watchers) ended(err error) {
	for _, w := range l.all() {
		(*w).Ended(err)
	}
}
