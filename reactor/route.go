package reactor

import (
	"context"
	"fmt"
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

// Route leads the events of one kind to their handler. It is made by [On].
type Route struct {
	kind   string
	handle handler
	err    error
}

// handler is a handler whose payload type is forgotten.
type handler func(ctx context.Context, c call, out *Reactions) error

// call is one event for a handler.
type call struct {
	reactor  string
	event    store.Event
	replayed bool
}

// On routes events whose kind is that of T's zero value to handle, which gets the payload decoded
// from JSON. T must be a value type, and its Kind must not depend on its content.
//
// The handler may be called again for the same event: after an error, a panic, a crash, a refused
// commit. It should return soon after ctx ends; an error it returns then is not counted as an
// attempt.
//
// Where T has a method SchemaVersion() uint16, events of older versions need upcasters, one for
// each step up to the present version; an event older than these reach is a [DecodeError], and so
// is a newer one, which is parked at once. Upcasters change Body alone: SchemaVersion of the event
// is still the version as it was written.
func On[T store.Payload](
	handle func(ctx context.Context, e Event[T], out *Reactions) error, upcasters ...Upcaster,
) Route {
	d, err := NewDecoder[T](upcasters...)
	if err == nil && handle == nil {
		err = invalidRoute(d.Kind, "has a nil handler")
	}
	if err != nil {
		return Route{kind: d.Kind, err: err}
	}
	return Route{kind: d.Kind, handle: func(ctx context.Context, c call, out *Reactions) error {
		typed, err := d.Decode(c.reactor, c.event)
		if err != nil {
			return err
		}
		typed.replayed = c.replayed
		return handle(ctx, typed, out)
	}}
}

// Decoder reads the payloads of one kind: the one way from an event of the store to a typed one, of
// whatever schema version. It is for packages that lead events to handlers of another shape than
// those of [On].
type Decoder[T store.Payload] struct {
	Kind string // that is decoded; empty where T has none

	schema schema
}

// NewDecoder makes a decoder for the kind of T's zero value. The error is [ErrDefinition] where T
// or the upcasters are invalid, or [store.ErrInvalid] for a kind that the store refuses; such a
// decoder has its kind, and must not be used.
func NewDecoder[T store.Payload](upcasters ...Upcaster) (Decoder[T], error) {
	kind, version, err := kindOf[T]()
	d := Decoder[T]{Kind: kind}
	if err == nil {
		err = store.Region{Kinds: []string{kind}}.Validate()
	}
	if err == nil {
		d.schema, err = newSchema(kind, version, upcasters)
	}
	return d, err
}

// Decode returns the event that a worker handles, or a [DecodeError].
func (d Decoder[T]) Decode(worker string, e store.Event) (Event[T], error) {
	typed := Event[T]{Event: e, reactor: worker}
	return typed, d.schema.decode(e, &typed.Body)
}

// kindOf calls the zero value of T, which for pointers and interfaces would be nil.
func kindOf[T store.Payload]() (kind string, version uint16, err error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
		return "", 0, invalidRoute(t.String(), "must be a value type")
	}
	defer func() {
		if v := recover(); v != nil {
			err = invalidRoute(t.String(), fmt.Sprintf("has a zero value whose Kind panics: %v", v))
		}
	}()
	var zero T
	if v, ok := any(zero).(interface{ SchemaVersion() uint16 }); ok {
		version = v.SchemaVersion()
	}
	return zero.Kind(), version, nil
}
