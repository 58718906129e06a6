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

// passModel is a reader of a log, with what it knows from its lease alone, beside the sets that say
// what it must do.
type passModel struct {
	st     *store.Store
	l      *checkpoint.Lease
	width  int
	events []store.Event

	due      positions // to be delivered, what is in flight included
	inFlight positions
	parked   positions
	ever     positions // handled at some time
	asked    positions // of these, to emit again
}

func newPassModel(t *rapid.T) *passModel {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	m := &passModel{st: st, due: positions{}, inFlight: positions{}, parked: positions{}, ever: positions{}, asked: positions{}}
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

// wantAll makes due what lies in a region after a position, unless it is parked.
func (m *passModel) wantAll(region store.Region, after store.Position) {
	for _, e := range m.events {
		if e.Position > after && region.Matches(e) && !m.parked[e.Position] {
			m.due[e.Position] = true
		}
	}
}

func (m *passModel) commit(t *rapid.T, b store.Batch) {
	require.NoError(t, m.l.Committed(m.st.Commit(t.Context(), b)))
}

// read continues to a position and delivers what the pass lets through: exactly what is due.
func (m *passModel) read(t *rapid.T, upTo store.Position, outcome func(e store.Event)) {
	record, pass := m.l.Record(), m.l.Pass()
	var got, want []store.Position
	for _, p := range m.due.sorted() {
		if p <= upTo && !m.inFlight[p] {
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
	for p := range m.parked {
		b.Sides = append(b.Sides, checkpoint.Parked{Position: p}.Write("w"))
	}
	m.l.Stage(&b, checkpoint.Move{Scanned: at, Delivered: at, Pending: m.inFlight.sorted()})
	m.commit(t, b)
}

// change commits a change of the reader as it is.
func (m *passModel) change(t *rapid.T, c checkpoint.Change) checkpoint.Outcome {
	var b store.Batch
	r := m.l.Record()
	move := checkpoint.Move{Scanned: r.Scanned, Delivered: r.Delivered, Pending: m.inFlight.sorted()}
	dry, err := m.l.StageChange(t.Context(), m.st, &b, move, c, checkpoint.Request{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, store.Batch{}, b, "a dry run adds nothing")
	out, err := m.l.StageChange(t.Context(), m.st, &b, move, c, checkpoint.Request{})
	require.NoError(t, err)
	require.Equal(t, dry, out, "and reports what happens")
	m.commit(t, b)
	return out
}

func (m *passModel) done(p store.Position) {
	delete(m.due, p)
	delete(m.inFlight, p)
	delete(m.asked, p)
	m.ever[p] = true
}

func (m *passModel) advance(t *rapid.T) {
	at := m.l.Record().Scanned
	upTo := store.Position(rapid.Uint64Range(uint64(at), uint64(m.st.Head())).Draw(t, "up to"))
	m.read(t, upTo, func(e store.Event) {
		switch outcome := rapid.SampledFrom([]string{"done", "in flight", "parked"}).Draw(t, "outcome"); {
		case outcome == "in flight":
			m.inFlight[e.Position] = true
		case outcome == "parked" && !m.ever[e.Position]:
			delete(m.due, e.Position)
			m.parked[e.Position] = true
		default:
			m.done(e.Position)
		}
	})
}

// settle ends one event in flight, or one that is parked, whose turn comes from its list.
func (m *passModel) settle(t *rapid.T) {
	if list := m.inFlight.sorted(); len(list) > 0 {
		m.done(rapid.SampledFrom(list).Draw(t, "in flight"))
		m.stage(t, 0)
		return
	}
	if list := m.parked.sorted(); len(list) > 0 {
		p := rapid.SampledFrom(list).Draw(t, "parked")
		delete(m.parked, p)
		m.ever[p] = true
		_, err := m.st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{checkpoint.Unpark("w", p)}})
		require.NoError(t, err)
	}
}

func (m *passModel) rewind(t *rapid.T) {
	end := max(m.l.Record().Scanned, m.l.Pass().End())
	to := store.Position(rapid.Uint64Range(0, uint64(end)).Draw(t, "to"))
	var unparked []store.Position
	for _, p := range m.parked.sorted() {
		if p > to {
			unparked = append(unparked, p)
			delete(m.parked, p)
		}
	}
	emit := rapid.Bool().Draw(t, "emit")
	for p := range m.ever {
		m.asked[p] = m.asked[p] && p <= to || emit && p > to
	}
	out := m.change(t, checkpoint.Rewind{To: to, Emit: emit})
	var left []store.Position
	for _, entry := range out.Parked {
		left = append(left, entry.Position)
	}
	require.Equal(t, unparked, left)
	m.inFlight = positions{}
	m.wantAll(m.reads(), to)
	m.counted(t, out, end)
}

func (m *passModel) widen(t *rapid.T) {
	next := rapid.IntRange(m.width, len(widths)-1).Draw(t, "wider")
	former := m.reads()
	end := m.l.Record().Scanned
	out := m.change(t, checkpoint.Widen{Region: widths[next].Region, Kinds: widths[next].Kinds})
	if next == m.width {
		return
	}
	defer m.counted(t, out, end)
	m.width, m.inFlight = next, positions{}
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
	skipped := len(m.inFlight)
	for _, p := range m.due.sorted() {
		if p <= to && !m.inFlight[p] && !m.ever[p] {
			skipped++
		}
	}
	out := m.change(t, checkpoint.SkipTo{To: to})
	require.Equal(t, skipped, out.Skipped)
	for _, p := range m.due.sorted() {
		if p <= to {
			m.done(p)
		}
	}
}

// counted checks what an outcome says of the events up to a position that are due now.
func (m *passModel) counted(t *rapid.T, out checkpoint.Outcome, upTo store.Position) {
	again, first := 0, 0
	for p := range m.due {
		switch {
		case p > upTo:
		case m.ever[p]:
			again++
		default:
			first++
		}
	}
	require.Equal(t, []int{again, first}, []int{out.Again, out.New}, "handled again, for the first time: %s", out)
}

// reacquire is another owner, which knows only what is stored.
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
	require.Equal(t, m.inFlight.sorted(), m.due.sorted())
	for p := range m.inFlight {
		m.done(p)
	}
	m.stage(t, m.st.Head())
	require.True(t, m.l.Pass().Empty())
	stored, err := checkpoint.Inspect(m.st, "w")
	require.NoError(t, err)
	require.True(t, stored.Pass.Empty())
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
