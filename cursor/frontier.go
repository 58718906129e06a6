package cursor

import (
	"slices"

	"github.com/penstock-io/penstock/store"
)

// frontier says which of the events that were read are done: all but the undone ones. With lanes, keys overtake each other,
// so there are done events above undone ones:
//
//	position   1  2  3  4  5  6  7  8  9        read so far: 9
//	           x  x  .  x  .  x  .  .  .        x done, . undone
//	floor         2                             everything up to here is done
//	high                         6              the last one that is done
//	checkpoint    scanned 6, pending 3 5        7 to 9 are read again
//
// The checkpoint lists what is undone below high, and not what is done above the floor: one slow event does not make it
// grow, however far the others get ahead. Its size is bounded by how many events may be undone at once.
//
// It is a value: after gives the next one, and the present one stays what it was until that is written. The lists are shared
// and never changed in place.
type frontier struct {
	undone []store.Position // ascending; those that only wait for the next commit included
	high   store.Position   // the last position that is done, whatever is undone before it
}

// read gives the frontier once an event behind all others was read.
func (f frontier) read(p store.Position) frontier {
	f.undone = append(f.undone, p)
	return f
}

// after gives the frontier once the given positions, ascending, are done as well. All of them are undone now.
func (f frontier) after(done []store.Position) frontier {
	if len(done) == 0 {
		return f
	}
	next := frontier{high: max(f.high, done[len(done)-1])}
	if len(done) == len(f.undone) {
		return next
	}
	next.undone = make([]store.Position, 0, len(f.undone)-len(done))
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

// checkpoint says the same from the point of view of who reads the log again: everything up to at.scanned is done but for
// pending, and what lies behind is to be read. While something is undone, what lies behind high does not count as scanned:
// it need not be listed then.
func (f frontier) checkpoint(at place) (kept place, pending []store.Position) {
	if len(f.undone) == 0 {
		return at, nil
	}
	kept = place{scanned: max(f.undone[0]-1, f.high), delivered: min(at.delivered, f.high)}
	n, found := slices.BinarySearch(f.undone, kept.scanned)
	if found {
		n++
	}
	return kept, slices.Clip(f.undone[:n])
}
