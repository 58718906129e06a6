package cursor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/fields"
	"github.com/penstock-io/penstock/store"
)

// NewChain is how much later an event must be due to begin a chain of depth 1, see
// [Batch.Schedule].
const NewChain = time.Second

// timed is one that a batch has staged.
type timed struct {
	event int // that it is a reaction to
	at    Scheduled
}

// Now is the time of the store; in a batch made by hand it is that of Events[i]. [Batch.Schedule]
// goes by what it has returned last for an event, so that what is due in a second from Now is.
func (b *Batch) Now(i int) time.Time {
	if b.own.st == nil {
		return b.events[i].Time.Time()
	}
	k := b.keeps()
	k.now, k.nowOf = b.own.st.Now(), i
	return k.now
}

// asked is what Now has returned last for an event, or else returns.
func (k *kept) asked(b *Batch, i int) time.Time {
	if !k.now.IsZero() && k.nowOf == i {
		return k.now
	}
	return b.Now(i)
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
// value can have with its envelope, 1 MiB. When its time has come it is not written where a gate
// denies it, where it cannot be read any more, and where Events[i] was erased after it was handled;
// an audit event says so. It panics when there is no Events[i].
//
// The ticket takes it back, see [Batch.Unschedule]. It depends on nothing but the time, the event
// and what was scheduled for it before, and a rewind that drops reactions returns one, too.
func (b *Batch) Schedule(i int, due time.Time, p store.Proposal) (Ticket, error) {
	encoded, err := b.encode(i, p)
	switch {
	case err != nil:
		return "", err
	case b.own.timeless():
		return "", ErrNoCheckpoint
	case p.Expect != store.Any:
		return "", &store.InvalidError{Field: "Expect", Rule: "excludes a time", Value: p.Expect}
	}
	k := b.keeps()
	if due.Sub(k.asked(b, i)) >= NewChain {
		encoded.Causation.Depth = 1
	}
	n := k.scheduledFor(i)
	if n >= MaxReactions {
		return "", &store.InvalidError{Field: "reactions", Limit: MaxReactions, Value: int64(n + 1)}
	}
	e := &b.events[i]
	s := timed{event: i, at: Scheduled{Due: due, Ticket: ticketOf(due, n, e.Position), Event: e.Position, Proposal: p}}
	side, err := b.own.keepDue(s.at.Ticket, encoded, e)
	if err != nil {
		return "", err
	}
	if !b.muted(i) {
		k.due.of(side.Key).put(i, side.Value)
	}
	k.scheduled = slices.Insert(k.scheduled, k.firstScheduled(i+1), s)
	return s.at.Ticket, nil
}

// Remind returns the side write that has a worker write an event when a time has come, as it does
// what it has scheduled itself: for a commit beside the worker that leaves it something to do, such
// as an erasure of what it keeps. first is the first name of its checkpoint, about the event that
// it counts as a reaction to; the text of p must say nothing of that, as it is written also where
// that is erased. There is one for each time and event. A worker that runs learns of it where the
// commit is that of an erasure, else when it writes one of its own, or starts.
//
// Errors are those of [Batch.Schedule] for what the store would refuse.
func Remind(first checkpoint.ID, due time.Time, about *store.Event, p store.Proposal) (store.SideWrite, error) {
	p.Causation, p.Emitter = about.Causation(), nil
	p.Causation.Depth = 1
	encoded, err := p.Encode()
	if err != nil {
		return store.SideWrite{}, err
	}
	own := batchOwner{ownership: Ownership{FirstName: first}, lasting: true}
	return own.keepDue(ticketOf(due, MaxReactions, about.Position), encoded, about) // behind all of its own
}

// Unschedule stages that an event which was scheduled is not written: by an event of this batch, or
// of any former one of the worker. It is taken back in the commit of the reactions to Events[i],
// and like them that is dropped where the handler fails. What was written before it stays, and
// taking it back is nothing, as is taking back twice, and the ticket "". So a handler may meet what
// it took back: it was written between the last commit and this one.
//
// Errors: [ErrNoCheckpoint]; a [store.InvalidError] for a ticket that [Batch.Schedule] never
// returned. It panics when there is no Events[i].
func (b *Batch) Unschedule(i int, t Ticket) error {
	_ = b.events[i]
	switch _, _, known := t.split(); {
	case b.own.timeless():
		return ErrNoCheckpoint
	case t != "" && !known:
		return &store.InvalidError{Field: "ticket", Rule: "was not returned by Schedule", Value: string(t)}
	case t != "" && !b.muted(i):
		b.keeps().due.of(b.own.dueSide(t)).put(i, nil)
	}
	return nil
}

// timeless reports whether there is no checkpoint beside which something could be scheduled.
func (o *batchOwner) timeless() bool { return o.st != nil && o.ownership == Ownership{} }

// dueSide is the key of the side value of what a ticket is for.
func (o *batchOwner) dueSide(t Ticket) string {
	return checkpoint.DuePrefix(o.ownership.FirstName) + string(t)
}

// StagedFor returns the reactions to Events[i]: those that would be committed with it, then those
// that would be scheduled. What later events of the batch take back is among them.
func (b *Batch) StagedFor(i int) (list []Scheduled) {
	for _, p := range stagedIn(b, i, i+1) {
		list = append(list, Scheduled{Event: b.events[i].Position, Proposal: p})
	}
	if b.staged == nil || b.staged.kept == nil {
		return list
	}
	k := b.staged.kept
	for _, s := range k.scheduled[k.firstScheduled(i):k.firstScheduled(i+1)] {
		if value, _ := k.due.of(b.own.dueSide(s.at.Ticket)).after(i); value != nil {
			list = append(list, s.at)
		}
	}
	return list
}

// Unscheduled returns what Events[i] takes back.
func (b *Batch) Unscheduled(i int) (list []Ticket) {
	if b.staged == nil || b.staged.kept == nil {
		return nil
	}
	for _, v := range b.staged.kept.due.order {
		if value, _ := v.after(i); value == nil && v.within(i, i+1) {
			list = append(list, ticketIn(b.own.ownership.FirstName, v.key))
		}
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
	Entity, Scope string
	Kind, Codec   string
	Schema        uint16
	Data          []byte
	Headers, Meta map[string]string
	Bypass        string
	Cause         uuid.UUID
	Correlation   uuid.UUID
	Depth         uint32
	Erased        bool // the event that it is a reaction to was, when it was handled
	Lasts         bool // it says nothing of that event, and is written though that is erased
}

// encode returns it as it is kept.
func (d *dueEvent) encode() []byte {
	const envelope = 256
	first := checkpoint.DueOrdinary
	if d.Lasts {
		first = checkpoint.DueLasting
	}
	return fields.Write(append(make([]byte, 0, envelope+len(d.Data)), first), d.fields)
}

// decodeDue reads what is kept. Its data is part of that.
func decodeDue(kept []byte) (d dueEvent, err error) {
	if len(kept) == 0 || kept[0] != checkpoint.DueOrdinary && kept[0] != checkpoint.DueLasting {
		return d, fmt.Errorf("%w: it begins with %.1q", checkpoint.ErrCorrupt, kept)
	}
	d.Lasts = kept[0] == checkpoint.DueLasting
	if err := fields.Read(kept[1:], d.fields); err != nil {
		return d, fmt.Errorf("%w: %w", checkpoint.ErrCorrupt, err)
	}
	return d, nil
}

// fields are those of a scheduled event. Their numbers are in the log: none is given again.
func (d *dueEvent) fields(c *fields.Coder) {
	fields.Text(c, 1, &d.Entity)
	fields.Text(c, 2, &d.Scope)
	fields.Text(c, 3, &d.Kind)
	fields.Text(c, 4, &d.Codec)
	fields.Number(c, 5, &d.Schema)
	fields.Text(c, 6, &d.Data)
	fields.Map(c, 7, &d.Headers)
	fields.Map(c, 8, &d.Meta)
	fields.Text(c, 9, &d.Bypass)
	idField(c, 10, &d.Cause)
	idField(c, 11, &d.Correlation)
	fields.Number(c, 12, &d.Depth)
	c.Flag(13, &d.Erased)
}

func idField(c *fields.Coder, tag byte, id *uuid.UUID) {
	var text []byte
	if !c.Reads() && *id != uuid.Nil {
		text = id[:]
	}
	if fields.Text(c, tag, &text); c.Reads() && len(text) > 0 && copy(id[:], text) < len(text) {
		c.Fail("an id of %d bytes", len(text))
	}
}

// keepDue returns the side write that keeps an encoded reaction to an event until it is due. Its
// key is the ticket's:
//
//	due/NAME/TIME/NUMBER/POSITION
func (o *batchOwner) keepDue(t Ticket, p store.Proposal, event *store.Event) (store.SideWrite, error) {
	raw, _ := p.Payload.(store.Raw)
	_, erased := event.Erased()
	d := dueEvent{
		Entity: p.At.Entity, Scope: p.At.Scope, Kind: raw.Type, Codec: raw.Codec, Schema: raw.SchemaVersion, Data: raw.Data,
		Headers: p.Headers, Meta: p.Meta, Bypass: p.Bypass, Cause: p.Causation.Cause, Correlation: p.Causation.Correlation,
		Depth: p.Causation.Depth, Erased: erased, Lasts: o.lasting,
	}
	w := store.SideWrite{Key: o.dueSide(t), Value: d.encode()}
	return w, w.Validate()
}

// milliseconds is the first full millisecond that is not before a time.
func milliseconds(t time.Time) uint64 { return uint64(max(0, t.Add(time.Millisecond-1).UnixMilli())) }

// dueKey begins the keys of all that is due in a millisecond.
func dueKey(first checkpoint.ID, ms uint64) string {
	return fmt.Sprintf("%s%016x/", checkpoint.DuePrefix(first), ms)
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
