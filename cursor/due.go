package cursor

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Scheduled is a reaction, and when it is written: at once where Due is the zero time.
type Scheduled struct {
	Due      time.Time
	Proposal store.Proposal
}

// NewChain is how much later an event must be due to begin a chain of depth 1, see
// [Batch.Schedule].
const NewChain = time.Second

// timed is one that a batch has staged.
type timed struct {
	event int // that it is a reaction to
	at    Scheduled
	side  store.SideWrite // that keeps it until then
}

// Now is the time of the store, by which [Batch.Schedule] goes; in a batch made by hand it is that
// of Events[i].
func (b *Batch) Now(i int) time.Time {
	if b.own.st == nil {
		return b.events[i].Time.Time()
	}
	return b.own.st.Now()
}

// Schedule stages an event that is written when a time has come: at once where it has. Until then
// it is kept in the log, beside the checkpoint, in the commit of the reactions to Events[i]; like
// them it is dropped where the handler fails. It is written once, whatever crashes, in a commit
// with the checkpoint: by the owner that the worker has then, as a reaction to Events[i], in the
// order of the times, and never before its time by store.Store.Now. A worker that is paused, halted
// or not running writes it late, when it runs again.
//
// It begins a chain of depth 1, so that what repeats itself, once a month say, meets no limit of
// depth; but what is due within a second is one step deeper than Events[i], as any reaction. The
// payload is encoded here. Errors: [ErrNoCheckpoint]; [store.ErrInvalid] for what the
// store would refuse, an expectation, which no later time can be asked for, and more than a side
// value can have with its envelope, 1 MiB. An event that a gate denies when its time has come is
// not written; an audit event says so. It panics when there is no Events[i].
func (b *Batch) Schedule(i int, due time.Time, p store.Proposal) error {
	encoded, err := b.encode(i, p)
	switch {
	case err != nil:
		return err
	case b.own.st != nil && b.own.ownership == Ownership{}:
		return ErrNoCheckpoint
	case p.Expect != store.Any:
		return &store.InvalidError{Field: "Expect", Rule: "excludes a time", Value: p.Expect}
	}
	if due.Sub(b.Now(i)) >= NewChain {
		encoded.Causation.Depth = 1
	}
	k := b.keeps()
	s := timed{event: i, at: Scheduled{Due: due, Proposal: p}}
	if s.side, err = b.own.keepDue(due, encoded, b.events[i].Position, k.scheduledFor(i)); err != nil || b.muted(i) {
		return err
	}
	k.scheduled = slices.Insert(k.scheduled, k.firstScheduled(i+1), s)
	return nil
}

// StagedFor returns the reactions to Events[i]: those that would be committed with it, then those
// that would be scheduled.
func (b *Batch) StagedFor(i int) (list []Scheduled) {
	for _, p := range b.stagedIn(i, i+1) {
		list = append(list, Scheduled{Proposal: p})
	}
	if b.staged == nil || b.staged.kept == nil {
		return list
	}
	k := b.staged.kept
	for _, s := range k.scheduled[k.firstScheduled(i):k.firstScheduled(i+1)] {
		list = append(list, s.at)
	}
	return list
}

// firstScheduled is the index of the first that is scheduled for an event or a later one.
func (k *kept) firstScheduled(event int) int {
	i, _ := slices.BinarySearchFunc(k.scheduled, event, func(s timed, event int) int { return cmp.Compare(s.event, event) })
	return i
}

// scheduledFor is how many are scheduled for an event.
func (k *kept) scheduledFor(event int) int {
	return k.firstScheduled(event+1) - k.firstScheduled(event)
}

