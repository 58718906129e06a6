package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Change is what can be done to a checkpoint, as a value: a [Rewind], [SkipTo], [Reset], [Widen],
// [Rebind], [Rename] or [Delete]. [Apply] does it where no worker runs; a cursor.Runner and an
// actors.System have a call of the same name for a worker that does.
type Change interface {
	// String describes the change in a few words.
	fmt.Stringer

	// validate reports what is wrong with the value, without looking at a checkpoint.
	validate() error
	// apply works the change out on p, from the state that p has.
	apply(ctx context.Context, p *plan) error
}

// maxCounted bounds how many events an [Outcome] counts.
const maxCounted = 10_000

// Outcome is what a change did to a checkpoint or, of a dry run, would do.
type Outcome struct {
	Change Change
	// From and To are the positions up to which everything that matches is done, before and after.
	From, To store.Position
	// Again is how many events are handled again, New how many of those that were passed are
	// handled for the first time: they were pending, parked, or match only now. Skipped is how many
	// were not handled and never will be. -1 means that the log could not be read there.
	Again, New, Skipped int
	// AtLeast says that counting ended at 10,000 events.
	AtLeast bool
	// Parked are the events that leave the list, to come in their place in the log (Rewind, Reset)
	// or never (Delete).
	Parked []Parked
	// Undo is the change that takes this one back; nil where none does.
	Undo Change
}

// String describes the outcome in one line.
func (o Outcome) String() string {
	parts := []string{fmt.Sprintf("from %d to %d", o.From, o.To)}
	count := func(n int, what string) {
		number := fmt.Sprint(n)
		switch {
		case n == 0:
			return
		case n < 0:
			number = "unknown"
		case o.AtLeast:
			number = "at least " + number
		}
		parts = append(parts, what+": "+number)
	}
	count(o.Again, "handled again")
	count(o.New, "handled for the first time")
	count(o.Skipped, "skipped")
	if len(o.Parked) > 0 {
		parts = append(parts, fmt.Sprintf("no longer parked: %d", len(o.Parked)))
	}
	if o.Undo != nil {
		parts = append(parts, "undone by: "+o.Undo.String())
	}
	return fmt.Sprint(o.Change) + ": " + strings.Join(parts, ", ")
}

// Apply makes a change of a checkpoint. It is one commit that raises the epoch, with an audit
// event: a reader that runs is fenced, and its next commit refused. If that reader commits first,
// the change is worked out again on top of it, until ctx ends. When Apply returns nil the change is
// as durable as any commit of the store; after a crash it is there whole or not at all. An unknown
// id is [ErrNotFound].
func Apply(ctx context.Context, st *store.Store, id ID, c Change, q Request) (Outcome, error) {
	if err := checkChange(id, c, q); err != nil {
		return Outcome{}, err
	}
	for {
		out, lost, err := apply(ctx, st, id, c, q)
		if !lost {
			return out, err
		}
	}
}

// apply is Apply, unless the race against the reader is lost. See acquire.
func apply(ctx context.Context, st *store.Store, id ID, c Change, q Request) (out Outcome, lost bool, err error) {
	err = store.WithoutDrops(ctx, st, func() error {
		p, revision, err := prepare(ctx, st, id, c)
		if out = p.out; err != nil || q.DryRun {
			return err
		}
		_, err = st.Commit(ctx, p.batch(id, revision, q))
		if lost = lostRace(err, id, p.id); lost || err == nil {
			return nil
		}
		out = Outcome{}
		return fmt.Errorf("checkpoint %q: %s: %w", id, c, err)
	})
	return out, lost, err
}

func checkChange(id ID, c Change, q Request) error {
	if err := id.Validate(); err != nil {
		return err
	}
	if c == nil {
		return fmt.Errorf("checkpoint %q: %w", id, &store.InvalidError{Field: "change", Rule: "must not be nil"})
	}
	if err := errors.Join(c.validate(), q.Validate()); err != nil {
		return fmt.Errorf("checkpoint %q: %s: %w", id, c, err)
	}
	return nil
}

// plan is one change, worked out on one state of a checkpoint: what one commit has to write, and
// what is reported.
type plan struct {
	st     *store.Store
	id     ID // the name after the change
	record Record
	pass   Pass
	gone   bool // there is no checkpoint after the change

	former Pass              // as it was before
	sides  []store.SideWrite // besides those of the record and the pass
	audits []audit
	out    Outcome
}

