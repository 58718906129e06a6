package reactortest

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
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
		e, err := log.append(tb.Context(), p)
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

// Erased returns the payload with an event whose content was erased: for [React], which gives the
// event to the handler of [reactor.OnErased]. In a [Run] see [Erase].
func Erased(p store.Payload) store.Payload {
	if given, ok := p.(located); ok {
		given.Payload = Erased(given.Payload)
		return given
	}
	return erased{p}
}

type erased struct{ store.Payload }

// erasure is that of an event or an entity in a test.
func erasure() store.Erasure { return store.Erasure{Reason: "test", By: "reactortest"} }

// event returns an event as a log has it whose content is erased.
func (e erased) event(ctx context.Context, at store.Coordinate) (was store.Event, err error) {
	st, err := storetest.Open(store.Options{})
	if err != nil {
		return was, err
	}
	defer func() { _ = st.Close() }()
	receipt, err := st.Append(ctx, at, store.Absent, e.Payload)
	if err != nil {
		return was, err
	}
	what := erasure()
	what.Events = []uuid.UUID{receipt.Events[0].ID}
	if _, err := store.Erase(ctx, st, what); err != nil {
		return was, err
	}
	return st.GetAt(ctx, receipt.Position())
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

func (l *log) append(ctx context.Context, p store.Payload) (e store.Event, err error) {
	at := l.at
	if given, ok := p.(located); ok {
		at, p = given.at, given.Payload
	}
	if gone, ok := p.(erased); ok {
		e, err = gone.event(ctx, at)
	} else {
		e, err = encoded(at, p)
	}
	if err != nil {
		return store.Event{}, err
	}
	l.head++
	l.versions[at.Entity]++
	e.ID, e.Position, e.Version = eventID(l.head), l.head, l.versions[at.Entity]
	e.Time, e.Correlation = store.Timestamp(l.head<<16), e.ID
	return e, nil
}

// encoded returns what an event has before it is committed.
func encoded(at store.Coordinate, p store.Payload) (store.Event, error) {
	encoded, err := store.Proposal{At: at, Payload: p}.Encode()
	if err != nil {
		return store.Event{}, err
	}
	raw := encoded.Payload.(store.Raw)
	return store.Event{
		Coordinate: at, Kind: raw.Type, SchemaVersion: raw.SchemaVersion, Codec: raw.Codec, Payload: raw.Data,
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