// dueEvent is a scheduled event in the log.
type dueEvent struct {
	Entity      string            `json:"entity"`
	Scope       string            `json:"scope"`
	Kind        string            `json:"kind"`
	Codec       string            `json:"codec"`
	Schema      uint16            `json:"schema,omitempty"`
	Data        []byte            `json:"data"`
	Headers     map[string]string `json:"headers,omitempty"`
	Meta        map[string]string `json:"meta,omitempty"`
	Bypass      string            `json:"bypass,omitempty"`
	Cause       uuid.UUID         `json:"cause"`
	Correlation uuid.UUID         `json:"correlation"`
	Depth       uint32            `json:"depth"`
}

// keepDue returns the side write that keeps an encoded reaction to an event until a time. The key
// has the time first, in milliseconds, so that keys ascend by it, and a number among those of the
// event; it ends as the key of each side value does that is about an event, see store.Erasure:
//
//	due/NAME/TIME/NUMBER/POSITION
func (o *batchOwner) keepDue(due time.Time, p store.Proposal, event store.Position, n int) (store.SideWrite, error) {
	raw, _ := p.Payload.(store.Raw)
	value, err := json.Marshal(dueEvent{
		Entity: p.At.Entity, Scope: p.At.Scope, Kind: raw.Type, Codec: raw.Codec, Schema: raw.SchemaVersion, Data: raw.Data,
		Headers: p.Headers, Meta: p.Meta, Bypass: p.Bypass, Cause: p.Causation.Cause, Correlation: p.Causation.Correlation,
		Depth: p.Causation.Depth,
	})
	if err != nil {
		return store.SideWrite{}, err
	}
	if n >= MaxReactions {
		return store.SideWrite{}, &store.InvalidError{Field: "reactions", Limit: MaxReactions, Value: int64(n + 1)}
	}
	w := store.SideWrite{
		Key:   fmt.Sprintf("%s%04x/%016x", dueKey(o.ownership.FirstName, milliseconds(due)), n, uint64(event)),
		Value: value,
	}
	return w, w.Validate()
}

// milliseconds is the first full millisecond that is not before a time.
func milliseconds(t time.Time) uint64 { return uint64(max(0, t.Add(time.Millisecond-1).UnixMilli())) }

// dueKey begins the keys of all that is due in a millisecond.
func dueKey(first checkpoint.ID, ms uint64) string {
	return fmt.Sprintf("%s%016x/", checkpoint.DuePrefix(first), ms)
}

// splitDue returns the time and the event in the key of a scheduled event.
func splitDue(first checkpoint.ID, key string) (due time.Time, event store.Position, ok bool) {
	parts := strings.Split(strings.TrimPrefix(key, checkpoint.DuePrefix(first)), "/")
	if len(parts) != 3 {
		return time.Time{}, 0, false
	}
	ms, err := strconv.ParseUint(parts[0], 16, 63)
	p, bad := strconv.ParseUint(parts[2], 16, 64)
	return time.UnixMilli(int64(ms)).UTC(), store.Position(p), err == nil && bad == nil
}

// proposal is the event as it is written now.
func (d *dueEvent) proposal(by *store.Emitter) store.Proposal {
	return store.Proposal{
		At:        store.At(d.Entity, d.Scope),
		Payload:   store.Raw{Type: d.Kind, Codec: d.Codec, SchemaVersion: d.Schema, Data: d.Data},
		Headers:   maps.Clone(d.Headers),
		Meta:      maps.Clone(d.Meta),
		Causation: store.Causation{Cause: d.Cause, Correlation: d.Correlation, Depth: d.Depth},
		Emitter:   by,
		Bypass:    d.Bypass,
	}
}

// alarm is when the first scheduled event is due.
type alarm struct {
	own  *owner
	next *time.Time // not after that; nil for none, as in most workers
}

// maxRing is how many events that are due are written at a time, so that ordinary ones go on
// meanwhile.
const maxRing = 256

