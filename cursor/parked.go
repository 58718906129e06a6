package cursor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

const (
	// MaxParkedKeys is for how many keys a worker sets events aside. With one more it halts: what fails that often is not
	// the events.
	MaxParkedKeys = 1000
	// MaxParked is how many events a worker sets aside and holds behind those, altogether.
	MaxParked = 10_000
)

// ErrNoCheckpoint is the error of a worker without a checkpoint that is asked to keep something.
var ErrNoCheckpoint = errors.New("cursor: worker has no checkpoint to keep it beside")

// ErrNotParked says that no event is parked at a position, or for a key.
var ErrNotParked = errors.New("cursor: not parked")

// ParkLimitError says that a worker has no room to set one more event aside.
type ParkLimitError struct {
	Worker string
	Field  string // "parked keys" or "parked events"
	Limit  int
	Event  store.Position
}

func (e *ParkLimitError) Error() string {
	return fmt.Sprintf("cursor: worker %q: no room to set event %d aside: the limit of %s is %d", e.Worker, e.Event, e.Field, e.Limit)
}

// parkedEvents is what a worker has set aside, as its side values say.
type parkedEvents struct {
	keys    map[string]*parkedKey
	at      map[store.Position]*checkpoint.Parked
	replays map[string]*parkedKey // the keys of which the first event is to be handled again
	held    int                   // events that did not fail
}

// parkedKey is what is set aside of one key: the event that failed, and those held behind it.
type parkedKey struct {
	entries []*checkpoint.Parked // ascending, but for those of a back-fill, which come last until the next runner
	queue   queue                // of those that are handled again, one stretch at a time
}

func (k *parkedKey) replaying() bool { return len(k.entries) > 0 && k.entries[0].Replaying }

// draining reports whether something is to be handled again and does not wait for a decision.
func (p *parkedEvents) draining() bool {
	for _, k := range p.replays {
		if !k.queue.blocked {
			return true
		}
	}
	return false
}

func (p *parkedEvents) add(e *checkpoint.Parked) {
	if p.keys == nil { // most workers have nothing set aside
		p.keys, p.at = make(map[string]*parkedKey), make(map[store.Position]*checkpoint.Parked)
		p.replays = make(map[string]*parkedKey)
	}
	k := p.keys[e.Key]
	if k == nil {
		k = &parkedKey{queue: queue{key: e.Key, parked: true}}
		p.keys[e.Key] = k
	}
	k.entries = append(k.entries, e)
	p.at[e.Position] = e
	if e.Held {
		p.held++
	}
	p.note(e.Key)
}

// sort puts the entries of a key in order, when its replay has not begun.
func (p *parkedEvents) sort(key string) {
	slices.SortFunc(p.keys[key].entries, func(a, b *checkpoint.Parked) int { return cmp.Compare(a.Position, b.Position) })
	p.note(key)
}

// drop removes the first n entries of a key.
func (p *parkedEvents) drop(key string, n int) {
	k := p.keys[key]
	for _, e := range k.entries[:n] {
		delete(p.at, e.Position)
		if e.Held {
			p.held--
		}
	}
	if k.entries = k.entries[n:]; len(k.entries) == 0 {
		delete(p.keys, key)
	}
	p.note(key)
}

// remove removes an entry of a key, wherever it stands.
func (p *parkedEvents) remove(e *checkpoint.Parked) {
	k := p.keys[e.Key]
	i := slices.Index(k.entries, e)
	copy(k.entries[1:i+1], k.entries[:i])
	k.entries[0] = e
	p.drop(e.Key, 1)
}

// note keeps whether a key is to be handled again, after a change.
func (p *parkedEvents) note(key string) {
	if k := p.keys[key]; k != nil && k.replaying() {
		p.replays[key] = k
	} else {
		delete(p.replays, key)
	}
}

