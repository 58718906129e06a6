package checkpoint

import (
	"fmt"
	"iter"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Info is a checkpoint as an operator sees it.
type Info struct {
	ID     ID
	Record Record
	// Revision is the sequence of the commit that wrote it.
	Revision uint64
}

// List yields all checkpoints of the store, by id. One that cannot be read comes with its error and
// without a record; the rest follow.
func List(st *store.Store) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for side := range st.Sides(keyPrefix) {
			if !yield(infoOf(side)) {
				return
			}
		}
	}
}

// Inspect returns one checkpoint, or an error that wraps [ErrNotFound], [ErrCorrupt] or
// [ErrNewerFormat]; with the latter two, Info has everything but the record.
func Inspect(st *store.Store, id ID) (Info, error) {
	if err := id.Validate(); err != nil {
		return Info{}, err
	}
	side, ok := st.Side(id.key())
	if !ok {
		return Info{ID: id}, fmt.Errorf("checkpoint %q: %w", id, ErrNotFound)
	}
	return infoOf(side)
}

func infoOf(side store.SideValue) (Info, error) {
	info := Info{ID: ID(strings.TrimPrefix(side.Key, keyPrefix)), Revision: side.Revision}
	record, err := Decode(side.Value)
	if err != nil {
		return info, fmt.Errorf("checkpoint %q: %w", info.ID, err)
	}
	info.Record = record
	return info, nil
}