// load looks for the first one in the log.
func (a *alarm) load() error {
	a.next = nil
	if a.own.lease == nil {
		return nil
	}
	first := a.own.batches.ownership.FirstName
	for side, err := range a.own.st.SideRange(checkpoint.DuePrefix(first), dueKey(first, 1<<63), 1) {
		if err != nil && !errors.Is(err, store.ErrCorrupt) { // one that is damaged is met when it is due
			return fmt.Errorf("scheduled events: %w", err)
		}
		if due, _, _ := splitDue(first, side.Key); !due.IsZero() {
			a.next = &due
		}
	}
	return nil
}

// scheduled takes in what a task has scheduled, and is written.
func (a *alarm) scheduled(t *Task) {
	if t.batch.staged == nil || t.batch.staged.kept == nil {
		return
	}
	for _, s := range t.batch.staged.kept.scheduled {
		if due := time.UnixMilli(int64(milliseconds(s.at.Due))).UTC(); a.next == nil || due.Before(*a.next) {
			a.next = &due
		}
	}
}

// ringing are events that are due.
type ringing struct {
	event store.Position
	write store.Proposal
	side  store.SideWrite // that removes it
}

// due returns the first of those that are due.
func (a *alarm) due(now time.Time) (list []ringing, err error) {
	first := a.own.batches.ownership.FirstName
	after := dueKey(first, uint64(max(0, now.UnixMilli()))+1)
	for side, err := range a.own.st.SideRange(checkpoint.DuePrefix(first), after, maxRing) {
		var d dueEvent
		if err == nil {
			err = json.Unmarshal(side.Value, &d)
		}
		_, event, ok := splitDue(first, side.Key)
		if err != nil || !ok {
			return nil, fmt.Errorf("scheduled event %q: %w", side.Key, cmp.Or(err, checkpoint.ErrCorrupt))
		}
		list = append(list, ringing{
			event: event, write: d.proposal(a.own.batches.emitter),
			side: store.SideWrite{Key: side.Key, Delete: true, Expect: store.Exactly(side.Revision)},
		})
	}
	return list, nil
}

// Due returns when [Ring] has something to write, or looks whether it has; zero where nothing is
// scheduled. It costs nothing.
func Due(r *Runner) time.Time {
	if r.alarm.next == nil {
		return time.Time{}
	}
	return *r.alarm.next
}

// Ring writes the scheduled events that are due, up to some hundreds of them, and returns how many.
// Tasks may be in flight, but no submission. Once begun it is not cut short by ctx. After an error
// they are still to be written.
func Ring(ctx context.Context, r *Runner, now time.Time) (int, error) {
	if err := refresh(ctx, r); err != nil {
		return 0, err
	}
	if r.alarm.next == nil || r.alarm.next.After(now) {
		return 0, nil
	}
	list, err := r.alarm.due(now)
	if err != nil {
		return 0, r.own.wrap("ring", err)
	}
	if err := r.out.ring(ctx, list); err != nil {
		return 0, r.own.failed(ErrCommit, err)
	}
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
func (o *outbox) ring(ctx context.Context, list []ringing) error {
	if len(list) == 0 {
		return nil
	}
	var b store.Batch
	for _, one := range list {
		b.Events, b.Sides = append(b.Events, one.write), append(b.Sides, one.side)
	}
	err := o.write(ctx, b, nil)
	switch n := len(list); {
	case err == nil || !refused(err):
		return err
	case n > 1:
		if err := o.ring(ctx, list[:n/2]); err != nil {
			return err
		}
		return o.ring(ctx, list[n/2:])
	case errors.Is(err, store.ErrConflict):
		if isLost(err, list[0].side.Key) { // an erasure removed it
			return nil
		}
		return err // of a condition that a gate has added: the next try is judged again
	}
	one := list[0]
	skipped := o.own.audited(nil, checkpoint.AuditSkipped, checkpoint.Audit{
		Position: one.event, Error: checkpoint.Clip("scheduled event is refused: " + o.own.capture(err).Error()),
	})
	skipped.Causation = one.write.Causation
	return o.write(ctx, store.Batch{Events: []store.Proposal{skipped}, Sides: []store.SideWrite{one.side}}, nil)
}
