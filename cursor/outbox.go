package cursor

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// outbox writes: batches with the checkpoint that says what they leave done. What has no task waits
// in it for the next commit: events that were parked, held or skipped.
type outbox struct {
	*shared
	guard *crashGuard

	takeIn func(context.Context) // what was erased, see parking.takeIn

	// sides are by key: an event may be parked and replayed again before the commit, and only the
	// last write counts. audits are in the order of what happened.
	sides    map[string]store.SideWrite
	audits   []audit
	done     []store.Position // ascending, as frontier.after needs them
	survived bool             // the process outlived an event that was marked, and the checkpoint does not say so
	clean    bool             // what the next commit says about the end

	lent *commitBuffers // nil but during a commit
}

// commitBuffers are used again by a later commit, of any runner. The store has copied what they
// hold when it is done.
type commitBuffers struct {
	ranges    []taskRange
	positions []store.Position
	events    []store.Proposal
	beside    []store.SideWrite // beside the checkpoint
	sides     []store.SideWrite
}

// commitPool are those that no commit has.
//
//nolint:gochecknoglobals // as eventBuffers
var commitPool sync.Pool

func (o *outbox) buffers() *commitBuffers {
	if o.lent == nil {
		if o.lent, _ = commitPool.Get().(*commitBuffers); o.lent == nil {
			o.lent = new(commitBuffers)
		}
	}
	return o.lent
}

// free ends the use of buffers.
func (o *outbox) free() {
	b := o.lent
	o.lent = nil
	if max(cap(b.ranges), cap(b.positions), cap(b.events), cap(b.sides)) > maxKeptItems {
		return
	}
	clear(b.ranges)
	clear(b.events)
	clear(b.beside)
	clear(b.sides)
	commitPool.Put(b)
}

func (o *outbox) empty() bool {
	return len(o.sides) == 0 && len(o.audits) == 0 && len(o.done) == 0 && !o.survived
}

// discard drops what waits: the checkpoint that was loaded says more.
func (o *outbox) discard() { o.sides, o.audits, o.done, o.survived = nil, nil, nil, false }

func (o *outbox) side(w store.SideWrite) {
	if o.sides == nil {
		o.sides = make(map[string]store.SideWrite)
	}
	o.sides[w.Key] = w
}

// audit is an audit event that waits.
type audit struct {
	kind  string
	what  checkpoint.Audit
	cause store.Causation
}

// audit says what happened to an event, or to none.
func (o *outbox) audit(e *store.Event, kind string, what checkpoint.Audit) {
	a := audit{kind: kind, what: what}
	if e != nil {
		a.cause = e.Causation()
	}
	o.audits = append(o.audits, a)
}

// erase takes out what waits to be written of an event that was erased: the entry of a parked one
// is given without its error.
func (o *outbox) erase(event store.Position, entry *checkpoint.Parked) {
	if entry != nil {
		if w := entry.Write(o.own.lease.ID()); len(o.sides[w.Key].Value) > 0 {
			o.side(w)
		}
	}
	for i := range o.audits {
		if a := &o.audits[i].what; a.Position == event && a.Error != "" {
			a.Error = checkpoint.ErasedText
		}
	}
}

// unlessErased writes what may quote events, without what was erased of them. Where an erasure
// comes in between, it is looked at and written again.
func (o *outbox) unlessErased(ctx context.Context, write func(store.Condition) error) error {
	for {
		c := store.UnlessErased(o.own.st)
		o.takeIn(ctx)
		if err := write(c); !isErasure(err, c) {
			return err
		}
	}
}

// isErasure reports whether a commit was refused as an erasure came in between.
func isErasure(err error, unless store.Condition) bool {
	var conflict *store.ConflictError
	return errors.As(err, &conflict) && conflict.Condition != nil && conflict.Condition.Region.Entity == unless.Region.Entity
}

