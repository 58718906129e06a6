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

	reactor string
}

// EffectKey names the effect of this event in this reactor: the reactor's name and the event's id. It is
// the same at every retry and after every restart, so whoever is asked for an effect outside the store can
// recognise a repetition by it. A handler with several effects per event adds a suffix of its own.
func (e Event[T]) EffectKey() string { return e.reactor + "/" + e.ID.String() }

// Route leads the events of one kind to their handler. It is made by [On].
type Route struct {
	kind   string
	handle handler
	fault  error
}

// handler is a handler whose payload type is forgotten.
type handler func(ctx context.Context, reactor string, e store.Event, out *Reactions) error

// On routes events whose kind is that of T's zero value to handle, which gets the payload decoded from JSON.
// T must be a value type, and its Kind must not depend on its content.
//
// The handler may be called again for the same event: after an error, a panic, a crash, a refused commit.
// It should return soon after ctx ends; an error it returns then is not counted as an attempt.
func On[T store.Payload](handle func(ctx context.Context, e Event[T], out *Reactions) error) Route {
	kind, err := kindOf[T]()
	if err == nil && handle == nil {
		err = &NilHandlerError{Kind: kind}
	}
	if err != nil {
		return Route{kind: kind, fault: err}
	}
	return Route{kind: kind, handle: func(ctx context.Context, reactor string, e store.Event, out *Reactions) error {
		typed := Event[T]{Event: e, reactor: reactor}
		if err := e.Decode(&typed.Body); err != nil {
			return &DecodeError{Kind: e.Kind, Position: e.Position, Err: err}
		}
		return handle(ctx, typed, out)
	}}
}

// kindOf asks the zero value of T, which for pointers and interfaces would be nil.
func kindOf[T store.Payload]() (kind string, err error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
		return "", &PayloadTypeError{Type: t.String(), Rule: "must be a value type"}
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PayloadTypeError{Type: t.String(), Rule: fmt.Sprintf("Kind of the zero value panics: %v", v)}
		}
	}()
	var zero T
	return zero.Kind(), nil
}

// check reports the fault of the route, if it has one.
func (r Route) check() error {
	if r.fault != nil {
		return r.fault
	}
	return store.Region{Kinds: []string{r.kind}}.Validate()
}
