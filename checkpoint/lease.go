package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Lease is the right to move a checkpoint. It lasts until another owner acquires it or an operator
// changes it: the store refuses every commit of an older owner, reactions included. There is no
// term that runs out and nothing to release.
//
// A Lease is not safe for concurrent use.
type Lease struct {
	id       ID
	record   Record // as the store has it
	pass     *Pass  // nil for an ordinary one, as of most
	revision uint64
	unclean  bool

	key string  // of the side value, made once
	out *staged // nil until the first move: very many workers may wait for their first event
}

// staged is what a commit writes. It is used again by the next.
type staged struct {
	record Record // as the commit in flight, if any, will leave it
	pass   *Pass
	value  []byte // the store copies it before a commit returns
}

// ID of the checkpoint.
func (l *Lease) ID() ID { return l.id }

// Record is the checkpoint as this owner committed it last, or found it. Read-only.
func (l *Lease) Record() Record { return l.record }

// Pass is what is special about the present way through the log, as this owner committed it last,
// or found it. Read-only.
func (l *Lease) Pass() Pass {
	if l.pass == nil {
		return Pass{}
	}
	return *l.pass
}

// special returns a pass to keep, nil for an ordinary one.
func special(p Pass) *Pass {
	if p.Empty() && len(p.emit) == 0 {
		return nil
	}
	return &p
}

// Floor is that of Record, for callers that need no more of it.
func (l *Lease) Floor() store.Position { return l.record.Floor() }

// Revision is the sequence of the commit that wrote Record.
func (l *Lease) Revision() uint64 { return l.revision }

// Epoch is that of Record.
func (l *Lease) Epoch() uint64 { return l.record.Epoch }

// Unclean reports whether the owner before did not end in good order: one of the events it had in
// flight may be the reason.
func (l *Lease) Unclean() bool { return l.unclean }

// SetPosition takes over the position of a reader that keeps it elsewhere. It becomes part of the
// next commit.
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

// Stage adds the checkpoint, moved, to the batch. A position less than the present one leaves it
// where it is: only a [Change] moves a checkpoint backwards. Of several calls of Stage and
// StageChange the last counts, and only one may be in a batch. What came of the commit is for
// [Lease.Committed].
func (l *Lease) Stage(b *store.Batch, m Move) {
	next, over := l.moved(m)
	if over {
		l.stage(b, next, Pass{})
		return
	}
	// A pass may be long, and is not written again.
	b.Sides = append(b.Sides, l.write(next, l.pass))
}

// moved returns the record after a move, and whether the pass ends there.
func (l *Lease) moved(m Move) (next Record, over bool) {
	next = l.record
	next.Scanned = max(next.Scanned, m.Scanned)
	next.Delivered = max(next.Delivered, m.Delivered)
	next.Pending, next.Clean, next.Trying, next.Tries = m.Pending, m.Clean, m.Trying, m.Tries
	return next, l.pass != nil && !l.pass.Empty() && next.Floor() >= l.pass.end()
}

// StageChange adds a change of the checkpoint, as it is after a move, to the batch, with its audit
// event and the writes to the list of parked events. The reader must have nothing in flight and
// nothing staged elsewhere, so that the list of parked events in the store is complete. After an
// error, and of a dry run, nothing is added.
//
// Errors: those of the change, and [ErrRunning] for a [Rename] or [Delete].
func (l *Lease) StageChange(
	ctx context.Context, st *store.Store, b *store.Batch, m Move, c Change, q Request,
) (Outcome, error) {
	if err := checkChange(l.id, c, q); err != nil {
		return Outcome{}, err
	}
	p := &plan{st: st, id: l.id, pass: l.Pass()}
	var over bool
	if p.record, over = l.moved(m); over {
		p.pass = Pass{}
	}
	if err := p.work(ctx, c); err != nil {
		return Outcome{}, err
	}
	if p.gone || p.id != l.id {
		return Outcome{}, fmt.Errorf("checkpoint %q: %s: %w", l.id, c, ErrRunning)
	}
	if q.DryRun {
		return p.out, nil
	}
	b.Sides = append(b.Sides, p.sides...)
	b.Events = append(b.Events, p.events(q)...)
	l.stage(b, p.record, p.pass)
	return p.out, nil
}

func (l *Lease) stage(b *store.Batch, next Record, pass Pass) {
	b.Sides = append(b.Sides, l.write(next, special(pass)))
	if !l.Pass().Empty() || !pass.Empty() {
		b.Sides = append(b.Sides, pass.write(l.id))
	}
}

// maxKeptValue bounds the buffer that an owner keeps while it rests.
const maxKeptValue = 1 << 10

func (l *Lease) write(next Record, pass *Pass) store.SideWrite {
	if l.key == "" {
		l.key = l.id.key()
	}
	if l.out == nil {
		l.out = new(staged)
	}
	value := next.encode(l.out.value[:0])
	*l.out = staged{record: next, pass: pass, value: value}
	if cap(value) > maxKeptValue {
		l.out.value = nil
	}
	return store.SideWrite{Key: l.key, Value: value, Expect: store.Exactly(l.revision)}
}

// Committed is called with what came of the commit of a batch that was staged:
//
//	err := lease.Committed(st.Commit(ctx, batch))
//
// It takes over what was staged, once that is in the log. A duplicate receipt changes nothing, as
// the store wrote nothing for it. Of the conflict that a newer owner causes it makes an error that
// wraps [ErrFenced]; every other error is returned unchanged. After [store.ErrOutcomeUnknown] the
// lease does not know its revision any more, and its next commit may be refused as if it were
// fenced.
func (l *Lease) Committed(r store.Receipt, err error) error {
	switch {
	case err == nil && !r.Duplicate:
		l.record, l.pass, l.revision = l.out.record, l.out.pass, r.Sequence
	case err != nil && lostRace(err, l.id): // to look into an error takes an allocation
		return fenced(l.id, l.record.Epoch)
	}
	return err
}

// fenced is the error of an owner that was fenced.
func fenced(id ID, epoch uint64) error {
	return refuse(id, ErrFenced, "owner of epoch %d is fenced by a newer one", epoch)
}

// lostRace reports whether a commit was refused because one of the checkpoints had changed, or what
// it has parked, or has left its name.
func lostRace(err error, ids ...ID) bool {
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		return false
	}
	for _, id := range ids {
		if conflict.SideKey == id.key() || conflict.SideKey == id.renamedKey() || strings.HasPrefix(conflict.SideKey, id.parkedPrefix()) {
			return true
		}
	}
	return false
}
