package reactor

import (
	"context"
	"reflect"

	"github.com/penstock-io/penstock/store"
)

// Event is an event with its payload decoded.
type Event[T store.Payload] struct {
	store.Event
	Body T

	reactor  string
	replayed bool
}

// Replayed reports whether the event is handled again because the reactor was rewound to before it:
// it was handled before, and what the handler emits now is dropped, unless the rewind says that it
// emits again. Effects outside the store are the handler's to repeat or not; [Event.EffectKey] is
// the same as before.
func (e Event[T]) Replayed() bool { return e.replayed }

// EffectKey names the effect of this event in this reactor: the first name that the reactor had,
// and the event's id. It is the same at every retry, after every restart and after the reactor was
// renamed, so that a repetition of an effect outside the store can be recognised by it. A handler
// with several effects per event adds a suffix of its own.
func (e Event[T]) EffectKey() string { return e.reactor + "/" + e.ID.String() }

// Route leads the events of one kind to their handler. It is made by [On], [OnState], [OnErased] or
// [OnGivenUp].
type Route struct {
	// bind finds out how the payloads are read. It is called when the reactor is defined, which has
	// the types.
	bind func(*Types) (bound, error)
}

// bound is a route with what its payloads are read with. One of the handlers is set, until those of
// a kind are put together: then handle is.
type bound struct {
	kind   string
	newest uint16 // schema version that is read
	handle handler
	erased handler // of events whose content was erased

	givenUp handler // of events that fail for good

	// Of a route that keeps states: key is that of an event, state their kind, typ their Go type, and
	// forget returns what stays of one when an event is erased that it was made from.
	key    func(e *store.Event) (string, error)
	state  string
	typ    reflect.Type
	forget func(kept []byte) ([]byte, error)
}

// handler is a handler whose payload type is forgotten.
type handler func(ctx context.Context, c call, out *Reactions) error

// call is one event for a handler. The event is the worker's until the handler returns.
type call struct {
	reactor  string
	event    *store.Event
	replayed bool
	why      Failure // of one that is given up
}

// On routes events whose kind is that of T's zero value to handle, which gets the payload decoded
// at its present schema version, as [TypeOf] and Reactor.Types say. T must be a value type, and its
// Kind must not depend on its content.
//
// The handler may be called again for the same event: after an error, a panic, a crash, a refused
// commit. It should return soon after ctx ends; an error it returns then is not counted as an
// attempt.
//
// A payload that cannot be read is a [DecodeError]: an attempt at the event, or, where its version
// is a newer one than that of T, or its codec another one, parked at once. Upcasters change Body
// alone: SchemaVersion of the event is still the version as it was written.
func On[T store.Payload](handle func(ctx context.Context, e Event[T], out *Reactions) error) Route {
	return Route{bind: func(types *Types) (bound, error) {
		d, err := NewDecoder[T](types)
		if err == nil && handle == nil {
			err = invalid(d.Kind, "has a nil handler")
		}
		return bound{kind: d.Kind, newest: d.Newest(), handle: func(ctx context.Context, c call, out *Reactions) error {
			typed, err := d.Decode(c.reactor, *c.event)
			if err != nil {
				return err
			}
			typed.replayed = c.replayed
			return handle(ctx, typed, out)
		}}, err
	}}
}

// OnErased routes events of T's kind whose content was erased ([store.Erase]) to handle: there is
// no payload, so Body is the zero value, and no headers, but all else is there ([store.Event],
// whose Erased says who erased it, when and why). Without it they are passed over, as if they were
// handled. The kind needs a route of [On], too, for the events that were not erased.
//
// An event reaches one of the two handlers in its turn, as it is then: it does not come again when
// it is erased after it was handled, unless the reactor is rewound, or was parked with it. What is
// to be done at once about events that were handled long ago, such as to remove copies, is for a
// reactor of erasures: see [store.ErasureAudit]. All else is as for On.
func OnErased[T store.Payload](handle func(ctx context.Context, e Event[T], out *Reactions) error) Route {
	return Route{bind: func(types *Types) (bound, error) {
		d, err := NewDecoder[T](types)
		if err == nil && handle == nil {
			err = invalid(d.Kind, "has a nil handler of erased events")
		}
		return bound{kind: d.Kind, newest: d.Newest(), erased: func(ctx context.Context, c call, out *Reactions) error {
			typed := d.Erased(c.reactor, *c.event)
			typed.replayed = c.replayed
			return handle(ctx, typed, out)
		}}, err
	}}
}
