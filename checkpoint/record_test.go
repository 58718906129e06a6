package checkpoint_test

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
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
		r.External, r.Answers = rapid.Bool().Draw(t, "external"), rapid.Bool().Draw(t, "answers")
		names := rapid.SliceOfNDistinct(rapid.String(), 0, checkpoint.MaxFormerNames, rapid.ID[string]).Draw(t, "names")
		for _, name := range names {
			r.Formerly = append(r.Formerly, checkpoint.ID(name))
		}
		kinds := rapid.SliceOfDistinct(rapid.StringN(-1, -1, store.MaxKindBytes), rapid.ID[string]).Draw(t, "kinds")
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

func TestTheFormatOfARecordStaysAsItIs(t *testing.T) {
	r := checkpoint.Record{
		Origin: store.Origin{Store: uuid.UUID{0: 0xaa, 15: 0xbb}, Incarnation: 300},
		Region: "r", Kinds: []string{"k.a", "k.ab", "k.b", "l"}, Epoch: 2, Scanned: 300, Delivered: 4,
		Pending: []store.Position{7, 300}, Clean: true, Trying: 5, Tries: 6, KeyVersion: 8,
		Formerly: []checkpoint.ID{"a", "bc"}, Stateful: true, Pulled: true, External: true, Answers: true,
	}
	want := []byte("PSCP\x04" +
		"\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbb" + "\xac\x02" + "\x1f" +
		"\x02" + "\xac\x02" + "\xa8\x02" + "\x01r" + "\x04" + "\x00\x03k.a" + "\x03\x01b" + "\x02\x01b" + "\x00\x01l" +
		"\x05" + "\x06" + "\x08" + "\x02\x07\xa5\x02" + "\x02" + "\x01a" + "\x02bc" + "CRC!")
	require.Equal(t, seal(want), r.Encode())
	got, err := checkpoint.Decode(seal(want))
	require.NoError(t, err)
	require.Equal(t, r, got)
	require.Equal(t, store.Position(6), got.Floor())
	require.True(t, got.Done(6) && got.Done(299) && !got.Done(7) && !got.Done(300) && !got.Done(301))
	require.Equal(t, checkpoint.ID("a"), got.FirstName("d"))

	for what, change := range map[string][2]string{
		"a flag that is not known":                 {"\xac\x02\x1f", "\xac\x02\x3f"},
		"a kind that shares less than it has":      {"\x03\x01b", "\x02\x02ab"},
		"a kind that shares more than there is":    {"\x03\x01b", "\x04\x01b"},
		"a kind that comes before the last":        {"\x02\x01b", "\x02\x01a"},
		"a number that is longer than it needs be": {"\x05\x06\x08", "\x05\x86\x00\x08"},
		"a number of tries that is too large":      {"\x05\x06\x08", "\x05\xff\xff\xff\xff\x7f\x08"},
		"one of the formats before it":             {"\x04\xaa", "\x03\xaa"},
	} {
		bad := strings.Replace(string(want), change[0], change[1], 1)
		require.NotEqual(t, string(want), bad)
		_, err := checkpoint.Decode(seal([]byte(bad)))
		require.ErrorIs(t, err, checkpoint.ErrCorrupt, what)
	}
}

// A worker's checkpoint is in each of its commits.
func TestARecordOfManyKindsOfOneProgramIsShort(t *testing.T) {
	r := checkpoint.Record{Region: store.Region{Scope: "saga"}.Identity(), Scanned: 1 << 20, Delivered: 1 << 20, Stateful: true}
	for _, what := range []string{"again", "asked", "done", "fired", "refused", "unknown", "waited", "withdrawn"} {
		r.Kinds = append(r.Kinds, "saga.checkout."+what)
	}
	require.LessOrEqual(t, len(r.Encode()), 128)
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
	const regionAt = 5 + 16 + 1 + 1 + 1 + 2 + 1
	kindsAt := regionAt + 1 + len(r.Region)
	for _, at := range []int{regionAt, kindsAt, kindsAt + 2} {
		bad := append(binary.AppendUvarint(slices.Clone(good[:at]), 1<<31), good[at+1:]...)
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
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		inputs := [][]byte{b}
		if len(b) >= 4 {
			inputs = append(inputs, seal(b)) // the body must hold even if the checksum fits
		}
		for _, in := range inputs {
			r, err := checkpoint.Decode(in)
			if err == nil {
				require.Equal(t, in, r.Encode())
			}
		}
	})
}
