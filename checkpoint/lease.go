package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

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

	pass, stagedPass Pass
	unclean          bool
}

// Acquire takes ownership of a checkpoint. It is itself a commit, synced like any other, that raises the epoch by one; a
// lost race against another owner is tried again until ctx ends. The record of the lease is the checkpoint as of that
// point: what the former owner had committed is in it, and what it had not will be refused.
//
// An id without a checkpoint begins at b.Start. Where b.NewKinds lets the kinds change, an audit event says so. Otherwise the checkpoint must fit: [*RegionError], [*KindsError],
// [*AheadError], [store.ErrForeignHistory], [ErrCorrupt] and [ErrNewerFormat] are returned with nothing written.
func Acquire(ctx context.Context, st *store.Store, id ID, b Binding) (*Lease, error) {
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	for {
		l, batch, err := takeOver(ctx, st, id, b)
		if err != nil {
			return nil, err
		}
		receipt, err := st.Commit(ctx, batch)
		if lostRace(err, id) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("checkpoint %q: write: %w", id, err)
		}
		l.Committed(receipt)
		return l, nil
	}
}

// takeOver makes the lease of the next owner, and the batch that makes it valid.
func takeOver(ctx context.Context, st *store.Store, id ID, b Binding) (*Lease, store.Batch, error) {
	record, revision, err := current(ctx, st, id, b)
	if err != nil {
		return nil, store.Batch{}, err
	}
	l := &Lease{id: id, record: record, revision: revision, unclean: revision != 0 && !record.Clean}
	if l.pass, err = PassOf(st, id); err != nil {
		return nil, store.Batch{}, err
	}
	next, pass := record, l.pass
	next.Clean = false
	next.Epoch++
	var batch store.Batch
	if kinds := canonical(b.Kinds); revision != 0 && !slices.Equal(kinds, record.Kinds) {
		var audit Audit
		next, pass, audit = rekinded(id, next, pass, b)
		batch.Events = append(batch.Events, audit.Proposal())
	}
	if next.KeyVersion != b.KeyVersion {
		if n := keyed(st, id, record); n > 0 {
			err := &KeyVersionError{ID: id, Stored: record.KeyVersion, Given: b.KeyVersion, Events: n}
			return nil, store.Batch{}, err
		}
		next.KeyVersion = b.KeyVersion
	}
	l.stage(&batch, next, pass)
	return l, batch, nil
}

// rekinded gives what is said of other kinds, as b wants it.
func rekinded(id ID, r Record, p Pass, b Binding) (Record, Pass, Audit) {
	audit := Audit{Action: AuditRebound, Worker: id, Position: r.Floor(), Region: b.Reads().String()}
	kinds := canonical(b.Kinds)
	if b.NewKinds == NewKindsBackfill && kindsAdded(kinds, r.Kinds) {
		former, _ := r.reads()
		r, p = widened(r, p, former)
		audit.Action = AuditWidened
	}
	r.Kinds = slices.Clone(kinds)
	return r, p, audit
}

// keyed counts the events whose keys matter.
func keyed(st *store.Store, id ID, r Record) int {
	n := len(r.Pending)
	for range st.Sides(id.parkedPrefix()) {
		n++
	}
	return n
}

// widened goes back to the beginning for what a wider region has and the former one had not. What was in hand comes in its
// place.
func widened(r Record, p Pass, former store.Region) (Record, Pass) {
	pass := p.widened(r.Scanned, former, r.Pending)
	r.Scanned, r.Delivered, r.Pending = 0, 0, nil
	return r, pass
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
	info.Record.Origin = st.Origin()
	return info.Record, info.Revision, nil
}

func fits(st *store.Store, id ID, r Record, b Binding) error {
	if err := checkHistory(id, r, st.Origin()); err != nil {
		return err
	}
	return b.check(id, r)
}

func fresh(ctx context.Context, st *store.Store, id ID, b Binding) (Record, error) {
	at, err := st.Resolve(ctx, b.Start)
	if err != nil {
		return Record{}, fmt.Errorf("checkpoint %q: find the start: %w", id, err)
	}
	r := Record{Origin: st.Origin(), Scanned: at, Delivered: at}
	b.apply(&r)
	return r, nil
}

// ID of the checkpoint.
func (l *Lease) ID() ID { return l.id }

// Record is the checkpoint as this owner committed it last, or found it. Read-only.
func (l *Lease) Record() Record { return l.record }

// Pass is what is special about the present way through the log, as this owner committed it last, or found it. Read-only.
func (l *Lease) Pass() Pass { return l.pass }

// Unclean reports whether the owner before did not end in good order: one of the events it had in hand may be the reason.
func (l *Lease) Unclean() bool { return l.unclean }

// SetPosition takes over the position of a reader that keeps it itself. It becomes part of the next commit.
func (l *Lease) SetPosition(at store.Position) {
	l.record.Scanned, l.record.Delivered, l.record.Pending = at, at, nil
}

// Move is what an ordinary commit says about the checkpoint; see the fields of [Record].
type Move struct {
	Scanned, Delivered store.Position
	Pending            []store.Position
	Clean              bool
	Trying             store.Position
	Tries              uint32
}