// finish lets an event that was read count as done.
func (o *outbox) finish(p store.Position) {
	i, _ := slices.BinarySearch(o.done, p)
	o.done = slices.Insert(o.done, i, p)
}

// flush writes what has no task. That an event is parked or skipped waits for its sync: callers
// that wait for the event are told so.
func (o *outbox) flush(ctx context.Context) error {
	if o.empty() {
		return nil
	}
	err := o.unlessErased(ctx, func(c store.Condition) error {
		b := store.Batch{Conditions: []store.Condition{c}}
		for i := range o.audits {
			a := &o.audits[i]
			p := o.own.audited(nil, a.kind, a.what)
			p.Causation = a.cause
			b.Events = append(b.Events, p)
		}
		for _, w := range o.sides {
			b.Sides = append(b.Sides, w)
		}
		slices.SortFunc(b.Sides, func(a, b store.SideWrite) int { return cmp.Compare(a.Key, b.Key) })
		b.Lazy = len(b.Sides) == 0 && o.own.lazy(b)
		return o.write(ctx, b, o.done)
	})
	if err != nil {
		return o.own.failed(ErrCommit, err)
	}
	o.discard()
	return nil
}

// write is one commit: what is in the batch, and the checkpoint after the positions that it makes
// done. The frontier moves on only when the commit is answered: one that is refused leaves
// everything as it was, to be written again. Without a checkpoint and reactions there is nothing to
// write, and the frontier moves on at once.
func (o *outbox) write(ctx context.Context, b store.Batch, done []store.Position) error {
	next := o.win.after(done)
	var err error
	switch {
	case o.own.lease != nil:
		if o.lent == nil { // else those who lent it are not done with it
			defer o.free()
		}
		beside := b.Sides
		b.Sides = o.buffers().sides[:0]
		o.own.lease.Stage(&b, o.move(next))
		b.Sides = append(b.Sides, beside...) // last: that there is a newer owner comes before what it wrote
		o.lent.sides = b.Sides
		err = o.own.lease.Committed(o.send(ctx, b, len(done)))
	case len(b.Events) > 0:
		_, err = o.send(ctx, b, len(done))
	}
	if err == nil {
		o.win.advance(next, len(done))
	}
	return err
}

// send is the commit itself, which makes so many events done. The context cannot end the wait, see
// commitStaged.
func (o *outbox) send(ctx context.Context, b store.Batch, handled int) (store.Receipt, error) {
	end := probeCommit(&o.own, &b, handled)
	receipt, err := o.own.st.Commit(context.WithoutCancel(ctx), b)
	probeCommitted(&o.own, end, receipt, err)
	return receipt, err
}

// markAttempt notes durably that an event is about to be handled alone. It returns how many
// processes ended at it, and whether it was marked: an event at which they ended too often is not
// handled, but it may be given up.
func (o *outbox) markAttempt(ctx context.Context, event store.Position, givesUp bool) (crashes int, marked bool, err error) {
	crashes = o.guard.begin(event)
	if o.own.looping(crashes) && !givesUp {
		o.guard.survived()
		return crashes, false, nil
	}
	if err := o.write(ctx, store.Batch{}, nil); err != nil {
		o.guard.survived()
		return crashes, false, o.own.failed(ErrCommit, err)
	}
	return crashes, true, nil
}

// move is the checkpoint that says what a frontier does.
func (o *outbox) move(f frontier) checkpoint.Move {
	kept, pending := f.checkpoint(o.win.at)
	m := checkpoint.Move{Scanned: kept.scanned, Delivered: kept.delivered, Pending: pending, Clean: o.clean}
	event := o.guard.event
	if entry := o.list.at[event]; event > o.win.at.scanned || f.has(event) || entry != nil && entry.Replaying {
		o.guard.stamp(&m)
	}
	return m
}

// present is the checkpoint that says what is done now.
func (o *outbox) present() checkpoint.Move { return o.move(o.win.done) }
