package cursor

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// feed reads the log into the queues of the window: what the pass leaves out is dropped, what is
// parked already counts as done, and what belongs to a key with parked events is held after them.
type feed struct {
	*shared
	parking *parking
	gaps    *gaps    // nil where none are kept
	barrier *barrier // nil where keys follow from the events alone
	ahead   readAhead
}

// fill reads on up to position upTo as far as there is room, and reports whether everything up to
// there was read. limit bounds the events of a worker without lanes, if it is positive. upTo is not
// beyond the head: what is not visible yet must not count as scanned.
func (f *feed) fill(ctx context.Context, upTo store.Position, limit int) (caughtUp bool, err error) {
	if err := f.admit(); err != nil || f.barred() {
		return false, err
	}
	for {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", f.own.worker.Name, err)
		}
		room := f.room(limit)
		if room <= 0 {
			return f.win.at.scanned >= upTo, nil
		}
		page, err := f.ahead.next(ctx, &f.own, f.win.at.scanned, upTo, room)
		if err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", f.own.worker.Name, err)
		}
		n, err := f.deliver(page.Events)
		if err != nil { // what was read before the one that could not be delivered is not read again
			f.win.at = f.win.at.pass(page.Events[:n], page.Events[n].Position-1)
			return false, err
		}
		f.win.at = f.win.at.pass(page.Events, page.Scanned)
		if err := f.admit(); err != nil || f.barred() {
			return false, err
		}
		if f.win.at.scanned >= upTo || len(page.Events) == 0 {
			return f.win.at.scanned >= upTo, nil
		}
	}
}

// room is how many more events may be read now. Without lanes that is none before the batch at hand
// is done: its events are all that a crash repeats. With lanes it is what the checkpoint can name
// one by one, and what memory holds; and none while something waits for its key.
func (f *feed) room(limit int) int {
	undone := len(f.win.done.undone)
	if f.own.laned() {
		if f.win.bytes >= windowBytes || f.barred() {
			return 0
		}
		return f.own.windowSize() - undone
	}
	if undone > f.win.sent { // what is being written does not count: see Runner.Submit
		return 0
	}
	return f.own.worker.batchSize(limit)
}

// deliver sorts events into the queues, and returns how many it did: those that are left out or
// parked count too. Where no order depends on keys, Worker.Key is not called.
func (f *feed) deliver(events []store.Event) (n int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	if !f.own.laned() && f.own.pass().Empty() && f.parking.list.empty() {
		f.observe(events)
		if kept := f.own.shown(events); len(kept) > 0 {
			f.win.add("", kept)
		}
		return len(events), nil
	}
	wanted := f.wanted(events)
	if f.barrier != nil {
		f.observe(events)
		f.win.done = f.win.done.readAll(wanted)
		f.bar(wanted)
		return len(events), nil
	}
	keys, err := f.own.keys(wanted)
	for i, key := range keys {
		if full := f.assign(key, wanted[i:i+1]); full != nil {
			keys, err = keys[:i], full
			break
		}
	}
	n = len(events)
	if err != nil {
		failed := wanted[len(keys)].Position
		n = slices.IndexFunc(events, func(e store.Event) bool { return e.Position == failed })
	}
	f.observe(events[:n])
	return n, err
}

// wanted returns the events that are not left out: by the pass, or because they were erased.
func (f *feed) wanted(events []store.Event) []store.Event {
	events = f.own.shown(events)
	pass := f.own.pass()
	if pass.Empty() {
		return events
	}
	return slices.DeleteFunc(slices.Clone(events), func(e store.Event) bool { return !pass.Delivers(e) })
}

// assign holds an event, or puts it in the queue of its key. One that is held enters the frontier
// all the same, since that takes positions in ascending order only, and leaves it with the commit
// that parks it.
//
// One that is parked already comes where the worker keeps an older position than the log: it is
// done as far as reading goes, and the checkpoint must say so, since the next runner believes that
// nothing lies after Record.Delivered.
func (f *feed) assign(key string, event []store.Event) error {
	e := &event[0]
	switch {
	case f.parking.list.at[e.Position] != nil:
		f.win.done = f.win.done.read(e.Position)
		f.parking.out.finish(e.Position)
		return nil
	case !f.parking.holds(key, e.Position):
		f.win.add(key, event)
		return nil
	}
	if err := f.parking.checkRoom(key, 1, e.Position); err != nil {
		return err
	}
	f.win.done = f.win.done.read(e.Position)
	f.parking.hold(key, e)
	return nil
}

// observe notes gaps.
func (f *feed) observe(events []store.Event) {
	if f.gaps == nil {
		return
	}
	before := f.win.at.delivered
	for i := range events {
		f.gaps.observe(f.own.st, before, events[i].Position)
		before = events[i].Position
	}
}

// restore puts the events of a checkpoint that are not done in the queues.
func (f *feed) restore(ctx context.Context, pending []store.Position) error {
	var events []store.Event
	for _, p := range pending {
		e, err := f.own.st.GetAt(ctx, p)
		if err != nil {
			return fmt.Errorf("read what is not done: %w", err)
		}
		if f.own.region.Matches(e) && !f.own.passesOver(&e) { // else its kind is not handled any more
			events = append(events, e)
		}
	}
	switch {
	case f.barrier != nil: // what is known by now may be held
		*f.barrier = barrier{}
		f.win.done = f.win.done.readAll(events)
		f.bar(events)
		return nil
	case !f.own.laned():
		f.win.add("", events)
		return nil
	}
	keys, err := f.own.keys(events)
	if err != nil {
		return err
	}
	for i, key := range keys {
		f.win.add(key, events[i:i+1])
	}
	return nil
}
