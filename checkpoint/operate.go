package checkpoint

import (
	"context"
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

// List gives all checkpoints of the store. One that cannot be read comes with its error and without a record; the rest
// follow.
func List(st *store.Store) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		for side := range st.Sides(keyPrefix) {
			if !yield(infoOf(side)) {
				return
			}
		}
	}
}

// Inspect gives one checkpoint, or an error that wraps [ErrNotFound], [ErrCorrupt] or [ErrNewerFormat]; with the latter
// two, Info has everything but the record.
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

// Reset sets the checkpoint to 0: its reader handles everything again, as one does that rebuilds a projection. It is also the answer to a position beyond the
// head, and to a foreign history, since 0 is valid in any.
//
// Like each of the calls that follow it is a commit of its own that raises the epoch: a reader that runs is fenced, and
// its next commit refused. If that reader commits first, the call is tried again on top of it, until ctx ends. When the
// call returns nil the change is as durable as any commit of the store; after a crash it is there whole or not at all.
func Reset(ctx context.Context, st *store.Store, id ID) error {
	return update(ctx, st, id, func(r *Record) error {
		r.History, r.Scanned, r.Delivered = st.History(), 0, 0
		return nil
	})
}

// Rewind moves the checkpoint back to position to, so that the events behind it are handled again. A position ahead of
// the checkpoint is a [*RewindError], since events would be skipped; one beyond the head of the log an [*AheadError].
// A reader that runs is fenced, see [Reset].
func Rewind(ctx context.Context, st *store.Store, id ID, to store.Position) error {
	return update(ctx, st, id, func(r *Record) error {
		if err := checkHistory(id, *r, st.History()); err != nil {
			return err
		}
		if to > r.Scanned {
			return &RewindError{ID: id, Position: r.Scanned, To: to}
		}
		if head := st.Head(); to > head {
			return &AheadError{ID: id, Position: to, Head: head}
		}
		r.History, r.Scanned, r.Delivered = st.History(), to, min(r.Delivered, to)
		return nil
	})
}

// Rebind keeps the position and binds the checkpoint to another region and other kinds (none: all kinds of the region).
// Those of a reactor are the Region and the Kinds of its CursorWorker.
// Events before the position that match only now are not delivered: rewind to have them. A reader that runs is fenced,
// see [Reset].
func Rebind(ctx context.Context, st *store.Store, id ID, region store.Region, kinds []string) error {
	b := Binding{Region: region, Kinds: kinds}
	if err := b.validate(); err != nil {
		return fmt.Errorf("checkpoint %q: %w", id, err)
	}
	return update(ctx, st, id, func(r *Record) error {
		if err := checkHistory(id, *r, st.History()); err != nil {
			return err
		}
		b.apply(r)
		return nil
	})
}

// Delete removes the checkpoint, also one that cannot be read. The next reader with this id begins at its start, with
// epoch 1. A reader that runs is fenced, see [Reset].
func Delete(ctx context.Context, st *store.Store, id ID) error {
	for {
		info, err := Inspect(st, id)
		if info.Revision == 0 {
			return err
		}
		_, err = st.Commit(ctx, store.Batch{Sides: []store.SideWrite{{
			Key:    id.key(),
			Delete: true,
			Expect: store.Exactly(info.Revision),
		}}})
		if lostRace(err, id) {
			continue
		}
		if err != nil {
			return fmt.Errorf("checkpoint %q: delete: %w", id, err)
		}
		return nil
	}
}

// update changes the record and raises its epoch, in one commit on top of the newest state.
func update(ctx context.Context, st *store.Store, id ID, change func(*Record) error) error {
	for {
		info, err := Inspect(st, id)
		if err != nil {
			return err
		}
		if err := change(&info.Record); err != nil {
			return err
		}
		info.Record.Epoch++
		if _, err := write(ctx, st, id, info.Record, info.Revision); !lostRace(err, id) {
			return err
		}
	}
}
