package cursor

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Ownership is the checkpoint that a batch belongs to: an event whose commit is not on disk comes
// again even if the process dies.
type Ownership struct {
	ID checkpoint.ID
	// FirstName is the name that the checkpoint had first, which no rename changes: effects outside
	// the store are recognised by it.
	FirstName checkpoint.ID
	// Epoch of the owner. Effects outside the store may carry it, to refuse those of an earlier
	// owner.
	Epoch uint64
	// Origin that positions belong to. One that leaves the store means nothing without Origin.Store
	// and the ID of its event, see [store.Anchor].
	Origin store.Origin
}

// Batch is what a handler is called with: one or more events in order, and a place for its
// reactions to them. See [Handler] for how it may be used.
type Batch struct {
	// Events is never empty. It is the handler's own until it returns: sorted, filtered in place or
	// cleared, the indices of all methods are still those of the order in which it came, and a
	// batch that fails comes again whole. What the events point to, such as payloads, is shared and
	// read-only.
	Events []store.Event

	own     *batchOwner
	lent    *[]store.Event // what Events is a part of, until the batch is over; nil by hand
	events  []store.Event  // the runner's, which no handler can change
	staged  *staged        // nil without a reaction
	begun   int32          // the event that the handler works on, -1 when it never said; see Begin
	invalid *eventError    // of the first event with a reaction that cannot be encoded, or nil

	// These are rare, and pointers, so that other batches stay small.
	again    *again                            // of events that may have been handled before, or nil
	deadline *deadline                         // nil without a timeout
	retried  map[store.Position]*store.Emitter // of events whose handler ran before, for nothing; or nil
	probed   *probed                           // nil without a probe
}

// batchOwner is what all batches of a runner share. It is never written to after it was made, so
// handlers may read it on any goroutine.
type batchOwner struct {
	ownership Ownership      // zero without a checkpoint
	emitter   *store.Emitter // of reactions to what is handled for the first time; nil by hand
	st        *store.Store   // nil in a batch made by hand
	stateful  bool           // the worker keeps something
	newChains bool           // its reactions have depth 1
	lasting   bool           // what it schedules is written though events are erased
}

// again says which events are handled again, and what for.
type again struct {
	parked   bool                   // they come from the list of what is parked
	replayed func(store.Event) bool // nil where nothing is
	mutes    func(store.Event) bool // reactions to it are dropped; nil where none are
	aside    []store.Position       // parked before the last event, for a worker that keeps its position itself

	nudged   []string               // see Nudge
	given    *givenUp               // why the one event is given up; nil where it is handled
	attempts map[store.Position]int // that there were before; nil where there was none
}

// deadline is the timeout of an event.
type deadline struct {
	restart func() (over bool) // if it is not over
	late    int                // the first event that was begun when it was over, 0 for none
	reached int                // of a handler that failed for want of time, see failure
}

// NewBatch makes a batch by hand, to test a handler with. The zero Ownership stands for a worker
// without a checkpoint. Its worker may keep something, and keeps nothing yet.
func NewBatch(events []store.Event, w Ownership) *Batch {
	own := &batchOwner{ownership: w, stateful: true}
	return &Batch{Events: events, events: slices.Clone(events), own: own, begun: -1}
}

// eventBuffers are those of batches that are over, each a *[]store.Event. A batch of 256 takes
// 52 kB: too much to make for each of them, and to keep in each worker that rests.
//
//nolint:gochecknoglobals // shared by all runners of the process, which guard nothing with it
var eventBuffers sync.Pool

// lend makes Events of a batch a copy of the runner's.
func lend(b *Batch) {
	b.lent, _ = eventBuffers.Get().(*[]store.Event)
	if b.lent == nil {
		b.lent = new([]store.Event)
	}
	*b.lent = append(*b.lent, b.events...)
	b.Events = slices.Clip(*b.lent)
}

// takeBack ends a batch: its handler has returned.
func takeBack(b *Batch) {
	clear(*b.lent) // not the payloads that they point to
	*b.lent = (*b.lent)[:0]
	eventBuffers.Put(b.lent)
	b.lent, b.Events = nil, nil
}

