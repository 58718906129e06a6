package reactor

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Upcaster turns the payload of one schema version into that of the next. It is made by [Upcast] or
// [UpcastFrom].
type Upcaster struct {
	from  uint16
	raise func([]byte) ([]byte, error)
}

// Upcast raises payloads of schema version from to the next version, as the bytes of their JSON. It
// must not change its argument, and depend on nothing else.
func Upcast(from uint16, raise func(data []byte) ([]byte, error)) Upcaster {
	return Upcaster{from: from, raise: raise}
}

// UpcastFrom is [Upcast] with types: Old is what payloads of schema version from look like, New
// those of the next.
func UpcastFrom[Old, New any](from uint16, raise func(Old) (New, error)) Upcaster {
	if raise == nil {
		return Upcaster{from: from}
	}
	return Upcast(from, func(data []byte) ([]byte, error) {
		var former Old
		if err := json.Unmarshal(data, &former); err != nil {
			return nil, err
		}
		next, err := raise(former)
		if err != nil {
			return nil, err
		}
		return json.Marshal(next)
	})
}

// schema is how payloads of a kind are read: the one path from bytes to a value, whatever they are
// read for.
type schema struct {
	kind    string
	present uint16                         // version of the type
	oldest  uint16                         // version that the upcasters begin with
	raise   []func([]byte) ([]byte, error) // by version, from the oldest
}

// newSchema checks that the upcasters lead from some version to the present one, one step each.
func newSchema(kind string, present uint16, upcasters []Upcaster) (schema, error) {
	s := schema{kind: kind, present: present, oldest: present}
	sorted := slices.SortedStableFunc(slices.Values(upcasters), func(a, b Upcaster) int { return int(a.from) - int(b.from) })
	for i, u := range sorted {
		rule := ""
		switch {
		case u.raise == nil:
			rule = "is nil"
		case u.from >= present:
			rule = fmt.Sprintf("leads beyond version %d of the type", present)
		case i > 0 && u.from == sorted[i-1].from:
			rule = "is there twice"
		case i > 0 && u.from != sorted[i-1].from+1, i == len(sorted)-1 && u.from != present-1:
			rule = "leaves a gap in the chain"
		}
		if rule != "" {
			return s, invalidRoute(kind, fmt.Sprintf("has an upcaster from version %d that %s", u.from, rule))
		}
		s.raise = append(s.raise, u.raise)
	}
	s.oldest = present - uint16(len(s.raise))
	return s, nil
}

// decode reads the payload of e into body. An event that is newer than the type is parked at once:
// only a newer program can read it.
func (s schema) decode(e store.Event, body any) error {
	switch {
	case e.SchemaVersion > s.present:
		return supervision.Park(s.failed(e, nil))
	case e.SchemaVersion < s.oldest:
		return s.failed(e, nil)
	}
	for version := e.SchemaVersion; version < s.present; version++ {
		if e.Codec != store.CodecJSON {
			break // Decode says so
		}
		raised, err := s.raise[version-s.oldest](e.Payload)
		if err != nil {
			return s.failed(e, fmt.Errorf("upcast from version %d: %w", version, err))
		}
		e.Payload = raised
	}
	if err := e.Decode(body); err != nil {
		return s.failed(e, err)
	}
	return nil
}

func (s schema) failed(e store.Event, err error) error {
	return &DecodeError{
		Kind: e.Kind, Position: e.Position, Version: e.SchemaVersion, Oldest: s.oldest, Newest: s.present, Err: err,
	}
}
