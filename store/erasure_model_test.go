package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// modelledEvent is what the model knows of one.
type modelledEvent struct {
	id     uuid.UUID
	cause  int // index of another one, -1 for none
	entity string
	token  string // is in its payload, and nowhere else
	size   int
	erased bool
	reason string
}

// erasureModel is a store beside a plain list of what it must have.
type erasureModel struct {
	t      *testing.T
	dice   *rand.Rand
	disk   *vfs.Memory
	s      *Store
	reader *Store // another process
	events []modelledEvent
	sides  map[string]string
	erased int
}

// Histories of appends, side values, erasures and reopenings, against a plain list.
func TestRandomHistoriesWithErasuresAreThoseOfAPlainList(t *testing.T) {
	histories := 12 / thinning
	if soaking() {
		histories = 400
	}
	erased := 0
	for seed := range histories {
		m := &erasureModel{
			t: t, dice: rand.New(rand.NewPCG(uint64(seed), 1)), disk: vfs.NewMemory(), sides: make(map[string]string),
		}
		m.open()
		for range 60 {
			m.step()
		}
		m.check()
		require.NoError(t, m.s.Close())
		require.NoError(t, m.reader.Close())
		erased += m.erased
	}
	require.Positive(t, erased)
	t.Logf("%d histories, %d events erased", histories, erased)
}

func (m *erasureModel) open() {
	mode := []SyncMode{SyncAlways, SyncNever}[m.dice.IntN(2)]
	s, err := open(m.disk, logDir, smallSegments(mode), m.dice.IntN(2) == 0)
	require.NoError(m.t, err)
	m.s = s
	if m.reader == nil {
		m.reader, err = open(m.disk, logDir, Options{ReadOnly: true}, true)
		require.NoError(m.t, err)
	}
}

func (m *erasureModel) step() {
	switch m.dice.IntN(12) {
	default:
		m.append()
	case 0, 1, 2:
		key := fmt.Sprintf("k/%d", m.dice.IntN(4))
		m.sides[key] = fmt.Sprintf("%d-%0*d", m.dice.Int(), m.dice.IntN(8000), 0)
		write(m.t, m.s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(m.sides[key])}}})
	case 3:
		m.erase()
	case 4:
		if m.dice.IntN(2) == 0 {
			require.NoError(m.t, m.s.Close())
		} else {
			killStore(m.s)
		}
		m.open()
	case 5:
		m.check()
	}
}

func (m *erasureModel) append() {
	var b Batch
	first := len(m.events)
	for range 1 + m.dice.IntN(4) {
		e := modelledEvent{
			entity: fmt.Sprintf("e:%d", m.dice.IntN(5)), token: fmt.Sprintf("<%016x>", m.dice.Uint64()),
			size: m.dice.IntN(30) * m.dice.IntN(300), cause: -1,
		}
		p := Proposal{At: At(e.entity, "shop"), Payload: Raw{
			Type: "t", Codec: "raw", Data: append([]byte(e.token), bytes.Repeat([]byte("x"), e.size)...),
		}, Headers: map[string]string{"h": e.token}}
		if n := m.dice.IntN(first + 1); n < first && m.dice.IntN(2) == 0 {
			e.cause = n
			p.Causation = Causation{Cause: m.events[n].id, Depth: 1}
		}
		b.Events, m.events = append(b.Events, p), append(m.events, e)
	}
	if m.dice.IntN(3) == 0 {
		b.IdempotencyKey = fmt.Sprint("key-", first)
	}
	for i, r := range write(m.t, m.s, b).Events {
		m.events[first+i].id = r.ID
	}
}

// erase erases an entity, or an event and what followed from it.
func (m *erasureModel) erase() {
	if len(m.events) == 0 {
		return
	}
	what := Erasure{Reason: fmt.Sprint("reason ", m.dice.Int()), By: "model"}
	chosen := make(map[int]bool)
	at := m.dice.IntN(len(m.events))
	if m.dice.IntN(2) == 0 {
		what.Entity = m.events[at].entity
	} else {
		what.Events, what.Effects = []uuid.UUID{m.events[at].id}, true
	}
	for i, e := range m.events {
		if e.entity == what.Entity || i == at || what.Effects && e.cause >= 0 && chosen[e.cause] {
			chosen[i] = true
		}
	}
	report, err := Erase(m.t.Context(), m.s, what)
	require.NoError(m.t, err)
	var ids []uuid.UUID
	for i := range m.events {
		if e := &m.events[i]; chosen[i] && !e.erased {
			e.erased, e.reason = true, what.Reason
			ids = append(ids, e.id)
		}
	}
	require.Len(m.t, report.Events, len(ids))
	for i := range ids {
		require.Equal(m.t, ids[i], report.Events[i].ID)
	}
	m.erased += len(ids)
	names, err := m.disk.List(logDir)
	require.NoError(m.t, err)
	for _, name := range names {
		data := m.disk.Bytes(logDir + "/" + name)
		for _, e := range m.events {
			if e.erased && bytes.Contains(data, []byte(e.token)) {
				m.t.Fatalf("%s has %s", name, e.token)
			}
		}
	}
}

func (m *erasureModel) check() {
	for _, s := range []*Store{m.s, m.reader} {
		var read, scanned []Event
		for e, err := range s.Read(context.Background(), Region{Scope: "shop"}, Beginning()) {
			require.NoError(m.t, err)
			read = append(read, e)
		}
		for e, err := range s.Scan(context.Background(), Region{Scope: "shop"}, Beginning()) {
			require.NoError(m.t, err)
			scanned = append(scanned, e.Clone())
		}
		require.Len(m.t, read, len(m.events))
		require.Len(m.t, scanned, len(m.events))
		for i := range m.events {
			m.compare(&m.events[i], read[i])
			m.compare(&m.events[i], scanned[i])
			e, err := s.Get(context.Background(), m.events[i].id)
			require.NoError(m.t, err)
			m.compare(&m.events[i], e)
		}
		for key, value := range m.sides {
			require.Equal(m.t, value, sideText(s, key))
		}
		for i := range 5 {
			for _, err := range History(context.Background(), s, fmt.Sprintf("e:%d", i)) {
				require.NoError(m.t, err)
			}
		}
	}
	requireWhole(m.t, m.s)
}

func (m *erasureModel) compare(want *modelledEvent, e Event) {
	require.Equal(m.t, want.id, e.ID)
	require.Equal(m.t, want.entity, e.Coordinate.Entity)
	by, erased := e.Erased()
	require.Equal(m.t, want.erased, erased)
	require.Equal(m.t, want.reason, by.Reason)
	if erased {
		require.Empty(m.t, e.Payload)
		require.Nil(m.t, e.Headers())
		return
	}
	require.Len(m.t, e.Payload, len(want.token)+want.size)
	require.True(m.t, bytes.HasPrefix(e.Payload, []byte(want.token)))
}
