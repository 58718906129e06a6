package checkpoint

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Binding is what a reader says about itself when it asks for its checkpoint.
type Binding struct {
	// Region as the reader declares it.
	Region store.Region
	// Kinds it handles; empty means all kinds of the region. Order and repetitions mean nothing.
	Kinds []string
	// Start is where a checkpoint that does not exist yet begins.
	Start store.Start
}

// validate reports the first rule of the store that the binding breaks.
func (b Binding) validate() error {
	if err := b.Region.Validate(); err != nil {
		return err
	}
	return store.Region{Kinds: b.Kinds}.Validate()
}

// check compares the binding with what is stored.
func (b Binding) check(id ID, r Record) error {
	if given := b.Region.Identity(); given != r.Region {
		return &RegionError{ID: id, Stored: r.Region, Given: given}
	}
	kinds := canonical(b.Kinds)
	if slices.Equal(kinds, r.Kinds) {
		return nil
	}
	return &KindsError{
		ID:      id,
		Added:   without(kinds, r.Kinds),
		Removed: without(r.Kinds, kinds),
		WasAll:  len(r.Kinds) == 0,
		NowAll:  len(kinds) == 0,
	}
}

// apply writes the binding into r.
func (b Binding) apply(r *Record) {
	r.Region, r.Kinds = b.Region.Identity(), slices.Clone(canonical(b.Kinds))
}

// without gives the kinds that are not in others; both lists are sorted.
func without(kinds, others []string) []string {
	var rest []string
	for _, k := range kinds {
		if _, found := slices.BinarySearch(others, k); !found {
			rest = append(rest, k)
		}
	}
	return rest
}

// checkHistory accepts a record that lies in the log itself. An earlier incarnation of the same store is no stranger
// there: whatever was cut or restored, log and record are a prefix of one history. Another store, or an incarnation that
// has not been, means that the record was carried here from somewhere else.
func checkHistory(id ID, r Record, now store.History) error {
	if r.History.Store == now.Store && r.History.Incarnation <= now.Incarnation {
		return nil
	}
	return foreign(id, r, now)
}

func foreign(id ID, r Record, now store.History) error {
	return fmt.Errorf("checkpoint %q: made in history %s, this is %s: %w", id, r.History, now, store.ErrForeignHistory)
}
