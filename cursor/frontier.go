package cursor

import (
	"slices"

	"github.com/penstock-io/penstock/store"
)

// frontier says which of the events that were read are done: all but the undone ones. With lanes,
// keys overtake each other, so there are done events above undone ones:
//
//	position   1  2  3  4  5  6  7  8  9        read so far: 9
//	           x  x  .  x  .  x  .  .  .        x done, . undone
//	floor         2                             everything up to here is done
//	lastDone                     6
//	checkpoint    scanned 6, pending 3 5        7 to 9 are read again
//
// The checkpoint lists what is undone below lastDone, and not what is done above the floor: one
// slow event does not make it grow, however far the others get ahead. Its size is bounded by how
// many events may be undone at once.
//
// It is a value: after returns the next one, and the present one stays as it was until that is
// written. The two are built in two buffers that take turns, so a list that was returned by
// checkpoint is valid until the commit after the next.
type frontier struct {
	undone    []store.Position // ascending; those that only wait for the next commit included
	lastDone  store.Position   // whatever is undone before it
	delivered store.Position   // the last event up to lastDone
}

// read returns the frontier once an event after all others was read.
func (f frontier) read(p store.Position) frontier {
	f.undone = append(f.undone, p)
	return f
}

// readAll is read for several events, ascending.
func (f frontier) readAll(events []store.Event) frontier {
	undone := slices.Grow(f.undone, len(events))
	for i := range events {
		undone = append(undone, events[i].Position)
	}
	f.undone = undone
	return f
}

// after returns the frontier once the given positions, ascending, are done as well. All of them are
// undone now. Its list is built in the spare buffer, which must not be that of f.
func (f frontier) after(done, spare []store.Position) frontier {
	if len(done) == 0 {
		return f
	}
	last := done[len(done)-1]
	next := frontier{undone: spare[:0], lastDone: max(f.lastDone, last), delivered: max(f.delivered, last)}
	if len(done) == len(f.undone) {
		return next
	}
	next.undone = slices.Grow(next.undone, len(f.undone)-len(done))
	for _, p := range f.undone {
		if len(done) > 0 && done[0] == p {
			done = done[1:]
			continue
		}
		next.undone = append(next.undone, p)
	}
	return next
}

// floor is the position up to which everything is done, of a log that was read up to scanned.
func (f frontier) floor(scanned store.Position) store.Position {
	if len(f.undone) > 0 {
		return f.undone[0] - 1
	}
	return scanned
}

// has reports whether an event is undone.
func (f frontier) has(p store.Position) bool {
	_, found := slices.BinarySearch(f.undone, p)
	return found
}

// checkpoint says the same to a runner that reads the log again: everything up to kept.scanned is
// done except pending, and what comes after it is to be read. While something is undone, what comes
// after lastDone does not count as scanned: then it need not be listed.
func (f frontier) checkpoint(at place) (kept place, pending []store.Position) {
	if len(f.undone) == 0 {
		return at, nil
	}
	kept = place{scanned: max(f.undone[0]-1, f.lastDone), delivered: f.delivered}
	n, found := slices.BinarySearch(f.undone, kept.scanned)
	if found {
		n++
	}
	return kept, slices.Clip(f.undone[:n])
}