// fail notes that the first entry of a key failed for good when it was handled again: all of them wait for another replay.
func (p *parkedEvents) fail(key string, reason error, attempts int) *parkedKey {
	k := p.keys[key]
	if k.entries[0].Held {
		p.held--
	}
	failed := k.entries[0]
	failed.Held, failed.Error, failed.Attempts, failed.Since = false, reason.Error(), attempts, time.Now()
	for _, e := range k.entries {
		e.Replaying = false
	}
	p.note(key)
	return k
}

// loadParked reads what is set aside from the side values.
func (r *Runner) loadParked() error {
	r.parked = parkedEvents{}
	for e, err := range checkpoint.ParkedEvents(r.st, r.lease.ID()) {
		if err != nil {
			return fmt.Errorf("read what is parked: %w", err)
		}
		r.parked.add(&e)
	}
	return nil
}

// Park sets an event that failed aside, and holds back what follows of its key. first is the HandlerError.First or
// CommitError.Event of the failure. It is durable with the next [Runner.Commit]. Errors: [ErrNoCheckpoint], [*ParkLimitError],
// [*KeyError], and then nothing is changed.
func (r *Runner) Park(first store.Position, reason error, attempts int) error {
	q := r.slot(first)
	switch {
	case q == nil:
		return fmt.Errorf("cursor: worker %q: park %d: %w", r.worker.Name, first, errNotFailed)
	case r.lease == nil:
		return fmt.Errorf("cursor: worker %q: park %d: %w", r.worker.Name, first, ErrNoCheckpoint)
	}
	e := q.events[0]
	if q.parked {
		r.forgive(first)
		return r.parkAgain(q, reason, attempts)
	}
	key, behind, err := r.sameKey(q)
	if err != nil {
		return err
	}
	if err := r.checkRoom(key, 1+len(behind), e.Position); err != nil {
		return err
	}
	entry := &checkpoint.Parked{
		Position: e.Position, Key: key, Error: reason.Error(), Attempts: attempts, Since: time.Now(),
	}
	entry.Replay, entry.EmitAgain = r.emitted(&e)
	r.parked.add(entry)
	if r.worker.ExternalPosition != nil {
		r.parked.sort(key)
	}
	r.extra.write(entry.Write(r.lease.ID()))
	r.extra.done = insert(r.extra.done, e.Position)
	r.audit(&e, checkpoint.Audit{
		Action: checkpoint.AuditParked, Position: e.Position, Key: key, Error: reason.Error(), Attempts: attempts,
	})
	r.forgive(first)
	r.pop(q, 1)
	r.release(q)
	r.holdBehind(q, key, behind)
	return nil
}

// forgive forgets how often the process died at an event about which it is decided now.
func (r *Runner) forgive(event store.Position) {
	if r.trying == event {
		r.trying, r.tries = 0, 0
	}
}

var errNotFailed = errors.New("the event has not failed")

// insert keeps the list ascending.
func insert(list []store.Position, p store.Position) []store.Position {
	i, _ := slices.BinarySearch(list, p)
	return slices.Insert(list, i, p)
}

// sameKey gives the key of the first event of a queue, and which of the others have it too, ascending.
func (r *Runner) sameKey(q *queue) (key string, behind []store.Position, err error) {
	if key, err = r.keyOf(&q.events[0]); err != nil {
		return "", nil, err
	}
	for i := range q.events[1:] {
		e := &q.events[1+i]
		k, err := r.keyOf(e)
		if err != nil {
			return "", nil, err
		}
		if k == key {
			behind = append(behind, e.Position)
		}
	}
	return key, behind, nil
}

// holdBehind takes the given events out of a queue and holds them behind those of their key.
func (r *Runner) holdBehind(q *queue, key string, behind []store.Position) {
	var rest []store.Event
	for i := range q.events {
		e := &q.events[i]
		if len(behind) == 0 || behind[0] != e.Position {
			rest = append(rest, *e)
			continue
		}
		behind = behind[1:]
		r.bytes -= len(e.Payload)
		r.hold(key, e)
	}
	q.events = rest
	r.forget(q)
}

