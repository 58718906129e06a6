package checkpoint

import (
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// neededPrefix begins the keys of the events that workers come back to.
const neededPrefix = "needed/"

// needed begins the keys of those of one worker. Like what it keeps they go by its first name.
func needed(first ID) string { return neededPrefix + string(first) + "/" }

// Need returns the side write that says of an event which is done that its reader comes back to
// it, so that [Holds] counts it, until the write of [Needless]. first is the first name of the
// reader's checkpoint, see [Record.FirstName]. note is for people who wonder what it is needed for.
//
// It belongs into the commit that makes the event done, or into a later one while it is needed
// already: another event may have been dropped. Workers have cursor.Batch.Hold.
func Need(first ID, p store.Position, note string) store.SideWrite {
	return store.SideWrite{Key: neededKey(first, p), Value: append([]byte{}, note...)}
}

// Needless returns the side write that takes [Need] back.
func Needless(first ID, p store.Position) store.SideWrite {
	return store.SideWrite{Key: neededKey(first, p), Delete: true}
}

func neededKey(first ID, p store.Position) string {
	return fmt.Sprintf("%s%016x", needed(first), uint64(p))
}
