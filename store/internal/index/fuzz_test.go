package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// ask calls everything that a sealed index has, and checks what holds for any bytes.
func ask(t require.TestingT, s *Sealed) {
	events := s.Len()
	for ord := range events {
		_, err := s.Offset(ord)
		refuses(t, err)
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
			askRange(t, s, q, r[0], r[1])
		}
	}
	if ord, ok, err := s.LastOf("order:1"); refuses(t, err) && ok {
		require.Less(t, ord, events)
	}
	_, _, err := s.FindKey("pay-1")
	refuses(t, err)
	for by := range Link(linkFields) {
		ords, err := s.Linked(by, someID(1), 0, none, nil)
		if s.head.linked || !errors.Is(err, ErrNoLinks) {
			refuses(t, err)
		}
		for at, ord := range ords {
			require.True(t, ord < events && (at == 0 || ord > ords[at-1]), "inside and ascending")
		}
	}
}

func askRange(t require.TestingT, s *Sealed, q Query, from, to uint32) {
	ords, _, err := s.Select(q, from, to, 1<<30, nil)
	if refuses(t, err) {
		for at, ord := range ords {
			require.True(t, ord >= from && ord < min(to, s.Len()), "in the range")
			require.True(t, at == 0 || ord > ords[at-1], "and ascending")
		}
	}
	n, err := s.Count(q, from, to, 1<<30)
	if refuses(t, err) {
		require.GreaterOrEqual(t, n, 0)
	}
	n, err = s.Count(q, from, to, 3)
	refuses(t, err)
	require.LessOrEqual(t, n, 3)
}

// refuses checks that an error says that the blob is bad, and returns whether there is none.
func refuses(t require.TestingT, err error) bool {
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
	}
	return err == nil
}

func FuzzOpenSealedNeverReadsWhatIsNotThere(f *testing.F) {
	for _, m := range []model{{}, golden(), shop(200, 5), shop(70, 70).linkEvery(2)} {
		blob, _ := m.active().Footer()
		f.Add(blob)
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		h := head{linked: bytes.HasPrefix(blob, []byte(indexMagic))}
		if start := h.len(len(blob) - h.size() - 4); len(blob) > start && start < h.size()+8 { // one block
			seal(blob, &h, start) // else the checksums alone would be tested
		}
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
		sides, err := readSides(blob)
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			return
		}
		a := NewActive()
		for _, s := range sides {
			a.SetSide(s)
		}
		if _, again := a.Footer(); string(blob[:4]) == sidesMagic {
			require.Equal(t, blob, again)
		}
	})
}

func TestAnIndexThatAWrongProgramWroteIsRefusedOrAnswersWithinItsBounds(t *testing.T) {
	var blobs [][]byte
	for _, m := range []model{golden(), shop(200, 5), shop(300, 100).linkEvery(3)} {
		blob, _ := m.active().Footer()
		blobs = append(blobs, blob)
	}
	rapid.Check(t, func(t *rapid.T) {
		blob := append([]byte(nil), rapid.SampledFrom(blobs).Draw(t, "blob")...)
		start := int(u32s(blob).get(2))
		for range rapid.IntRange(1, 20).Draw(t, "damages") {
			at := rapid.IntRange(start, len(blob)-1).Draw(t, "at")
			blob[at] = rapid.Byte().Draw(t, "byte")
		}
		seal(blob, &head{linked: true}, start) // the checksums are right
		for _, s := range sealed(t, blob) {
			ask(t, s.Index.(*Sealed))
		}
	})
}

// answers is what an index says to some questions, up to the first that it cannot answer.
func answers(s *Sealed) (all [][]uint32, err error) {
	all = [][]uint32{}
	for _, q := range []Query{{Entity: "order:7"}, {Scope: "shop"}, {Kinds: []string{"order.paid"}}, {Entity: "order", Category: "stock"}} {
		ords, _, err := s.Select(q, 0, none, 1<<30, nil)
		if err != nil {
			return all, err
		}
		extents, err := s.Extents(ords, nil)
		if err != nil {
			return all, err
		}
		all = append(all, ords)
		for _, x := range extents {
			all = append(all, []uint32{x.Start, x.Next})
		}
	}
	for _, text := range []string{"order:7", "order:8", "never", "pay-1"} {
		ord, ok, lastErr := s.LastOf(text)
		offset, found, keyErr := s.FindKey(text)
		if err := errors.Join(lastErr, keyErr); err != nil {
			return all, err
		}
		all = append(all, []uint32{ord, offset, uint32(len(strconv.FormatBool(ok))), uint32(len(strconv.FormatBool(found)))})
	}
	for n := range 8 {
		for by := range Link(linkFields) {
			ords, err := s.Linked(by, someID(n), 0, none, nil)
			if err != nil {
				return all, err
			}
			all = append(all, ords)
		}
	}
	return all, nil
}

func TestDamageAnywhereIsRefusedOrMetAndNeverAWrongAnswer(t *testing.T) {
	m := shop(3000, 700).linkEvery(2)
	m.keys["pay-1"] = 7
	blob, _ := m.active().Footer()
	require.Greater(t, len(blob), 5*blockSize)
	opened, err := OpenSealed(blob)
	require.NoError(t, err)
	want, err := answers(opened)
	require.NoError(t, err)
	refused, met := 0, 0
	for at := 0; at < len(blob); at += 307 {
		bad := append([]byte(nil), blob...)
		bad[at] ^= 0x10
		for pieces := range 2 {
			s, err := OpenSealed(bad)
			if pieces == 1 {
				s, err = OpenSealedAt(bytes.NewReader(bad), len(bad))
			}
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				refused++
				continue
			}
			got, err := answers(s)
			if err != nil {
				require.ErrorIs(t, err, ErrCorrupt)
				met++
			}
			require.Equal(t, want[:len(got)], got, "byte %d", at)
		}
	}
	require.Positive(t, refused)
	require.Greater(t, met, 3*refused)
}

