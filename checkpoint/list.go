package checkpoint

import (
	"cmp"
	"fmt"
	"iter"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Info is a checkpoint as an operator sees it, with what lies beside it. The parked events, which
// may be many, are those of [ParkedEvents].
type Info struct {
	ID     ID
	Record Record
	// Revision is the sequence of the commit that wrote the record.
	Revision uint64
	// Pass is what is special about the present way through the log.
	Pass Pass
	// Pause keeps the worker from handling events; nil where it is not paused.
	Pause *Pause
}

// List yields all checkpoints of the store, by id. One that cannot be read comes with its error and
// with what of it can be read; the rest follow.
func List(st *store.Store) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for side, err := range st.Sides(keyPrefix) {
			info, err := infoOf(side, err)
			if info.ID != "" {
				info, err = withBeside(st, info, err)
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

// Inspect returns one checkpoint, or an error that wraps [ErrNotFound], [ErrCorrupt] or
// [ErrNewerFormat]; with the latter two, Info has what of it can be read.
func Inspect(st *store.Store, id ID) (Info, error) {
	info, err := look(st, id)
	if info.Revision == 0 {
		return info, err
	}
	return withBeside(st, info, err)
}

// withBeside adds what lies beside a record. Those are read one after the other, so a commit in
// between may show in one of them and not yet in another.
func withBeside(st *store.Store, info Info, bad error) (Info, error) {
	var pass, pause error
	info.Pass, pass = passOf(st, info.ID)
	info.Pause, pause = pauseOf(st, info.ID)
	return info, cmp.Or(bad, pass, pause)
}

// look is Inspect for the record alone.
func look(st *store.Store, id ID) (Info, error) {
	if err := id.Validate(); err != nil {
		return Info{}, err
	}
	side, ok, err := st.Side(id.key())
	if !ok && err == nil {
		return Info{ID: id}, fmt.Errorf("checkpoint %q: %w", id, ErrNotFound)
	}
	return infoOf(side, err)
}

// infoOf decodes a side value, or what is left of one that could not be read.
func infoOf(side store.SideValue, bad error) (Info, error) {
	info := Info{ID: ID(strings.TrimPrefix(side.Key, keyPrefix)), Revision: side.Revision}
	record, err := Record{}, unread(bad)
	if err == nil {
		record, err = decode(side.Value)
	}
	if err != nil {
		return info, fmt.Errorf("checkpoint %q: %w", info.ID, err)
	}
	info.Record = record
	return info, nil
}
