package checkpoint

import (
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Binding is what a reader says about itself when it acquires its checkpoint.
type Binding struct {
	// Region as the reader declares it.
	Region store.Region
	// Kinds it handles; empty means all kinds of the region. Order and repetitions mean nothing.
	Kinds []string
	// Start is where a checkpoint that does not exist yet begins.
	Start store.From
	// NewKinds says how a changed list of kinds is treated.
	NewKinds NewKinds
	// KeyVersion names the version of the function that returns the key of an event.
	KeyVersion uint32
	// Formerly are names that the reader had before. Where the checkpoint still has one of them, it
	// is renamed when it is acquired, see [Rename]. At most [MaxFormerNames].
	Formerly []ID
	// Stateful says that side values of the reader are its state, see [KeptPrefix], so that moving
	// the checkpoint without them would tear them apart: that is [ErrStateful]. It stays so
	// while there are any, whatever the next reader says.
	Stateful bool
	// Pulled says that the reader is a program that pulls events itself, not a worker of a system.
	Pulled bool
	// External says that the reader keeps its position itself, and the checkpoint is a copy of it.
	// What would move only that is [ErrExternal].
	External bool
	// Answers says that the reader writes something in the place of an event that is discarded: only
	// where it runs can one be.
	Answers bool
	// Epoch is for an owner that starts again after it failed: it takes the checkpoint only as its own
	// epoch left it. Where there is a newer owner, or an operator changed the checkpoint, that is
	// [ErrFenced], and the newer owner is not disturbed. 0 takes it over from whichever owner there
	// is.
	Epoch uint64
}

// NewKinds says how a changed list of kinds is treated. A kind that is not handled any more is just
// left out.
type NewKinds uint8

const (
	// RefuseNewKinds makes a changed list a [MismatchError].
	RefuseNewKinds NewKinds = iota
	// NewKindsFromNow reads kinds that were added from the present position on.
	NewKindsFromNow
	// NewKindsBackfill first reads the past of kinds that were added, in order, each event once,
	// and then resumes where it was. What was handled of a kind before it was left out is not
	// remembered: if that kind is added again, all of it is new. A reader that keeps a state cannot:
	// that is [ErrStateful]. It takes NewKindsFromNow, or a [Reset] with it.
	NewKindsBackfill
)

// Reads is what is read: the region, narrowed to the kinds that are handled.
func (b Binding) Reads() store.Region {
	region := b.Region
	if kinds := canonical(b.Kinds); len(kinds) > 0 {
		region.Kinds, region.Category = slices.Clone(kinds), ""
	}
	return region
}

// validate reports the first rule of the store that the binding breaks.
func (b Binding) validate() error {
	if err := b.Region.Validate(); err != nil {
		return err
	}
	if b.NewKinds > NewKindsBackfill {
		return &store.InvalidError{Field: "NewKinds", Rule: "is none of the known values", Value: uint8(b.NewKinds)}
	}
	return store.Region{Kinds: b.Kinds}.Validate()
}

// validateNames reports the first bad name.
func (b Binding) validateNames() error {
	for _, name := range b.Formerly {
		if err := name.Validate(); err != nil {
			return err
		}
	}
	if n := len(b.Formerly); n > MaxFormerNames {
		return &store.InvalidError{Field: "former names", Limit: MaxFormerNames, Value: int64(n)}
	}
	return nil
}

// reads is what the reader of a record reads.
func (r Record) reads() (store.Region, bool) {
	region, ok := store.RegionOf(r.Region)
	return Binding{Region: region, Kinds: r.Kinds}.Reads(), ok
}

// check compares the binding with what is stored.
func (b Binding) check(id ID, r Record) error {
	if given := b.Region.Identity(); given != r.Region {
		return &MismatchError{Err: ErrRegion, ID: id, Stored: describe(r.Region), Given: describe(given)}
	}
	kinds := canonical(b.Kinds)
	if slices.Equal(kinds, r.Kinds) || b.NewKinds != RefuseNewKinds {
		return nil
	}
	return &MismatchError{
		Err:     ErrKindsChanged,
		ID:      id,
		Stored:  strings.Join(r.Kinds, ", "),
		Given:   strings.Join(kinds, ", "),
		Added:   without(kinds, r.Kinds),
		Removed: without(r.Kinds, kinds),
	}
}

// kindsAdded reports whether a list of kinds (none: all) has one that the former list has not.
func kindsAdded(kinds, former []string) bool {
	return len(former) > 0 && (len(kinds) == 0 || len(without(kinds, former)) > 0)
}

// without returns the kinds that are not in others; both lists are sorted.
func without(kinds, others []string) []string {
	var rest []string
	for _, k := range kinds {
		if _, found := slices.BinarySearch(others, k); !found {
			rest = append(rest, k)
		}
	}
	return rest
}

// checkHistory accepts a record of the same store. In the log itself that is enough: whatever was
// cut or restored, log and record are a prefix of one history. Another store means that the record
// was carried here from somewhere else.
func checkHistory(id ID, r Record, now store.Origin) error {
	if r.Origin.Store == now.Store {
		return nil
	}
	return &MismatchError{Err: store.ErrForeignHistory, ID: id, Stored: r.Origin.String(), Given: now.String()}
}
