package checkpoint_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// widths are bindings of which each contains the one before.
var widths = []checkpoint.Binding{
	{Region: store.Region{Entity: "a", Category: "k"}, Kinds: []string{"k.x"}},
	{Region: store.Region{Entity: "a", Category: "k"}, Kinds: []string{"k.x", "k.y"}},
	{Region: store.Region{Category: "k"}},
	{},
}

// positions is a set.
type positions map[store.Position]bool

func (s positions) sorted() []store.Position { return slices.Sorted(maps.Keys(s)) }

// passModel is a reader of a log, with what it knows from its lease alone, beside the sets that say what it must do.
type passModel struct {
	st     *store.Store
	l      *checkpoint.Lease
	width  int
	events []store.Event

	due    positions // to be delivered, what is in hand included
	inHand positions
	parked positions
	ever   positions // handled at some time
	asked  positions // of these, to emit again
}

func newPassModel(t *rapid.T) *passModel {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	m := &passModel{st: st, due: positions{}, inHand: positions{}, parked: positions{}, ever: positions{}, asked: positions{}}
	for range rapid.IntRange(1, 16).Draw(t, "events") {
		at := store.At(rapid.SampledFrom([]string{"a:1", "b:1"}).Draw(t, "entity"), "shop")
		kind := rapid.SampledFrom([]string{"k.x", "k.y", "k.z", "other"}).Draw(t, "kind")
		_, err := st.Append(t.Context(), at, store.Any, store.Raw{Type: kind, Data: []byte("{}")})
		require.NoError(t, err)
	}
	for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		m.events = append(m.events, e)
	}
	m.width = rapid.IntRange(0, len(widths)-1).Draw(t, "width")
	m.l, err = checkpoint.Acquire(t.Context(), st, "w", widths[m.width])
	require.NoError(t, err)
	m.wantAll(m.reads(), 0)
	return m
}

func (m *passModel) reads() store.Region { return widths[m.width].Reads() }

// wantAll makes due what lies in a region behind a position, unless it is parked.
func (m *passModel) wantAll(region store.Region, behind store.Position) {
	for _, e := range m.events {
		if e.Position > behind && region.Matches(e) && !m.parked[e.Position] {
			m.due[e.Position] = true
		}
	}
}

func (m *passModel) commit(t *rapid.T, b store.Batch) {
	receipt, err := m.st.Commit(t.Context(), b)
	require.NoError(t, err)
	m.l.Committed(receipt)
}

// read goes on to a position and delivers what the pass lets through: exactly what is due.
func (m *passModel) read(t *rapid.T, upTo store.Position, outcome func(e store.Event)) {
	record, pass := m.l.Record(), m.l.Pass()
	var got, want []store.Position
	for _, p := range m.due.sorted() {
		if p <= upTo && !m.inHand[p] {
			want = append(want, p)
		}
	}
	for _, e := range m.events {
		if e.Position <= record.Scanned || e.Position > upTo || !m.reads().Matches(e) || !pass.Delivers(e) {
			continue
		}
		got = append(got, e.Position)
		require.Equal(t, m.ever[e.Position], pass.Replayed(e), "event %d is a replay", e.Position)
		require.Equal(t, m.ever[e.Position] && !m.asked[e.Position], pass.Mutes(e), "event %d is muted", e.Position)
		outcome(e)
	}
	require.Equal(t, want, got, "delivered from %d to %d", record.Scanned, upTo)
	m.stage(t, upTo)
}

func (m *passModel) stage(t *rapid.T, at store.Position) {
	var b store.Batch
	m.l.Stage(&b, checkpoint.Move{Scanned: at, Delivered: at, Pending: m.inHand.sorted()})
	m.commit(t, b)
}

func (m *passModel) done(p store.Position) {
	delete(m.due, p)
	delete(m.inHand, p)
	delete(m.asked, p)
	m.ever[p] = true
}

func (m *passModel) advance(t *rapid.T) {
	at := m.l.Record().Scanned
	upTo := store.Position(rapid.Uint64Range(uint64(at), uint64(m.st.Head())).Draw(t, "up to"))
	m.read(t, upTo, func(e store.Event) {
		switch outcome := rapid.SampledFrom([]string{"done", "in hand", "parked"}).Draw(t, "outcome"); {
		case outcome == "in hand":
			m.inHand[e.Position] = true
		case outcome == "parked" && !m.ever[e.Position]:
			delete(m.due, e.Position)
			m.parked[e.Position] = true
		default:
			m.done(e.Position)
		}
	})
}

