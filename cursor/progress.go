package cursor

import (
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Progress is what a [Runner] reads, and how far it has come: a snapshot, made without allocation,
// so it may be asked for with each batch.
type Progress struct {
	// Region that is read: that of the worker, less the kinds that it does not handle. It is
	// read-only, and stays as it is: a change of the checkpoint replaces it.
	Region *store.Region
	// Position up to which everything that matches is handled and committed, or parked.
	Position store.Position
	// Scanned and Pending say exactly what is done: everything up to Scanned, less Pending
	// (ascending). They are what the next commit would write to the checkpoint. Pending shares
	// memory with the runner: it is read-only, and valid until the runner's next commit.
	Scanned store.Position
	Pending []store.Position
	// Pass is what is special about the present way through the log; see [Progress.Backlog].
	// ParkedAhead are the positions after Scanned that are parked already, ascending and read-only:
	// there are none but for a worker that keeps its position itself.
	Pass        checkpoint.Pass
	ParkedAhead []store.Position
	// Delivered is the last event that was handled and committed; where reading started, before the
	// first.
	Delivered store.Position
	// Read is how far the log was read, and Queued how many of the events read are not done.
	Read   store.Position
	Queued int
	// InFlight is the number of tasks that [Runner.Next] returned and [Runner.Finish] has not got
	// back.
	InFlight int
	// Guarded says that the next event may be the one that killed the process before: then it is
	// handled alone. That ends once everything is passed that may have been in flight then.
	Guarded bool
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
		Region: r.own.region, Position: r.win.floor(), Scanned: kept.scanned, Pending: pending, Delivered: kept.delivered,
		Pass: r.own.pass(), ParkedAhead: r.parkedAhead(kept.scanned),
		Read: r.win.at.scanned, Queued: len(r.win.done.undone), InFlight: int(r.inFlight),
		Guarded: r.guard.on(),
		Parked:  len(r.list.at), Held: r.list.held,
	}
	if l := r.own.lease; l != nil {
		p.Stored, p.Epoch = l.Floor(), l.Epoch()
	}
	return p
}

// parkedAhead returns what is parked after a position: it is read again where the worker keeps an
// older position than the log, and counts as done then.
func (r *Runner) parkedAhead(scanned store.Position) []store.Position {
	if !r.own.external() || r.list.empty() {
		return nil
	}
	all := r.list.positions()
	i, _ := slices.BinarySearch(all, scanned+1)
	return all[i:]
}

// Dirty reports whether there is something for [Runner.Commit] to write.
func (r *Runner) Dirty() bool { return len(r.finished) > 0 || !r.out.empty() }

// Idle reports that nothing can be taken or committed: everything that was read is done or waits
// for a verdict.
func (r *Runner) Idle() bool { return !r.Dirty() && r.inFlight == 0 && r.next.idle() }

// IsDone reports whether an event that was read is done, or parked.
func (r *Runner) IsDone(p store.Position) bool {
	entry := r.list.at[p]
	return p <= r.win.at.scanned && !r.win.done.has(p) && (entry == nil || !entry.Replaying)
}

// keyed is an event and its key.
type keyed struct {
	event store.Position // 0 for none
	key   string
	known bool // the key could be told
}

// OldestKey returns the oldest event that was read and is not done, and its key; 0 where there is
// none, or the key cannot be told: what is wrong with it is reported when it is needed.
//
// Worker.Key belongs to the goroutine of the runner: whatever shows the key to others publishes
// what this returns. It is called once for each event that becomes the oldest, so asking again
// costs nothing.
func (r *Runner) OldestKey() (event store.Position, key string) {
	if len(r.win.done.undone) == 0 {
		return 0, ""
	}
	if r.oldest == nil {
		r.oldest = new(keyed)
	}
	if event = r.win.done.undone[0]; event != r.oldest.event || !r.oldest.known && r.feed.barrier != nil {
		*r.oldest = keyed{event: event}
		r.oldest.key, r.oldest.known = r.keyOf(event)
	}
	if !r.oldest.known {
		return 0, ""
	}
	return event, r.oldest.key
}

// keyOf returns the key of an event that a queue begins with.
func (r *Runner) keyOf(event store.Position) (key string, known bool) {
	for q := range r.win.queues() {
		if len(q.events) == 0 || q.events[0].Position != event {
			continue
		}
		if r.win.laned {
			return q.key, true
		}
		keys, err := r.own.keys(q.events[:1])
		if err != nil {
			return "", false
		}
		return keys[0], true
	}
	return "", false
}
