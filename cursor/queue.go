package cursor

import (
	"iter"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// queue is what has to be handled one after the other. It belongs to the runner's goroutine; a task
// that is in flight has a part of events, which is only read, by both.
type queue struct {
	key    string        // "" of a worker without lanes
	events []store.Event // not done, those of the task in flight first
	phase  queuePhase
	parked bool  // of the list of what is parked, not of the window
	listed bool  // window.ready has it; it may have begun since
	limit  int32 // of the next batch, 0 for none
}

// queuePhase is where a queue stands between two tasks of it:
//
//	queueIdle --begin--> queueBusy --end--> queueIdle
//	                         |
//	                        fail
//	                         v
//	                     queueFailing --end--> queueBlocked --decide--> queueIdle
//
//	queueIdle --await--> queueAwaiting --release--> queueIdle
//
// A probe begins one that awaits, too.
type queuePhase uint8

const (
	// queueIdle: nothing stands against handling it, if it has events.
	queueIdle queuePhase = iota
	// queueBusy: a task of it is in flight, or waits for its commit.
	queueBusy
	// queueFailing: as queueBusy, and an event of the task failed; those before it wait for their
	// commit.
	queueFailing
	// queueBlocked: its first event failed, and waits for a decision.
	queueBlocked
	// queueAwaiting: its first event is of a dependency that is suspended.
	queueAwaiting
)

func (q *queue) begin() { q.phase = queueBusy }

func (q *queue) fail() { q.phase = queueFailing }

func (q *queue) end() {
	if q.phase == queueFailing {
		q.phase = queueBlocked
		return
	}
	q.phase = queueIdle
}

func (q *queue) await() {
	q.phase = queueAwaiting
	q.unload()
}

func (q *queue) release() {
	if q.phase == queueAwaiting {
		q.phase = queueIdle
	}
}

func (q *queue) decide() {
	q.phase = queueIdle
	q.unload()
}

// unload drops parked events that are not about to be handled: there may be very many, and they are
// read again. Those of the window stay, which bounds them.
func (q *queue) unload() {
	if q.parked {
		q.events = nil
	}
}

// idle reports whether nothing stands against handling a queue but that it may have no events;
// free, that nothing does.
func (q *queue) idle() bool { return q.phase == queueIdle }
func (q *queue) free() bool { return q.idle() && len(q.events) > 0 }

// waits reports whether a probe may begin a queue, if it has events.
func (q *queue) waits() bool { return q.phase == queueIdle || q.phase == queueAwaiting }

// busy reports whether a task of it is not committed yet.
func (q *queue) busy() bool { return q.phase == queueBusy || q.phase == queueFailing }

// undecided reports whether the first event waits for a verdict.
func (q *queue) undecided() bool { return q.phase == queueBlocked && len(q.events) > 0 }

// grow lets the batches become larger again, once one of them went through: twice as large each
// time, as they were halved.
func (q *queue) grow() {
	if q.limit *= 2; q.limit >= MaxBatchSize {
		q.limit = 0
	}
}

// window holds the events that were read and are not committed as done, in queues of which each is
// handled in order. A worker without lanes has one queue for everything; with lanes there is one
// for each key.
type window struct {
	done  frontier
	spare []store.Position // the buffer in which the next frontier is built
	at    place            // read up to here

	outdated store.Position // what was read up to here may have been erased since

	bytes int   // of the payloads in the queues
	limit int32 // of the first batch of a new queue, 0 for none
	laned bool
	turn  bool              // it is that of what was read, and not of what is parked: neither starves
	only  queue             // without lanes
	keys  map[string]*queue // with lanes; nil until there is something to handle
	ready fifo              // that can be handled, in the order in which they became so

	// While a submission is under way: so many of the undone events are in it, and these are read
	// after them. They are apart, since those before them are about to go.
	sent int
	next []store.Event
}

// reset empties the window. Everything up to at counts as done.
func (w *window) reset(at place) {
	done := frontier{lastDone: at.scanned, delivered: at.delivered}
	*w = window{done: done, at: at, outdated: w.outdated, limit: w.limit, laned: w.laned, turn: w.turn, only: queue{limit: w.limit}}
}

// add puts events, ascending and after all others, in the queue of a key.
func (w *window) add(key string, events []store.Event) {
	w.done = w.done.readAll(events)
	w.push(key, events)
}

// push is add for events that the frontier knows. The slice is kept, and not written to.
func (w *window) push(key string, events []store.Event) {
	for i := range events {
		w.bytes += len(events[i].Payload)
	}
	if w.sent > 0 {
		w.next = following(w.next, events)
		return
	}
	q := w.queue(key)
	q.events = following(q.events, events)
	w.list(q)
}

// following is a list of events with more after it. It shares the memory of one that is alone.
func following(list, more []store.Event) []store.Event {
	if len(list) == 0 {
		return slices.Clip(more)
	}
	return append(list, more...)
}

// join puts what was read while a submission was under way after what is left of it.
func (w *window) join() {
	w.only.events, w.next = following(w.only.events, w.next), nil
	w.list(&w.only)
}

func (w *window) queue(key string) *queue {
	if !w.laned {
		return &w.only
	}
	q := w.keys[key]
	if q == nil {
		if w.keys == nil {
			w.keys = make(map[string]*queue)
		}
		q = &queue{key: key, limit: w.limit}
		w.keys[key] = q
	}
	return q
}

// queues iterates over all queues.
func (w *window) queues() iter.Seq[*queue] {
	return func(yield func(*queue) bool) {
		if !w.laned {
			yield(&w.only)
			return
		}
		for _, q := range w.keys {
			if !yield(q) {
				return
			}
		}
	}
}

// list lets a queue be handled if nothing stands against it. One of parked events has a list of its
// own.
func (w *window) list(q *queue) {
	if q.parked || q.listed || !q.free() {
		return
	}
	q.listed = true
	w.ready.push(q)
}

// take returns the next queue that can be handled, nil if there is none.
func (w *window) take() *queue {
	for {
		q := w.ready.pop()
		if q == nil {
			return nil
		}
		q.listed = false
		if q.free() {
			return q
		}
	}
}

// readyAt finds the queue that can be handled and begins with the event at a position.
func (w *window) readyAt(p store.Position) *queue {
	for q := range w.ready.all() {
		if q.free() && q.events[0].Position == p {
			return q
		}
	}
	return nil
}

// pop drops the first n events of a queue: they are done.
func (w *window) pop(q *queue, n int) {
	for i := range n {
		w.bytes -= len(q.events[i].Payload)
	}
	if q.events = q.events[n:]; len(q.events) == 0 {
		q.events = nil // not the page that they were read with
	}
	w.forget(q)
}

// keep replaces the events of a queue by some of them, without the payload bytes that have left it.
func (w *window) keep(q *queue, events []store.Event, left int) {
	q.events = events
	w.bytes -= left
	w.forget(q)
}

// forget drops a queue that is empty and of no more use, so that keys do not pile up. That of a
// worker without lanes stays, as a new one.
func (w *window) forget(q *queue) {
	switch {
	case len(q.events) > 0 || q.busy() || q.parked:
	case q == &w.only:
		q.limit = w.limit
	case w.keys[q.key] == q:
		delete(w.keys, q.key)
	}
}

// limitTo bounds the next batch of each queue, and the first one of queues to come.
func (w *window) limitTo(n int) {
	w.limit = int32(min(n, MaxBatchSize))
	for q := range w.queues() {
		q.limit = w.limit
	}
}

// floor is the position up to which everything that was read is done.
func (w *window) floor() store.Position { return w.done.floor(w.at.scanned) }

// after returns the frontier once more events are done. It is valid until it is called again.
func (w *window) after(done []store.Position) frontier { return w.done.after(done, w.spare) }

// advance makes a frontier returned by after the present one.
func (w *window) advance(next frontier, done int) {
	if done == 0 { // it is the present one
		return
	}
	w.spare, w.done = w.done.undone, next
	if len(next.undone) == 0 {
		w.spare, w.done.undone = small(w.spare), small(w.done.undone)
	}
}

// small returns a buffer to be used again, if it is so small that also workers that rest may keep
// one.
func small(buffer []store.Position) []store.Position {
	if cap(buffer) > smallBuffer {
		return nil
	}
	return buffer[:0]
}

// fifo is a list of queues that does not allocate as it moves on.
type fifo struct {
	list  []*queue
	first int
}

func (f *fifo) empty() bool { return f.first == len(f.list) }

func (f *fifo) push(q *queue) {
	if f.first > 0 && len(f.list) == cap(f.list) {
		n := copy(f.list, f.list[f.first:])
		clear(f.list[n:])
		f.list, f.first = f.list[:n], 0
	}
	f.list = append(f.list, q)
}

func (f *fifo) pop() *queue {
	if f.empty() {
		return nil
	}
	q := f.list[f.first]
	f.list[f.first] = nil
	if f.first++; f.empty() {
		f.list, f.first = f.list[:0], 0
	}
	return q
}

func (f *fifo) all() iter.Seq[*queue] {
	return func(yield func(*queue) bool) {
		for _, q := range f.list[f.first:] {
			if !yield(q) {
				return
			}
		}
	}
}
