package index

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// shop is a segment of events over entities of two levels.
func shop(events, entities int) model {
	m := model{keys: map[string]uint32{}, sides: map[string]uint32{}}
	kinds := []string{"order.placed", "order.paid", "order.shipped", "stock.reserved", "stock.released"}
	for i := range events {
		name := fmt.Sprintf("order:%d", i*7919%entities)
		m.events = append(m.events, Terms{name, "shop", kinds[i/3%len(kinds)]})
		m.offsets = append(m.offsets, uint32(i)*356)
	}
	return m
}

func TestTheFooterOfAHundredEntitiesTakesAtMost24BytesPerEvent(t *testing.T) {
	const events = 100_000
	blob, _ := shop(events, 100).active().Footer()
	t.Logf("%.2f bytes per event", float64(len(blob))/events)
	require.LessOrEqual(t, len(blob), 24*events)
}

// golden holds a list of each shape: one event, ordinals, a bitmap; a key and two
// side values.
func golden() model {
	return model{
		events: []Terms{
			{"order:1", "shop", "order.placed"},
			{"order:2", "shop", "order.placed"},
			{"order:1", "shop", "order.paid"},
			{"stock:lamp", "shop", "reserved"},
			{"order:1:item", "shop", "order.shipped"},
		},
		offsets: []uint32{128, 484, 840, 1196, 1552},
		links: map[uint32][linkFields][16]byte{
			2: {someID(1), someID(1)}, 3: {someID(1), someID(1)}, 4: {someID(2), someID(1)},
		},
		keys:  map[string]uint32{"pay-1": 840},
		sides: map[string]uint32{"checkpoint/a": 2048, "checkpoint/b": 4096},
	}
}

// footerTwo is Footer of version 2.
func (a *Active) footerTwo() []byte {
	for salt := uint32(0); ; salt++ {
		if t, distinct := a.hashed(salt); distinct {
			t.linked, t.links = false, links{}
			return t.encode(salt, a.offsets)
		}
	}
}

func TestVersionThreeBlobsAreWrittenAndReadByteForByte(t *testing.T) {
	want, err := os.ReadFile("testdata/v3.index")
	require.NoError(t, err)
	index, _ := golden().active().Footer()
	require.Equal(t, want, index)
	for _, x := range sealed(t, want) {
		requireGolden(t, x)
		require.Equal(t, []uint32{2, 3}, x.Linked(Cause, someID(1), 0, none))
		require.Equal(t, []uint32{4}, x.Linked(Cause, someID(2), 0, none))
		require.Equal(t, []uint32{2, 3, 4}, x.Linked(Correlation, someID(1), 0, none))
		require.Empty(t, x.Linked(Correlation, someID(2), 0, none))
	}
}

func TestVersionTwoBlobsAreReadByteForByteAndKnowNoLinks(t *testing.T) {
	wantIndex, err := os.ReadFile("testdata/v2.index")
	require.NoError(t, err)
	require.Equal(t, wantIndex, golden().active().footerTwo())
	for _, x := range sealed(t, wantIndex) {
		_, err := x.Index.Linked(Cause, someID(1), 0, none, nil)
		require.ErrorIs(t, err, ErrNoLinks)
	}
	wantSides, err := os.ReadFile("testdata/v1.sides")
	require.NoError(t, err)
	sides, err := readSides(wantSides)
	require.NoError(t, err)
	require.Equal(t, []Side{
		{Text: "checkpoint/a", KeyLen: 12, Offset: 2048}, {Text: "checkpoint/b", KeyLen: 12, Offset: 4096},
	}, sides)
	for _, x := range sealed(t, wantIndex) {
		requireGolden(t, x)
	}
}

func TestVersionTwoOfTheSidesIsWrittenAndReadByteForByte(t *testing.T) {
	want, err := os.ReadFile("testdata/v2.sides")
	require.NoError(t, err)
	sides := []Side{
		SideOf("checkpoint/a", []byte("at 7"), false),
		SideOf("checkpoint/b", nil, true),
		SideOf("checkpoint/c", make([]byte, MaxInline), false),
		SideOf("checkpoint/d", make([]byte, MaxInline+1), false),
	}
	byKey := make(map[string]Side)
	for i := range sides {
		sides[i].Revision, sides[i].Offset = 1<<32+uint64(i), 2048*uint32(i+1)
		byKey[sides[i].Key()] = sides[i]
	}
	require.Equal(t, want, encodeSides(byKey))
	read, err := readSides(want)
	require.NoError(t, err)
	require.Equal(t, sides, read)
}

func requireGolden(t *testing.T, x sure) {
	t.Helper()
	ords, next := x.Select(Query{Entity: "order:1", Kinds: []string{"order.paid", "order.shipped"}}, 0, 5, 9, nil)
	require.Equal(t, []uint32{2, 4}, ords)
	require.Equal(t, uint32(5), next)
	last, ok := x.LastOf("order:1")
	require.True(t, ok)
	require.Equal(t, uint32(2), last)
	offset, ok := x.FindKey("pay-1")
	require.True(t, ok)
	require.Equal(t, uint32(840), offset)
}

// These two have the same FNV-1a 64 hash from the standard offset basis.
const collider1, collider2 = "8yn0iYCKYHlIj4-BwPqk", "GReLUrM4wMqfg9yzV3KQ"

func TestTextsWithTheSameHashAreSeparatedByAnotherSalt(t *testing.T) {
	require.Equal(t, hash(0, fieldEntity, collider1), hash(0, fieldEntity, collider2))
	m := model{
		events:  []Terms{{collider1, "s", collider2}, {collider2, "s", collider1}, {"x", "s", "k"}},
		offsets: []uint32{10, 20, 30},
		keys:    map[string]uint32{collider1: 10, collider2: 20},
	}
	for _, x := range both(t, m) {
		for ord, text := range []string{collider1, collider2} {
			last, ok := x.LastOf(text)
			require.True(t, ok)
			require.Equal(t, uint32(ord), last)
			offset, ok := x.FindKey(text)
			require.True(t, ok)
			require.Equal(t, m.offsets[ord], offset)
			ords, _ := x.Select(Query{Entity: text}, 0, 3, 3, nil)
			require.Equal(t, []uint32{uint32(ord)}, ords)
			ords, _ = x.Select(Query{Kinds: []string{text}}, 0, 3, 3, nil)
			require.Equal(t, []uint32{1 - uint32(ord)}, ords)
		}
	}
}

func TestATableOfSideValuesIsWrittenByteForByte(t *testing.T) {
	a := NewActive()
	for i, s := range []Side{
		SideOf("long", make([]byte, MaxInline+1), false), SideOf("gone", nil, true), SideOf("short", []byte("value"), false),
	} {
		s.Offset, s.Revision, s.Segment = uint32(128*(i+1)), uint64(i+7), 9
		a.SetSide(s)
	}
	_, blob := a.Footer()
	require.Equal(t, "pns2\x03\x00\x00\x00"+
		"\x00\x01\x00\x00"+"\x00\x00\x00\x00"+"\x08\x00\x00\x00\x00\x00\x00\x00"+"\x04\x00\x01\x00"+"gone"+
		"\x80\x00\x00\x00"+"\x41\x00\x00\x00"+"\x07\x00\x00\x00\x00\x00\x00\x00"+"\x04\x00\x00\x00"+"long"+
		"\x80\x01\x00\x00"+"\x05\x00\x00\x00"+"\x09\x00\x00\x00\x00\x00\x00\x00"+"\x05\x00\x02\x00"+"shortvalue", string(blob))
}
