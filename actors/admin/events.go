package admin

import (
	"context"
	"encoding/json"
	"iter"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Event is one of the log.
type Event struct {
	Position store.Position `json:"position"`
	ID       uuid.UUID      `json:"id"`
	Entity   string         `json:"entity"`
	Scope    string         `json:"scope"`
	Kind     string         `json:"kind"`
	Version  uint64         `json:"version"` // of the entity
	Schema   uint16         `json:"schema,omitempty"`
	Time     time.Time      `json:"time"`
	// Correlation is the id of the first event of its chain, Cause that of the one it answers, nil for
	// one that came from outside; Depth is the number of causes above it.
	Correlation uuid.UUID         `json:"correlation"`
	Cause       *uuid.UUID        `json:"cause,omitempty"`
	Depth       uint32            `json:"depth,omitempty"`
	Emitter     *Emitter          `json:"emitter,omitempty"` // nil for one that came from outside
	Headers     map[string]string `json:"headers,omitempty"`
	Meta        map[string]string `json:"meta,omitempty"`
	Erased      *Erased           `json:"erased,omitempty"`
	Codec       string            `json:"codec,omitempty"`
	Bytes       int               `json:"bytes"` // of the payload
	// The payload, for callers that may see it: as it is where that is JSON, else as text where it is
	// that, else as bytes. All are absent for others.
	JSON   json.RawMessage `json:"json,omitempty"`
	Text   string          `json:"text,omitempty"`
	Binary []byte          `json:"binary,omitempty"`
}

// Emitter says which worker has emitted an event.
type Emitter struct {
	Worker  string `json:"worker"`
	Build   string `json:"build,omitempty"`
	Epoch   uint64 `json:"epoch"`
	Attempt uint32 `json:"attempt"`
}

// Erased says that the payload was erased, by whom and why.
type Erased struct {
	At     time.Time `json:"at"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// EventQuery selects events. The zero value selects all but those of the reserved scope, from the
// first on.
type EventQuery struct {
	// Entity is a namespace: what is below it, too. Scope is exactly that. Kinds are any of those,
	// Category is the part of a kind before its first dot.
	Entity   string   `json:"entity,omitempty"`
	Scope    string   `json:"scope,omitempty"`
	Kinds    []string `json:"kind,omitempty"`
	Category string   `json:"category,omitempty"`
	// From is where it begins: a position (what follows it), a time in RFC 3339 or a date, or how long
	// ago, as in "2h" or "-2h". "" is the first event, or with Backward the last one.
	From string `json:"from,omitempty"`
	// Backward lists the newest first. Follow waits for what is appended, until ctx
	// ends: then its error is the last thing.
	Backward bool `json:"backward,omitempty"`
	Follow   bool `json:"follow,omitempty"`
	// Limit is how many, 0 for any number.
	Limit int `json:"limit,omitempty"`
}

func (q EventQuery) region() store.Region {
	return store.Region{Entity: q.Entity, Scope: q.Scope, Kinds: q.Kinds, Category: q.Category}
}

// Events yields the events that a query selects, in order. An error is the last thing that it
// yields.
func (s *Surface) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	return events().ask(ctx, s, q)
}

func events() listing[EventQuery, Event] {
	return listing[EventQuery, Event]{"events", Read, func(ctx context.Context, h *here, q EventQuery) iter.Seq2[Event, error] {
		return func(yield func(Event, error) bool) { h.events(ctx, q, yield) }
	}}
}

func (h *here) events(ctx context.Context, q EventQuery, yield func(Event, error) bool) {
	left := q.Limit
	h.scan(ctx, q, func(e store.Event, err error) bool {
		if err != nil {
			return yield(Event{}, err)
		}
		left--
		return yield(h.event(ctx, e), nil) && left != 0
	})
}

// scan passes the events on that a query selects, whatever its limit, and an error last.
func (h *here) scan(ctx context.Context, q EventQuery, pass func(store.Event, error) bool) {
	from, err := h.from(ctx, q.From)
	if err == nil {
		err = q.region().Validate()
	}
	if err != nil {
		pass(store.Event{}, err)
		return
	}
	if q.Backward {
		for e, err := range store.Backward(ctx, h.st, q.region(), from) {
			if !pass(e, err) || err != nil {
				return
			}
		}
		return
	}
	for {
		head := h.st.Head()
		for e, err := range h.st.Read(ctx, q.region(), store.After(from)) {
			if from = max(from, e.Position); !pass(e, err) || err != nil {
				return
			}
		}
		if from = max(from, head); !q.Follow {
			return
		}
		if _, err := h.st.Wait(ctx, head); err != nil {
			pass(store.Event{}, err)
			return
		}
	}
}

// from returns the position that a text stands for: see EventQuery.From.
func (h *here) from(ctx context.Context, said string) (store.Position, error) {
	if said == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(said, 10, 64); err == nil {
		return store.Position(n), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, said); err == nil {
			return h.st.Resolve(ctx, store.Since(t))
		}
	}
	d, err := time.ParseDuration(said)
	if err != nil {
		return 0, fail(Usage, "give a position, a time as 2006-01-02T15:04:05Z, a date, or how long ago as 2h", "no such place in the log: %q", said)
	}
	return h.st.Resolve(ctx, store.Since(h.st.Now().Add(-max(d, -d))))
}

// event is one as the caller may see it.
func (h *here) event(ctx context.Context, e store.Event) Event {
	out := Event{
		Position: e.Position, ID: e.ID, Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind, Version: e.Version,
		Schema: e.SchemaVersion, Time: e.Time.Time(), Correlation: e.Correlation, Depth: e.Depth, Codec: e.Codec, Bytes: len(e.Payload),
		Meta: e.Meta(),
	}
	if e.Cause != uuid.Nil {
		out.Cause = &e.Cause
	}
	if by, ok := e.Emitter(); ok {
		out.Emitter = &Emitter{Worker: by.Worker, Build: by.Build, Epoch: by.Epoch, Attempt: by.Attempt}
	}
	if by, ok := e.Erased(); ok {
		out.Erased = &Erased{At: by.At, By: by.By, Reason: by.Reason}
		return out
	}
	if callerOf(ctx).access < Payloads {
		return out
	}
	out.Headers = e.Headers()
	out.show(h.payload(e))
	return out
}

// payload is that of an event, as operators may see it.
func (h *here) payload(e store.Event) []byte {
	if h.options.Redact != nil {
		return h.options.Redact(e)
	}
	return e.Payload
}

func (e *Event) show(payload []byte) {
	switch {
	case len(payload) == 0:
	case json.Valid(payload):
		e.JSON = payload
	case utf8.Valid(payload):
		e.Text = string(payload)
	default:
		e.Binary = payload
	}
}

// eventRef names one event, by its position or its id.
type eventRef struct {
	Event string `json:"event"`
}

// Event returns one, by its position or its id. NotFound: there is none.
func (s *Surface) Event(ctx context.Context, positionOrID string) (Event, error) {
	return oneEvent().ask(ctx, s, eventRef{positionOrID})
}

func oneEvent() question[eventRef, Event] {
	return question[eventRef, Event]{"event", Read, func(ctx context.Context, h *here, q eventRef) (Event, error) {
		e, err := h.find(ctx, q.Event)
		if err != nil {
			return Event{}, err
		}
		return h.event(ctx, e), nil
	}}
}

// Payload returns the bytes of the payload of an event, by its position or its id, as they are in
// the log, or as Options.Redact leaves them. Event has them as JSON or text, which says the same,
// but not with each space.
func (s *Surface) Payload(ctx context.Context, positionOrID string) ([]byte, error) {
	return payload().ask(ctx, s, eventRef{positionOrID})
}

func payload() question[eventRef, []byte] {
	return question[eventRef, []byte]{"payload", Payloads, func(ctx context.Context, h *here, q eventRef) ([]byte, error) {
		e, err := h.find(ctx, q.Event)
		if err != nil {
			return nil, err
		}
		return h.payload(e), nil
	}}
}

func (h *here) find(ctx context.Context, ref string) (store.Event, error) {
	if n, err := strconv.ParseUint(ref, 10, 64); err == nil {
		return h.st.GetAt(ctx, store.Position(n))
	}
	id, err := uuid.Parse(ref)
	if err != nil {
		return store.Event{}, fail(Usage, "", "%q is neither the position of an event nor its id", ref)
	}
	return h.st.Get(ctx, id)
}
