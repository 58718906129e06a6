package cursor

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// windowBytes bounds the payloads that a worker with lanes holds in memory while they wait for a lane, and those of a batch of
// parked events.
const windowBytes = 64 << 20

// maxWindow bounds how many events of a worker with lanes are undone, and so the size of its checkpoint.
const maxWindow = 4096

// window holds the events that were read and are not committed as done, in queues of which each is handled in order. A
// worker without lanes has one queue for everything; with lanes there is one for each key.
type window struct {
	frontier
	bytes  int // of the payloads in the queues
	queues map[string]*queue
	ready  []*queue // that can be handled, in the order in which they became so
	limit  int      // of the first batch of a new queue, 0 for none
}

// queue is what has to be handled one after the other.
type queue struct {
	key     string
	events  []store.Event
	parked  bool // they are parked events that are handled again
	busy    bool // a task of it is in hand, or waits for its commit
	blocked bool // its first event failed, and waits for a decision
	listed  bool // in window.ready
	limit   int  // of the next batch, 0 for none
}

// free reports whether nothing stands against handling a queue.
func (q *queue) free() bool { return !q.busy && !q.blocked }

// push adds an event to the queue of a key.
func (w *window) push(key string, events ...store.Event) {
	q := w.queues[key]
	if q == nil {
		if w.queues == nil { // a worker that waits has none
			w.queues = make(map[string]*queue)
		}
		q = &queue{key: key, limit: w.limit}
		w.queues[key] = q
	}
	if len(q.events) == 0 {
		q.events = events
	} else {
		q.events = append(q.events, events...)
	}
	for i := range events {
		w.bytes += len(events[i].Payload)
	}
	w.list(q)
}

// list lets a queue be handled if nothing stands against it. One of parked events has a list of its own.
func (w *window) list(q *queue) {
	if q.parked || q.listed || q.busy || q.blocked || len(q.events) == 0 {
		return
	}
	q.listed = true
	w.ready = append(w.ready, q)
}

// take gives the next queue that can be handled, nil if there is none.
func (w *window) take() *queue {
	for len(w.ready) > 0 {
		q := w.ready[0]
		w.ready = w.ready[1:]
		q.listed = false
		if q.free() && len(q.events) > 0 {
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
	q.events = q.events[n:]
	w.forget(q)
}

// forget drops a queue that is empty and of no more use, so that keys do not pile up.
func (w *window) forget(q *queue) {
	if len(q.events) == 0 && !q.busy && !q.parked && w.queues[q.key] == q {
		delete(w.queues, q.key)
	}
}

// Fill reads on up to position upTo (0, or more than the head: the head) as far as there is room, and puts what it finds
// where [Runner.Next] takes it from. It says whether everything up to there was read.
func (r *Runner) Fill(ctx context.Context, upTo store.Position) (caughtUp bool, err error) {
	return r.fill(ctx, upTo, 0)
}

func (r *Runner) fill(ctx context.Context, upTo store.Position, limit int) (caughtUp bool, err error) {
	if head := r.st.Head(); upTo == 0 || upTo > head {
		upTo = head
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", r.worker.Name, err)
		}
		room := r.room(limit)
		if room <= 0 {
			return r.at.scanned >= upTo, nil
		}
		page, err := nextPage(ctx, r.st, r.region, r.at.scanned, upTo, room)
		if err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", r.worker.Name, err)
		}
		n, err := r.deliver(page.Events)
		if err != nil { // what was read before the one that could not be delivered is not read again
			r.at = r.at.pass(page.Events[:n], page.Events[n].Position-1)
			return false, err
		}
		r.at = r.at.pass(page.Events, page.Scanned)
		if r.at.scanned >= upTo || len(page.Events) == 0 {
			return r.at.scanned >= upTo, nil
		}
	}
}

// room is how many more events may be read now.
func (r *Runner) room(limit int) int {
	if r.laned() {
		if r.bytes >= windowBytes {
			return 0
		}
		return r.windowSize() - len(r.undone)
	}
	if len(r.undone) > 0 {
		return 0
	}
	return r.worker.batchSize(limit)
}

// windowSize is how many events may be undone at once.
func (r *Runner) windowSize() int {
	if !r.laned() {
		return r.worker.batchSize(0)
	}
	return min(maxWindow, r.worker.Lanes*r.worker.batchSize(0))
}

func (r *Runner) laned() bool { return r.worker.Lanes > 1 }

// deliver sorts events into the queues, and says how many it did. What the pass leaves out is dropped, and what belongs to a
// key with parked events is held behind them.
func (r *Runner) deliver(events []store.Event) (n int, err error) {
	pass := r.pass()
	if !r.laned() && pass.Empty() && len(r.parked.keys) == 0 {
		r.observe(events)
		r.pushAll(events)
		return len(events), nil
	}
	var plain []store.Event
	for n < len(events) && err == nil {
		e := &events[n]
		if (pass.Empty() || pass.Delivers(*e)) && r.parked.at[e.Position] == nil {
			plain, err = r.assign(plain, e)
		}
		if err == nil {
			n++
		}
	}
	if len(plain) > 0 {
		r.push("", plain...)
	}
	r.observe(events[:n])
	return n, err
}

// assign holds an event, puts it in the queue of its key, or adds it to those of a worker that has one queue only.
func (r *Runner) assign(plain []store.Event, e *store.Event) ([]store.Event, error) {
	key, err := r.keyOf(e)
	if err != nil {
		return plain, err
	}
	if r.holds(key, e.Position) {
		if err := r.checkRoom(key, 1, e.Position); err != nil {
			return plain, err
		}
		r.frontier = r.read(e.Position)
		r.hold(key, e)
		return plain, nil
	}
	r.frontier = r.read(e.Position)
	if !r.laned() {
		return append(plain, *e), nil
	}
	r.push(key, *e)
	return plain, nil
}

func (r *Runner) pushAll(events []store.Event) {
	if len(events) == 0 {
		return
	}
	r.undone = slices.Grow(r.undone, len(events))
	for i := range events {
		r.frontier = r.read(events[i].Position)
	}
	r.push("", events...)
}

// observe notes gaps. Nothing in the store is cancelled yet, so that there are no ranges to tell it of.
func (r *Runner) observe(events []store.Event) {
	if r.gaps.limit == 0 {
		return
	}
	before := r.at.delivered
	for i := range events {
		r.gaps.observe(before, events[i].Position, nil)
		before = events[i].Position
	}
}

// keyOf asks the worker for the key of an event. What panics or gives a key that is too long is an error that names the
// event.
func (r *Runner) keyOf(e *store.Event) (key string, err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &KeyError{Worker: r.worker.Name, Event: e.Position, Err: panicError(value)}
		}
	}()
	key = r.worker.key(e)
	if len(key) > MaxKeyBytes {
		return "", &KeyError{Worker: r.worker.Name, Event: e.Position, Err: &store.LimitError{
			Field: "key bytes", Limit: MaxKeyBytes, Value: int64(len(key)),
		}}
	}
	return key, nil
}

// MaxKeyBytes is the longest key that Worker.Key may give.
const MaxKeyBytes = 1024

// KeyError says at which event the function Worker.Key failed. No order can be kept without a key.
type KeyError struct {
	Worker string
	Event  store.Position
	Err    error
}

func (e *KeyError) Error() string {
	return fmt.Sprintf("cursor: worker %q: key of event %d: %v", e.Worker, e.Event, e.Err)
}

// Unwrap returns what is wrong with the key.
func (e *KeyError) Unwrap() error { return e.Err }
