package cursor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// alarm is when the first scheduled event is due.
type alarm struct {
	*shared
	bell *bell // nil where nothing was ever scheduled, as in most workers
}

// bell is what is known of scheduled events: of those that are not written, and of those that were
// since the worker had handled nearly all of them. The log has the latter before whatever comes
// then, and the worker handles it after them: so however many are overdue, there are maxRing of
// them at a time.
type bell struct {
	next time.Time // the first is due; zero for none

	rang int
	upTo store.Position
	wait time.Time // until then, where they are not handled
}

// maxRing is how many events that are due are written at a time, and how many before the worker has
// handled nearly all of them.
const maxRing = 128

// ringWait is after how long maxRing more are written though the worker has not handled those
// before: others may wait for them.
const ringWait = 100 * time.Millisecond

// expect takes in when an event is due.
func (a *alarm) expect(due time.Time) {
	if a.bell == nil {
		a.bell = new(bell)
	}
	if a.bell.next.IsZero() || due.Before(a.bell.next) {
		a.bell.next = due
	}
}

// look is load after an erasure, which may have scheduled something. What it cannot read [Ring]
// meets, at once.
func (a *alarm) look() {
	if err := a.load(); err != nil {
		a.expect(a.own.st.Now())
	}
}

// handled reports whether nearly all that was written is.
func (a *alarm) handled() bool {
	return a.win.at.scanned >= a.bell.upTo && len(a.win.done.undone) <= maxRing/2
}

// wrote takes in what was written.
func (a *alarm) wrote(n int, now time.Time) {
	b := a.bell
	if a.handled() || b.rang >= maxRing {
		b.rang = 0
	}
	b.rang += n
	b.upTo, b.wait = a.own.st.Head(), now.Add(ringWait)
}

// maxRingBytes is from how much of them on no more are: each may have a mebibyte.
const maxRingBytes = 4 << 20

// load looks for the first one in the log.
func (a *alarm) load() error {
	if a.bell != nil {
		a.bell.next = time.Time{}
	}
	if a.own.lease == nil {
		return nil
	}
	first := a.own.batches.ownership.FirstName
	for side, err := range a.own.st.SideRange(checkpoint.DuePrefix(first), dueKey(first, 1<<63), 0) {
		if err != nil && !errors.Is(err, store.ErrCorrupt) { // one that is damaged is met when it is due
			return fmt.Errorf("scheduled events: %w", err)
		}
		if due, _, ok := ticketIn(first, side.Key).split(); ok {
			a.expect(due)
			break
		}
	}
	return nil
}

// scheduled takes in what a task has scheduled, and is written.
func (a *alarm) scheduled(t *Task) {
	if t.batch.staged == nil || t.batch.staged.kept == nil {
		return
	}
	first := a.own.batches.ownership.FirstName
	for _, v := range t.batch.staged.kept.due.order {
		if value, _ := v.after(t.committed - 1); value == nil { // taken back
			continue
		}
		a.expect(ticketIn(first, v.key).Due())
	}
}

// ringing are events that are due.
type ringing struct {
	event store.Position
	write store.Proposal
	side  store.SideWrite // that removes it
}

// due returns the first of those that are due. In place of one that is not written there is an
// audit event that says why.
func (a *alarm) due(ctx context.Context, now time.Time) (list []ringing, err error) {
	first, bytes := a.own.batches.ownership.FirstName, 0
	after := dueKey(first, uint64(max(0, now.UnixMilli()))+1)
	for side, err := range a.own.st.SideRange(checkpoint.DuePrefix(first), after, maxRing) {
		if err != nil && !errors.Is(err, store.ErrCorrupt) {
			return nil, fmt.Errorf("scheduled event %q: %w", side.Key, err)
		}
		one := ringing{side: store.SideWrite{Key: side.Key, Delete: true, Expect: store.Exactly(side.Revision)}}
		one.event, one.write = a.written(ctx, side, err)
		list = append(list, one)
		if bytes += len(side.Value); bytes >= maxRingBytes {
			break
		}
	}
	return list, nil
}

