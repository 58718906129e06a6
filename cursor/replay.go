package cursor

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// replays finds the parked events that are to be handled again, and reads them from the log.
type replays struct {
	*shared
	parking *parking
	waits   *suspension
}

// next returns the queue of the key with the oldest parked event that is to be handled again, nil
// if there is none. For a worker that keeps its position itself, what the log has before them comes
// first: its own position may be an older one.
func (p *replays) next(ctx context.Context, floor store.Position) (*queue, error) {
	for len(p.list.replays) > 0 {
		var next *parkedKey
		for _, k := range p.list.replays {
			first := k.entries[0]
			if k.queue.idle() && !p.early(first, floor) && (next == nil || first.Position < next.entries[0].Position) {
				next = k
			}
		}
		if next == nil {
			return nil, nil
		}
		awaits, err := p.suspended(ctx, next, floor)
		if err == nil && !awaits {
			err = p.load(ctx, next, floor, p.own.worker.batchSize(0))
		}
		switch {
		case errors.Is(err, store.ErrDropped):
			p.parking.parkLost(next.entries[0], err)
		case err != nil:
			return nil, err
		case !awaits:
			return &next.queue, nil
		default:
			next.queue.await()
		}
	}
	return nil, nil
}

// at returns the queue that begins with a parked event, if that is to be handled again and can be
// now.
func (p *replays) at(ctx context.Context, event, floor store.Position) (*queue, error) {
	k := p.list.replays[p.list.at[event].Key]
	if k == nil || k.entries[0].Position != event || !k.queue.idle() || p.early(k.entries[0], floor) {
		return nil, nil
	}
	err := p.load(ctx, k, floor, p.own.worker.batchSize(0))
	if errors.Is(err, store.ErrDropped) {
		p.parking.parkLost(k.entries[0], err)
		return nil, nil
	}
	return &k.queue, err
}

// early reports whether the log has something before a parked event that is not done and may be of
// its key, so that a failure of it would come before the event in the list.
func (p *replays) early(entry *checkpoint.Parked, floor store.Position) bool {
	return p.own.external() && entry.Position > floor
}

// suspended reports whether the first parked event of a key, which is not early, is of a dependency
// that is suspended.
func (p *replays) suspended(ctx context.Context, k *parkedKey, floor store.Position) (bool, error) {
	if p.waits.empty() {
		return false, nil
	}
	if err := p.load(ctx, k, floor, 1); err != nil {
		return false, err
	}
	return p.waits.holds(&k.queue.events[0]), nil
}

// load reads the first events of a key, if its queue has none: at most n, and as many as memory
// holds. Those after the first are only taken if they are to be handled again, and none is early.
func (p *replays) load(ctx context.Context, k *parkedKey, floor store.Position, n int) error {
	if len(k.queue.events) > 0 {
		return nil
	}
	n = min(len(k.entries), n)
	for bytes := 0; len(k.queue.events) < n && bytes < windowBytes; {
		loaded := len(k.queue.events)
		entry := k.entries[loaded]
		if p.early(entry, floor) || loaded > 0 && !entry.Replaying {
			return nil
		}
		at := entry.Position
		e, err := p.own.st.GetAt(ctx, at)
		if loaded > 0 && errors.Is(err, store.ErrDropped) { // its turn comes
			return nil
		}
		if err != nil {
			return fmt.Errorf("cursor: worker %q: read parked event %d: %w", p.own.worker.Name, at, err)
		}
		if loaded > 0 && p.own.passesOver(&e) != p.own.passesOver(&k.queue.events[0]) {
			return nil
		}
		bytes += len(e.Payload)
		k.queue.events = append(k.queue.events, e)
	}
	return nil
}
