package reactor

import (
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Upcaster turns the payload of one schema version into that of the next. It is made by [Upcast] or
// [UpcastFrom], and registered with its type, see [TypeOf].
type Upcaster struct {
	from  uint16
	raise func(store.Codec, []byte) ([]byte, error)
}

// Upcast raises payloads of schema version from to the next version, as bytes in the codec in which
// they were written, which is JSON unless the type has another. It must not change its argument,
// and depend on nothing else. The first version is 1.
func Upcast(from uint16, raise func(data []byte) ([]byte, error)) Upcaster {
	if raise == nil {
		return Upcaster{from: from}
	}
	return Upcaster{from: from, raise: func(_ store.Codec, data []byte) ([]byte, error) { return raise(data) }}
}

// UpcastFrom is [Upcast] with types: Old is what payloads of schema version from look like, New
// those of the next.
func UpcastFrom[Old, New any](from uint16, raise func(Old) (New, error)) Upcaster {
	if raise == nil {
		return Upcaster{from: from}
	}
	return Upcaster{from: from, raise: func(c store.Codec, data []byte) ([]byte, error) {
		var former Old
		if err := c.Unmarshal(data, &former); err != nil {
			return nil, err
		}
		next, err := raise(former)
		if err != nil {
			return nil, err
		}
		return c.Marshal(next)
	}}
}

// firstVersion is that of a payload whose type declares none, as of an event that was written
// without: a type that declares its version for the first time still reads what it wrote before.
const firstVersion = 1

// schema is how payloads of a kind are read: the one path from bytes to a value, whatever they are
// read for.
type schema struct {
	kind    string
	present uint16                                      // version of the type
	oldest  uint16                                      // version that the upcasters begin with
	raise   []func(store.Codec, []byte) ([]byte, error) // by version, from the oldest
	codec   store.Codec                                 // beside JSON; the zero value for none
}

// take adds upcasters, and checks that they lead from some version to the
// present one, one step each.
func (s *schema) take(upcasters []Upcaster) error {
	sorted := slices.SortedStableFunc(slices.Values(upcasters), func(a, b Upcaster) int { return int(a.from) - int(b.from) })
	for i, u := range sorted {
		rule := ""
		switch {
		case u.raise == nil:
			rule = "is nil"
		case u.from < firstVersion:
			rule = "does not exist: what has no version is of version 1, so that the type is at 2"
		case u.from >= s.present:
			rule = fmt.Sprintf("leads beyond version %d of the type", s.present)
		case i > 0 && u.from == sorted[i-1].from:
			rule = "is there twice"
		case i > 0 && u.from != sorted[i-1].from+1, i == len(sorted)-1 && u.from != s.present-1:
			rule = "leaves a gap in the chain"
		}
		if rule != "" {
			return invalid(s.kind, fmt.Sprintf("has an upcaster from version %d that %s", u.from, rule))
		}
		s.raise = append(s.raise, u.raise)
	}
	s.oldest = s.present - uint16(len(s.raise))
	return nil
}
