package checkpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// Lease is the right to move a checkpoint, held until someone else acquires it or an operator changes it: the store
// refuses every commit of an older owner, reactions included. There is no term that runs out and nothing to release.
//
// A Lease is not safe for concurrent use.
type Lease struct {
	id       ID
	record   Record // as the store has it
	staged   Record // as the commit in flight, if any, will leave it
	revision uint64
}

// Acquire takes ownership of a checkpoint. It is itself a commit, synced like any other, that raises the epoch by one; a
// lost race against another owner is tried again until ctx ends. The record of the lease is the checkpoint as of that
// point: what the former owner had committed is in it, and what it had not will be refused.
//
// An id without a checkpoint begins at b.Start. Otherwise the checkpoint must fit: [*RegionError], [*KindsError],
// [*AheadError], [store.ErrForeignHistory], [ErrCorrupt] and [ErrNewerFormat] are returned with nothing written.
func Acquire(ctx context.Context, st *store.Store, id ID, b Binding) (*Lease, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	for {
		record, revision, err := current(ctx, st, id, b)
		if err != nil {
			return nil, err
		}
		record.Epoch++
		revision, err = write(ctx, st, id, record, revision)
		if lostRace(err, id) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return &Lease{id: id, record: record, staged: record, revision: revision}, nil
	}
}

// current gives the checked record with the revision it has, or a new one with revision 0.
func current(ctx context.Context, st *store.Store, id ID, b Binding) (Record, uint64, error) {
	info, err := Inspect(st, id)
	switch {
	case errors.Is(err, ErrNotFound):
		info.Record, err = fresh(ctx, st, id, b)
	case err == nil:
		err = fits(st, id, info.Record, b)
	}
	if err != nil {
		return Record{}, 0, err
	}
	// The head is read after the record, and only grows.
	if head := st.Head(); info.Record.Scanned > head {
		return Record{}, 0, &AheadError{ID: id, Position: info.Record.Scanned, Head: head}
	}
	info.Record.History = st.History()
	return info.Record, info.Revision, nil
}

func fits(st *store.Store, id ID, r Record, b Binding) error {
	if err := checkHistory(id, r, st.History()); err != nil {
		return err
	}
	return b.check(id, r)
}

func fresh(ctx context.Context, st *store.Store, id ID, b Binding) (Record, error) {
	at, err := st.Resolve(ctx, b.Start)
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: find the start: %w", id, err)
	}
	r := Record{History: st.History(), Scanned: at, Delivered: at}
	b.apply(&r)
	return r, nil
}

// ID of the checkpoint.
func (l *Lease) ID() ID { return l.id }

// Record is the checkpoint as this owner committed it last, or found it. Read-only.
func (l *Lease) Record() Record { return l.record }

// Stage adds the checkpoint, moved to scanned and delivered, to the batch. A position less than the present one leaves it
// where it is: a lease never moves a checkpoint backwards. Of several calls the last counts, and only one may be in a
// batch. When the batch is committed tell it with [Lease.Committed], when not pass the error through [Lease.Refused].
func (l *Lease) Stage(b *store.Batch, scanned, delivered store.Position) {
	l.staged = l.record
	l.staged.Scanned = max(l.staged.Scanned, scanned)
	l.staged.Delivered = max(l.staged.Delivered, delivered)
	b.Sides = append(b.Sides, store.SideWrite{
		Key:    l.id.key(),
		Value:  l.staged.Encode(),
		Expect: store.Exactly(l.revision),
	})
}

// Committed takes over what was staged. A duplicate receipt changes nothing, as the store wrote nothing for it.
func (l *Lease) Committed(r store.Receipt) {
	if r.Duplicate {
		return
	}
	l.record, l.revision = l.staged, r.Sequence
}

// Refused makes a [*FencedError] of the conflict that a newer owner causes; every other error is returned as it is.
func (l *Lease) Refused(err error) error {
	if lostRace(err, l.id) {
		return &FencedError{ID: l.id, Epoch: l.record.Epoch}
	}
	return err
}

// write commits the record alone, where the revision is still the given one (0: no record), and gives the new revision.
func write(ctx context.Context, st *store.Store, id ID, r Record, revision uint64) (uint64, error) {
	receipt, err := st.Commit(ctx, store.Batch{Sides: []store.SideWrite{{
		Key:    id.key(),
		Value:  r.Encode(),
		Expect: store.Exactly(revision),
	}}})
	if err != nil {
		return 0, fmt.Errorf("checkpoint %q: write: %w", id, err)
	}
	return receipt.Sequence, nil
}

// lostRace reports whether a commit was refused because the checkpoint had changed.
func lostRace(err error, id ID) bool {
	var conflict *store.SideConflictError
	return errors.As(err, &conflict) && conflict.Key == id.key()
}