func TestAnIndexCutOffOrGrownAnywhereIsRefused(t *testing.T) {
	blob, sides := golden().active().Footer()
	for n := range blob {
		_, err := OpenSealed(blob[:n:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	for n := range sides {
		_, err := readSides(sides[:n:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	_, err := OpenSealed(append(blob, 0, 0, 0, 0))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = readSides(append(sides, make([]byte, 8)...))
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestAnIndexThatBreaksARuleOfItsLayoutSaysSoWhenItIsAsked(t *testing.T) {
	put := binary.LittleEndian.PutUint32
	for _, c := range []struct {
		reason string
		damage func(s *Sealed, body []byte)
	}{
		{"list without events", func(s *Sealed, b []byte) { eachTerm(s, b, func(row []byte) { put(row[8:], 0) }) }},
		{"or with more than there are", func(s *Sealed, b []byte) { eachTerm(s, b, func(row []byte) { put(row[8:], 6) }) }},
		{"event beyond the last", func(s *Sealed, b []byte) {
			eachTerm(s, b, func(row []byte) { put(row[8:], 1); put(row[12:], 5) })
		}},
		{"list beyond the postings", func(s *Sealed, b []byte) {
			eachTerm(s, b, func(row []byte) { put(row[8:], 4); put(row[12:], s.head.words) })
		}},
		{"event beyond the last", func(s *Sealed, b []byte) {
			for i := range s.entities.len {
				put(b[s.entities.rows+i*pairSize+8:], 5)
			}
		}},
		{"event out of order or beyond the last", func(s *Sealed, b []byte) {
			for i := range s.links[Cause].len {
				put(b[s.links[Cause].rows+i*pairSize+8:], 5)
			}
		}},
		{"directory does not ascend", func(s *Sealed, b []byte) { put(b[s.links[Cause].dir:], 9) }},
		{"directory does not ascend", func(s *Sealed, b []byte) { put(b[s.keys.dir:], 9) }},
		{"directory does not ascend", func(s *Sealed, b []byte) { put(b[s.terms.dir+4:], none) }},
	} {
		blob, _ := golden().active().Footer()
		s, err := OpenSealed(blob)
		require.NoError(t, err)
		c.damage(s, blob[s.start:])
		seal(blob, &s.head, s.start)
		s, err = OpenSealed(blob)
		require.NoError(t, err)
		_, _, selecting := s.Select(Query{Entity: "order:1", Kinds: []string{"order.paid"}}, 0, 5, 9, nil)
		_, _, looking := s.LastOf("order:1")
		_, _, finding := s.FindKey("pay-1")
		_, linking := s.Linked(Cause, someID(1), 0, none, nil)
		err = errors.Join(selecting, looking, finding, linking)
		require.ErrorIs(t, err, ErrCorrupt, c.reason)
		require.ErrorContains(t, err, c.reason)
	}
}

func eachTerm(s *Sealed, body []byte, change func(row []byte)) {
	for i := range s.terms.len {
		change(body[s.terms.rows+i*termSize:][:termSize])
	}
}

func TestSideValuesOutOfOrderOrTwiceAreRefused(t *testing.T) {
	for _, keys := range []string{"ba", "aa"} {
		v1, v2 := []byte("pns1\x02\x00\x00\x00"), []byte("pns2\x02\x00\x00\x00")
		for _, key := range keys {
			v1 = append(v1, 7, 0, 0, 0, 1, 0, 0, 0, byte(key))
			v2 = append(v2, 7, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, byte(key))
		}
		for _, blob := range [][]byte{v1, v2} {
			_, err := readSides(blob)
			require.ErrorIs(t, err, ErrCorrupt)
			require.ErrorContains(t, err, "keys do not ascend")
		}
	}
}

func TestASideValueThatSaysWhatIsNeverWrittenIsRefused(t *testing.T) {
	entry := func(length, revision, flags, zero byte) []byte {
		return []byte{7, 0, 0, 0, length, 0, 0, 0, revision, 0, 0, 0, 0, 0, 0, 0, 1, 0, flags, zero, 'k'}
	}
	for reason, bad := range map[string][]byte{
		"no entry of a side value": entry(0, 1, 4, 0),
		"no entry":                 entry(0, 1, 0, 1),
		"no entry of":              entry(0, 0, 0, 0),
		"deleted":                  entry(1, 1, sideDeleted, 0),
		"deleted, and with":        entry(0, 1, sideDeleted|sideInline, 0),
		"value is too long":        append(entry(MaxInline+1, 1, sideInline, 0), make([]byte, MaxInline+1)...),
	} {
		_, err := readSides(append([]byte("pns2\x01\x00\x00\x00"), bad...))
		require.ErrorIs(t, err, ErrCorrupt)
		require.ErrorContains(t, err, reason)
	}
	_, err := readSides(append([]byte("pns2\x01\x00\x00\x00"), entry(9, 1, 0, 0)...))
	require.NoError(t, err)
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
	_, err := OpenSealed(huge("pnx2", 8))
	require.ErrorIs(t, err, ErrCorrupt)
	for _, magic := range []string{"pns1", "pns2"} {
		_, err = readSides(huge(magic, 1))
		require.ErrorIs(t, err, ErrCorrupt)
		_, err = readSides(append([]byte(magic+"\x01\x00\x00\x00"), huge("", 2)...))
		require.ErrorIs(t, err, ErrCorrupt)
	}
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}
