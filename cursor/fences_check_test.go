package cursor_test

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

func (m *fenced) check() {
	require.NotContains(m.t, m.fates, staged)
	require.NotContains(m.t, m.fates, doubtful)
	events := all(m.t, m.st)
	shown := numbers(m.t, events)
	var want []int
	for n, now := range m.fates {
		if now == visible {
			want = append(want, n)
		}
	}
	require.ElementsMatch(m.t, want, shown, "what is visible is what was committed or published")
	require.Equal(m.t, shown, numbers(m.t, m.committed), "each event once, and in order")
	require.Equal(m.t, shown, m.followed, "beside the writer, too")
	m.checkReactions(events)
	m.checkGaps(events)
}

// checkReactions requires one to each event, in the order of its key.
func (m *fenced) checkReactions(events []store.Event) {
	keys, last := make(map[store.Position]string), make(map[string]store.Position)
	for _, e := range events {
		keys[e.Position] = e.Coordinate.Entity
	}
	var handled []store.Position
	for e, err := range m.st.Read(m.t.Context(), store.Region{Entity: "out"}, store.Beginning()) {
		require.NoError(m.t, err)
		var body reserved
		require.NoError(m.t, json.Unmarshal(e.Payload, &body))
		key := keys[body.For]
		require.NotEmpty(m.t, key, "event %d is not visible", body.For)
		require.Less(m.t, last[key], body.For, "order of %s", key)
		last[key] = body.For
		handled = append(handled, body.For)
	}
	slices.Sort(handled)
	require.Equal(m.t, slices.Sorted(maps.Keys(keys)), handled)
}

// checkGaps requires that every position is of a visible event or in a cancelled range, and that
// the gaps of the reader that has read all are just these ranges, clipped to the events before and
// after.
func (m *fenced) checkGaps(events []store.Event) {
	seen := make(map[store.Position]bool)
	for _, region := range []store.Region{{}, {Scope: store.ReservedScope}} {
		for e, err := range m.st.Read(m.t.Context(), region, store.Beginning()) {
			require.NoError(m.t, err)
			seen[e.Position] = true
		}
	}
	var want []cursor.Gap
	before := store.Position(0)
	for _, e := range events {
		gap := cursor.Gap{Expected: before + 1, Delivered: e.Position}
		for p := gap.Expected; p < gap.Delivered; p++ {
			switch n := len(gap.Cancelled); {
			case seen[p]:
			case n > 0 && gap.Cancelled[n-1].To == p-1:
				gap.Cancelled[n-1].To = p
			default:
				gap.Cancelled = append(gap.Cancelled, store.Range{From: p, To: p})
			}
		}
		if gap.Cancelled != nil {
			want = append(want, gap)
		}
		before = e.Position
	}
	require.Equal(m.t, want, m.gaps)
	for _, gap := range m.observed { // some may be lost with their process
		require.Contains(m.t, want, gap)
	}
}
