package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Widen binds the checkpoint to a region and kinds (none: all kinds of the region) that contain the
// present ones: more kinds, a wider scope, a shorter entity prefix. What matches only now is
// handled first, from the beginning of the log, in order, each event once. Those of a reactor are
// the Region and the Kinds of its CursorWorker: without kinds it would be given events that it has
// no route for.
//
// Errors: [ErrRebuild] where the new region leaves something out, [ErrStateful], [ErrExternal].
type Widen struct {
	Region store.Region
	Kinds  []string
}

// String describes the change.
func (c Widen) String() string { return fmt.Sprintf("widen to (%s)", c.binding().Reads()) }

func (c Widen) binding() Binding { return Binding{Region: c.Region, Kinds: c.Kinds} }

func (c Widen) validate() error { return c.binding().validate() }

func (c Widen) apply(ctx context.Context, p *plan) error {
	if err := p.mayMove(c); err != nil {
		return err
	}
	former, ok := p.record.reads()
	if !ok {
		return fmt.Errorf("checkpoint %q: %w: region", p.id, ErrCorrupt)
	}
	wider := c.binding()
	if err := wider.contains(p.id, former); err != nil {
		return err
	}
	p.note(AuditWidened, Audit{Region: wider.Reads().String()})
	scanned := p.record.Scanned
	if wider.Reads().Identity() != former.Identity() {
		p.record, p.pass = widened(p.record, p.pass, former)
	}
	wider.keepIn(&p.record)
	var err error
	p.out.Again, p.out.New, err = p.tally(ctx, wider.Reads(), p.pass, p.record.Scanned, scanned)
	return err
}

// widened goes back to the beginning for what a wider region has and the former one had not. What
// is pending comes in its place.
func widened(r Record, p Pass, former store.Region) (Record, Pass) {
	pass := p.widened(r.Scanned, former, r.Pending)
	r.Scanned, r.Delivered, r.Pending = 0, 0, nil
	return r, pass
}

// Rebind binds the checkpoint to another region and other kinds (none: all kinds of the region) and
// keeps the position. Those of a reactor are the Region and the Kinds of its CursorWorker. Events
// before the position that match only now are not delivered: [Widen] is for that, or a [Rewind]
// after this.
type Rebind struct {
	Region store.Region
	Kinds  []string
}

// String describes the change.
func (c Rebind) String() string { return fmt.Sprintf("rebind to (%s)", c.binding().Reads()) }

func (c Rebind) binding() Binding { return Binding{Region: c.Region, Kinds: c.Kinds} }

func (c Rebind) validate() error { return c.binding().validate() }

func (c Rebind) apply(_ context.Context, p *plan) error {
	if err := checkHistory(p.id, p.record, p.st.Origin()); err != nil {
		return err
	}
	b := c.binding()
	p.note(AuditRebound, Audit{Region: b.Reads().String()})
	if former, ok := store.RegionOf(p.record.Region); ok {
		p.out.Undo = Rebind{Region: former, Kinds: p.record.Kinds}
	}
	b.keepIn(&p.record)
	return nil
}

// keepIn writes region and kinds into a record; the version of the keys stays as it is.
func (b Binding) keepIn(r *Record) {
	r.Region, r.Kinds = b.Region.Identity(), slices.Clone(canonical(b.Kinds))
}

// contains checks that a reader of the wider region sees everything that one of the former does. A
// region contains another when each of its fields does, so the fields are compared one by one to
// name the one that does not.
func (b Binding) contains(id ID, former store.Region) error {
	wider := b.Reads()
	leavesOut := func(part string) error {
		return &MismatchError{Err: ErrRebuild, ID: id, Part: part, Stored: former.String(), Given: wider.String()}
	}
	for _, field := range []struct {
		name          string
		wider, former store.Region
	}{
		{"entity", store.Region{Entity: wider.Entity}, store.Region{Entity: former.Entity}},
		{"scope", store.Region{Scope: wider.Scope}, store.Region{Scope: former.Scope}},
		{
			"versions",
			store.Region{MinVersion: wider.MinVersion, MaxVersion: wider.MaxVersion},
			store.Region{MinVersion: former.MinVersion, MaxVersion: former.MaxVersion},
		},
	} {
		if !field.wider.Contains(field.former) {
			return leavesOut(field.name)
		}
	}
	if !wider.Contains(former) {
		return leavesOut("kinds")
	}
	return nil
}

// Delete removes the checkpoint, also one that cannot be read, with its pass, its pause, what is
// parked and what its worker keeps, and lets go of its former names. The next reader with this name
// begins at its start, with epoch 1.
//
// Error: a [store.InvalidError] where more is kept than one commit can remove, 65,536 values with
// what is parked.
type Delete struct{}

// String describes the change.
func (Delete) String() string { return "delete" }

func (Delete) validate() error { return nil }

func (Delete) apply(_ context.Context, p *plan) error {
	if _, err := p.unpark(0); err != nil {
		return err
	}
	forwards, err := forwardsTo(p.st, p.id)
	if err != nil {
		return err
	}
	names := []ID{p.id} // which of them is the first may not be known any more
	for _, left := range forwards {
		names = append(names, ID(strings.TrimPrefix(left.Key, renamedPrefix)))
	}
	if err := p.discard(names...); err != nil {
		return err
	}
	p.note(AuditDeleted, Audit{})
	for _, name := range p.record.Formerly { // another worker may take the name, and must find that this one ended
		if name != p.id {
			p.audits = append(p.audits, audit{Audit{Worker: name, Position: p.record.Floor()}, AuditDeleted})
		}
	}
	p.sides = append(p.sides, Pass{}.write(p.id), Resume(p.id))
	p.sides = append(p.sides, forwards...)
	p.moveTo(0)
	p.pass, p.former, p.gone = Pass{}, Pass{}, true
	return nil
}
