package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Acquire takes ownership of a checkpoint. It is itself a commit, synced like any other, that
// raises the epoch by one; a lost race against another owner is tried again until ctx ends. The
// record of the lease is the checkpoint as of that point: what the former owner had committed is in
// it, and what it had not will be refused.
//
// An id without a checkpoint takes over that of one of b.Formerly, see [Rename], and else begins at
// b.Start. Where b.NewKinds lets the kinds change, an audit event says so. Otherwise the checkpoint
// must fit: a [MismatchError], a [PositionError], [ErrCorrupt] and [ErrNewerFormat] are returned
// with nothing written; so are [store.ErrDropped] where retention has dropped events that it was to
// deliver, [ErrFenced] where b.Epoch is that of another owner than the last,
// [ErrRenamed] for a name that another checkpoint has left, [ErrExists] where more than one of id
// and b.Formerly exist, and [ErrStateful] where the past of new kinds would come beside a state.
func Acquire(ctx context.Context, st *store.Store, id ID, b Binding) (*Lease, error) {
	if err := errors.Join(id.Validate(), b.validateNames()); err != nil {
		return nil, err
	}
	if err := b.validate(); err != nil {
		return nil, fmt.Errorf("checkpoint %q: %w", id, err)
	}
	for {
		l, lost, err := acquire(ctx, st, id, b)
		if lost {
			continue
		}
		if err != nil {
			return nil, err
		}
		return l, nil
	}
}

// acquire is Acquire, unless the race against another owner is lost. Retention drops nothing
// meanwhile: what is held from here on was there when the position was looked at.
func acquire(ctx context.Context, st *store.Store, id ID, b Binding) (l *Lease, lost bool, err error) {
	failed := store.WithoutDrops(ctx, st, func() error {
		t, err := takeOver(ctx, st, id, b)
		if err != nil {
			return err
		}
		receipt, err := st.Commit(ctx, t.batch)
		if lost = lostRace(err, id, t.from); lost {
			return nil
		}
		if err != nil {
			return fmt.Errorf("checkpoint %q: write: %w", id, err)
		}
		l, err = t.lease, t.lease.Committed(receipt, nil)
		l.out = nil
		return err
	})
	return l, lost, failed
}

// takeover is the lease of the next owner, and the batch that makes it valid.
type takeover struct {
	lease *Lease
	batch store.Batch
	from  ID // the name of the checkpoint until now
}

func takeOver(ctx context.Context, st *store.Store, id ID, b Binding) (*takeover, error) {
	f, err := find(ctx, st, id, b)
	if b.Epoch != 0 && (errors.Is(err, ErrRenamed) || err == nil && f.record.Epoch != b.Epoch) { // again after each lost race
		return nil, fenced(id, b.Epoch)
	}
	if err != nil {
		return nil, err
	}
	l := &Lease{id: id, record: f.record, revision: f.revision, unclean: !f.fresh && !f.record.Clean}
	pass, err := passOf(st, f.name)
	if err != nil {
		return nil, err
	}
	l.pass = special(pass)
	t := &takeover{lease: l, from: f.name}
	p := &plan{st: st, id: f.name, record: f.record, pass: pass}
	if f.fresh { // the name may be taken and left since it was looked up
		p.sides = append(p.sides, store.SideWrite{Key: id.renamedKey(), Delete: true, Expect: store.Exactly(0)})
	}
	p.record.Clean = false
	p.record.Epoch++
	if err := p.fit(b, f.fresh); err != nil {
		return nil, err
	}
	p.record.Stateful, p.record.Pulled, p.record.External, p.record.Answers = b.Stateful, b.Pulled, b.External, b.Answers
	if f.name != id {
		if err := p.rename(id); err != nil {
			return nil, err
		}
		p.sides = append(p.sides, store.SideWrite{Key: f.name.key(), Delete: true, Expect: store.Exactly(f.revision)})
		l.revision = 0
	}
	t.batch = store.Batch{Sides: p.sides, Events: p.events(Request{})}
	l.stage(&t.batch, p.record, p.pass)
	return t, nil
}

