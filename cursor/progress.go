package cursor

import "github.com/penstock-io/penstock/store"

// Progress is how far a [Runner] has come: a snapshot, made without allocation.
type Progress struct {
	// Position up to which everything that matches is handled and committed, or parked.
	Position store.Position
	// Scanned and Pending say exactly what is done: everything up to Scanned, less Pending
	// (ascending). They are what the next commit would write to the checkpoint. Pending shares
	// memory with the runner: it is read-only, and valid until the runner's next commit.
	Scanned store.Position
	Pending []store.Position
	// Delivered is the last event that was handled and committed; where reading started, before the
	// first.
	Delivered store.Position
	// Read is how far the log was read, and Queued how many of the events read are not done.
	Read   store.Position
	Queued int
	// InFlight is the number of tasks that [Runner.Next] returned and [Runner.Finish] has not got
	// back.
	InFlight int
	// Parked is the number of parked events; Held of them did not fail, but follow one of their key
	// that did.
	Parked, Held int
	// Stored is the position in the checkpoint. It lags while nothing matches; see
	// [Runner.Flush]. Epoch is that of the owner. Both are 0 for a volatile worker.
	Stored store.Position
	Epoch  uint64
}

// Progress returns how far the runner has come.
func (r *Runner) Progress() Progress {
	kept, pending := r.win.done.checkpoint(r.win.at)
	p := Progress{
		Position: r.win.floor(), Scanned: kept.scanned, Pending: pending, Delivered: kept.delivered,
		Read: r.win.at.scanned, Queued: len(r.win.done.undone), InFlight: r.inFlight,
		Parked: len(r.list.at), Held: r.list.held,
	}
	if r.own.lease != nil {
		record := r.own.lease.Record()
		p.Stored, p.Epoch = record.Floor(), record.Epoch
	}
	return p
}

// OldestKey returns the oldest event that was read and is not done, and its key; 0 where there is
// none. Worker.Key belongs to the goroutine of the runner: whatever shows the key to others
// publishes what this returns.
func (r *Runner) OldestKey() (event store.Position, key string, err error) {
	if len(r.win.done.undone) == 0 {
		return 0, "", nil
	}
	event = r.win.done.undone[0]
	if q := &r.win.only; !r.win.laned && len(q.events) > 0 && q.events[0].Position == event {
		keys, err := r.own.keys(q.events[:1])
		if err != nil {
			return event, "", err
		}
		return event, keys[0], nil
	}
	for _, q := range r.win.keys {
		if len(q.events) > 0 && q.events[0].Position == event {
			return event, q.key, nil
		}
	}
	return event, "", nil
}
