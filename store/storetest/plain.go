package storetest

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// plainLog is what a log means: slices and maps. It is a value: step returns the next one and
// changes nothing, so that any number may continue from one.
type plainLog struct {
	events   []plainEvent              // by position
	gone     store.Position            // of the last one that was dropped, 0 for none
	unknown  map[string]store.Position // of the last event of an entity that nothing is known of any more
	sides    map[string]store.SideValue
	keys     map[string]plainKey // but for those of cancelled fences
	fences   map[int]fenceState  // that have ended; others are open
	origin   store.Origin
	sequence uint64 // of the last commit
	mode     store.SyncMode
	durable  bool // no crash may take back what led here
}

type plainEvent struct {
	store.Recorded
	store.Proposal

	fence  int // that it is staged in, 0 for none
	erased bool
}

type plainKey struct {
	content string
	receipt store.Receipt
	fence   int
	erased  bool // an event of it
	may     bool // be unknown, as its events were dropped
}

type fenceState uint8

const (
	fenceOpen fenceState = iota
	fencePublished
	fenceCancelled
)

// deed is what a caller does.
type deed uint8

const (
	doCommit deed = iota // in a fence, if the call has one
	doPublish
	doCancel
	askHead
	askVersion
	askSide
)

// call is one call of a caller.
type call struct {
	do    deed
	batch store.Batch
	fence int    // its number, from 1
	name  string // of the entity or the side key
}

// answer is what the caller got.
type answer struct {
	receipt store.Receipt
	err     error
	number  uint64 // head or version
	side    store.SideValue
}

func emptyLog(origin store.Origin) *plainLog { return &plainLog{origin: origin, durable: true} }

// step returns the log after a call that got this answer, or why it could not get it.
func (l *plainLog) step(c *call, a *answer) (*plainLog, error) {
	switch c.do {
	case doCommit:
		return l.commit(c, a)
	case doPublish, doCancel:
		return l.end(c, a)
	case askHead:
		return l, differs("head", uint64(l.head()), a.number, a.err)
	case askVersion:
		return l, differs("version", l.version(c.name), a.number, a.err)
	case askSide:
		want := l.sides[c.name]
		if len(want.Value)+len(a.side.Value) == 0 { // nil or empty
			want.Value = a.side.Value
		}
		return l, differs("side value", want, a.side, a.err)
	default:
		return nil, fmt.Errorf("there is no deed %d", c.do)
	}
}

func differs(what string, want, got any, err error) error {
	if err == nil && reflect.DeepEqual(want, got) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: want %v, got %v", what, want, got)
}

// commit decides what a batch must be answered with. Where several things speak against it any of
// them may be named, but the key is looked at first.
func (l *plainLog) commit(c *call, a *answer) (*plainLog, error) {
	if err, over := map[fenceState]error{fencePublished: store.ErrFenceEnded, fenceCancelled: store.ErrFenceCancelled}[l.fences[c.fence]]; over {
		return l, l.oneOf([]error{err}, a.err)
	}
	if use, known := l.keys[c.batch.IdempotencyKey]; known {
		if err := l.repeated(c, a, use); err == nil || !use.may {
			return l, err
		}
	}
	if refusals := l.refusals(c); len(refusals) > 0 {
		return l, l.oneOf(refusals, a.err)
	}
	if a.err != nil {
		return nil, fmt.Errorf("nothing speaks against it: %w", a.err)
	}
	return l.accept(c, &a.receipt)
}

// repeated decides what a key that is in use is answered with.
func (l *plainLog) repeated(c *call, a *answer, use plainKey) error {
	key := c.batch.IdempotencyKey
	switch {
	case use.fence != c.fence && l.isOpen(use.fence):
		return l.oneOf([]error{&store.ReservedError{IdempotencyKey: key, Reason: fenceReason}}, a.err)
	case use.erased || use.content != content(&c.batch):
		return l.oneOf([]error{&store.IdempotencyKeyReusedError{
			Key: key, Sequence: use.receipt.Sequence, Position: use.receipt.Events[0].Position, Erased: use.erased,
		}}, a.err)
	case a.err != nil:
		return fmt.Errorf("a repeated commit: %w", a.err)
	case !a.receipt.Duplicate:
		return errors.New("the receipt does not say that the key is known")
	case a.receipt.Sequence != use.receipt.Sequence || !slices.Equal(a.receipt.Events, use.receipt.Events):
		return fmt.Errorf("the receipt of a repeated commit: want %+v, got %+v", use.receipt, a.receipt)
	}
	return nil
}

