package store

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
)

// ReservedScope is the scope of Penstock's own audit events. Callers cannot append to it, and only a
// region that names it sees it.
const ReservedScope = "penstock"

// Region selects events. All fields that are set must match; the zero Region matches every event outside
// the reserved scope.
type Region struct {
	// Entity is a namespace: "order" matches the entities "order" and "order:42", not "orders".
	Entity string
	// Scope is matched exactly.
	Scope string
	// Kinds lists the kinds that match; order and repetitions mean nothing.
	Kinds []string
	// Category matches all kinds with that part before the first dot. It excludes Kinds.
	Category string
	// MinVersion and MaxVersion bound the entity version, both inclusive; 0 means unbounded.
	MinVersion, MaxVersion uint64
}

// Validate reports the first rule that r breaks as an [InvalidError] or a [LimitError].
func (r Region) Validate() error {
	if r.Entity != "" {
		if err := checkText("region entity", r.Entity, MaxEntityBytes); err != nil {
			return err
		}
	}
	if r.Scope != "" {
		if err := checkText("region scope", r.Scope, MaxScopeBytes); err != nil {
			return err
		}
	}
	for _, k := range r.Kinds {
		if err := checkText("region kind", k, MaxKindBytes); err != nil {
			return err
		}
	}
	if r.Category != "" {
		if len(r.Kinds) > 0 {
			return &InvalidError{Field: "region category", Rule: "excludes kinds", Value: r.Category}
		}
		if err := checkText("region category", r.Category, MaxKindBytes); err != nil {
			return err
		}
	}
	if r.MaxVersion != 0 && r.MinVersion > r.MaxVersion {
		return &InvalidError{Field: "region versions", Rule: "minimum must not exceed maximum"}
	}
	return nil
}

// Matches reports whether e lies in the region.
func (r Region) Matches(e Event) bool {
	return newFilter(r).admits(&e)
}

// admits checks what the index does not know: the version range, and the reserved scope.
func (r Region) admits(e *Event) bool {
	if r.Scope == "" && e.Coordinate.Scope == ReservedScope {
		return false
	}
	return e.Version >= r.MinVersion && (r.MaxVersion == 0 || e.Version <= r.MaxVersion)
}

func (r Region) query() index.Query {
	return index.Query{Entity: r.Entity, Scope: r.Scope, Kinds: r.Kinds, Category: r.Category}
}

// Identity is the canonical form of the region: two regions that select by the same terms have the same
// identity, two that do not never share one (every part is preceded by its length). It binds a checkpoint
// to the region it was made in.
func (r Region) Identity() string {
	kinds := slices.Compact(slices.Sorted(slices.Values(r.Kinds)))
	b := []byte{1}
	for _, s := range []string{r.Entity, r.Scope, r.Category} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.AppendUvarint(b, r.MinVersion)
	b = binary.AppendUvarint(b, r.MaxVersion)
	b = binary.AppendUvarint(b, uint64(len(kinds)))
	for _, k := range kinds {
		b = binary.AppendUvarint(b, uint64(len(k)))
		b = append(b, k...)
	}
	return string(b)
}

// String describes the region for people.
func (r Region) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+"="+value)
		}
	}
	add("entity", r.Entity)
	add("scope", r.Scope)
	add("category", r.Category)
	add("kinds", strings.Join(r.Kinds, ","))
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}
