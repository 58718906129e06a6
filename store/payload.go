package store

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Payload is what an event says. Its kind is the durable name of its type: a dotted string such as
// "order.placed", 1 to [MaxKindBytes] bytes without control characters. The part before the first
// dot is its category. The Go type may be renamed freely, its kind may not.
//
// A payload is encoded as JSON, unless it has a method Codec() [Codec]. One that has a method
// SchemaVersion() uint16 gets that version recorded. Neither method, nor Kind, depends on what the
// payload says. JSON is that of encoding/json of the Go release that builds the program: 1.27, and
// 1.26 with GOEXPERIMENT=jsonv2, decode it several times as fast as older ones.
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

// CodecJSON is the name of the codec of payloads that do not bring their own, which is
// encoding/json.
const CodecJSON = "json"

// Codec is an encoding of payloads beside JSON. A type of payload has one by a method:
//
//	func (Placed) Codec() store.Codec { return protobuf }
//
// All that writes such a payload writes it in that codec, and records its name with the event; all
// that decodes into the type reads that codec, and JSON, in which the type may have been written
// before. A codec that is named "json" takes the place of encoding/json for the type.
//
// The functions are called by several goroutines at once.
type Codec struct {
	// Name is written with each event, and never changes: 1 to 64 bytes, by the rules of a kind.
	Name string
	// Marshal returns memory of its own, which it does not write to again. It gets the payload as it
	// was handed to the store.
	Marshal func(v any) ([]byte, error)
	// Unmarshal neither changes data nor keeps it: of what v needs later it makes a copy. v is the
	// pointer that [Event.Decode] got.
	Unmarshal func(data []byte, v any) error
	// Deterministic says that equal payloads are always encoded as the same bytes. A commit with a
	// payload whose codec does not say so has no idempotency key: a retry that encodes it again would
	// look like other content. (A [Raw] that is kept for the retry may have one.)
	//
	// Protobuf is so with proto.MarshalOptions{Deterministic: true}, but only within one build of a
	// program: a retry by another build may be an [IdempotencyKeyReusedError].
	Deterministic bool
}

// For returns the codec that an event is decoded with: c where that is the one that the event
// names, and else that of JSON. Another one is an [UnknownCodecError]. The zero Codec stands for
// none beside JSON.
func (c Codec) For(e Event) (Codec, error) {
	switch {
	case e.Codec == c.Name && c.Name != "": // an event that is not of a log may name none
		return c, nil
	case e.Codec == CodecJSON:
		return jsonCodec(), nil
	}
	return Codec{}, &UnknownCodecError{Position: e.Position, Kind: e.Kind, Codec: e.Codec, Own: c.Name}
}

// Validate returns an [InvalidError] for a codec that lacks its name or a function, or whose name
// the store refuses.
func (c Codec) Validate() error {
	if c.Marshal == nil || c.Unmarshal == nil {
		return &InvalidError{Field: "codec", Rule: "must have Marshal and Unmarshal", Value: c.Name}
	}
	return checkText("codec", c.Name, maxCodecBytes)
}

func jsonCodec() Codec {
	return Codec{Name: CodecJSON, Marshal: json.Marshal, Unmarshal: json.Unmarshal, Deterministic: true}
}

// codecOf returns the codec of the type of a payload, or of what a pointer to one points to; false
// where it has none of its own. A nil pointer has none: the method may have a value receiver.
func codecOf(v any) (Codec, bool) {
	p, own := v.(interface{ Codec() Codec })
	if !own || isNilPointer(v) {
		return Codec{}, false
	}
	return p.Codec(), true
}

func isNilPointer(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// Decode decodes the payload into v as it was written: as JSON, or in the codec of the type that v
// points to. An event that was erased is [ErrErased], one of another codec an [UnknownCodecError],
// a type whose codec is none an [InvalidError]. Package reactor reads payloads of older schema
// versions as the present one.
func (e Event) Decode(v any) error {
	if _, erased := e.Erased(); erased {
		return fmt.Errorf("event %d (%s): %w", e.Position, e.Kind, ErrErased)
	}
	own, has := codecOf(v)
	if has {
		if err := own.Validate(); err != nil {
			return err
		}
	}
	codec, err := own.For(e)
	if err != nil {
		return err
	}
	if err := codec.Unmarshal(e.Payload, v); err != nil {
		return fmt.Errorf("store: event %d (%s): decode: %w", e.Position, e.Kind, err)
	}
	return nil
}

// encodePayload sets the fields of a draft that a payload has, as it is written.
func encodePayload(p Payload, d *wal.Draft) error {
	raw, encoded := p.(Raw)
	if !encoded {
		return marshalPayload(p, d)
	}
	d.Kind, d.Codec, d.SchemaVersion, d.Payload = raw.Type, raw.Codec, raw.SchemaVersion, raw.Data
	if d.Codec == "" {
		d.Codec = CodecJSON
	}
	return nil
}

func marshalPayload(p Payload, d *wal.Draft) (err error) {
	if p == nil || isNilPointer(p) { // Kind may have a value receiver
		return &InvalidError{Field: "payload", Rule: "must not be nil"}
	}
	codec, own := codecOf(p)
	if !own {
		codec = jsonCodec()
	} else if err := codec.Validate(); err != nil {
		return err
	}
	d.Kind, d.Codec = p.Kind(), codec.Name
	if d.Payload, err = codec.Marshal(p); err != nil {
		return fmt.Errorf("%w: payload of kind %q cannot be encoded: %w", ErrInvalid, d.Kind, err)
	}
	if v, ok := p.(interface{ SchemaVersion() uint16 }); ok {
		d.SchemaVersion = v.SchemaVersion()
	}
	return nil
}
