package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// barrier has what a worker with Worker.Resolve has read and knows no key of yet.
//
//	log        1 a   2 b   3 ?   4 a   5 ?
//	queues     a: 1        b: 2                    3 may be of one that 1 or 2 makes known
//	barred                       3     4     5     what comes after it waits, too
//	1, 2 done  ?: 3              it is asked again: the answer is final
//	barred                             4     5     until 3 is done, alone
//
// So each event gets the key that it would get if all were handled one after the other, whatever
// the lanes are at, and gets it again after a restart: what was asked for is the state of all
// events before it, or a part of that state which no other event changes.
type barrier struct {
	events []store.Event  // undone, ascending, after all that have a key
	alone  store.Position // of the last that was not known; nothing is let in before it is done
}

// barred reports whether something waits for its key.
func (f *feed) barred() bool { return f.barrier != nil && len(f.barrier.events) > 0 }

// bar adds events that were read, after all others. The frontier knows them.
func (f *feed) bar(events []store.Event) {
	if len(events) > 0 {
		f.barrier.events = following(f.barrier.events, events)
	}
}

// admit lets in what has a key by now.
func (f *feed) admit() error {
	if !f.barred() {
		return nil
	}
	for b := f.barrier; len(b.events) > 0 && !f.win.done.has(b.alone); {
		keys, unknown, err := f.resolve(b.events)
		first := b.events[0].Position
		final := len(keys) == 1 && f.win.done.undone[0] == first
		if unknown && !final { // it waits for those before it
			keys = keys[:len(keys)-1]
		}
		for _, key := range keys {
			if full := f.enter(key, b.events[:1:1]); full != nil {
				return full
			}
			b.events = b.events[1:]
		}
		switch {
		case unknown && final:
			b.alone = first
		case unknown, err != nil:
			return err
		}
	}
	return nil
}

// enter holds an event that the frontier knows, or puts it in the queue of its key.
func (f *feed) enter(key string, event []store.Event) error {
	e := &event[0]
	if !f.parking.holds(key, e.Position) {
		f.win.push(key, event)
		return nil
	}
	if err := f.parking.checkRoom(key, 1, e.Position); err != nil {
		return err
	}
	f.parking.hold(key, e)
	return nil
}

// resolve returns the keys of some events, up to the first that is not known: its key is the last
// one then. Where Worker.Resolve fails, or what it asks for cannot be read, the keys are those of
// the events before.
func (f *feed) resolve(events []store.Event) (keys []string, unknown bool, err error) {
	o := &f.own
	var unread error
	side := func(key string) ([]byte, bool, error) {
		v, found, err := o.st.Side(checkpoint.KeptPrefix(o.batches.ownership.FirstName) + key)
		if err != nil {
			unread = err
		}
		return v.Value, found, err
	}
	err = isolate(context.Background(), o.worker.redact, func() error {
		for i := 0; i < len(events) && !unknown; i++ {
			key, known, err := o.worker.Resolve(events[i], side)
			if err == nil {
				err = checkRange("key bytes", len(key), maxKeyBytes)
			}
			if err != nil {
				return err
			}
			keys, unknown = append(keys, key), !known
		}
		return nil
	})
	switch {
	case unread != nil:
		return keys, unknown, fmt.Errorf("cursor: worker %q: key of event %d: %w", o.worker.Name, events[len(keys)].Position, unread)
	case err != nil:
		err = o.failedAt(events[len(keys)].Position, ErrKey, err)
	}
	return keys, unknown, err
}

func (w Worker) checkResolve() error {
	switch {
	case w.Resolve == nil:
		return nil
	case w.Key != nil:
		return &store.InvalidError{Field: "Resolve", Rule: "excludes Key"}
	case !w.Stateful:
		return &store.InvalidError{Field: "Resolve", Rule: "needs Stateful"}
	}
	return nil
}