// hold keeps an event behind those of its key that are set aside: there is room. If these are being handled again, it follows
// them.
func (r *Runner) hold(key string, e *store.Event) {
	entry := &checkpoint.Parked{
		Position: e.Position, Key: key, Held: true, Replaying: r.parked.keys[key].replaying(), Since: time.Now(),
	}
	entry.Replay, entry.EmitAgain = r.emitted(e)
	r.parked.add(entry)
	r.extra.write(entry.Write(r.lease.ID()))
	r.extra.done = insert(r.extra.done, e.Position)
}

// emitted reports whether an event of the present pass is a replay, and whether it emits again.
func (r *Runner) emitted(e *store.Event) (before, again bool) {
	pass := r.pass()
	before = pass.Replayed(*e)
	return before, before && !pass.Mutes(*e)
}

// emittedOf tells the parked events whose reactions were written before, and of these the ones that do not emit again.
func (r *Runner) emittedOf(events []store.Event) (before, muted func(store.Event) bool) {
	var emitted, silent []store.Position
	for i := range events {
		if entry := r.parked.at[events[i].Position]; entry != nil && entry.Replay {
			emitted = append(emitted, entry.Position)
			if !entry.EmitAgain {
				silent = append(silent, entry.Position)
			}
		}
	}
	return among(emitted), among(silent)
}

// among reports whether an event is in a list.
func among(list []store.Position) func(store.Event) bool {
	slices.Sort(list)
	return func(e store.Event) bool {
		_, found := slices.BinarySearch(list, e.Position)
		return found
	}
}

// checkRoom reports whether n events of a key can be set aside, of which one is named.
func (r *Runner) checkRoom(key string, n int, event store.Position) error {
	if r.parked.keys[key] == nil && len(r.parked.keys) >= MaxParkedKeys {
		return &ParkLimitError{Worker: r.worker.Name, Field: "parked keys", Limit: MaxParkedKeys, Event: event}
	}
	if len(r.parked.at)+n > MaxParked {
		return &ParkLimitError{Worker: r.worker.Name, Field: "parked events", Limit: MaxParked, Event: event}
	}
	return nil
}

// parkAgain puts back what was handled again and failed for good.
func (r *Runner) parkAgain(q *queue, reason error, attempts int) error {
	k := r.parked.fail(q.key, reason, attempts)
	for _, entry := range k.entries {
		r.extra.write(entry.Write(r.lease.ID()))
	}
	r.audit(&q.events[0], checkpoint.Audit{
		Action: checkpoint.AuditParked, Position: k.entries[0].Position, Key: q.key, Error: reason.Error(), Attempts: attempts,
	})
	q.events, q.blocked, q.limit = nil, false, 0
	return nil
}

// Skip gives up an event that failed: it counts as done, and an audit event says so. first is as in [Runner.Park]. It is
// durable with the next [Runner.Commit].
func (r *Runner) Skip(first store.Position, reason error, attempts int) error {
	q := r.slot(first)
	if q == nil {
		return fmt.Errorf("cursor: worker %q: skip %d: %w", r.worker.Name, first, errNotFailed)
	}
	e := q.events[0]
	r.forgive(first)
	r.audit(&e, checkpoint.Audit{
		Action: checkpoint.AuditSkipped, Position: e.Position, Error: reason.Error(), Attempts: attempts,
	})
	if q.parked {
		r.extra.write(checkpoint.Unpark(r.lease.ID(), e.Position))
		q.blocked = false
		r.replayed(q, 1)
		return nil
	}
	r.extra.done = insert(r.extra.done, e.Position)
	r.pop(q, 1)
	r.release(q)
	return nil
}

