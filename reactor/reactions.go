package reactor

import (
	"fmt"
	"reflect"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Reaction is an event that a handler emitted.
type Reaction struct {
	At      store.Coordinate
	Payload store.Payload
	// The others are set when it was emitted by [Reactions.Propose].
	Expect  store.Expect
	Headers map[string]string
	Meta    map[string]string
	Bypass  string
	// Due is when it is written, where it was emitted by [Reactions.After] or [Reactions.At].
	Due time.Time
}

// Reactions collects what a handler emits for one event. Nothing is written before the handler
// returned without an error, and what it staged is dropped when it fails.
//
// Each reaction is encoded and checked when it is staged. The first one that breaks a rule or a
// limit fails the event once the handler returns, as an [ErrReaction] or a [LoopError]; those after
// it are ignored.
//
// Reactions belongs to one call of one handler, and is not safe for concurrent use. After the
// handler returned it takes nothing any more.
type Reactions struct {
	batch   *cursor.Batch // nil once the handler has returned
	index   int           // of the event that is handled
	count   int           // of what was staged
	of      *definition
	invalid error
}

// limits against loops and storms.
type limits struct{ depth, perEvent int }

// Append emits an event at a coordinate. The payload may be changed afterwards.
func (r *Reactions) Append(at store.Coordinate, p store.Payload) {
	r.Propose(store.Proposal{At: at, Payload: p})
}

// Propose emits an event with an expected version, headers or meta. The proposal's causation is
// filled in; headers and meta of the event that is handled are not inherited. So a handler that is
// traced gives its reactions the traceparent of its own span, as Meta, and one that is not may hand
// on that of the event: Meta: e.Meta().
//
// An expectation that does not hold refuses the commit, and the event is handled again.
func (r *Reactions) Propose(p store.Proposal) {
	if r.invalid == nil && r.batch != nil {
		r.invalid = r.stage(p)
	}
}

// After emits an event once some time has passed from now: a deadline, or something to look at
// again. See [Reactions.At].
func (r *Reactions) After(d time.Duration, at store.Coordinate, p store.Payload) (t cursor.Ticket) {
	if r.invalid == nil && r.batch != nil {
		now := r.batch.Now(r.index)
		t, r.invalid = r.stageAt(now, now.Add(d), store.Proposal{At: at, Payload: p})
	}
	return t
}

// At emits an event at a time, or now where that has passed. Until then it is kept beside the
// checkpoint, in the commit of the other reactions, and dropped with them where the handler fails.
// It is written once, whatever crashes meanwhile, in the order of the times, and never before its
// time by [store.Store.Now], which does not go back where a clock is set. While the reactor is
// paused, halted or not running it waits, and is written when the reactor runs again.
//
// The ticket takes it back, see [Reactions.Cancel]; it is "" where the reaction breaks a rule or a
// limit. An event that is due in a second or later begins a chain of its own, so that MaxDepth does
// not end what repeats itself. One that a gate denies when its time has come, or whose event was
// erased after it was handled, is not written; an audit event says so.
func (r *Reactions) At(due time.Time, at store.Coordinate, p store.Payload) (t cursor.Ticket) {
	if r.invalid == nil && r.batch != nil {
		t, r.invalid = r.stageAt(r.batch.Now(r.index), due, store.Proposal{At: at, Payload: p})
	}
	return t
}

// Cancel takes back what this handler or a former one of the reactor has emitted by
// [Reactions.After] or [Reactions.At], in the commit of the reactions; "" is nothing. So a handler
// keeps the ticket of a deadline in the state that it belongs to, see [OnState]. What was written
// already, between the last event of the reactor and this one, stays: the handler of a deadline
// asks the state whether it still counts.
func (r *Reactions) Cancel(t cursor.Ticket) {
	if r.invalid == nil && r.batch != nil {
		r.invalid = r.unstage(t)
	}
}

func (r *Reactions) unstage(t cursor.Ticket) error {
	if r.of.mute {
		return Halt(fmt.Errorf("%w: cancels %q", ErrVolatile, t))
	}
	if err := r.batch.Unschedule(r.index, t); err != nil {
		return fmt.Errorf("%w: cancel: %w", ErrReaction, err)
	}
	return nil
}

func (r *Reactions) stage(p store.Proposal) error {
	if err := r.allowed(p, true); err != nil {
		return err
	}
	return r.staged(p, r.batch.Stage(r.index, p))
}

// stageAt schedules a reaction. now is what the batch has just returned, and goes by, too.
func (r *Reactions) stageAt(now, due time.Time, p store.Proposal) (cursor.Ticket, error) {
	if err := r.allowed(p, due.Sub(now) < cursor.NewChain); err != nil {
		return "", err
	}
	t, err := r.batch.Schedule(r.index, due, p)
	return t, r.staged(p, err)
}

// allowed returns why the reactor must not emit one more; deeper says that it would be one step
// deeper than the event.
func (r *Reactions) allowed(p store.Proposal, deeper bool) error {
	if r.of.mute {
		return Halt(fmt.Errorf("%w: %q at %s", ErrVolatile, payloadKind(p.Payload), p.At))
	}
	return r.checkLimits(deeper)
}

// staged counts a reaction, unless the batch did not take it.
func (r *Reactions) staged(p store.Proposal, err error) error {
	if err != nil {
		return fmt.Errorf("%w %d (%q at %s): %w", ErrReaction, r.count+1, payloadKind(p.Payload), p.At, err)
	}
	r.count++
	return nil
}

// close lets a handler that keeps its Reactions, which it must not, add nothing to those of later
// events, and keep nothing of the worker's with it.
func (r *Reactions) close() { r.batch, r.of = nil, nil }

// payloadKind is "" where there is no payload.
func payloadKind(p store.Payload) string {
	if p == nil {
		return ""
	}
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && v.IsNil() { // Kind may have a value receiver
		return ""
	}
	return p.Kind()
}

func (r *Reactions) checkLimits(deeper bool) error {
	e, limits := &r.batch.Events[r.index], r.of.limits
	limit, depth := limits.perEvent, 0
	if deeper && int64(e.Depth) >= int64(limits.depth) {
		limit, depth = limits.depth, int(e.Depth)+1
	} else if r.count < limits.perEvent {
		return nil
	}
	return &LoopError{
		Limit: limit, Depth: depth, Position: e.Position, Event: e.ID, Cause: e.Cause, Correlation: e.Correlation,
	}
}
