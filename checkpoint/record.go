package checkpoint

import (
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Record is what a checkpoint says.
type Record struct {
	// Origin of the log that the positions belong to, as it was when the record was written.
	Origin store.Origin
	// Region is the identity ([store.Region.Identity]) of the region it is bound to.
	Region string
	// Kinds that the reader handles, sorted, each once. Empty means all kinds of the region.
	Kinds []string
	// Epoch counts the owners and the changes; each gets the next number.
	Epoch uint64
	// Scanned is the position up to which there is nothing more to deliver: all that matches was
	// delivered and handled, but for Pending. Reading continues after it.
	Scanned store.Position
	// Delivered is the position of the last event that was delivered; where the reader started,
	// when there is none yet. Never more than Scanned.
	Delivered store.Position
	// Pending are the positions of events up to Scanned that were delivered and are not done,
	// ascending, at most 65,536: with lanes, or after one that was parked, later events may
	// be done before them.
	Pending []store.Position
	// Clean says that the owner ended in good order: no event was with a handler.
	Clean bool
	// Trying is the event that an owner was about to handle alone, because the one before had died
	// at an unknown event; Tries is how often that was begun and no end of it recorded. 0: none.
	Trying store.Position
	Tries  uint32
	// KeyVersion of the function that returns the key of an event.
	KeyVersion uint32
	// Formerly are the names that the checkpoint had before the present one, oldest first, each
	// once, at most [MaxFormerNames]. A checkpoint that took a former name back has that in the
	// list too.
	Formerly []ID
	// Stateful says that side values of the reader are its state, see [Binding].
	Stateful bool
	// Pulled says that a program pulls the events itself, and no worker does.
	Pulled bool
	// External says that the reader keeps its position itself, see [Binding].
	External bool
	// Answers says that the reader answers what is discarded, see [Binding].
	Answers bool
}

// maxPending is the most positions in Record.Pending: as many as the longest batch has, of which
// any may be done first. So a record is well below the limit of a side value.
const maxPending = 1 << 16

// Floor is the position up to which everything that matches is done.
func (r Record) Floor() store.Position {
	if len(r.Pending) > 0 {
		return r.Pending[0] - 1
	}
	return r.Scanned
}

// highest is the highest position that the record says anything about.
func (r Record) highest() store.Position { return max(r.Scanned, r.Delivered, r.Trying) }

// Done reports whether the event at a position, if it matches, is done.
func (r Record) Done(p store.Position) bool { return p <= r.Scanned && !contains(r.Pending, p) }

// FirstName is the name that the checkpoint had first, if id is the one it has now: id itself, if
// it was never renamed.
func (r Record) FirstName(id ID) ID {
	if len(r.Formerly) > 0 {
		return r.Formerly[0]
	}
	return id
}

// canonical returns kinds sorted and without repetition, nil when there are none; kinds itself
// where it is so already.
func canonical(kinds []string) []string {
	if len(kinds) == 0 {
		return nil
	}
	for i := 1; i < len(kinds); i++ {
		if kinds[i-1] >= kinds[i] {
			return slices.Compact(slices.Sorted(slices.Values(kinds)))
		}
	}
	return kinds
}