// settle ends one event in hand, or one that is parked, whose turn comes from its list.
func (m *passModel) settle(t *rapid.T) {
	if list := m.inHand.sorted(); len(list) > 0 {
		m.done(rapid.SampledFrom(list).Draw(t, "in hand"))
		m.stage(t, 0)
		return
	}
	if list := m.parked.sorted(); len(list) > 0 {
		p := rapid.SampledFrom(list).Draw(t, "parked")
		delete(m.parked, p)
		m.ever[p] = true
	}
}

func (m *passModel) rewind(t *rapid.T) {
	end := max(m.l.Record().Scanned, m.l.Pass().End())
	to := store.Position(rapid.Uint64Range(0, uint64(end)).Draw(t, "to"))
	undone := m.inHand.sorted()
	for _, p := range m.parked.sorted() {
		if p > to {
			undone = append(undone, p)
			delete(m.parked, p)
		}
	}
	slices.Sort(undone)
	emit := rapid.Bool().Draw(t, "emit")
	for p := range m.ever {
		m.asked[p] = m.asked[p] && p <= to || emit && p > to
	}
	var b store.Batch
	require.NoError(t, m.l.StageRewind(&b, to, m.reads(), undone, emit))
	m.commit(t, b)
	m.inHand = positions{}
	m.wantAll(m.reads(), to)
}

func (m *passModel) widen(t *rapid.T) {
	next := rapid.IntRange(m.width, len(widths)-1).Draw(t, "wider")
	former := m.reads()
	var b store.Batch
	require.NoError(t, m.l.StageWiden(&b, widths[next]))
	m.commit(t, b)
	if next == m.width {
		return
	}
	m.width, m.inHand = next, positions{}
	for _, e := range m.events {
		if m.reads().Matches(e) && !former.Matches(e) {
			m.due[e.Position] = true
		}
	}
}

// skip leaves out what lies before a position; that counts as handled.
func (m *passModel) skip(t *rapid.T) {
	head := m.st.Head()
	to := store.Position(rapid.Uint64Range(uint64(m.l.Record().Scanned), uint64(head)).Draw(t, "skip to"))
	var b store.Batch
	require.NoError(t, m.l.StageSkip(&b, to, head))
	m.commit(t, b)
	for _, p := range m.due.sorted() {
		if p <= to {
			m.done(p)
		}
	}
}

// reacquire is another owner, who knows only what is stored.
func (m *passModel) reacquire(t *rapid.T) {
	former := m.l
	var err error
	m.l, err = checkpoint.Acquire(t.Context(), m.st, "w", widths[m.width])
	require.NoError(t, err)
	require.Equal(t, former.Pass(), m.l.Pass())
	require.Equal(t, former.Record().Pending, m.l.Record().Pending)
}

// finish handles all the rest.
func (m *passModel) finish(t *rapid.T) {
	m.read(t, m.st.Head(), func(e store.Event) { m.done(e.Position) })
	require.Equal(t, m.inHand.sorted(), m.due.sorted())
	for p := range m.inHand {
		m.done(p)
	}
	m.stage(t, m.st.Head())
	require.True(t, m.l.Pass().Empty())
	stored, err := checkpoint.PassOf(m.st, "w")
	require.NoError(t, err)
	require.True(t, stored.Empty())
	for _, e := range m.events {
		require.Equal(t, m.reads().Matches(e), m.ever[e.Position] || m.parked[e.Position], "event %d", e.Position)
	}
}

func TestEveryPassDeliversExactlyWhatIsDueAndKnowsWhatIsAReplay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newPassModel(t)
		defer m.st.Close()

		t.Repeat(map[string]func(*rapid.T){
			"advance": m.advance, "settle": m.settle, "rewind": m.rewind, "widen": m.widen,
			"skip": m.skip, "reacquire": m.reacquire, "finish": m.finish,
		})
		m.finish(t)
	})
}
