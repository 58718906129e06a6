package cursor

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// ResumeState is what Worker.ExternalPosition gets each time the worker starts: what the log knows
// of it. The function returns the position after which to read. What is neither handled before its
// position nor parked here it gets again by returning a position before that, and leaves out what
// it has handled: the log may have lost the list of what is parked, or the place where the worker
// keeps its position may be an older copy.
//
// The position is kept with the [store.Anchor] of the highest event that it says anything about,
// which Store.CheckAnchor judges before it is believed: the log, or the place where the position is
// kept, may have been replaced by a copy. It is kept with Ownership.Epoch, too, so that an earlier
// owner can be refused.
type ResumeState struct {
	Ownership
	// Store that the worker reads, nil in a state made by hand.
	Store *store.Store
	// Scanned is how far the worker had come as the log knows it, with nothing before it left undone:
	// a copy of what it keeps itself, and often an older one; 0 as long as it has never started.
	Scanned store.Position
	// Start is where a worker begins that has kept nothing yet: Worker.Start as it is now.
	Start store.Position
	// Parked is, ascending, what is parked, those included that are only held. It is handled when
	// it is replayed, and not delivered before.
	Parked []store.Position
	// Formerly are the names that the checkpoint had before, oldest first: the position may be kept
	// under one of them still.
	Formerly []checkpoint.ID
}

// Skipped returns which of some events, ascending, were skipped or discarded, and not parked again
// since. It reads the audit events of the worker, as far as the log still has them.
func (s ResumeState) Skipped(ctx context.Context, events []store.Position) ([]store.Position, error) {
	if len(events) == 0 || s.Store == nil {
		return nil, nil
	}
	last := make(map[store.Position]string)
	after := max(events[0], store.First(s.Store)-1) // what was dropped says nothing any more
	audits := checkpoint.Audits(ctx, s.Store, s.ID, after,
		checkpoint.AuditParked, checkpoint.AuditSkipped, checkpoint.AuditDiscarded)
	for e, err := range audits {
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: read what was skipped: %w", s.ID, err)
		}
		a, err := checkpoint.AuditOf(ctx, s.Store, e)
		if err != nil {
			return nil, fmt.Errorf("cursor: worker %q: read what was skipped: %w", s.ID, err)
		}
		last[a.Position] = e.Kind
	}
	return slices.DeleteFunc(slices.Clone(events), func(p store.Position) bool {
		kind, known := last[p]
		return !known || kind == checkpoint.AuditParked
	}), nil
}
