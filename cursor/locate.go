package cursor

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// ResumeState is what a worker that keeps its position itself is told when it is asked for it. It answers behind which position to
// read. What is not handled before its position, and not set aside here either (the log may have lost that, or the place where
// the worker keeps its position may be an older copy), it gets again by answering with a position before that; it leaves
// out then what it has handled.
//
// The position is kept with Ownership.Origin, since in another history it means nothing, and with Ownership.Epoch, so that an
// earlier owner can be refused.
type ResumeState struct {
	Ownership
	// Start is where a worker begins that has kept nothing yet: Worker.Start as it is now.
	Start store.Position
	// Parked is, ascending, what is set aside: parked, or held behind that. It is handled when it is replayed, and not
	// delivered before.
	Parked []store.Position
	// Formerly are the names that the checkpoint had before, oldest first: the position may be kept under one of
	// them still.
	Formerly []checkpoint.ID

	st *store.Store
}

// Skipped tells which of some events, ascending, were given up: skipped or discarded, and not set aside again since. It reads
// the audit events of the worker.
func (l ResumeState) Skipped(ctx context.Context, events []store.Position) ([]store.Position, error) {
	if len(events) == 0 || l.st == nil {
		return nil, nil
	}
	last := make(map[store.Position]string)
	audits := checkpoint.Audits(ctx, l.st, l.ID, events[0],
		checkpoint.AuditParked, checkpoint.AuditSkipped, checkpoint.AuditDiscarded)
	for e, err := range audits {
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: read what was given up: %w", l.ID, err)
		}
		a, err := checkpoint.DecodeAudit(e)
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: read what was given up: %w", l.ID, err)
		}
		last[a.Position] = a.Action
	}
	return slices.DeleteFunc(slices.Clone(events), func(p store.Position) bool {
		action, known := last[p]
		return !known || action == checkpoint.AuditParked
	}), nil
}

// locate takes the position from a worker that keeps it itself. A rewind or widening of the checkpoint means nothing to it,
// and is refused rather than forgotten.
func (r *Runner) locate(ctx context.Context) error {
	if r.worker.ExternalPosition == nil {
		return nil
	}
	if !r.lease.Pass().Empty() {
		return fmt.Errorf("the checkpoint was rewound or widened (checkpoint.Reset takes that back): %w", ErrExternalPosition)
	}
	start, err := startAt(ctx, r.st, r.worker.Start)
	if err != nil {
		return err
	}
	if err := r.loadParked(); err != nil {
		return err
	}
	at, err := r.worker.ExternalPosition(ctx, ResumeState{
		Ownership: r.witness(), Start: start.scanned, Parked: slices.Sorted(maps.Keys(r.parked.at)),
		Formerly: r.record().Formerly, st: r.st,
	})
	if err != nil {
		return fmt.Errorf("locate: %w", err)
	}
	if head := r.st.Head(); at > head {
		return &checkpoint.AheadError{ID: r.lease.ID(), Position: at, Head: head}
	}
	if record := r.lease.Record(); record.Delivered <= at && at < record.Scanned && len(record.Pending) == 0 {
		return nil // the checkpoint has looked further, and found nothing that matches
	}
	r.lease.SetPosition(at)
	return nil
}

// asideUpTo gives what is set aside behind the last event that is done, up to another.
func (r *Runner) asideUpTo(last store.Position) (aside []store.Position) {
	for p := range r.parked.at {
		if r.passed < p && p <= last {
			aside = append(aside, p)
		}
	}
	slices.Sort(aside)
	return aside
}

// holds reports whether an event has to wait for others of its key. For a worker that keeps its position itself, those that
// lie before what is set aside need not: it comes by there again where its own position is an older one.
func (r *Runner) holds(key string, event store.Position) bool {
	k := r.parked.keys[key]
	return k != nil && (r.worker.ExternalPosition == nil || event > k.entries[0].Position)
}

// early reports whether events of the key may have to be handled before those that are set aside: where the position of the
// worker itself lies before them.
func (r *Runner) early(k *parkedKey) bool {
	return r.worker.ExternalPosition != nil && k.entries[0].Position > r.position()
}
