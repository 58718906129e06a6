package cursor

import (
	"cmp"
	"encoding/json"
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
	k := b.keeps()
	if due.Sub(k.asked(b, i)) >= NewChain {
		encoded.Causation.Depth = 1
	}
	s := timed{event: i, at: Scheduled{Due: due, Proposal: p}}
	if s.side, err = b.own.keepDue(due, encoded, &b.events[i], k.scheduledFor(i)); err != nil || b.muted(i) {
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
	Erased      bool              `json:"erased,omitempty"` // the event that it is a reaction to was, when it was handled
}

// keepDue returns the side write that keeps an encoded reaction to an event until a time. The key
// has the time first, in milliseconds, so that keys ascend by it, and a number among those of the
// event; it ends as the key of each side value does that is about an event, see store.Erasure:
//
//	due/NAME/TIME/NUMBER/POSITION
func (o *batchOwner) keepDue(due time.Time, p store.Proposal, event *store.Event, n int) (store.SideWrite, error) {
	raw, _ := p.Payload.(store.Raw)
	_, erased := event.Erased()
	value, err := json.Marshal(dueEvent{
		Entity: p.At.Entity, Scope: p.At.Scope, Kind: raw.Type, Codec: raw.Codec, Schema: raw.SchemaVersion, Data: raw.Data,
		Headers: p.Headers, Meta: p.Meta, Bypass: p.Bypass, Cause: p.Causation.Cause, Correlation: p.Causation.Correlation,
		Depth: p.Causation.Depth, Erased: erased,
	})
	if err != nil {
		return store.SideWrite{}, err
	}
	if n >= MaxReactions {
		return store.SideWrite{}, &store.InvalidError{Field: "reactions", Limit: MaxReactions, Value: int64(n + 1)}
	}
	w := store.SideWrite{
		Key:   fmt.Sprintf("%s%04x/%016x", dueKey(o.ownership.FirstName, milliseconds(due)), n, uint64(event.Position)),
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
