package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// feed reads the log into the queues of the window: what the pass leaves out is dropped, and what
// belongs to a key with parked events is held after them.
type feed struct {
	own     *owner
	win     *window
	parking *parking
	gaps    *gaps // nil where none are kept
	ahead   readAhead
}

// fill reads on up to position upTo as far as there is room, and reports whether everything up to
// there was read. limit bounds the events of a worker without lanes, if it is positive.
func (f *feed) fill(ctx context.Context, upTo store.Position, limit int) (caughtUp bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", f.own.worker.Name, err)
		}
		room := f.room(limit)
		if room <= 0 {
			return f.win.at.scanned >= upTo, nil
		}
		page, err := f.ahead.next(ctx, f.own, f.win.at.scanned, upTo, room)
		if err != nil {
			return false, fmt.Errorf("cursor: worker %q: %w", f.own.worker.Name, err)
		}
		n, err := f.deliver(page.Events)
		if err != nil { // what was read before the one that could not be delivered is not read again
			f.win.at = f.win.at.pass(page.Events[:n], page.Events[n].Position-1)
			return false, err
		}
		f.win.at = f.win.at.pass(page.Events, page.Scanned)
		if f.win.at.scanned >= upTo || len(page.Events) == 0 {
			return f.win.at.scanned >= upTo, nil
		}
	}
}

// room is how many more events may be read now.
func (f *feed) room(limit int) int {
	undone := len(f.win.done.undone)
	if f.own.laned() {
		if f.win.bytes >= windowBytes {
			return 0
		}
		return f.own.windowSize() - undone
	}
	if undone > 0 {
		return 0
	}
	return f.own.worker.batchSize(limit)
}

// deliver sorts events into the queues, and returns how many it did.
func (f *feed) deliver(events []store.Event) (n int, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	pass := f.own.pass()
	if !f.own.laned() && pass.Empty() && f.parking.list.empty() {
		f.observe(events)
		f.win.add("", events)
		return len(events), nil
	}
	for n < len(events) && err == nil {
		e := &events[n]
		if (pass.Empty() || pass.Delivers(*e)) && f.parking.list.at[e.Position] == nil {
			err = f.assign(events[n : n+1])
		}
		if err == nil {
			n++
		}
	}
	f.observe(events[:n])
	return n, err
}

// assign holds an event, or puts it in a queue.
func (f *feed) assign(event []store.Event) error {
	e := &event[0]
	key, err := f.own.key(e)
	if err != nil {
		return err
	}
	if !f.parking.holds(key, e.Position) {
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

// observe notes gaps. Nothing in the store is cancelled yet, so that there are no ranges to report.
func (f *feed) observe(events []store.Event) {
	if f.gaps == nil {
		return
	}
	before := f.win.at.delivered
	for i := range events {
		f.gaps.observe(before, events[i].Position, nil)
		before = events[i].Position
	}
}

// restore puts the events of a checkpoint that are not done in the queues.
func (f *feed) restore(ctx context.Context, pending []store.Position) error {
	for _, p := range pending {
		e, err := f.own.st.GetAt(ctx, p)
		if err != nil {
			return fmt.Errorf("read what is not done: %w", err)
		}
		if !f.own.region.Matches(e) { // its kind is not handled any more
			continue
		}
		key := ""
		if f.own.laned() {
			if key, err = f.own.key(&e); err != nil {
				return err
			}
		}
		f.win.add(key, []store.Event{e})
	}
	return nil
}
