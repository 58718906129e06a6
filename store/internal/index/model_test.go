package index

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A model is the segment as plain slices.
type model struct {
	events  []Terms
	offsets []uint32
	keys    map[string]uint32
	sides   map[string]uint32
	links   map[uint32][linkFields][16]byte // of the events that have any
}

// someID makes ids, of which 0 is none.
func someID(n int) (id [16]byte) {
	id[7], id[8], id[15] = byte(n>>8), byte(n>>8), byte(n)
	return id
}

// linkEvery gives each n-th event a cause and a correlation.
func (m model) linkEvery(n int) model {
	m.links = map[uint32][linkFields][16]byte{}
	for i := 0; i < len(m.events); i += n {
		m.links[uint32(i)] = [linkFields][16]byte{someID(1 + i/7), someID(1 + i/50)}
	}
	return m
}

// add adds events of the model, with their links.
func (m model) add(a *Active, ords ...uint32) {
	var entries []Entry
	for _, ord := range ords {
		l := m.links[ord]
		entries = append(entries, Entry{m.offsets[ord], m.events[ord], l[Cause], l[Correlation]})
	}
	a.Add(entries...)
}

// linked filters by brute force.
func (m model) linked(by Link, id [16]byte, from, to uint32) (found []uint32) {
	for ord := from; ord < min(to, uint32(len(m.events))); ord++ {
		if l := m.links[ord]; l[by] == id {
			found = append(found, ord)
		}
	}
	return found
}

func (m model) active() *Active {
	a := NewActive()
	var ords []uint32
	for ord := range uint32(len(m.events)) {
		if ords = append(ords, ord); len(ords) > int(ord%7*addAtOnce/4) {
			m.add(a, ords...)
			ords = ords[:0]
		}
	}
	m.add(a, ords...)
	for key, offset := range m.keys {
		a.AddKey(key, offset)
	}
	for key, offset := range m.sides {
		a.SetSide(sideAt(key, offset))
	}
	return a
}

// sideAt makes a side value of each kind there is.
func sideAt(key string, offset uint32) Side {
	s := SideOf(key, bytes.Repeat([]byte{byte(offset)}, int(offset/4%(2*MaxInline))), offset%4 == 0)
	if s.Deleted {
		s.Length = 0
	}
	s.Offset, s.Revision = offset, uint64(offset)+1
	return s
}

// readSides reads a whole table.
func readSides(blob []byte) (sides []Side, err error) {
	for s, err := range Sides(iotest.OneByteReader(bytes.NewReader(blob)), int64(len(blob))) {
		if err != nil {
			return nil, err
		}
		sides = append(sides, s)
	}
	return sides, nil
}

// split returns the events in three parts, the second of which has none where there are few.
func (m model) split() []model {
	a, b := len(m.events)/3, len(m.events)/2
	if len(m.events) < 10 {
		b = a
	}
	parts := []model{
		{events: m.events[:a], offsets: m.offsets[:a], keys: m.keys},
		{events: m.events[a:b], offsets: m.offsets[a:b]},
		{events: m.events[b:], offsets: m.offsets[b:], sides: m.sides},
	}
	for i, first := range []int{0, a, b} {
		parts[i].links = map[uint32][linkFields][16]byte{}
		for ord, l := range m.links {
			if at := int(ord) - first; at >= 0 && at < len(parts[i].events) {
				parts[i].links[uint32(at)] = l
			}
		}
	}
	return parts
}

// runs returns the index of the parts: one sealed, one that has grown, and one that grows.
func (m model) runs(t require.TestingT) *Runs {
	parts := m.split()
	blob, _ := parts[0].active().Footer()
	runs := NewRuns(sealed(t, blob)[0].Index, parts[1].active())
	growing := NewActive()
	runs = runs.With(growing)
	for i := range parts[2].events {
		parts[2].add(growing, uint32(i))
	}
	return runs
}

func TestPartsThatAreJoinedAreTheWholeByteForByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		var parts []*Active
		for _, p := range m.split() {
			parts = append(parts, p.active())
		}
		index, sides := Join(parts...).Footer()
		wantIndex, wantSides := m.active().Footer()
		require.Equal(t, wantIndex, index)
		require.Equal(t, wantSides, sides)
	})
}

// find filters by brute force.
func (m model) find(q Query, from, to uint32) []uint32 {
	found := []uint32{}
	for ord := from; ord < min(to, uint32(len(m.events))); ord++ {
		if q.Matches(m.events[ord]) {
			found = append(found, ord)
		}
	}
	return found
}