// fit makes the record that of a reader whose kinds or keys have changed, where that is allowed.
func (p *plan) fit(b Binding, fresh bool) error {
	if kinds := canonical(b.Kinds); !fresh && !slices.Equal(kinds, p.record.Kinds) {
		if err := p.rekind(kinds, b); err != nil {
			return err
		}
	}
	if p.record.KeyVersion == b.KeyVersion {
		return nil
	}
	n, err := keyed(p.st, p.id, p.record)
	if err != nil {
		return err
	}
	if n > 0 {
		return &MismatchError{
			Err: ErrKeyVersion, ID: p.id, Stored: fmt.Sprint(p.record.KeyVersion), Given: fmt.Sprint(b.KeyVersion), Events: n,
		}
	}
	p.record.KeyVersion = b.KeyVersion
	return nil
}

// rekind binds the record to other kinds, and goes back for those that are new if b says so. Where
// a state is kept it cannot: what was handled of a kind before it was left out is in it, and would
// be once more.
func (p *plan) rekind(kinds []string, b Binding) error {
	kind := AuditRebound
	backfill := b.NewKinds == NewKindsBackfill && kindsAdded(kinds, p.record.Kinds)
	if backfill {
		kind = AuditWidened
		if err := p.stateless(Widen{Region: b.Region, Kinds: b.Kinds}); err != nil {
			return err
		}
	}
	p.note(kind, Audit{Region: b.Reads().String()})
	if former, _ := p.record.reads(); backfill {
		p.record, p.pass = widened(p.record, p.pass, former)
	}
	p.record.Kinds = slices.Clone(kinds)
	return nil
}

// keyed counts the events whose keys matter.
func keyed(st *store.Store, id ID, r Record) (int, error) {
	n := len(r.Pending)
	for _, err := range ParkedEvents(st, id) {
		if err != nil && !senseless(err) {
			return 0, err
		}
		n++
	}
	return n, nil
}

// found is the checkpoint that a reader resumes, under its name until now, or a fresh one with
// revision 0.
type found struct {
	name     ID
	record   Record
	revision uint64
	fresh    bool
}

// find returns the checked record of the reader, whatever it was called.
func find(ctx context.Context, st *store.Store, id ID, b Binding) (found, error) {
	f, err := lookUp(st, id, b)
	switch {
	case err != nil:
	case f.fresh:
		f.record, err = fresh(ctx, st, id, b)
	default:
		err = fits(st, id, f.record, b)
	}
	if err != nil {
		return found{}, err
	}
	// The head is read after the record, and only grows.
	if head := st.Head(); f.record.Scanned > head {
		ahead := &PositionError{Err: ErrAhead, ID: id, Position: f.record.Scanned, Bound: head}
		if f.fresh {
			ahead.ID = ""
		}
		return found{}, ahead
	}
	if err := kept(st, id, f.record.Floor()); err != nil {
		return found{}, err
	}
	f.record.Origin = st.Origin()
	return f, nil
}

// kept refuses to continue after a position where the next event was dropped: that one would be
// skipped. Position 0 is before the first event, wherever that is.
func kept(st *store.Store, id ID, after store.Position) error {
	if first := store.First(st); after > 0 && after+1 < first {
		return fmt.Errorf("checkpoint %q: %w", id, &store.DroppedError{Position: after + 1, First: first})
	}
	return nil
}

// lookUp finds the one checkpoint among the names of a reader.
func lookUp(st *store.Store, id ID, b Binding) (found, error) {
	f := found{name: id, fresh: true}
	for _, name := range append([]ID{id}, b.Formerly...) {
		info, err := look(st, name)
		switch {
		case errors.Is(err, ErrNotFound), name == id && !f.fresh:
			continue
		case !f.fresh:
			return found{}, refuse(f.name, ErrExists, "exists, and its former name %q does too: delete one of them", name)
		case err != nil:
			return found{}, err
		}
		f = found{name: name, record: info.Record, revision: info.Revision}
	}
	if !f.fresh {
		return f, nil
	}
	// Read after the checkpoints: a rename writes both at once, so one that is seen nowhere is seen
	// here.
	for _, name := range append([]ID{id}, b.Formerly...) {
		if err := CheckName(st, name); err != nil {
			return found{}, err
		}
	}
	return f, nil
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
	b.keepIn(&r)
	r.KeyVersion = b.KeyVersion
	return r, nil
}
