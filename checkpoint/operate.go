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

// Reset sets the checkpoint to 0: its reader handles everything again, as one does that rebuilds a projection, and emits
// everything again; what was parked is forgotten, since it comes again too. It is also the answer to a position beyond the
// head, and to a foreign history, since 0 is valid in any.
//
// Like each of the calls that follow it is a commit of its own that raises the epoch, with an audit event: a reader that runs
// is fenced, and its next commit refused. Workers that run have the same calls on their system, which go through the
// worker instead. If that reader commits first, the call is tried again on top of it, until ctx ends. When the call returns
// nil the change is as durable as any commit of the store; after a crash it is there whole or not at all.
func Reset(ctx context.Context, st *store.Store, id ID) error {
	return update(ctx, st, id, func(c *change) error {
		c.audit = Audit{Action: AuditReset, Position: c.record.Floor()}
		c.sides, _ = unparkAfter(st, id, 0)
		r := &c.record
		r.Origin, r.Scanned, r.Delivered, r.Pending, r.Trying, r.Tries = st.Origin(), 0, 0, nil, 0, 0
		c.pass = Pass{}
		return nil
	})
}

// Rewind moves the checkpoint back to position to, so that the events behind it are handled again: as replays, whose
// reactions are dropped unless emit is set. What was parked behind it comes again in its place, for the first time. A
// position ahead of the checkpoint is a [*RewindError], since events would be skipped; one beyond the head of the log an
// [*AheadError]. A reader that runs is fenced, see [Reset].
func Rewind(ctx context.Context, st *store.Store, id ID, to store.Position, emit bool) error {
	return update(ctx, st, id, func(c *change) error {
		if err := checkHistory(id, c.record, st.Origin()); err != nil {
			return err
		}
		if end := max(c.record.Scanned, c.pass.End()); to > end {
			return &RewindError{ID: id, Position: end, To: to}
		}
		if head := st.Head(); to > head {
			return &AheadError{ID: id, Position: to, Head: head}
		}
		reads, ok := c.record.reads()
		if !ok {
			return fmt.Errorf("checkpoint %q: %w: region", id, ErrCorrupt)
		}
		c.audit = Audit{Action: AuditRewound, Position: c.record.Floor(), To: to, Emit: emit}
		var undone []store.Position
		c.sides, undone = unparkAfter(st, id, to)
		c.record, c.pass = rewound(c.record, c.pass, to, reads, undone, emit)
		c.record.Origin = st.Origin()
		return nil
	})
}

// SkipTo moves the checkpoint forward: what lies before and was not handled never is. What is parked stays. Errors:
// [*SkipError], [*AheadError]. A reader that runs is fenced, see [Reset].
func SkipTo(ctx context.Context, st *store.Store, id ID, to store.Position) error {
	return update(ctx, st, id, func(c *change) (err error) {
		if err := checkHistory(id, c.record, st.Origin()); err != nil {
			return err
		}
		c.audit = Audit{Action: AuditSkippedTo, Position: c.record.Floor(), To: to}
		c.record, c.pass, err = skipped(id, c.record, c.pass, to, st.Head())
		return err
	})
}

// Widen binds the checkpoint to a region and kinds that contain the present ones. What matches only now is handled first,
// from the beginning of the log, in order, each event once. Anything else is a [*RebuildError]. A reader that runs is
// fenced, see [Reset].
func Widen(ctx context.Context, st *store.Store, id ID, region store.Region, kinds []string) error {
	wider := Binding{Region: region, Kinds: kinds}
	if err := wider.validate(); err != nil {
		return fmt.Errorf("checkpoint %q: %w", id, err)
	}
	return update(ctx, st, id, func(c *change) (err error) {
		if err := checkHistory(id, c.record, st.Origin()); err != nil {
			return err
		}
		c.audit = Audit{Action: AuditWidened, Position: c.record.Floor(), Region: wider.Reads().String()}
		c.record, c.pass, err = widen(id, c.record, c.pass, wider)
		return err
	})
}

// Rebind keeps the position and binds the checkpoint to another region and other kinds (none: all kinds of the region).
// Those of a reactor are the Region and the Kinds of its CursorWorker.
// Events before the position that match only now are not delivered: [Widen] is for that, or rewind. A reader that runs is
// fenced, see [Reset].
func Rebind(ctx context.Context, st *store.Store, id ID, region store.Region, kinds []string) error {
	b := Binding{Region: region, Kinds: kinds}
	if err := b.validate(); err != nil {
		return fmt.Errorf("checkpoint %q: %w", id, err)
	}
	return update(ctx, st, id, func(c *change) error {
		if err := checkHistory(id, c.record, st.Origin()); err != nil {
			return err
		}
		c.audit = Audit{Action: AuditRebound, Position: c.record.Floor(), Region: b.Reads().String()}
		b.KeyVersion = c.record.KeyVersion
		b.apply(&c.record)
		return nil
	})
}

// Delete removes the checkpoint, also one that cannot be read, with what is parked and a pause. The next reader with this
// id begins at its start, with epoch 1. A reader that runs is fenced, see [Reset].
func Delete(ctx context.Context, st *store.Store, id ID) error {
	for {
		info, err := Inspect(st, id)
		if info.Revision == 0 {
			return err
		}
		sides, _ := unparkAfter(st, id, 0)
		sides = append(sides, Pass{}.write(id), Resume(id),
			store.SideWrite{Key: id.key(), Delete: true, Expect: store.Exactly(info.Revision)})
		audit := Audit{Action: AuditDeleted, Worker: id, Position: info.Record.Floor()}
		_, err = st.Commit(ctx, store.Batch{Sides: sides, Events: []store.Proposal{audit.Proposal()}})
		if lostRace(err, id) {
			continue
		}
		if err != nil {
			return fmt.Errorf("checkpoint %q: delete: %w", id, err)
		}
		return nil
	}
}

// change is what an operator call makes of a checkpoint.
type change struct {
	record Record
	pass   Pass
	sides  []store.SideWrite
	audit  Audit
}

// update changes the checkpoint and raises its epoch, in one commit on top of the newest state.
func update(ctx context.Context, st *store.Store, id ID, alter func(*change) error) error {
	for {
		info, err := Inspect(st, id)
		if err != nil {
			return err
		}
		pass, err := PassOf(st, id)
		if err != nil {
			return err
		}
		c := &change{record: info.Record, pass: pass}
		if err := alter(c); err != nil {
			return err
		}
		c.record.Epoch++
		c.audit.Worker = id
		l := &Lease{id: id, revision: info.Revision, pass: pass}
		batch := store.Batch{Events: []store.Proposal{c.audit.Proposal()}, Sides: c.sides}
		l.stage(&batch, c.record, c.pass)
		if _, err = st.Commit(ctx, batch); lostRace(err, id) {
			continue
		}
		if err != nil {
			return fmt.Errorf("checkpoint %q: write: %w", id, err)
		}
		return nil
	}
}
