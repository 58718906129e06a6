package store

import (
	"bytes"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Position is an event's place in the log: 1, 2, 3 and so on, without a hole, assigned when the
// event is committed and never changed afterwards. 0 means "before everything".
type Position uint64

// Coordinate says where an event belongs: to an entity, the thing that has a history of its own
// ("order:42"), and to a scope, the label of a tenant or of a part of an application ("shop").
//
// An entity is 1 to [MaxEntityBytes] bytes of UTF-8 and may be structured by colons: a [Region]
// that names "order" sees "order:42" too. A scope is 1 to [MaxScopeBytes] bytes. Neither may hold
// control characters, line separators or marks of direction, as no name that is written may. The
// scope [ReservedScope] belongs to Penstock itself.
//
// Scope is a label to select by; it does not separate histories: versions and expectations count
// per entity whatever the scope, so put the tenant into the entity ("acme:order:1") where ids could
// meet.
type Coordinate struct {
	Entity string
	Scope  string
}

// At is shorthand for a Coordinate.
func At(entity, scope string) Coordinate { return Coordinate{Entity: entity, Scope: scope} }

// String returns "entity@scope".
func (c Coordinate) String() string { return c.Entity + "@" + c.Scope }

// Timestamp is hybrid logical time: milliseconds since 1970 in the upper 48 bits, a counter in the
// lower
// 16. It grows strictly from event to event of one log, also when the wall clock steps back.
type Timestamp uint64

// Time returns the wall-clock part, with a resolution of a millisecond.
func (t Timestamp) Time() time.Time { return time.UnixMilli(int64(t >> 16)).UTC() }

// String returns the time in RFC 3339 and the counter.
func (t Timestamp) String() string {
	return fmt.Sprintf("%s+%d", t.Time().Format("2006-01-02T15:04:05.000Z07:00"), uint16(t))
}

// Event is one committed event. It is a value; its Payload and what its methods return are
// read-only and stay valid forever, also after the store was closed; but what [Store.Scan] yields,
// the event included, until its next step alone.
type Event struct {
	ID         uuid.UUID // UUIDv7, strictly increasing with Position
	Position   Position
	Coordinate Coordinate
	Kind       string
	// SchemaVersion of the payload as its writer declared it, 0 when it declared none, which typed
	// readers (package reactor) take for 1.
	SchemaVersion uint16
	// Version counts the events of the entity from 1, over all scopes.
	Version uint64
	Time    Timestamp
	// Cause is the event that this one reacts to, uuid.Nil for one that came from outside.
	Cause uuid.UUID
	// Correlation is the ID of the first event of the causal chain; an event without a cause starts
	// one.
	Correlation uuid.UUID
	// Depth is the number of causes between this event and the first of its chain, 0 for the first.
	Depth uint32
	// Codec names the encoding of Payload, "json" unless the writer chose another.
	Codec   string
	Payload []byte

	// record is the whole record, which the payload is a part of: what few callers read is parsed
	// when they do, and costs an event no room of its own. nil for an event made by hand.
	record  []byte
	emitter *emitterNames // nil for an event without one; shared and immutable
}

// Clone returns a copy of an event of [Store.Scan] that stays valid forever.
func (e Event) Clone() Event {
	if e.record == nil {
		e.Payload = bytes.Clone(e.Payload)
		return e
	}
	e.record = bytes.Clone(e.record)
	e.Payload = wal.Payload(e.record)
	return e
}

// Hash is the event's link in the SHA-256 chain of its entity: it covers the entity's previous
// hash, the content of the event and its causal links, its position, version, time and id.
func (e Event) Hash() [32]byte {
	if len(e.record) == 0 {
		return [32]byte{}
	}
	return wal.Hash(e.record)
}

// headers are the encoded ones.
func (e Event) headers() []byte {
	if len(e.record) == 0 {
		return nil
	}
	return wal.Headers(e.record)
}

// Header returns the value of one header. Headers are decoded at each call: take [Event.Headers] to
// read several.
func (e Event) Header(name string) (value string, ok bool) {
	for n, v := range wal.Pairs(e.headers()) {
		if string(n) == name {
			return string(v), true
		}
	}
	return "", false
}

// Headers decodes all headers into a new map, nil when there are none.
func (e Event) Headers() map[string]string { return pairsOf(e.headers()) }

// Meta decodes what its writer noted beside the event into a new map, nil when there is nothing.
// See [Proposal]. It may be handed on as the Meta of another one: what the store itself keeps there
// is not part of it, see [Event.Bypass].
func (e Event) Meta() map[string]string {
	if len(e.record) == 0 {
		return nil
	}
	meta := pairsOf(wal.Meta(wal.Extensions(e.record)))
	if delete(meta, bypassMeta); len(meta) == 0 {
		return nil
	}
	return meta
}

// Bypass returns the reason for which the event passed gates that denied it, or would have; ""
// where it needed none. See [Proposal].
func (e Event) Bypass() string {
	if len(e.record) == 0 {
		return ""
	}
	for name, reason := range wal.Pairs(wal.Meta(wal.Extensions(e.record))) {
		if string(name) == bypassMeta {
			return string(reason)
		}
	}
	return ""
}

func pairsOf(encoded []byte) (m map[string]string) {
	for n, v := range wal.Pairs(encoded) {
		if m == nil {
			m = make(map[string]string)
		}
		m[string(n)] = string(v)
	}
	return m
}

// Causation is what an effect of this event must carry: this event as its cause, the same
// correlation, one step deeper.
func (e Event) Causation() Causation {
	return Causation{Cause: e.ID, Correlation: e.Correlation, Depth: e.Depth + 1}
}

// Causation links a proposed event to the event it reacts to. The zero value means that it came
// from outside. See [Event.Causation].
type Causation struct {
	Cause       uuid.UUID
	Correlation uuid.UUID
	Depth       uint32
}