// Begin says that the handler is done with everything before Events[i] and works on that event now.
// If it panics, the events before are committed with their reactions, and the error names this one.
// It panics itself when there is no Events[i]. See also [Batch.Enter].
func (b *Batch) Begin(i int) {
	begun(b, i)
	if b.probed != nil {
		b.probed.enter(b.probed.ctx, i)
	}
}

// begun is what Begin does but for the probe.
func begun(b *Batch, i int) {
	_ = b.events[i]
	atomic.StoreInt32(&b.begun, int32(i)) // which HandlingOf looks at meanwhile
	if d := b.deadline; d != nil && d.restart() && d.late == 0 {
		d.late = i
	}
}

// Replayed reports whether Events[i] is handled again because the worker was rewound to before it:
// it was handled before, with its reactions. What is staged for it now is dropped, unless the
// rewind says that it emits again.
func (b *Batch) Replayed(i int) bool {
	return b.again != nil && b.again.replayed != nil && b.again.replayed(b.events[i])
}

// Parked reports whether the events were parked, and are handled again because an operator ordered
// it: they come before others that are done, and maybe after some that are not.
func (b *Batch) Parked() bool { return b.again != nil && b.again.parked }

// Attempt returns the number of this attempt at Events[i]: 1 where it is the first one, or the
// first after a replay or rewind. Counted are the attempts of Worker.Policy, so neither what an
// outage, a lost race or a batch that failed as a whole had repeated, nor, once the process has
// ended, what was before that, but for the ends of the process at this event alone. In
// Worker.GiveUp it is the number of the last one.
func (b *Batch) Attempt(i int) int {
	event := b.events[i].Position
	if b.again == nil {
		return 1
	}
	return b.again.attempts[event] + 1
}

// tried notes that there were so many attempts at an event of a batch.
func tried(b *Batch, event store.Position, attempts int) {
	if b.again != nil && b.again.given != nil {
		attempts = b.again.given.attempts - 1
	}
	if attempts <= 0 || b.again != nil && b.again.attempts[event] >= attempts {
		return
	}
	again := rarely(b)
	if again.attempts == nil {
		again.attempts = make(map[store.Position]int)
	}
	again.attempts[event] = attempts
}

// rarely returns what few batches have, to add to it.
func rarely(b *Batch) *again {
	if b.again == nil {
		b.again = new(again)
	}
	return b.again
}

// PassedOver returns, ascending, the positions of the events that are parked, come after a position
// and before the last event of the batch: a worker with an ExternalPosition that moves it from
// there to that event passes over them. It stores them beside the position, and then knows which
// events before it are not handled. The list is shared and read-only. It is nil for other workers,
// and for events that were parked.
func (b *Batch) PassedOver(after store.Position) []store.Position {
	if b.again == nil {
		return nil
	}
	i, found := slices.BinarySearch(b.again.aside, after)
	if found {
		i++
	}
	return b.again.aside[i:]
}

// muted reports whether the reactions to Events[i] are dropped.
func (b *Batch) muted(i int) bool {
	return b.again != nil && b.again.mutes != nil && b.again.mutes(b.events[i])
}

// Nudge has what of another key of the worker waits in a backoff tried at once when the batch is
// committed, as nothing needs the outcome any more and the handler will find out; as actors.Nudge
// does, which can be called from outside. Where the batch fails, where nothing of the key waits,
// and in a batch made by hand it does nothing.
func Nudge(b *Batch, key string) {
	again := rarely(b)
	again.nudged = append(again.nudged, key)
}

// Store returns the log that the events are in, for a handler that was built before there was one;
// nil in a batch made by hand. What is appended to it is not part of the commit of the batch.
func (b *Batch) Store() *store.Store { return b.own.st }

// Trace returns the chain of causes of Events[i], nearest first, as far as the store has them, at
// most 64. It is empty for a batch made by hand.
func (b *Batch) Trace(ctx context.Context, i int) []store.Event {
	if b.own.st == nil {
		return nil
	}
	return b.own.trace(ctx, &b.events[i])
}