// prepare works a change out on what the store has now, at a revision.
func prepare(ctx context.Context, st *store.Store, id ID, c Change) (*plan, uint64, error) {
	p := &plan{st: st, id: id}
	_, unread := c.(Delete) // it removes what makes no sense, too
	info, err := look(st, id)
	if err != nil && (!unread || !senseless(err)) {
		return p, 0, err
	}
	p.record = info.Record
	if p.pass, err = passOf(st, id); err != nil && (!unread || !senseless(err)) {
		return p, 0, err
	}
	return p, info.Revision, p.work(ctx, c)
}

// work applies a change and completes the outcome. After an error there is none.
func (p *plan) work(ctx context.Context, c Change) error {
	p.former = p.pass
	p.out = Outcome{Change: c, From: p.record.Floor()}
	if err := c.apply(ctx, p); err != nil {
		p.out = Outcome{}
		return err
	}
	p.out.To = p.record.Floor()
	return nil
}

// batch is the commit that makes the change, on top of a revision of the record under its name
// before.
func (p *plan) batch(from ID, revision uint64, q Request) store.Batch {
	b := store.Batch{Sides: p.sides, Events: p.events(q)}
	p.record.Epoch++
	if p.gone || p.id != from {
		b.Sides = append(b.Sides, store.SideWrite{Key: from.key(), Delete: true, Expect: store.Exactly(revision)})
		revision = 0
	}
	if !p.gone {
		b.Sides = append(b.Sides, store.SideWrite{Key: p.id.key(), Value: p.record.bytes(), Expect: store.Exactly(revision)})
	}
	if !p.former.Empty() || !p.pass.Empty() {
		b.Sides = append(b.Sides, p.pass.write(p.id))
	}
	return b
}

// events are the audit events, with what the request says.
func (p *plan) events(q Request) (events []store.Proposal) {
	for _, a := range p.audits {
		a.Reason, a.By = q.Reason, q.By
		events = append(events, a.Proposal(a.kind))
	}
	return events
}

// note adds an audit event at the name of the checkpoint.
func (p *plan) note(kind string, a Audit) {
	a.Worker, a.Position = p.id, p.record.Floor()
	p.audits = append(p.audits, audit{a, kind})
}

// mayMove makes sure that the checkpoint is of this log, and that nothing else depends on where it
// is.
func (p *plan) mayMove(c Change) error {
	if err := checkHistory(p.id, p.record, p.st.Origin()); err != nil {
		return err
	}
	if p.record.External {
		return fmt.Errorf("checkpoint %q: %s: %w", p.id, c, ErrExternal)
	}
	return p.stateless(c)
}

// stateless refuses what would move the checkpoint away from the state that its reader keeps, or
// that another one has left under the name.
func (p *plan) stateless(what fmt.Stringer) error {
	stateful := p.record.Stateful
	for _, err := range p.st.Sides(KeptPrefix(p.record.FirstName(p.id))) {
		if err = unread(err); err != nil && !senseless(err) {
			return fmt.Errorf("checkpoint %q: %w", p.id, err)
		}
		stateful = true
		break // one is enough
	}
	if stateful {
		return refuse(p.id, ErrStateful, "%s: its reader keeps state beside the checkpoint, which does not move along", what)
	}
	return nil
}

// unpark takes what is parked after a position off the list, and returns what has not been handled:
// that of it which never emitted, and what is pending.
func (p *plan) unpark(after store.Position) ([]store.Position, error) {
	pending := p.record.Pending
	for entry, err := range ParkedEvents(p.st, p.id) {
		if err != nil && !senseless(err) {
			return nil, err
		}
		if entry.Position <= after {
			continue
		}
		p.sides = append(p.sides, Unpark(p.id, entry.Position))
		p.out.Parked = append(p.out.Parked, entry)
		if err != nil || !entry.Replay { // one that makes no sense is taken for one that never emitted
			pending = union(pending, []store.Position{entry.Position})
		}
	}
	return pending, nil
}

// tally counts the events of a region after a position and up to another one that a pass delivers:
// those that are replays, and the others. Where the log cannot be read both are -1: a change that
// leads past damage must be possible. It fails only when ctx ends.
func (p *plan) tally(ctx context.Context, region store.Region, pass Pass, after, upTo store.Position) (again, first int, err error) {
	if after >= upTo {
		return 0, 0, nil
	}
	for e, err := range p.st.Scan(ctx, region, store.After(after)) { // nothing of an event is kept
		switch {
		case err != nil && ctx.Err() != nil:
			return 0, 0, fmt.Errorf("checkpoint %q: count events: %w", p.id, err)
		case err != nil:
			return -1, -1, nil
		case e.Position > upTo:
			return again, first, nil
		case again+first == maxCounted:
			p.out.AtLeast = true
			return again, first, nil
		case !pass.Delivers(*e):
		case pass.Replayed(*e):
			again++
		default:
			first++
		}
	}
	return again, first, nil
}
