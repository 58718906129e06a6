package checkpoint_test

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func sample() checkpoint.Record {
	return checkpoint.Record{
		Origin:    store.Origin{Store: uuid.UUID{1, 2, 3}, Incarnation: 4},
		Region:    orders.Identity(),
		Kinds:     []string{"order.cancelled", "order.placed"},
		Epoch:     7,
		Scanned:   1000,
		Delivered: 990,
	}
}

// seal replaces the checksum, so that a change of the body gets past it.
func seal(b []byte) []byte {
	body := b[:len(b)-4]
	return binary.LittleEndian.AppendUint32(slices.Clone(body), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func TestARecordComesBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := checkpoint.Record{
			Origin: store.Origin{
				Store:       uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "store")),
				Incarnation: rapid.Uint32().Draw(t, "incarnation"),
			},
			Region:    rapid.String().Draw(t, "region"),
			Epoch:     rapid.Uint64().Draw(t, "epoch"),
			Scanned:   store.Position(rapid.Uint64().Draw(t, "scanned")),
			Delivered: store.Position(rapid.Uint64().Draw(t, "delivered")),
		}
		r.Stateful, r.Pulled = rapid.Bool().Draw(t, "stateful"), rapid.Bool().Draw(t, "pulled")
		names := rapid.SliceOfNDistinct(rapid.String(), 0, checkpoint.MaxFormerNames, rapid.ID[string]).Draw(t, "names")
		for _, name := range names {
			r.Formerly = append(r.Formerly, checkpoint.ID(name))
		}
		kinds := rapid.SliceOfDistinct(rapid.String(), rapid.ID[string]).Draw(t, "kinds")
		r.Kinds = append(slices.Clone(kinds), kinds...) // in any order, repeated
		got, err := checkpoint.Decode(r.Encode())
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(kinds)
		r.Kinds = kinds
		if len(kinds) == 0 {
			r.Kinds = nil
		}
		require.Equal(t, r, got)
	})
}