func (m model) lastOf(entity string) (uint32, bool) {
	for ord, e := range slices.Backward(m.events) {
		if e.Entity == entity {
			return uint32(ord), true
		}
	}
	return 0, false
}

// firstLevels is what an index can tell of a query.
func firstLevels(q Query) Query {
	levels := strings.Split(q.Entity, ":")
	q.Entity = strings.Join(levels[:min(len(levels), 8)], ":")
	return q
}

var (
	entities = rapid.OneOf(
		rapid.SampledFrom([]string{"", ":", "::", "a", "a:", "a::b", ":a", "b", "ab", "a:b", "a:b:c", "b:a:b", "a:bc"}),
		rapid.StringOfN(rapid.RuneFrom([]rune("ab:")), 0, 6, -1),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", ""}), 7, 11),
			func(levels []string) string { return "a:" + strings.Join(levels, ":") }),
		rapid.SampledFrom([]string{"d:2:3:4:5:6:7", "d:2:3:4:5:6:7:8", "d:2:3:4:5:6:7:x", "d:2:3:4:5:6:7:8:9", "d:2:3:4:5:6:7:8:9:10", "d:2:3:4:5:6:7:8:x"}),
	)
	scopes = rapid.SampledFrom([]string{"", "shop", "bank"})
	kinds  = rapid.SampledFrom([]string{"", "a", "a.b", "a.c", "a.b.c", "b", "b.", ".", ".a", "c..d"})
	keys   = rapid.StringOfN(rapid.RuneFrom([]rune("xyz")), 0, 3, -1)
)

func drawModel(t *rapid.T) model {
	m := model{}
	// The larger ones have bitmaps beside lists.
	size := rapid.SampledFrom([]int{0, 1, 2, 10, 63, 64, 65, 300}).Draw(t, "events")
	pool := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Terms {
		return Terms{entities.Draw(t, "entity"), scopes.Draw(t, "scope"), kinds.Draw(t, "kind")}
	}), 1, 40).Draw(t, "pool")
	picks := rapid.SliceOfN(rapid.IntRange(0, len(pool)-1), size, size).Draw(t, "picks")
	for i, pick := range picks {
		m.events = append(m.events, pool[pick])
		m.offsets = append(m.offsets, uint32(i)*7919)
	}
	m.links = map[uint32][linkFields][16]byte{}
	for range rapid.IntRange(0, 2*size).Draw(t, "links") {
		ord := rapid.Uint32Range(0, uint32(size)-1).Draw(t, "linked")
		id := rapid.Map(rapid.IntRange(0, 5), someID)
		m.links[ord] = [linkFields][16]byte{id.Draw(t, "cause"), id.Draw(t, "correlation")}
	}
	m.keys = rapid.MapOfN(keys, rapid.Uint32(), 0, 10).Draw(t, "keys")
	m.sides = rapid.MapOfN(keys.Filter(func(k string) bool { return k != "" }), rapid.Uint32(), 0, 10).Draw(t, "sides")
	return m
}

var queries = rapid.Custom(func(t *rapid.T) Query {
	q := Query{}
	if rapid.Bool().Draw(t, "by entity") {
		q.Entity = entities.Draw(t, "entity")
	}
	if rapid.Bool().Draw(t, "by scope") {
		q.Scope = scopes.Draw(t, "scope")
	}
	switch rapid.IntRange(0, 2).Draw(t, "by kind") {
	case 1:
		q.Kinds = rapid.SliceOfN(kinds, 0, 8).Draw(t, "kinds")
	case 2:
		q.Category = rapid.SampledFrom([]string{"a", "b", "c", "a.b", ""}).Draw(t, "category")
	}
	return q
})

// page reads [from, to) in pages and checks each.
func page(t require.TestingT, x sure, q Query, from, to uint32, limit int) []uint32 {
	found := []uint32{}
	for from < to {
		prefix := []uint32{99}
		ords, next := x.Select(q, from, to, limit, prefix)
		require.Equal(t, uint32(99), ords[0], "dst is appended to")
		ords = ords[1:]
		require.LessOrEqual(t, len(ords), limit)
		require.True(t, next == to || len(ords) == limit, "a page that is not full ends the range")
		require.Greater(t, next, from)
		require.LessOrEqual(t, next, to)
		found = append(found, ords...)
		from = next
	}
	return found
}