// oneOf returns nil if the error is one of these, or wraps one.
func (l *plainLog) oneOf(refusals []error, err error) error {
	for _, want := range refusals {
		if errors.Is(err, want) || sameError[*store.ConflictError](want, err) || sameError[*store.ReservedError](want, err) ||
			sameError[*store.IdempotencyKeyReusedError](want, err) || sameError[*store.DroppedError](want, err) {
			return nil
		}
	}
	return fmt.Errorf("want %w; got %v", errors.Join(refusals...), err) //nolint:errorlint // one of the two is wrapped
}

func sameError[E error](want, err error) bool {
	var a, b E
	return errors.As(want, &a) && errors.As(err, &b) && reflect.DeepEqual(a, b)
}

// refusals are all that speaks against a batch with a key that is not in use, or without one.
func (l *plainLog) refusals(c *call) (refusals []error) {
	ahead := make(map[string]uint64)
	for _, p := range c.batch.Events {
		entity := p.At.Entity
		if l.reserved(entity, c.fence) {
			refusals = append(refusals, &store.ReservedError{Entity: entity, Reason: fenceReason})
			continue
		}
		actual := l.assigned(entity) + ahead[entity]
		if !accepts(p.Expect, actual) {
			refusals = append(refusals, &store.ConflictError{Entity: entity, Expected: p.Expect, Actual: actual})
		}
		ahead[entity]++
	}
	for _, condition := range c.batch.Conditions {
		if err := l.dropped(condition.After + 1); err != nil { // what was there cannot be known
			refusals = append(refusals, err)
		} else if err := l.broken(condition, c.fence); err != nil {
			refusals = append(refusals, err)
		}
	}
	for _, w := range c.batch.Sides {
		if actual := l.sides[w.Key].Revision; !accepts(w.Expect, actual) {
			refusals = append(refusals, &store.ConflictError{SideKey: w.Key, Expected: w.Expect, Actual: actual})
		}
	}
	return refusals
}

func accepts(expect store.Expect, actual uint64) bool {
	return expect == store.Any || expect == store.Exactly(actual)
}

// broken returns how the first event that breaks a condition does so.
func (l *plainLog) broken(condition store.Condition, fence int) error {
	for i := range l.events {
		e := &l.events[i]
		if e.Position <= condition.After || l.fences[e.fence] == fenceCancelled || !within(condition.Region, e.outline()) {
			continue
		}
		if e.fence != fence && l.isOpen(e.fence) {
			return &store.ReservedError{Condition: &condition, Position: e.Position, Reason: fenceReason}
		}
		return &store.ConflictError{Condition: &condition, Position: e.Position}
	}
	return nil
}

// accept returns the log with a batch that nothing speaks against.
func (l *plainLog) accept(c *call, r *store.Receipt) (*plainLog, error) {
	next := *l
	next.events = slices.Clip(l.events)
	if next.durable = r.Sync == store.SyncAlways; len(c.batch.Events) > 0 { // it was not lazy
		next.mode = r.Sync
	}
	switch {
	case r.Duplicate:
		return nil, errors.New("the receipt is said to be that of another commit")
	case r.Sequence <= l.sequence:
		return nil, fmt.Errorf("sequence %d after %d", r.Sequence, l.sequence)
	case len(r.Events) != len(c.batch.Events):
		return nil, fmt.Errorf("%d events are recorded, not %d", len(r.Events), len(c.batch.Events))
	case r.Origin != l.origin:
		return nil, fmt.Errorf("the receipt is of %s, not of %s", r.Origin, l.origin)
	}
	next.sequence = r.Sequence
	for i, p := range c.batch.Events {
		e := plainEvent{Recorded: r.Events[i], Proposal: p, fence: c.fence}
		want := store.Recorded{ID: e.ID, Position: store.Position(len(next.events) + 1), Version: next.assigned(p.At.Entity) + 1}
		if e.Recorded != want || e.ID == uuid.Nil {
			return nil, fmt.Errorf("event %d of the batch is recorded as %+v, not %+v", i, e.Recorded, want)
		}
		next.events = append(next.events, e)
	}
	if len(c.batch.Sides) > 0 {
		next.sides = clone(l.sides)
		for _, w := range c.batch.Sides {
			if next.sides[w.Key] = (store.SideValue{Key: w.Key, Value: w.Value, Revision: r.Sequence}); w.Delete {
				delete(next.sides, w.Key)
			}
		}
	}
	if key := c.batch.IdempotencyKey; key != "" {
		next.keys = clone(l.keys)
		next.keys[key] = plainKey{content: content(&c.batch), receipt: *r, fence: c.fence}
	}
	return &next, nil
}

