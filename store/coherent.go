package store

import (
	"fmt"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// rewritten is what the headers of the segments say of each other. Files of one log may have been
// copied, or are being read, at different times; where one that was rewritten stands beside an
// older file, or where the log is shorter than it was then, side values would be missing, or come
// back. Package wal says how that is seen.
type rewritten struct {
	times   uint64   // that segments were rewritten: their generations, added up
	highest uint64   // number of times in a header
	last    *segment // the one with that header
	reached uint64   // highest sequence that the log must have
}

func (r *rewritten) note(g *segment, h *wal.SegmentHeader) {
	r.times += uint64(h.Generation)
	r.reached = max(r.reached, h.Reached)
	if h.Generation > 0 && uint64(h.Rewritings) >= r.highest {
		r.highest, r.last = uint64(h.Rewritings), g
	}
}

// checkRewritten refuses files of different times. Beside a writer that may be passing: then it is
// a replacedError, and the log is loaded again.
func (r *recovery) checkRewritten() error {
	w := &r.rewritten
	switch {
	case w.times == w.highest && r.chain.Sequence > w.reached:
		return nil
	case r.readOnly && r.limit.writer:
		return &replacedError{w.last}
	case r.readOnly && r.withheld:
		return fmt.Errorf("segment %d: %w: it was rewritten, and what that rests on may not be shown yet", w.last.number, ErrBusy)
	case w.times != w.highest:
		return w.last.corrupt(0, fmt.Sprintf("%d times a segment was rewritten, the files are of %d", w.highest, w.times))
	}
	return w.last.corrupt(0, fmt.Sprintf("it was rewritten when the log had reached commit %d, the log ends with %d",
		w.reached, r.chain.Sequence-1))
}