// Stage adds the checkpoint, moved, to the batch. A position less than the present one leaves it where it is: only the
// calls that say so move a checkpoint backwards. Of several calls of Stage and its sisters the last counts, and only one
// may be in a batch. When the batch is committed tell it with [Lease.Committed], when not pass the error through
// [Lease.Refused].
func (l *Lease) Stage(b *store.Batch, m Move) {
	next := l.record
	next.Scanned = max(next.Scanned, m.Scanned)
	next.Delivered = max(next.Delivered, m.Delivered)
	next.Pending, next.Clean, next.Trying, next.Tries = m.Pending, m.Clean, m.Trying, m.Tries
	if !l.pass.Empty() && next.Floor() >= l.pass.End() {
		l.stage(b, next, Pass{})
		return
	}
	// A pass may be long, and is kept as it is.
	l.staged, l.stagedPass = next, l.pass
	b.Sides = append(b.Sides, l.write(next))
}

func (l *Lease) stage(b *store.Batch, next Record, pass Pass) {
	l.staged, l.stagedPass = next, pass
	b.Sides = append(b.Sides, l.write(next))
	if !l.pass.Empty() || !pass.Empty() {
		b.Sides = append(b.Sides, pass.write(l.id))
	}
}

func (l *Lease) write(next Record) store.SideWrite {
	return store.SideWrite{Key: l.id.key(), Value: next.Encode(), Expect: store.Exactly(l.revision)}
}

// StageRewind adds the checkpoint, moved back behind position to. reads is the region that is read, undone are the events
// in hand and those that were parked behind to and are not any more, ascending; see [Pass.Rewound]. A position that
// neither the reader nor the pass it is in has reached is a [*RewindError], with nothing added.
func (l *Lease) StageRewind(
	b *store.Batch, to store.Position, reads store.Region, undone []store.Position, emit bool,
) error {
	end := max(l.record.Scanned, l.pass.End())
	if to > end {
		return &RewindError{ID: l.id, Position: end, To: to}
	}
	next, pass := rewound(l.record, l.pass, to, reads, undone, emit)
	l.stage(b, next, pass)
	return nil
}

func rewound(
	r Record, p Pass, to store.Position, reads store.Region, undone []store.Position, emit bool,
) (Record, Pass) {
	pass, at := p.rewound(r.Scanned, to, reads, union(undone, r.Pending), emit)
	r.Scanned, r.Delivered, r.Pending, r.Trying, r.Tries = at, at, nil, 0, 0
	return r, pass
}

// StageReset adds the checkpoint as that of a reader that begins at the beginning.
func (l *Lease) StageReset(b *store.Batch) {
	next := l.record
	next.Scanned, next.Delivered, next.Pending, next.Trying, next.Tries = 0, 0, nil, 0, 0
	l.stage(b, next, Pass{})
}

// StageSkip adds the checkpoint, moved forward to a position: what lies before is done. Errors, with nothing added:
// [*SkipError], [*AheadError] for what lies beyond head.
func (l *Lease) StageSkip(b *store.Batch, to, head store.Position) error {
	next, pass, err := skipped(l.id, l.record, l.pass, to, head)
	if err == nil {
		l.stage(b, next, pass)
	}
	return err
}

func skipped(id ID, r Record, p Pass, to, head store.Position) (Record, Pass, error) {
	switch {
	case to < r.Scanned:
		return r, p, &SkipError{ID: id, Position: r.Scanned, To: to}
	case to > head:
		return r, p, &AheadError{ID: id, Position: to, Head: head}
	}
	r.Scanned, r.Delivered, r.Pending, r.Trying, r.Tries = to, max(r.Delivered, min(r.Scanned, to)), nil, 0, 0
	if to >= p.End() {
		p = Pass{}
	}
	return r, p, nil
}

// StageWiden adds the checkpoint, bound to a region and kinds that contain the present ones: it goes back to the beginning
// of the log for what is new, see [Pass]. Anything else is a [*RebuildError], with nothing added.
func (l *Lease) StageWiden(b *store.Batch, wider Binding) error {
	next, pass, err := widen(l.id, l.record, l.pass, wider)
	if err == nil {
		l.stage(b, next, pass)
	}
	return err
}

func widen(id ID, r Record, p Pass, wider Binding) (Record, Pass, error) {
	former, ok := r.reads()
	if !ok {
		return r, p, fmt.Errorf("checkpoint %q: %w: region", id, ErrCorrupt)
	}
	if err := wider.contains(id, former); err != nil {
		return r, p, err
	}
	next, pass := r, p
	if wider.Reads().Identity() != former.Identity() {
		next, pass = widened(r, p, former)
	}
	version := next.KeyVersion
	wider.apply(&next)
	next.KeyVersion = version
	return next, pass, nil
}

// Committed takes over what was staged. A duplicate receipt changes nothing, as the store wrote nothing for it.
func (l *Lease) Committed(r store.Receipt) {
	if r.Duplicate {
		return
	}
	l.record, l.pass, l.revision = l.staged, l.stagedPass, r.Sequence
}

// Refused makes a [*FencedError] of the conflict that a newer owner causes; every other error is returned as it is.
func (l *Lease) Refused(err error) error {
	if lostRace(err, l.id) {
		return &FencedError{ID: l.id, Epoch: l.record.Epoch}
	}
	return err
}

// lostRace reports whether a commit was refused because the checkpoint had changed.
func lostRace(err error, id ID) bool {
	var conflict *store.SideConflictError
	return errors.As(err, &conflict) && conflict.Key == id.key()
}
