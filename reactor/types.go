package reactor

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Types says how the payloads of a program are read: each kind with its Go type, whose codec it is
// read in ([store.Codec]), and the upcasters that lead from its older schema versions to the
// present one. One value, made once, is given to all that reads them: reactors, projectors,
// [Decode], tests.
//
//	var Types = reactor.NewTypes(
//		reactor.TypeOf[Placed](),
//		reactor.TypeOf[Priced](reactor.UpcastFrom(1, inCents)),
//	)
//
// A program whose payloads have never changed needs none. It is never changed after it
// was made, and safe for concurrent use.
type Types struct {
	byKind map[string]Type
	err    error
}

// NewTypes makes a registry. It never fails: what is invalid is the error of [Types.Err], and of
// all that reads by the types; a caller of [NewDecoder] asks Err.
func NewTypes(list ...Type) *Types {
	t := &Types{byKind: make(map[string]Type, len(list))}
	var errs []error
	for _, one := range list {
		if one.zero == nil && one.err == nil {
			one.err = fmt.Errorf("%w: a type that was not made by TypeOf", ErrDefinition)
		}
		errs = append(errs, one.err)
		if _, twice := t.byKind[one.schema.kind]; twice && one.err == nil {
			errs = append(errs, invalid(one.schema.kind, "is among the types twice"))
		}
		t.byKind[one.schema.kind] = one
	}
	t.err = errors.Join(errs...)
	return t
}

// Err joins all that is invalid: an [ErrDefinition] each, or [store.ErrInvalid] for a kind that the
// store refuses. It is nil for a nil t.
func (t *Types) Err() error {
	if t == nil {
		return nil
	}
	return t.err
}

// Kinds returns the kinds that are registered, sorted.
func (t *Types) Kinds() []string {
	if t == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(t.byKind))
}

// Zero returns the zero value of the type of a kind, nil for a kind that is not registered: for
// tools that look at the types of a program.
func (t *Types) Zero(kind string) store.Payload {
	one, err := t.find(kind)
	if err != nil {
		return nil
	}
	return one.zero
}

// Decode returns the payload of an event at its present schema version, as a value of the type that
// its kind is registered with. Errors: [ErrUnknownKind], a [DecodeError], which wraps
// [store.ErrErased] for an event whose content was erased, and that of [Types.Err].
// See the function [Decode] for events of one kind.
func (t *Types) Decode(e store.Event) (store.Payload, error) {
	one, err := t.find(e.Kind)
	if err != nil {
		return nil, err
	}
	body := reflect.New(reflect.TypeOf(one.zero))
	if err := one.schema.decode(&e, body.Interface()); err != nil {
		return nil, err
	}
	payload, _ := reflect.TypeAssert[store.Payload](body.Elem())
	return payload, nil
}

// Decode returns the payload of an event of T's kind at its present schema version, for programs
// that read the log themselves. It reads what a handler of T would get: what [NewDecoder] says of T
// and types holds here. An event of another kind is an [ErrUnknownKind].
func Decode[T store.Payload](types *Types, e store.Event) (T, error) {
	var body T
	s, err := schemaOf[T](types)
	if err := errors.Join(types.Err(), err); err != nil {
		return body, err
	}
	if e.Kind != s.kind {
		return body, fmt.Errorf("%w: event %d is %q, and decoded as %q", ErrUnknownKind, e.Position, e.Kind, s.kind)
	}
	return body, s.decode(&e, &body)
}

// find returns how a kind is read. None is known to a nil t.
func (t *Types) find(kind string) (Type, error) {
	if err := t.Err(); err != nil {
		return Type{}, err
	}
	if t != nil {
		if one, known := t.byKind[kind]; known {
			return one, nil
		}
	}
	return Type{}, fmt.Errorf("%w: %q", ErrUnknownKind, kind)
}

// Type is how the payloads of one kind are read. It is made by [TypeOf].
type Type struct {
	schema schema
	zero   store.Payload // nil where T is no value type
	err    error
}

// TypeOf registers T for the kind of its zero value. T must be a value type; its kind, schema
// version and codec must not depend on its content.
//
// Where T has a method SchemaVersion() uint16, events of older versions need upcasters, one for
// each step up to the present version; an event older than these reach is a [DecodeError], and so
// is a newer one. The first version is 1: an event that was written without a version is of version
// 1, and so is a type that declares none.
//
// Where T has a method Codec() [store.Codec], what was written in that codec or as JSON is read,
// and an event of another codec is a [DecodeError].
func TypeOf[T store.Payload](upcasters ...Upcaster) Type {
	s, err := declared[T]()
	if err != nil {
		return Type{schema: s, err: err}
	}
	var zero T
	err = s.take(upcasters)
	return Type{schema: s, zero: zero, err: err}
}

// declared is what the methods of T's zero value say, which for pointers and interfaces would be
// nil. It has the kind also where it returns an error of what else they say.
func declared[T store.Payload]() (s schema, err error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k == reflect.Pointer || k == reflect.Interface {
		return s, invalid(t.String(), "must be a value type")
	}
	defer func() {
		if v := recover(); v != nil {
			err = invalid(t.String(), fmt.Sprintf("has a zero value with a method that panics: %v", v))
		}
	}()
	var zero T
	s.kind = zero.Kind()
	s.present = max(declaredVersion(zero), firstVersion)
	if c, own := any(zero).(interface{ Codec() store.Codec }); own {
		s.codec = c.Codec()
		if err := s.codec.Validate(); err != nil {
			return s, fmt.Errorf("%w: %q: %w", ErrDefinition, s.kind, err)
		}
	}
	return s, store.Region{Kinds: []string{s.kind}}.Validate()
}

// declaredVersion is 0 for a type that declares none.
func declaredVersion(p store.Payload) uint16 {
	if v, ok := p.(interface{ SchemaVersion() uint16 }); ok {
		return v.SchemaVersion()
	}
	return 0
}
