package checkpoint

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// keptPrefix begins the keys of what workers keep.
const keptPrefix = "kept/"

// KeptPrefix begins the keys of the side values that a worker keeps. They go by the first name of
// its checkpoint, see [Record.FirstName], so that a rename leaves them where they are.
func KeptPrefix(first ID) string { return keptPrefix + string(first) + "/" }

// duePrefix begins the keys of the events that workers have scheduled.
const duePrefix = "due/"

// DuePrefix begins the keys of the side values that keep what a worker has scheduled, until it is
// due. They go by the first name of its checkpoint, as those of [KeptPrefix] do, and end with a
// slash and the position of the event that it is a reaction to, in 16 hexadecimal digits.
func DuePrefix(first ID) string { return duePrefix + string(first) + "/" }

// The first byte of what is kept under a [DuePrefix]. What is scheduled is removed where the event
// is erased that it is a reaction to, unless it is DueLasting: then it says nothing of that.
const (
	DueOrdinary byte = 1
	DueLasting  byte = 2
)

// discard removes all that is kept, scheduled and needed under some names, so that the reader
// begins with nothing, as its next pass does. Like all of a change it is one commit, so there is a
// limit to how much it can be.
func (p *plan) discard(names ...ID) error {
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		for _, prefix := range []string{KeptPrefix(name), DuePrefix(name), needed(name)} {
			for side, err := range p.st.Sides(prefix) {
				if err = unread(err); err != nil && !senseless(err) {
					return fmt.Errorf("checkpoint %q: %q: %w", p.id, side.Key, err)
				}
				p.sides = append(p.sides, store.SideWrite{Key: side.Key, Delete: true})
			}
		}
	}
	return nil
}
