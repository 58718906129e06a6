package store

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
)

// ReservedScope is the scope of Penstock's own audit events, which [Audit] proposes. Callers cannot
// append to it otherwise, and only a region that names it sees it.
const ReservedScope = "penstock"

// Region selects events. All fields that are set must match; the zero Region matches every event
// outside the reserved scope.
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

// Validate reports the first rule that r breaks as an [InvalidError].
func (r Region) Validate() error {
	if r.Entity != "" {
		if err := checkTerm("region entity", r.Entity, MaxEntityBytes); err != nil {
			return err
		}
	}
	if r.Scope != "" {
		if err := checkTerm("region scope", r.Scope, MaxScopeBytes); err != nil {
			return err
		}
	}
	for _, k := range r.Kinds {
		if err := checkTerm("region kind", k, MaxKindBytes); err != nil {
			return err
		}
	}
	if r.Category != "" {
		if len(r.Kinds) > 0 {
			return &InvalidError{Field: "region category", Rule: "excludes kinds", Value: r.Category}
		}
		if err := checkTerm("region category", r.Category, MaxKindBytes); err != nil {
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
	f := newFilter(r)
	return f.admits(e.Coordinate, e.Kind, e.Version)
}

// admits checks what the index does not know: the version range, and the reserved scope.
func (r Region) admits(scope string, version uint64) bool {
	if r.Scope == "" && scope == ReservedScope {
		return false
	}
	return version >= r.MinVersion && (r.MaxVersion == 0 || version <= r.MaxVersion)
}

// Contains reports whether r is at least as wide as other: every event that other matches, r
// matches too. It compares field by field, so a false may be wrong for a region that can match no
// event.
func (r Region) Contains(other Region) bool {
	return r.containsEntity(other) && r.containsScope(other) && r.containsVersions(other) && r.containsKinds(other)
}

func (r Region) containsEntity(other Region) bool {
	return r.Entity == "" || r.Entity == other.Entity || strings.HasPrefix(other.Entity, r.Entity+":")
}

// containsScope holds that no scope means every scope but the reserved one: a region without a
// scope never contains one that names it.
func (r Region) containsScope(other Region) bool {
	return r.Scope == other.Scope || r.Scope == "" && other.Scope != ReservedScope
}

// containsVersions holds that 0 bounds nothing: a range without an upper bound lies only in another
// one without.
func (r Region) containsVersions(other Region) bool {
	return r.MinVersion <= max(1, other.MinVersion) && // versions begin with 1
		(r.MaxVersion == 0 || other.MaxVersion != 0 && other.MaxVersion <= r.MaxVersion)
}

// containsKinds holds that a category is wider than any list of its kinds, and that no list is as
// wide as a category, whose kinds nothing enumerates.
func (r Region) containsKinds(other Region) bool {
	if r.Category == "" && len(r.Kinds) == 0 {
		return true
	}
	if other.Category != "" || len(other.Kinds) == 0 {
		return r.Category != "" && r.Category == other.Category
	}
	return !slices.ContainsFunc(other.Kinds, func(kind string) bool {
		if r.Category != "" {
			return categoryOf(kind) != r.Category
		}
		return !slices.Contains(r.Kinds, kind)
	})
}

// query is what the index can answer of the region. It answers by hashes, and knows neither
// versions nor that no scope leaves out the reserved one: filter checks these on the event.
func (r Region) query() index.Query {
	return index.Query{Entity: r.Entity, Scope: r.Scope, Kinds: r.Kinds, Category: r.Category}
}

// count returns how many events the index of a segment knows of the region, at most limit. A region
// without a scope leaves out the reserved one, which the index has among the others.
func (r Region) count(idx index.Index, from, to uint32, limit int) (n int, err error) {
	q, audits := r.query(), 0
	if r.Scope == "" {
		of := q
		of.Scope = ReservedScope
		if audits, err = idx.Count(of, from, to, math.MaxInt); err != nil {
			return 0, err
		}
	}
	n, err = idx.Count(q, from, to, limit+min(audits, math.MaxInt-limit))
	return n - audits, err
}

// Indexed reports whether an index tells all events of the region from others, so that
// [Store.Count] is exact. It does not know versions, nor entities below the eighth level.
func (r Region) Indexed() bool {
	return r.MinVersion <= 1 && r.MaxVersion == 0 && r.query().Exact()
}

// identityVersion begins every identity.
const identityVersion = 1

// Identity is the canonical form of the region, which [RegionOf] reads: two regions that select by
// the same terms have the same identity, two that do not never share one (every part is preceded by
// its length). It binds a checkpoint to the region it was made in, and stands in the checkpoints of
// existing stores: a region with a new field needs a new version of the form, and keeps the old one
// where that field is not set.
func (r Region) Identity() string {
	kinds := slices.Compact(slices.Sorted(slices.Values(r.Kinds)))
	b := []byte{identityVersion}
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

// RegionOf is the reverse of [Region.Identity]: the region with this identity, its kinds sorted and
// each named once. It is false for a string that no region has as its identity.
func RegionOf(identity string) (Region, bool) {
	if identity == "" || identity[0] != identityVersion {
		return Region{}, false
	}
	d := identityDecoder{rest: identity[1:]}
	r := Region{Entity: d.text(), Scope: d.text(), Category: d.text(), MinVersion: d.number(), MaxVersion: d.number()}
	for n := d.number(); n > 0 && !d.bad; n-- {
		r.Kinds = append(r.Kinds, d.text())
	}
	// Any other way to write the same region, and whatever lies after it, is not its identity.
	if d.bad || r.Identity() != identity {
		return Region{}, false
	}
	return r, true
}

// identityDecoder reads the parts of an identity. After the first that is not there it is bad and
// gives zeros.
type identityDecoder struct {
	rest string
	bad  bool
}

func (d *identityDecoder) number() uint64 {
	v, n := binary.Uvarint([]byte(d.rest[:min(len(d.rest), binary.MaxVarintLen64)]))
	if n <= 0 {
		d.rest, d.bad = "", true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *identityDecoder) text() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.rest, d.bad = "", true
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

// String describes the region for people, as in "entity=order kinds=order.placed,order.shipped
// versions=2..".
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
	add("versions", r.versions())
	if len(parts) == 0 {
		return "everything"
	}
	return strings.Join(parts, " ")
}

// versions returns "2..5", "2.." or "..5", "" when neither side is bounded.
func (r Region) versions() string {
	if r.MinVersion == 0 && r.MaxVersion == 0 {
		return ""
	}
	bound := func(v uint64) string {
		if v == 0 {
			return ""
		}
		return strconv.FormatUint(v, 10)
	}
	return bound(r.MinVersion) + ".." + bound(r.MaxVersion)
}
