package index

import (
	"encoding/binary"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// encodeOne writes a blob of version 1.
func (t *tables) encodeOne(salt uint32, offsets u32s) []byte {
	events := offsets.len()
	b := []byte(magicOfOne)
	for _, v := range []int{int(salt), events, len(t.terms), len(t.entities), len(t.keys)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = append(b, offsets...)
	words := 0
	for _, r := range t.terms {
		b = binary.LittleEndian.AppendUint64(b, r.hash)
		b = binary.LittleEndian.AppendUint32(b, uint32(r.value.len()))
		if r.value.len() == 1 {
			b = append(b, r.value...)
			continue
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(words))
		words += postingsOfOne(r.value.len(), events) / 4
	}
	for _, pairs := range [][]row[uint32]{t.entities, t.keys} {
		for _, r := range pairs {
			b = binary.LittleEndian.AppendUint64(b, r.hash)
			b = binary.LittleEndian.AppendUint32(b, r.value)
		}
	}
	for _, r := range t.terms {
		list := make([]byte, postingBytes(r.value.len(), events))
		copy(list, appendPostings(list[:0], r.value, events))
		if r.value.len() > 1 {
			list = list[:postingsOfOne(r.value.len(), events)]
		}
		b = append(b, list...)
	}
	return b
}

// footerOne is Footer of version 1.
func (a *Active) footerOne() []byte {
	for salt := uint32(0); ; salt++ {
		if t, distinct := a.hashed(salt); distinct {
			return t.encodeOne(salt, a.offsets)
		}
	}
}

func TestTheGoldenBlobOfVersionOneIsReadAsWhatVersionTwoWrites(t *testing.T) {
	one, err := os.ReadFile("testdata/v1.index")
	require.NoError(t, err)
	require.Equal(t, one, golden().active().footerOne())
	two, err := Upgrade(one)
	require.NoError(t, err)
	require.Equal(t, golden().active().footerTwo(), two)
	for _, x := range sealed(t, two) {
		requireGolden(t, x)
	}
}

func TestAnyBlobOfVersionOneIsReadAsWhatVersionTwoWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawModel(t).active()
		two, err := Upgrade(a.footerOne())
		require.NoError(t, err)
		require.Equal(t, a.footerTwo(), two)
	})
}

func TestABlobOfVersionOneThatBreaksItsLayoutIsRefused(t *testing.T) {
	m := shop(70, 10)
	m.keys["pay-1"], m.keys["pay-2"] = 7, 8
	one := m.active().footerOne()
	for n := range len(one) {
		_, err := Upgrade(one[:n:n])
		require.ErrorIs(t, err, ErrCorrupt, "%d bytes", n)
	}
	_, err := Upgrade(append(one, 0, 0, 0, 0))
	require.ErrorIs(t, err, ErrCorrupt)
	for at := 0; at < len(one); at += 5 {
		bad := append([]byte(nil), one...)
		bad[at] ^= 0x81
		if two, err := Upgrade(bad); err == nil {
			for _, s := range sealed(t, two) {
				ask(t, s.Index.(*Sealed))
			}
		}
	}
}
