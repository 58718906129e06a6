package index

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ask calls everything a sealed index has and checks what holds for any bytes.
func ask(t require.TestingT, sealed *Sealed) {
	s := sure{sealed}
	events := s.Len()
	for ord := range events {
		s.Offset(ord)
	}
	for _, q := range []Query{
		{},
		{Entity: "order"},
		{Entity: "order:1"},
		{Scope: "shop"},
		{Category: "order"},
		{Kinds: []string{"order.placed", "order.paid", "order.shipped", "stock.reserved"}},
		{Entity: "order:1", Scope: "shop", Kinds: []string{"order.placed", "order.paid"}},
		{Entity: "order", Scope: "shop", Category: "order"},
	} {
		for _, r := range [][2]uint32{{0, events}, {events / 3, events / 2}, {0, none}, {none - 1, none}} {
			from, to := r[0], min(r[1], events)
			ords, _ := s.Select(q, r[0], r[1], 1<<30, nil)
			for _, ord := range ords {
				require.True(t, ord >= from && ord < to, "in the range and ascending")
				from = ord + 1
			}
			n := s.Count(q, r[0], r[1], 1<<30)
			require.GreaterOrEqual(t, n, 0)
			require.LessOrEqual(t, s.Count(q, r[0], r[1], 3), 3)
		}
	}
	if ord, ok := s.LastOf("order:1"); ok {
		require.Less(t, ord, events)
	}
	s.FindKey("pay-1")
}

func FuzzOpenSealedNeverReadsWhatIsNotThere(f *testing.F) {
	for _, m := range []model{{}, golden(), shop(200, 5), shop(70, 70)} {
		blob, _ := m.active().Footer()
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		s, err := OpenSealed(blob)
		if err != nil {
			var evidence *CorruptError
			require.ErrorIs(t, err, ErrCorrupt)
			require.True(t, errors.As(err, &evidence))
			require.LessOrEqual(t, evidence.Offset, len(blob))
			return
		}
		ask(t, s)
	})
}

func FuzzSidesTakesOnlyWhatFooterWrites(f *testing.F) {
	for _, m := range []model{{}, golden()} {
		_, blob := m.active().Footer()
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		sides, err := Sides(blob)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		a := NewActive()
		for _, s := range sides {
			a.SetSide(s.Key, s.Offset)
		}
		_, again := a.Footer()
		require.Equal(t, blob, again)
	})
}

// What passes the checks is mostly damage to postings and offsets.
func TestADamagedIndexIsRefusedOrAnswersWithinItsBounds(t *testing.T) {
	var blobs [][]byte
	for _, m := range []model{golden(), shop(200, 5), shop(300, 100)} {
		blob, _ := m.active().Footer()
		blobs = append(blobs, blob)
	}
	rapid.Check(t, func(t *rapid.T) {
		blob := append([]byte(nil), rapid.SampledFrom(blobs).Draw(t, "blob")...)
		for range rapid.IntRange(1, 20).Draw(t, "damages") {
			at := rapid.IntRange(0, len(blob)-1).Draw(t, "at")
			blob[at] = rapid.Byte().Draw(t, "byte")
		}
		blob = blob[:rapid.OneOf(rapid.Just(len(blob)), rapid.IntRange(0, len(blob))).Draw(t, "length")]
		if s, err := OpenSealed(blob); err == nil {
			ask(t, s)
		}
	})
}

func TestAnIndexCutOffOrGrownAnywhereIsRefused(t *testing.T) {
	blob, sides := golden().active().Footer()
	for n := range blob {
		_, err := OpenSealed(blob[:n:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	for n := range sides {
		_, err := Sides(sides[:n:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	_, err := OpenSealed(append(blob, 0, 0, 0, 0))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Sides(append(sides, make([]byte, 8)...))
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestAnIndexThatBreaksARuleOfItsLayoutIsRefused(t *testing.T) {
	// termOf returns a row of a list with one ordinal, or of one with more.
	termOf := func(s *Sealed, single bool) []byte {
		for i := range s.terms.len() {
			if row, count, _ := s.term(i); (count == 1) == single {
				return row
			}
		}
		panic("no such list")
	}
	put := binary.LittleEndian.PutUint32
	for _, c := range []struct {
		reason string
		damage func(*Sealed)
	}{
		{"list without events", func(s *Sealed) { put(termOf(s, true)[8:], 0) }},
		{"or with more than there are", func(s *Sealed) { put(termOf(s, false)[8:], s.events+1) }},
		{"event beyond the last", func(s *Sealed) { put(termOf(s, true)[12:], s.events) }},
		{"does not follow the one before", func(s *Sealed) { put(termOf(s, false)[12:], 1) }},
		{"value out of range", func(s *Sealed) { put(s.entities.row(1)[8:], s.events) }},
		{"do not ascend", func(s *Sealed) { copy(s.terms.row(1)[:8], s.terms.row(0)[:8]) }},
		{"do not ascend", func(s *Sealed) { copy(s.entities.row(0)[:8], s.entities.row(1)[:8]) }},
		{"do not ascend", func(s *Sealed) { copy(s.keys.row(1)[:8], s.keys.row(0)[:8]) }},
	} {
		m := golden()
		m.keys["pay-2"] = 484
		blob, _ := m.active().Footer()
		s, err := OpenSealed(blob)
		require.NoError(t, err)
		c.damage(s) // in place
		_, err = OpenSealed(blob)
		require.ErrorIs(t, err, ErrCorrupt, c.reason)
		require.ErrorContains(t, err, c.reason)
	}
}

func TestSideValuesOutOfOrderOrTwiceAreRefused(t *testing.T) {
	for _, keys := range []string{"ba", "aa"} {
		blob := []byte("pns1\x02\x00\x00\x00")
		for _, key := range keys {
			blob = append(blob, 7, 0, 0, 0, 1, 0, 0, 0, byte(key))
		}
		_, err := Sides(blob)
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, "keys do not ascend")
	}
}

func TestAClaimedSizeIsNotAllocated(t *testing.T) {
	huge := func(magic string, fields int) []byte {
		b := []byte(magic)
		for range fields {
			b = binary.LittleEndian.AppendUint32(b, none)
		}
		return append(b, make([]byte, 64)...)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := OpenSealed(huge("pnx1", 5))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Sides(huge("pns1", 1))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = Sides(append([]byte("pns1\x01\x00\x00\x00"), huge("", 2)...))
	require.ErrorIs(t, err, ErrCorrupt)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}