// trace returns the causes of an event, nearest first.
func (o *batchOwner) trace(ctx context.Context, e *store.Event) []store.Event {
	var chain []store.Event
	for cause := e.Cause; cause != (store.Event{}).Cause && len(chain) < maxTrace; {
		event, err := o.st.Get(ctx, cause)
		if err != nil {
			break
		}
		chain = append(chain, event)
		cause = event.Cause
	}
	return chain
}

// React stages an event as a reaction to Events[i]. See [Batch.Propose].
func (b *Batch) React(i int, at store.Coordinate, p store.Payload) {
	b.Propose(i, store.Proposal{At: at, Payload: p})
}

// Propose stages an event as a reaction to Events[i], which becomes its cause whatever p.Causation
// says; p.Emitter becomes the worker. It is committed in the batch that moves the checkpoint past
// Events[i], or never: a handler that fails at that event or before drops it. Reactions are written
// in the order of their events, those to one event in the order of the calls. It panics when there
// is no Events[i].
//
// The payload is encoded here, and a [store.Raw], the headers and Meta are copied: all of p may be
// changed afterwards, since it may be written while the handler is at the next batch. What the
// store would refuse fails the handler at Events[i] once it returns; so do more than
// [MaxReactions] to that event.
func (b *Batch) Propose(i int, p store.Proposal) {
	if b.muted(i) {
		return
	}
	encoded, err := b.encode(i, p)
	if err != nil && (b.invalid == nil || i < b.invalid.index) {
		b.invalid = &eventError{index: i, err: err}
	}
	b.stage().add(i, encoded, p.Payload) // also where it is invalid: a handler that panics later does not hide it
}

// Stage is Propose for a handler that fails at Events[i] by itself where the store would refuse a
// reaction: that is not staged, and the error says why. One that is dropped is checked, too.
func (b *Batch) Stage(i int, p store.Proposal) error {
	encoded, err := b.encode(i, p)
	if err == nil && !b.muted(i) {
		b.stage().add(i, encoded, p.Payload)
	}
	return err
}

// encode returns a reaction to Events[i] that shares nothing with its handler.
func (b *Batch) encode(i int, p store.Proposal) (store.Proposal, error) {
	p.Causation, p.Emitter = b.events[i].Causation(), emitterOf(b, i)
	if b.own.newChains {
		p.Causation.Depth = 1
	}
	p.Headers, p.Meta = maps.Clone(p.Headers), maps.Clone(p.Meta)
	if raw, encoded := p.Payload.(store.Raw); encoded {
		raw.Data = b.stage().keep(raw.Data)
		p.Payload = raw
	}
	return p.Encode()
}

// Staged returns the reactions in the order in which they would be committed.
func (b *Batch) Staged() []store.Proposal { return stagedIn(b, 0, len(b.events)) }

// stagedIn returns the reactions to Events[from:to], with their payloads as they were.
func stagedIn(b *Batch, from, to int) []store.Proposal {
	list := slices.Clone(b.proposals(from, to))
	if len(list) == 0 {
		return nil
	}
	first := slices.IndexFunc(b.staged.of, func(o origin) bool { return o.event >= from })
	for i := range list {
		payload := b.staged.of[first+i].payload
		if raw, encoded := payload.(store.Raw); encoded && len(raw.Data) > 0 {
			raw.Data = list[i].Payload.(store.Raw).Data // the handler may have changed its own
			payload = raw
		}
		list[i].Payload = payload
	}
	return list
}

// AtLeastOnce returns the ownership of the checkpoint, and false when the worker has none: then an
// event comes again after a failure, but not after the end of the process.
func (b *Batch) AtLeastOnce() (Ownership, bool) {
	return b.own.ownership, b.own.ownership != Ownership{}
}

// emitterOf returns the emitter of reactions to Events[i], nil in a batch made by hand.
func emitterOf(b *Batch, i int) *store.Emitter {
	if by := b.retried[b.events[i].Position]; by != nil {
		return by
	}
	return b.own.emitter
}