// audit adds an audit event to the next commit, as an effect of an event if there is one.
func (r *Runner) audit(e *store.Event, a checkpoint.Audit) {
	r.extra.audits = append(r.extra.audits, r.audited(e, a))
}

func (r *Runner) audited(e *store.Event, a checkpoint.Audit) store.Proposal {
	a.Worker = checkpoint.ID(r.worker.Name)
	p := a.Proposal()
	if e != nil {
		p.Causation = e.Causation()
	}
	return p
}

// unpark adds to a batch that a parked event was handled after all.
func (r *Runner) unpark(b *store.Batch, e *store.Event) {
	b.Sides = append(b.Sides, checkpoint.Unpark(r.lease.ID(), e.Position))
	if entry := r.parked.at[e.Position]; entry != nil && !entry.Held {
		b.Events = append(b.Events, r.audited(e, checkpoint.Audit{
			Action: checkpoint.AuditReplayed, Position: e.Position, Key: entry.Key,
		}))
	}
}

// replayed drops what was handled again from the list of what is set aside.
func (r *Runner) replayed(q *queue, n int) {
	key := r.parked.keys[q.key]
	r.parked.drop(q.key, n)
	if key.queue.events = q.events[n:]; len(key.queue.events) == 0 {
		key.queue.events = nil
	}
}

// nextReplay gives the first key whose parked events are to be handled again, with its next events read from the log.
func (r *Runner) nextReplay(ctx context.Context) (*queue, error) {
	var next *parkedKey
	for name, k := range r.parked.replays {
		if k.queue.free() && !r.early(k) && (next == nil || name < next.queue.key) {
			next = k
		}
	}
	if next == nil {
		return nil, nil
	}
	return &next.queue, r.load(ctx, &next.queue)
}

// load reads the next parked events of a queue, if it is one of those and has none: as many as a batch has and memory holds.
func (r *Runner) load(ctx context.Context, q *queue) error {
	if !q.parked || len(q.events) > 0 {
		return nil
	}
	k := r.parked.keys[q.key]
	n := min(len(k.entries), r.worker.batchSize(0))
	for bytes := 0; len(q.events) < n && bytes < windowBytes; {
		at := k.entries[len(q.events)].Position
		e, err := r.st.GetAt(ctx, at)
		if err != nil {
			return fmt.Errorf("cursor: worker %q: read parked event %d: %w", r.worker.Name, at, err)
		}
		bytes += len(e.Payload)
		q.events = append(q.events, e)
	}
	return nil
}

func compareText(a, b string) int { return cmp.Compare(a, b) }

// ParkedFilter selects what is set aside: the event at Position with all that is held behind it, or the events of Key, or All.
type ParkedFilter struct {
	Position store.Position
	Key      string
	All      bool
}

// String describes the selection.
func (w ParkedFilter) String() string {
	switch {
	case w.All:
		return "all"
	case w.Position > 0:
		return fmt.Sprintf("event %d", w.Position)
	default:
		return fmt.Sprintf("key %q", w.Key)
	}
}

// choose gives the keys that are selected, sorted.
func (r *Runner) choose(which ParkedFilter) ([]string, error) {
	var keys []string
	switch {
	case which.All:
		keys = slices.Sorted(maps.Keys(r.parked.keys))
	case which.Position > 0:
		entry := r.parked.at[which.Position]
		if entry == nil {
			return nil, fmt.Errorf("cursor: worker %q: %s: %w", r.worker.Name, which, ErrNotParked)
		}
		if entry.Held {
			return nil, fmt.Errorf("cursor: worker %q: %s is only held behind others of its key: %w", r.worker.Name, which, ErrNotParked)
		}
		keys = []string{entry.Key}
	case r.parked.keys[which.Key] != nil:
		keys = []string{which.Key}
	default:
		return nil, fmt.Errorf("cursor: worker %q: %s: %w", r.worker.Name, strings.ToValidUTF8(which.String(), "?"), ErrNotParked)
	}
	return keys, nil
}
