package reactor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"reflect"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// OnState is [On] for a handler that keeps a state of type S for each key of its events:
//
//	type Shelf struct{ Left int }
//
//	func (Shelf) Kind() string { return "shop.shelf" }
//
//	func bySKU(p Placed) string { return p.SKU }
//
//	func (s *Stock) placed(
//		_ context.Context, e reactor.Event[Placed], shelf *Shelf, out *reactor.Reactions,
//	) error {
//		if shelf.Left == 0 {
//			out.Append(..., SoldOut{Order: e.Body.Order})
//			return nil
//		}
//		shelf.Left--
//		out.Append(..., Reserved{Order: e.Body.Order})
//		return nil
//	}
//
//	reactor.New("reserve", reactor.OnState(bySKU, s.placed), reactor.OnState(arrivedSKU, s.arrived))
//
// The handler gets the state as the events of the key before this one have left it, those of the
// same batch included, and changes it in place: there is no other copy to read, and no other
// writer. What it leaves is written in the commit of its reactions, or dropped with them where it
// fails. The first event of a key finds the zero value; a state that is the zero value again is not
// kept, so a key that is over costs nothing.
//
// A state is a payload that is overwritten: its kind names it in the log, where other code may read
// it ([State]), and its codec, schema version and upcasters are those of [TypeOf] and
// Reactor.Types. One of a newer version than the program knows parks the event at once: it is to be
// replayed once a program runs that knows it. Routes with the same kind of state and the same key
// share it, within one reactor: two types of one kind are an [ErrDefinition]. It is at most 1 MiB;
// a key is text without control characters, of at most some 500 bytes, and "" is one. An event for
// which key returns another, or panics, fails like one whose handler does.
//
// key decides what stays in order, too, so with lanes no two events of one key are handled at a
// time: Reactor.Key must be nil. Events that have no state, as those of On, and those whose payload
// or key cannot be read have their entity as the key. If key is changed so that it returns another
// one for an event of the log, raise Reactor.KeyVersion; states stay under the keys that they have.
//
// A reactor with state cannot be moved away from it: a rewind, a skip or a wider region is a
// checkpoint.ErrStateful. A checkpoint.Reset removes the states, and has them made again from the
// beginning of the log.
func OnState[S, T store.Payload](
	key func(body T) string, handle func(ctx context.Context, e Event[T], state *S, out *Reactions) error,
) Route {
	return Route{bind: func(types *Types) (bound, error) {
		d, err := NewDecoder[T](types)
		if err == nil && (handle == nil || key == nil) {
			err = invalid(d.Kind, "has a nil handler or a nil key")
		}
		states, bad := statesOf[S](types)
		return bound{
			kind: d.Kind, newest: d.Newest(),
			handle: func(ctx context.Context, c call, out *Reactions) error {
				typed, err := d.Decode(c.reactor, *c.event)
				if err != nil {
					return err
				}
				typed.replayed = c.replayed
				return states.handle(key(typed.Body), c.event, out, func(state *S) error { return handle(ctx, typed, state, out) })
			},
			key: func(e *store.Event) (string, error) {
				typed, err := d.Decode("", *e)
				if err != nil {
					return "", err
				}
				return keyOf(key, typed.Body)
			},
			state: states.schema.kind, typ: reflect.TypeFor[S](), forget: states.forget,
		}, errors.Join(err, bad)
	}}
}

// states reads and writes those of one kind.
type states[S store.Payload] struct {
	schema schema
	zero   []byte // the zero value, encoded
}

func statesOf[S store.Payload](types *Types) (s states[S], err error) {
	if s.schema, err = schemaOf[S](types); err != nil {
		return s, err
	}
	var zero S
	if s.zero, err = encodeState(zero); err != nil {
		return s, fmt.Errorf("%w: the zero value of %T cannot be encoded: %w", ErrDefinition, zero, err)
	}
	return s, nil
}

// keptAs is the key under which a worker keeps a state. No slash of the kind is left in it, so that
// states of two kinds have two keys.
func keptAs(kind, key string) string { return url.PathEscape(kind) + "/" + key }

// maxKeyBytes is the longest key of an event that a worker takes.
const maxKeyBytes = 1024

// keyOf calls the key function for a worker that asks which events are to stay in order. What is
// wrong there is a fault of the event, not of the worker: its handler, which calls the function as
// well, fails at it.
func keyOf[T any](key func(T) string, body T) (k string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: the key function panicked: %v", ErrState, v)
		}
	}()
	if k = key(body); len(k) > maxKeyBytes {
		return "", fmt.Errorf("%w: a key of %d bytes, at most %d", ErrState, len(k), maxKeyBytes)
	}
	return k, nil
}

