package reactortest

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// React returns all that r emits for the payloads, in order, nil for nothing. It fails the test at
// once when the reactor is invalid, when a handler fails, and at a payload that the reactor does
// not read.
//
// The events lie in the region of the reactor: at its entity and scope, or at entity "entity" and
// scope "test" where it names none. [At] sets another coordinate.
func React(tb testing.TB, r *reactor.Reactor, payloads ...store.Payload) []reactor.Reaction {
	tb.Helper()
	reactions, err := ReactErr(tb, r, payloads...)
	if err != nil {
		tb.Fatalf("reactortest: %v", err)
	}
	return reactions
}

// ReactErr is [React] for tests of failure: it returns the first error, wrapped, with the reactions
// to the events before the one that failed.
func ReactErr(tb testing.TB, r *reactor.Reactor, payloads ...store.Payload) ([]reactor.Reaction, error) {
	tb.Helper()
	if _, err := r.CursorWorker(); err != nil {
		return nil, err
	}
	var events []store.Event
	log := log{at: defaultAt(r.Region), versions: make(map[string]uint64)}
	for i, p := range payloads {
		e, err := log.append(p)
		if err != nil {
			all, failed := r.React(tb.Context(), events...)
			return all, cmp.Or(failed, fmt.Errorf("payload %d: %w", i+1, err))
		}
		events = append(events, e)
	}
	reactions, err := r.React(tb.Context(), events...)
	if len(events) == 1 && err != nil {
		err = fmt.Errorf("event 1 (%s at %s): %w", events[0].Kind, events[0].Coordinate, err)
	}
	return reactions, err
}

// At returns the payload with the coordinate of its event.
func At(at store.Coordinate, p store.Payload) store.Payload { return located{Payload: p, at: at} }

type located struct {
	store.Payload
	at store.Coordinate
}

// defaultAt returns a coordinate inside the region.
func defaultAt(r store.Region) store.Coordinate {
	at := store.At("entity", "test")
	if r.Entity != "" {
		at.Entity = r.Entity
	}
	if r.Scope != "" {
		at.Scope = r.Scope
	}
	return at
}

// log makes events as a store does, and keeps none.
type log struct {
	at       store.Coordinate // of payloads without one
	head     store.Position
	versions map[string]uint64
}

func (l *log) append(p store.Payload) (store.Event, error) {
	at := l.at
	if given, ok := p.(located); ok {
		at, p = given.at, given.Payload
	}
	encoded, err := store.Proposal{At: at, Payload: p}.Encode()
	if err != nil {
		return store.Event{}, err
	}
	raw := encoded.Payload.(store.Raw)
	l.head++
	l.versions[at.Entity]++
	id := eventID(l.head)
	return store.Event{
		ID: id, Position: l.head, Coordinate: at, Kind: raw.Type, SchemaVersion: raw.SchemaVersion,
		Version: l.versions[at.Entity], Time: store.Timestamp(l.head << 16), Correlation: id,
		Codec: raw.Codec, Payload: raw.Data,
	}, nil
}

// eventID is a UUIDv7 that grows with the position: 00000000-0001-7000-8000-000000000001 for the
// first.
func eventID(p store.Position) uuid.UUID {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], uint64(p))
	binary.BigEndian.PutUint64(id[:], uint64(p)<<16)
	id[6] |= 0x70
	id[8] = 0x80
	return id
}