// written is what is written of a side value that is due, and the event that it is a reaction to: 0
// where the key does not say. damage is the error of a value that cannot be read. Only one that is
// due halts nothing: all others go on.
func (a *alarm) written(ctx context.Context, side store.SideValue, damage error) (store.Position, store.Proposal) {
	ticket := ticketIn(a.own.batches.ownership.FirstName, side.Key)
	_, event, _ := ticket.split()
	d, err := readDue(ticket, side, damage)
	if err != nil {
		return event, a.own.unrung(event, store.Causation{}, fmt.Sprintf("cannot be read: %v", a.own.capture(err)))
	}
	p := d.proposal(a.own.batches.emitter)
	if !d.Erased && !d.Lasts && a.own.erased(context.WithoutCancel(ctx), event) {
		return event, a.own.unrung(event, p.Causation, "was made from an event that is erased")
	}
	return event, p
}

// unrung is the audit event of a scheduled event that is not written.
func (o *owner) unrung(event store.Position, of store.Causation, why string) store.Proposal {
	p := o.audited(nil, checkpoint.AuditSkipped, checkpoint.Audit{
		Position: event, Error: checkpoint.Clip("scheduled event " + why),
	})
	p.Causation = of
	return p
}

// Due returns when [Ring] has something to write, or looks whether it has; zero where nothing is
// scheduled. It is later while the worker has not handled what was written. It costs nothing.
func Due(r *Runner) time.Time {
	a, b := &r.alarm, r.alarm.bell
	switch {
	case b == nil:
		return time.Time{}
	case !b.next.IsZero() && b.rang >= maxRing && b.wait.After(b.next) && !a.handled():
		return b.wait
	}
	return b.next
}

// Ring writes the scheduled events that are due, up to a hundred of them or some MiB, and returns
// how many it is done with. Tasks may be in flight, but no submission. Once begun it is not cut
// short by ctx. After an error they are still to be written.
func Ring(ctx context.Context, r *Runner, now time.Time) (int, error) {
	if err := refresh(ctx, r); err != nil {
		return 0, err
	}
	if b := r.alarm.bell; b == nil || b.next.IsZero() || b.next.After(now) {
		return 0, nil
	}
	var list []ringing
	var unread error
	err := r.out.unlessErased(ctx, func(c store.Condition) error {
		if list, unread = r.alarm.due(ctx, now); unread != nil {
			return unread
		}
		return r.out.ring(ctx, list, c)
	})
	if unread != nil {
		return 0, r.own.wrap("ring", unread)
	}
	if err != nil {
		return 0, r.own.failed(ErrCommit, err)
	}
	r.alarm.wrote(len(list), now)
	if err := r.alarm.load(); err != nil {
		return len(list), r.own.wrap("ring", err)
	}
	return len(list), nil
}

// isLost reports whether a commit was refused because a side value has changed.
func isLost(err error, key string) bool {
	var conflict *store.ConflictError
	return errors.As(err, &conflict) && conflict.SideKey == key
}

// ring writes events that are due, and that they are not kept any more. What is refused is found by
// halves: one that was removed meanwhile is none any more, and one that the store does not take is
// recorded.
func (o *outbox) ring(ctx context.Context, list []ringing, unlessErased store.Condition) error {
	if len(list) == 0 {
		return nil
	}
	b := store.Batch{
		Events: make([]store.Proposal, 0, len(list)), Sides: make([]store.SideWrite, 0, len(list)),
		Conditions: []store.Condition{unlessErased},
	}
	for _, one := range list {
		b.Events, b.Sides = append(b.Events, one.write), append(b.Sides, one.side)
	}
	err := o.write(ctx, b, nil)
	switch n := len(list); {
	case err == nil || !refused(err) || isErasure(err, unlessErased):
		return err
	case n > 1:
		if err := o.ring(ctx, list[:n/2], unlessErased); err != nil {
			return err
		}
		return o.ring(ctx, list[n/2:], unlessErased)
	case errors.Is(err, store.ErrConflict):
		if isLost(err, list[0].side.Key) { // an erasure removed it
			return nil
		}
		return err // of a condition that a gate has added: the next try is judged again
	}
	one := list[0]
	skipped := o.own.unrung(one.event, one.write.Causation, "is refused: "+o.own.capture(err).Error())
	b.Events[0] = skipped
	return o.write(ctx, b, nil)
}
