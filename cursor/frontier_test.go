package cursor

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store"
)

// frontierModel is a reader that keeps sets, beside the frontier that must say the same.
type frontierModel struct {
	f    frontier
	at   place
	log  []store.Position // of the events that match, ascending
	next int              // of the log: not read yet

	open map[store.Position]bool // read and not done
	done map[store.Position]bool
}

func newFrontierModel(t *rapid.T) *frontierModel {
	gaps := rapid.SliceOfN(rapid.Uint64Range(1, 3), 1, 40).Draw(t, "gaps")
	m := &frontierModel{open: map[store.Position]bool{}, done: map[store.Position]bool{}}
	var at store.Position
	for _, gap := range gaps {
		at += store.Position(gap)
		m.log = append(m.log, at)
	}
	return m
}

// read takes the next few events in, and may scan on to just before the one that follows.
func (m *frontierModel) read(t *rapid.T) {
	n := rapid.IntRange(0, len(m.log)-m.next).Draw(t, "events")
	for _, p := range m.log[m.next : m.next+n] {
		if !m.open[p] && !m.done[p] { // a reader leaves out what it has in flight already
			m.f = m.f.read(p)
			m.open[p] = true
		}
		m.at = place{scanned: p, delivered: p}
	}
	m.next += n
	if m.next < len(m.log) && rapid.Bool().Draw(t, "scan on") {
		m.at.scanned = max(m.at.scanned, m.log[m.next]-1)
	}
}

// finish says that some events are done: only in the next frontier, until it is written.
func (m *frontierModel) finish(t *rapid.T) {
	var done []store.Position
	for _, p := range slices.Sorted(maps.Keys(m.open)) {
		if rapid.Bool().Draw(t, "done") {
			done = append(done, p)
		}
	}
	before := slices.Clone(m.f.undone)
	next := m.f.after(done, nil)
	require.Equal(t, before, slices.Clone(m.f.undone), "a commit that fails leaves everything as it was")
	if rapid.Bool().Draw(t, "written") {
		m.f = next
		for _, p := range done {
			delete(m.open, p)
			m.done[p] = true
		}
	}
}

// restart is another reader that knows the checkpoint alone: it has in flight what is pending, and
// reads on.
func (m *frontierModel) restart(_ *rapid.T) {
	kept, pending := m.f.checkpoint(m.at)
	m.at, m.f = kept, frontier{lastDone: kept.scanned, delivered: kept.delivered}
	m.open = map[store.Position]bool{}
	for _, p := range pending {
		m.f = m.f.read(p)
		m.open[p] = true
	}
	m.next, _ = slices.BinarySearch(m.log, kept.scanned+1)
}

// check compares what the frontier and its checkpoint say with the sets.
func (m *frontierModel) check(t *rapid.T) {
	open := slices.Sorted(maps.Keys(m.open))
	require.Equal(t, len(open), len(m.f.undone))
	kept, pending := m.f.checkpoint(m.at)
	floor := m.f.floor(m.at.scanned)
	require.LessOrEqual(t, kept.scanned, m.at.scanned)
	require.Equal(t, m.lastUpTo(kept.scanned), kept.delivered)
	require.LessOrEqual(t, len(pending), len(open))
	for _, p := range m.log[:m.next] {
		require.Equal(t, m.open[p], m.f.has(p))
		require.False(t, m.open[p] && p <= floor, "%d lies below the floor %d", p, floor)
		again := p > kept.scanned || slices.Contains(pending, p)
		require.Equal(t, !m.done[p], again, "%d is handled again after a restart at %+v, pending %v", p, kept, pending)
	}
	if len(open) > 0 {
		require.Equal(t, open[0]-1, floor)
	}
}

// lastUpTo is the last event up to a position, 0 if there is none.
func (m *frontierModel) lastUpTo(p store.Position) store.Position {
	i, found := slices.BinarySearch(m.log, p)
	switch {
	case found:
		return p
	case i == 0:
		return 0
	}
	return m.log[i-1]
}

func TestACheckpointRepeatsWhatIsNotDoneAndNothingElseHoweverKeysOvertake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newFrontierModel(t)
		t.Repeat(map[string]func(*rapid.T){"read": m.read, "finish": m.finish, "restart": m.restart, "": m.check})
	})
}

// The size of a checkpoint follows what is undone, not how far others have got ahead of the oldest
// one.
func TestOneSlowEventDoesNotMakeTheCheckpointGrow(t *testing.T) {
	var f frontier
	for p := store.Position(1); p <= 10_000; p++ {
		f = f.read(p)
		if p > 1 {
			f = f.after([]store.Position{p}, nil)
		}
	}
	kept, pending := f.checkpoint(place{scanned: 10_000, delivered: 10_000})
	require.Equal(t, place{scanned: 10_000, delivered: 10_000}, kept)
	require.Equal(t, []store.Position{1}, pending)
	require.Zero(t, f.floor(10_000))
}
