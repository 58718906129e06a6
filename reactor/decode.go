package reactor

import (
	"fmt"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Decoder reads the payloads of one kind: the one way from an event of the store to a typed one, of
// whatever schema version. It is for packages that lead events to handlers of another shape than
// those of [On]; [Decode] reads a single payload.
type Decoder[T store.Payload] struct {
	Kind string // that is decoded; empty where T has none

	schema schema
}

// NewDecoder makes a decoder for the kind of T's zero value, as it is registered in types. nil
// stands for types that have every kind, with no upcaster. The error is [ErrDefinition] where T is
// invalid, or not among the types with the same kind and schema version, or [store.ErrInvalid] for
// a kind that the store refuses; such a decoder has its kind, and must not be used. T need not be
// the registered type: one with fewer fields reads these, in the codec of the registered one.
func NewDecoder[T store.Payload](types *Types) (Decoder[T], error) {
	s, err := schemaOf[T](types)
	return Decoder[T]{Kind: s.kind, schema: s}, err
}

// schemaOf has the kind also where it returns an error.
func schemaOf[T store.Payload](types *Types) (schema, error) {
	if types == nil {
		plain := TypeOf[T]()
		return plain.schema, plain.err
	}
	own, err := declared[T]()
	if err != nil {
		return schema{kind: own.kind}, err
	}
	registered, known := types.byKind[own.kind]
	switch {
	case !known:
		return schema{kind: own.kind}, invalid(own.kind, "is not among the types")
	case registered.schema.present != own.present:
		return schema{kind: own.kind}, invalid(own.kind, fmt.Sprintf("is read at version %d, and among the types at %d",
			own.present, registered.schema.present))
	}
	return registered.schema, nil
}

// Newest is the newest schema version that is read; that of an event without one is 1.
func (d Decoder[T]) Newest() uint16 { return d.schema.present }

// Decode returns the event that a worker handles, or a [DecodeError], which wraps [store.ErrErased]
// for one whose content was erased: see [Decoder.Erased].
func (d Decoder[T]) Decode(worker string, e store.Event) (Event[T], error) {
	body := new(T) // the codec gets a pointer, so this is on the heap: let nothing else be there
	err := d.schema.decode(&e, body)
	return Event[T]{Event: e, Body: *body, reactor: worker}, err
}

// Erased returns the event that a worker handles whose content was erased: all but its body.
func (d Decoder[T]) Erased(worker string, e store.Event) Event[T] {
	return Event[T]{Event: e, reactor: worker}
}

// decode reads the payload of e into body. Of one that was erased there is none, which not every
// codec takes for an error. An event that is newer than the type, or of another
// codec, is parked at once: only another program can read it.
func (s *schema) decode(e *store.Event, body any) error {
	if _, erased := e.Erased(); erased {
		return s.failed(e, store.ErrErased)
	}
	version := max(e.SchemaVersion, firstVersion)
	switch {
	case version > s.present:
		return supervision.Park(s.failed(e, nil))
	case version < s.oldest:
		return s.failed(e, nil)
	}
	codec, err := s.codec.For(*e)
	if err != nil {
		return supervision.Park(s.failed(e, err))
	}
	data := e.Payload
	for ; version < s.present; version++ {
		if data, err = s.raise[version-s.oldest](codec, data); err != nil {
			return s.failed(e, fmt.Errorf("upcast from version %d: %w", version, err))
		}
	}
	if err := codec.Unmarshal(data, body); err != nil {
		return s.failed(e, err)
	}
	return nil
}

func (s *schema) failed(e *store.Event, err error) error {
	return &DecodeError{
		Kind: e.Kind, Position: e.Position, Version: max(e.SchemaVersion, firstVersion),
		Oldest: s.oldest, Newest: s.present, Err: err,
	}
}
