package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// replays finds the parked events that are to be handled again, and reads them from the log.
type replays struct {
	own  *owner
	list *parkedList
}

// next returns the queue of the first key of which parked events are to be handled again, nil if
// there is none. For a worker that keeps its position itself, what the log has before them comes
// first: its own position may be an older one.
func (p *replays) next(ctx context.Context, floor store.Position) (*queue, error) {
	var next *parkedKey
	for key, k := range p.list.replays {
		early := p.own.external() && k.entries[0].Position > floor
		if k.queue.idle() && !early && (next == nil || key < next.queue.key) {
			next = k
		}
	}
	if next == nil {
		return nil, nil
	}
	return &next.queue, p.load(ctx, next)
}

// at returns the queue that begins with a parked event, if that is to be handled again and can be
// now.
func (p *replays) at(ctx context.Context, event store.Position) (*queue, error) {
	k := p.list.replays[p.list.at[event].Key]
	if k == nil || k.entries[0].Position != event || !k.queue.idle() {
		return nil, nil
	}
	return &k.queue, p.load(ctx, k)
}

// load reads the next events of a key, if its queue has none: as many as a batch has and memory
// holds.
func (p *replays) load(ctx context.Context, k *parkedKey) error {
	if len(k.queue.events) > 0 {
		return nil
	}
	n := min(len(k.entries), p.own.worker.batchSize(0))
	for bytes := 0; len(k.queue.events) < n && bytes < windowBytes; {
		at := k.entries[len(k.queue.events)].Position
		e, err := p.own.st.GetAt(ctx, at)
		if err != nil {
			return fmt.Errorf("cursor: worker %q: read parked event %d: %w", p.own.worker.Name, at, err)
		}
		bytes += len(e.Payload)
		k.queue.events = append(k.queue.events, e)
	}
	return nil
}