func clone[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return make(map[K]V)
	}
	return maps.Clone(m)
}

// content is what two commits with one key must agree in.
func content(b *store.Batch) string {
	var text strings.Builder
	for _, p := range b.Events {
		raw, _ := p.Payload.(store.Raw)
		fmt.Fprintf(&text, "%q %q %q %q %q %v\n", p.At.Entity, p.At.Scope, raw.Type, raw.Codec, raw.Data, p.Headers)
	}
	return text.String()
}

// end publishes or cancels a fence.
func (l *plainLog) end(c *call, a *answer) (*plainLog, error) {
	now := l.fences[c.fence]
	if now == fenceCancelled && c.do == doPublish {
		return l, l.oneOf([]error{store.ErrFenceCancelled}, a.err)
	}
	if a.err != nil {
		return nil, fmt.Errorf("the end of a fence: %w", a.err)
	}
	if now != fenceOpen {
		return l, nil
	}
	if c.do == doPublish {
		return l.ended(fencePublished, c.fence), nil
	}
	return l.ended(fenceCancelled, c.fence), nil
}

// ended returns the log after the end of some fences.
func (l *plainLog) ended(state fenceState, fences ...int) *plainLog {
	next := *l
	next.fences, next.keys = clone(l.fences), clone(l.keys)
	next.durable = l.mode == store.SyncAlways && len(l.events) > 0 // before the first event the mode is not known
	for _, fence := range fences {
		next.fences[fence] = state
	}
	maps.DeleteFunc(next.keys, func(_ string, use plainKey) bool { return next.fences[use.fence] == fenceCancelled })
	return &next
}

// String is for people who look for what went wrong.
func (c *call) String() string {
	switch c.do {
	case doPublish:
		return fmt.Sprint("publish fence ", c.fence)
	case doCancel:
		return fmt.Sprint("cancel fence ", c.fence)
	case askHead:
		return "head"
	case askVersion:
		return "version of " + c.name
	case askSide:
		return "side value " + c.name
	case doCommit:
	}
	var text strings.Builder
	text.WriteString("commit")
	if c.fence > 0 {
		fmt.Fprintf(&text, " in fence %d", c.fence)
	}
	if c.batch.IdempotencyKey != "" {
		fmt.Fprintf(&text, " with %q", c.batch.IdempotencyKey)
	}
	for _, p := range c.batch.Events {
		raw, _ := p.Payload.(store.Raw)
		fmt.Fprintf(&text, ", %s of %s (%d bytes, expecting %s)", p.Payload.Kind(), p.At, len(raw.Data), p.Expect)
	}
	for _, w := range c.batch.Sides {
		fmt.Fprintf(&text, ", side value %s (%d bytes, delete %t, expecting %s)", w.Key, len(w.Value), w.Delete, w.Expect)
	}
	for _, condition := range c.batch.Conditions {
		fmt.Fprintf(&text, ", nothing in (%s) after %d", condition.Region, condition.After)
	}
	return text.String()
}

func (a *answer) String() string {
	switch {
	case a.err != nil:
		return a.err.Error()
	case a.receipt.Sequence > 0:
		var text strings.Builder
		fmt.Fprintf(&text, "commit %d", a.receipt.Sequence)
		if a.receipt.Duplicate {
			text.WriteString(", repeated")
		}
		for _, e := range a.receipt.Events {
			fmt.Fprintf(&text, ", event %d, version %d", e.Position, e.Version)
		}
		return text.String()
	case a.side.Key != "":
		return fmt.Sprintf("%d bytes of revision %d", len(a.side.Value), a.side.Revision)
	}
	return fmt.Sprint(a.number)
}
