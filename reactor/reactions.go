package reactor

import (
	"fmt"
	"maps"
	"reflect"

	"github.com/google/uuid"

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
}

// Reactions collects what a handler emits for one event. Nothing is written before the handler
// returned without an error, and what it staged is dropped when it fails.
//
// Each reaction is encoded and checked when it is staged. The first one that breaks a rule or a
// limit fails the event once the handler returns, as an [ErrReaction] or a [LoopError]; those after
// it are ignored.
//
// Reactions belongs to one call of one handler, and is not safe for concurrent use.
type Reactions struct {
	to      cause
	limits  limits
	mute    bool // of a volatile reactor
	staged  []staged
	invalid error
}

// limits against loops and storms.
type limits struct{ depth, perEvent int }

// cause is what is kept of the event that is handled: a handler that keeps its Reactions, which it
// must not, keeps nothing of the worker's with it.
type cause struct {
	position        store.Position
	id              uuid.UUID
	of, correlation uuid.UUID // its own cause
	depth           uint32
}

// staged is a reaction as the store gets it, beside its payload as it was given.
type staged struct {
	payload  store.Payload
	proposal store.Proposal // encoded
}

func (s *staged) reaction() Reaction {
	p := &s.proposal
	return Reaction{At: p.At, Payload: s.payload, Expect: p.Expect, Headers: p.Headers, Meta: p.Meta}
}

func reactionsTo(e *store.Event, d *definition, memory []staged) *Reactions {
	to := cause{position: e.Position, id: e.ID, of: e.Cause, correlation: e.Correlation, depth: e.Depth}
	return &Reactions{to: to, limits: d.limits, mute: d.mute, staged: memory}
}

// Append emits an event at a coordinate. The payload may be changed afterwards, except for the data
// of a [store.Raw] until the handler returns.
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
	if r.invalid == nil {
		r.invalid = r.stage(p)
	}
}

func (r *Reactions) stage(p store.Proposal) error {
	if r.mute {
		return Halt(fmt.Errorf("%w: %q at %s", ErrVolatile, payloadKind(p.Payload), p.At))
	}
	if err := r.checkLimits(); err != nil {
		return err
	}
	p.Headers, p.Meta = maps.Clone(p.Headers), maps.Clone(p.Meta)
	encoded, err := p.Encode()
	if err != nil {
		return fmt.Errorf("%w %d (%q at %s): %w", ErrReaction, len(r.staged)+1, payloadKind(p.Payload), p.At, err)
	}
	r.staged = append(r.staged, staged{payload: p.Payload, proposal: encoded})
	return nil
}

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

func (r *Reactions) checkLimits() error {
	e := &r.to
	limit, depth := r.limits.perEvent, 0
	if int64(e.depth) >= int64(r.limits.depth) {
		limit, depth = r.limits.depth, int(e.depth)+1
	} else if len(r.staged) < r.limits.perEvent {
		return nil
	}
	return &LoopError{
		Limit: limit, Depth: depth, Position: e.position, Event: e.id, Cause: e.of, Correlation: e.correlation,
	}
}