func TestActiveAndSealedAnswerLikeAFilterOverAllEventsWithAnyPaging(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		active := m.active()
		blob, sideBlob := active.Footer()
		all := append([]sure{{active}, {m.runs(t)}}, sealed(t, blob)...)
		events := uint32(len(m.events))

		for range 10 {
			q := queries.Draw(t, "query")
			from := rapid.Uint32Range(0, events).Draw(t, "from")
			to := rapid.Uint32Range(from, events).Draw(t, "to")
			limit := rapid.IntRange(1, 20).Draw(t, "limit")
			want := m.find(firstLevels(q), from, to)
			require.Subset(t, want, m.find(q, from, to), "no event is missed")
			for _, x := range all {
				require.Equal(t, want, page(t, x, q, from, to, limit), "%T %+v", x, q)
				require.Equal(t, min(len(want), limit), x.Count(q, from, to, limit), "%T %+v", x, q)
				require.Equal(t, len(want), x.Count(q, from, to, 1<<30), "%T %+v", x, q)
			}
		}
		for _, x := range all {
			checkPoints(t, m, x)
			checkLinks(t, m, x)
		}
		checkSides(t, m, sideBlob)
	})
}

// checkLinks compares what points at any id, in a range.
func checkLinks(t *rapid.T, m model, x sure) {
	for n := 1; n < 7; n++ {
		from := rapid.Uint32Range(0, x.Len()).Draw(t, "from")
		to := rapid.Uint32Range(from, x.Len()+1).Draw(t, "to")
		for by := range Link(linkFields) {
			require.Equal(t, m.linked(by, someID(n), from, to), x.Linked(by, someID(n), from, to), "%T %d", x.Index, n)
		}
	}
}

// checkPoints compares every look-up that has one answer.
func checkPoints(t *rapid.T, m model, x sure) {
	require.Equal(t, len(m.events), int(x.Len()))
	for ord, offset := range m.offsets {
		require.Equal(t, offset, x.Offset(uint32(ord)))
	}
	asked := []string{entities.Draw(t, "some entity")}
	for _, e := range m.events {
		asked = append(asked, e.Entity)
	}
	for _, entity := range asked {
		want, wantOK := m.lastOf(entity)
		got, ok := x.LastOf(entity)
		require.Equal(t, wantOK, ok, "%T %q", x, entity)
		require.Equal(t, want, got, "%T %q", x, entity)
	}
	for key, want := range m.keys {
		got, ok := x.FindKey(key)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	_, ok := x.FindKey("never added")
	require.False(t, ok)
}

func TestTheLastPublishedEventPrecedesTheGroupBeingAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, a := model{}, NewActive()
		names := []string{"a", "a:b", "b"}
		settled := 0
		for range rapid.IntRange(1, 12).Draw(t, "groups") {
			if rapid.Bool().Draw(t, "published") { // else what was added stays hidden
				settled = len(m.events)
			}
			a.PublishUpTo(uint32(settled))
			require.Equal(t, uint32(settled), a.Published())
			for range rapid.IntRange(0, 4).Draw(t, "size") {
				e := Terms{Entity: rapid.SampledFrom(names).Draw(t, "entity"), Scope: "s", Kind: "k"}
				a.Add(Entry{Offset: uint32(len(m.events)), Terms: e})
				m.events = append(m.events, e)
			}
			for _, name := range append(names, "never") {
				want, wantOK := model{events: m.events[:settled]}.lastOf(name)
				got, ok := sure{a}.LastPublished(name)
				require.Equal(t, wantOK, ok, name)
				require.True(t, !ok || got == want, "%s: %d, not %d", name, got, want)
			}
		}
		blob, _ := a.Footer()
		opened, err := OpenSealed(blob)
		require.NoError(t, err)
		sealed := sure{opened}
		for _, name := range append(names, "never") {
			want, wantOK := sealed.LastOf(name)
			got, ok := sealed.LastPublished(name)
			require.Equal(t, wantOK, ok)
			require.Equal(t, want, got)
		}
	})
}

func checkSides(t *rapid.T, m model, blob []byte) {
	sides, err := readSides(blob)
	require.NoError(t, err)
	got := map[string]uint32{}
	for _, s := range sides {
		got[s.Key()] = s.Offset
		require.Equal(t, sideAt(s.Key(), s.Offset), s)
	}
	require.Equal(t, m.sides, got)
	require.True(t, slices.IsSortedFunc(sides, func(a, b Side) int { return strings.Compare(a.Key(), b.Key()) }))
}

func TestTheSameCallsGiveTheSameFooter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		index1, sides1 := m.active().Footer()
		index2, sides2 := m.active().Footer()
		require.Equal(t, index1, index2)
		require.Equal(t, sides1, sides2)
	})
}
