package store

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
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
// read-only and stay valid forever, also after the store was closed.
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
// See [Proposal].
func (e Event) Meta() map[string]string {
	if len(e.record) == 0 {
		return nil
	}
	return pairsOf(wal.Meta(wal.Extensions(e.record)))
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

// Decode decodes the payload into v as it was written, with the codec named by the event, which
// must be "json". Package reactor reads payloads of other codecs, and of older schema versions as
// the present one.
func (e Event) Decode(v any) error {
	if e.Codec != CodecJSON {
		return &InvalidError{Field: "codec", Rule: `only "json" can be decoded here`, Value: e.Codec}
	}
	if err := json.Unmarshal(e.Payload, v); err != nil {
		return fmt.Errorf("store: event %d (%s): decode: %w", e.Position, e.Kind, err)
	}
	return nil
}

// Causation links a proposed event to the event it reacts to. The zero value means that it came
// from outside. See [Event.Causation].
type Causation struct {
	Cause       uuid.UUID
	Correlation uuid.UUID
	Depth       uint32
}

// CodecJSON is the codec of payloads that do not bring their own.
const CodecJSON = "json"

// Payload is what an event says. Its kind is the durable name of its type: a dotted string such as
// "order.placed", 1 to [MaxKindBytes] bytes without control characters. The part before the first
// dot is its category. The Go type may be renamed freely, its kind may not.
//
// A payload is encoded as JSON. One that has a method SchemaVersion() uint16 gets that version
// recorded.
type Payload interface {
	Kind() string
}

// Raw is a payload that is encoded already.
type Raw struct {
	Type  string // the kind
	Codec string // "" means "json"
	// SchemaVersion is recorded as is.
	SchemaVersion uint16
	Data          []byte
}

// Kind returns r.Type.
func (r Raw) Kind() string { return r.Type }

// categoryOf returns the part of a kind before its first dot, the whole kind if it has none.
func categoryOf(kind string) string {
	category, _, _ := strings.Cut(kind, ".")
	return category
}

// encodePayload returns kind, codec, schema version and bytes of a payload.
func encodePayload(p Payload) (kind, codec string, schema uint16, data []byte, err error) {
	switch r := p.(type) {
	case nil:
		return "", "", 0, nil, &InvalidError{Field: "payload", Rule: "must not be nil"}
	case Raw:
		codec = r.Codec
		if codec == "" {
			codec = CodecJSON
		}
		return r.Type, codec, r.SchemaVersion, r.Data, nil
	}
	if v := reflect.ValueOf(p); v.Kind() == reflect.Pointer && v.IsNil() { // Kind may have a value receiver
		return "", "", 0, nil, &InvalidError{Field: "payload", Rule: "must not be nil"}
	}
	data, err = json.Marshal(p)
	if err != nil {
		return "", "", 0, nil, fmt.Errorf("%w: payload of kind %q cannot be encoded: %w", ErrInvalid, p.Kind(), err)
	}
	if v, ok := p.(interface{ SchemaVersion() uint16 }); ok {
		schema = v.SchemaVersion()
	}
	return p.Kind(), CodecJSON, schema, data, nil
}