func TestTheFormatOfVersionOneStaysAsItIs(t *testing.T) {
	r := checkpoint.Record{
		Origin: store.Origin{Store: uuid.UUID{0: 0xaa, 15: 0xbb}, Incarnation: 1},
		Region: "r", Kinds: []string{"k"}, Epoch: 2, Scanned: 3, Delivered: 4,
	}
	want := []byte("PSCP\x01" +
		"\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbb" + "\x01\x00\x00\x00" +
		"\x02\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00\x00\x00\x00\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00r" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00k" + "CRC!")
	got, err := checkpoint.Decode(seal(want))
	require.NoError(t, err)
	r.Clean = true
	require.Equal(t, r, got)
}

func TestTheFormatOfVersionTwoStaysAsItIs(t *testing.T) {
	r := checkpoint.Record{
		Origin: store.Origin{Store: uuid.UUID{0: 0xaa, 15: 0xbb}, Incarnation: 1},
		Region: "r", Kinds: []string{"k"}, Epoch: 2, Scanned: 300, Delivered: 4,
		Pending: []store.Position{7, 300}, Clean: true, Trying: 5, Tries: 6, KeyVersion: 8,
	}
	want := []byte("PSCP\x02" +
		"\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbb" + "\x01\x00\x00\x00" +
		"\x02\x00\x00\x00\x00\x00\x00\x00" + "\x2c\x01\x00\x00\x00\x00\x00\x00" + "\x04\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00r" + "\x01\x00\x00\x00" + "\x01\x00\x00\x00k" + "\x01" + "\x05\x00\x00\x00\x00\x00\x00\x00" +
		"\x06\x00\x00\x00" + "\x08\x00\x00\x00" + "\x02\x07\xa5\x02" + "CRC!")
	require.Equal(t, seal(want), r.Encode())
	got, err := checkpoint.Decode(seal(want))
	require.NoError(t, err)
	require.Equal(t, r, got)
	require.Equal(t, store.Position(6), got.Floor())
	require.True(t, got.Done(6) && got.Done(299) && !got.Done(7) && !got.Done(300) && !got.Done(301))
}

func TestTheFormatOfVersionThreeStaysAsItIs(t *testing.T) {
	r := checkpoint.Record{
		Origin: store.Origin{Store: uuid.UUID{0: 0xaa, 15: 0xbb}, Incarnation: 1},
		Region: "r", Epoch: 2, Scanned: 3, Delivered: 3, Formerly: []checkpoint.ID{"a", "bc"}, Stateful: true, Pulled: true,
	}
	want := []byte("PSCP\x03" +
		"\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbb" + "\x01\x00\x00\x00" +
		"\x02\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00\x00\x00\x00\x00\x00\x00" + "\x03\x00\x00\x00\x00\x00\x00\x00" +
		"\x01\x00\x00\x00r" + "\x00\x00\x00\x00" + "\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
		"\x00\x00\x00\x00" + "\x00\x00\x00\x00" + "\x00" + "\x03" + "\x02" + "\x01\x00\x00\x00a" + "\x02\x00\x00\x00bc" + "CRC!")
	require.Equal(t, seal(want), r.Encode())
	got, err := checkpoint.Decode(seal(want))
	require.NoError(t, err)
	require.Equal(t, r, got)
	require.Equal(t, checkpoint.ID("a"), got.FirstName("d"))

	flags := len(want) - len("CRC!") - 12 - 1
	want[flags] = 4
	_, err = checkpoint.Decode(seal(want))
	require.ErrorIs(t, err, checkpoint.ErrCorrupt, "a flag that is not known")
	r.Formerly, r.Stateful, r.Pulled = nil, false, false
	require.Equal(t, byte(2), r.Encode()[4], "without names and flags it is written as before there were any")
}

func TestNoFlippedBitIsAccepted(t *testing.T) {
	good := sample().Encode()
	for bit := range len(good) * 8 {
		bad := slices.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		_, err := checkpoint.Decode(bad)
		require.ErrorIs(t, err, checkpoint.ErrCorrupt, "bit %d", bit)
	}
}

func TestNoOtherLengthIsAccepted(t *testing.T) {
	good := sample().Encode()
	for n := range good {
		_, err := checkpoint.Decode(good[:n])
		require.ErrorIs(t, err, checkpoint.ErrCorrupt, "%d bytes", n)
		if n >= 4 {
			_, err = checkpoint.Decode(seal(good[:n]))
			require.ErrorIs(t, err, checkpoint.ErrCorrupt, "%d bytes with a good checksum", n)
		}
	}
	_, err := checkpoint.Decode(seal(append(slices.Clone(good), 0)))
	require.ErrorIs(t, err, checkpoint.ErrCorrupt)
}

func TestANewerFormatIsNotTakenForDamage(t *testing.T) {
	newer := sample().Encode()
	newer[4] = 200
	_, err := checkpoint.Decode(newer)
	require.ErrorIs(t, err, checkpoint.ErrCorrupt)
	_, err = checkpoint.Decode(seal(newer))
	require.ErrorIs(t, err, checkpoint.ErrNewerFormat)
	require.NotErrorIs(t, err, checkpoint.ErrCorrupt)
}

func TestAClaimedLengthIsNotTrusted(t *testing.T) {
	r := sample()
	good := r.Encode()
	const regionAt = 5 + 16 + 4 + 24
	kindsAt := regionAt + 4 + len(r.Region)
	for _, at := range []int{regionAt, kindsAt, kindsAt + 4} {
		bad := slices.Clone(good)
		binary.LittleEndian.PutUint32(bad[at:], 1<<31)
		bad = seal(bad)
		_, err := checkpoint.Decode(bad)
		require.ErrorIs(t, err, checkpoint.ErrCorrupt)
		require.Less(t, testing.AllocsPerRun(10, func() { _, _ = checkpoint.Decode(bad) }), 20.0)
	}
}

func FuzzDecodeAcceptsOnlyWhatEncodeWrites(f *testing.F) {
	f.Add(sample().Encode())
	f.Add(checkpoint.Record{}.Encode())
	f.Add(checkpoint.Record{Formerly: []checkpoint.ID{"a", "b"}, Pulled: true}.Encode())
	first := sample().Encode()
	f.Add(append(append([]byte("PSCP\x01"), first[5:len(first)-4-19]...), "CRC!"...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		inputs := [][]byte{b}
		if len(b) >= 4 {
			inputs = append(inputs, seal(b)) // the body must hold even if the checksum fits
		}
		for _, in := range inputs {
			r, err := checkpoint.Decode(in)
			if err == nil && in[4] > 1 {
				require.Equal(t, in, r.Encode())
			}
		}
	})
}