// handle calls a handler with the state of a key, and keeps what it leaves.
func (s states[S]) handle(key string, e *store.Event, out *Reactions, handle func(*S) error) error {
	batch, i := out.batch, out.index
	before, found, err := batch.Side(i, keptAs(s.schema.kind, key))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	state := new(S)
	if found {
		if err := s.decode(before, e, state); err != nil {
			return err
		}
	}
	if err := handle(state); err != nil {
		return err
	}
	after, err := s.encode(state)
	if err == nil && !bytes.Equal(before, after) {
		err = batch.Put(i, keptAs(s.schema.kind, key), after)
	}
	if err != nil {
		return fmt.Errorf("%w: of %q at %q: %w", ErrState, s.schema.kind, key, err)
	}
	return nil
}

// encode returns what is kept of a state: nothing of the zero value.
func (s states[S]) encode(state *S) ([]byte, error) {
	b, err := encodeState(*state)
	if err != nil || bytes.Equal(b, s.zero) {
		return nil, err
	}
	return b, nil
}

// stateFormat begins what is kept of a state, in its present format:
//
//	1, schema version, length of the codec's name, that name, data
const stateFormat = 1

// encodeState encodes a state like the payload of an event.
func encodeState(state store.Payload) ([]byte, error) {
	p, err := store.Proposal{At: store.At("state", "state"), Payload: state}.Encode()
	if err != nil {
		return nil, err
	}
	raw := p.Payload.(store.Raw)
	b := binary.AppendUvarint([]byte{stateFormat}, uint64(raw.SchemaVersion))
	b = append(binary.AppendUvarint(b, uint64(len(raw.Codec))), raw.Codec...)
	return append(b, raw.Data...), nil
}

// decode reads what is kept into a state, for an event.
func (s states[S]) decode(kept []byte, e *store.Event, state *S) error {
	as, err := decodeState(kept)
	if err != nil {
		return err
	}
	as.Kind, as.Position = s.schema.kind, e.Position
	return s.schema.decode(&as, state)
}

// decodeState returns what is kept as the event that it would be the payload of.
func decodeState(kept []byte) (e store.Event, err error) {
	if len(kept) > 0 && kept[0] > stateFormat {
		return e, supervision.Park(fmt.Errorf("%w: it is of a newer format", ErrState))
	}
	malformed := fmt.Errorf("%w: it is malformed", ErrState)
	if len(kept) == 0 || kept[0] != stateFormat {
		return e, malformed
	}
	version, n := binary.Uvarint(kept[1:])
	if n <= 0 || version > 1<<16-1 {
		return e, malformed
	}
	rest := kept[1+n:]
	size, n := binary.Uvarint(rest)
	if n <= 0 || size > uint64(len(rest)-n) {
		return e, malformed
	}
	rest = rest[n:]
	return store.Event{SchemaVersion: uint16(version), Codec: string(rest[:size]), Payload: rest[size:]}, nil
}

// forget returns what stays of what is kept of a state when an event is erased that it was made
// from.
func (s states[S]) forget(kept []byte) ([]byte, error) {
	var state S
	if _, stays := any(state).(interface{ Erased() S }); !stays {
		return nil, nil
	}
	if err := s.decode(kept, &store.Event{}, &state); err != nil {
		return nil, err
	}
	left := any(state).(interface{ Erased() S }).Erased() //nolint:forcetypeassert // as above
	return s.encode(&left)
}

// State returns what a reactor keeps for a key, as its last commit left it: the zero value where it
// keeps nothing. It is for programs that show it; a handler gets its own. The reactor need not run.
//
// types are those of the reactor. Errors: checkpoint.ErrNotFound where it has never run, a
// [DecodeError], [ErrState], and those of S among the types.
func State[S store.Payload](st *store.Store, types *Types, reactor, key string) (S, error) {
	var state S
	s, err := statesOf[S](types)
	if err := errors.Join(types.Err(), err); err != nil {
		return state, err
	}
	id := checkpoint.ID(reactor)
	info, err := checkpoint.Inspect(st, id)
	if err != nil {
		return state, err
	}
	side, found, err := st.Side(checkpoint.KeptPrefix(info.Record.FirstName(id)) + keptAs(s.schema.kind, key))
	if err != nil || !found {
		return state, err
	}
	return state, s.decode(side.Value, &store.Event{}, &state)
}
