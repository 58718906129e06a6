package checkpoint

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/store"
)

// Rewind moves the checkpoint back to position To: everything that matches after it is handled
// again. Handlers see that an event is a replay, and the reactions to it are dropped, unless Emit
// is set. What was parked after To leaves the list and comes in its place in the log, for the first
// time. With Emit a reaction is a new event, with an effect key of its own for those that handle
// it: what they do outside the store is done once more.
//
// Errors: [ErrNotBackwards] for a position that was never reached, since a rewind to it would skip
// events; [ErrAhead] beyond the head of the log; [store.ErrDropped] before what retention has
// dropped, but for 0, which is where the log begins; [ErrStateful]; [ErrExternal].
type Rewind struct {
	To   store.Position
	Emit bool
}

// String describes the change.
func (c Rewind) String() string {
	if c.Emit {
		return fmt.Sprintf("rewind to %d, emitting again", c.To)
	}
	return fmt.Sprintf("rewind to %d", c.To)
}

func (Rewind) validate() error { return nil }

func (c Rewind) apply(ctx context.Context, p *plan) error {
	if err := p.mayMove(c); err != nil {
		return err
	}
	scanned := p.record.Scanned
	end := max(scanned, p.pass.end())
	if c.To > end {
		return &PositionError{Err: ErrNotBackwards, ID: p.id, Position: c.To, Bound: end}
	}
	if head := p.st.Head(); c.To > head {
		return &PositionError{Err: ErrAhead, ID: p.id, Position: c.To, Bound: head}
	}
	if err := kept(p.st, p.id, c.To); err != nil {
		return err
	}
	reads, ok := p.record.reads()
	if !ok {
		return fmt.Errorf("checkpoint %q: %w: region", p.id, ErrCorrupt)
	}
	p.note(AuditRewound, Audit{To: c.To, Emit: c.Emit})
	plain := p.pass.Empty()
	pending, err := p.unpark(c.To)
	if err != nil {
		return err
	}
	pass, at := p.pass.rewound(scanned, c.To, reads, pending, c.Emit)
	p.moveTo(at)
	p.pass, p.record.Origin = pass, p.st.Origin()
	if plain && len(pending) == 0 && len(p.out.Parked) == 0 {
		p.out.Undo = SkipTo{To: scanned}
	}
	p.out.Again, p.out.New, err = p.tally(ctx, reads, pass, at, end)
	return err
}

// Reset moves the checkpoint to 0, as if its reader had never run: it handles everything again, as
// one does that rebuilds a projection, and emits everything again. What is parked leaves the list,
// since it comes again too, and what its worker keeps is removed, to be made again. It is also the
// answer to a position beyond the head, and to a foreign history, since 0 is valid in any. A reader
// that keeps its position elsewhere stays there, and only what is parked comes again.
//
// Error: a [store.InvalidError] where more is kept than one commit can remove, 65,536 values with
// what is parked.
type Reset struct{}

// String describes the change.
func (Reset) String() string { return "reset" }

func (Reset) validate() error { return nil }

func (Reset) apply(ctx context.Context, p *plan) error {
	if err := p.discard(p.record.FirstName(p.id)); err != nil {
		return err
	}
	p.note(AuditReset, Audit{})
	scanned, plain := p.record.Scanned, p.pass.Empty()
	end := max(scanned, p.pass.end())
	pending, err := p.unpark(0)
	if err != nil {
		return err
	}
	ours := checkHistory(p.id, p.record, p.st.Origin()) == nil && scanned <= p.st.Head()
	reads, ok := p.record.reads()
	if ours && plain && len(pending) == 0 && len(p.out.Parked) == 0 {
		p.out.Undo = SkipTo{To: scanned}
	}
	if p.out.Again, p.out.New = -1, -1; ours && ok {
		asRewound, _ := p.pass.rewound(scanned, 0, reads, pending, true)
		p.out.Again, p.out.New, err = p.tally(ctx, reads, asRewound, 0, end)
	}
	p.moveTo(0)
	p.pass, p.record.Origin = Pass{}, p.st.Origin()
	return err
}

// SkipTo moves the checkpoint forward to position To: what lies before and was not handled never
// is. What is parked stays so.
//
// Errors: [ErrNotForward] for a position that was passed already, [ErrAhead] beyond the head of the
// log, [store.ErrDropped] where retention has dropped the event after it, [ErrStateful],
// [ErrExternal].
type SkipTo struct{ To store.Position }

// String describes the change.
func (c SkipTo) String() string { return fmt.Sprintf("skip to %d", c.To) }

func (SkipTo) validate() error { return nil }

func (c SkipTo) apply(ctx context.Context, p *plan) error {
	if err := p.mayMove(c); err != nil {
		return err
	}
	from, head := p.record.Scanned, p.st.Head()
	switch {
	case c.To < from:
		return &PositionError{Err: ErrNotForward, ID: p.id, Position: c.To, Bound: from}
	case c.To > head:
		return &PositionError{Err: ErrAhead, ID: p.id, Position: c.To, Bound: head}
	}
	if err := kept(p.st, p.id, c.To); err != nil {
		return err
	}
	p.note(AuditSkippedTo, Audit{To: c.To})
	p.out.Skipped = -1
	if reads, ok := p.record.reads(); ok {
		_, skipped, err := p.tally(ctx, reads, p.pass, from, c.To)
		if err != nil {
			return err
		}
		p.out.Skipped = skipped
	}
	if p.out.Skipped >= 0 {
		p.out.Skipped += len(p.record.Pending)
	}
	if p.pass.Empty() && len(p.record.Pending) == 0 {
		p.out.Undo = Rewind{To: from, Emit: true}
	}
	p.moveTo(c.To)
	p.record.Delivered = from // nothing after it was
	if c.To >= p.pass.end() {
		p.pass = Pass{}
	}
	return nil
}

// moveTo makes a position the one up to which everything is done.
func (p *plan) moveTo(at store.Position) {
	r := &p.record
	r.Scanned, r.Delivered, r.Pending, r.Trying, r.Tries = at, at, nil, 0, 0
}
