package wal_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// extended is the unsealed record of an event with extensions.
func extended(d *wal.Draft, extensions []byte) []byte {
	return wal.Extend(wal.AppendEvent(nil, d), 0, extensions)
}

func drawEmitter(t *rapid.T) wal.Emitter {
	e := wal.Emitter{Epoch: number(t, "epoch"), Attempt: rapid.Uint32().Draw(t, "attempt")}
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "emitter"))
	return e
}

// drawExtensions draws extensions with tags from 2 on.
func drawExtensions(t *rapid.T, label string) (section []byte) {
	for range rapid.IntRange(0, 3).Draw(t, label) {
		section = wal.AppendExtension(section, rapid.Uint64Min(2).Draw(t, "tag"), blob(t, "value"))
	}
	return section
}

func TestAnEmitterIsReadAsWrittenAmongUnknownTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEmitter(t)
		before, after := drawExtensions(t, "before"), drawExtensions(t, "after")
		section := append(wal.AppendEmitter(bytes.Clone(before), &want), after...)
		got, ok := wal.ParseEmitter(section)
		require.True(t, ok)
		require.Equal(t, want, got)
		_, ok = wal.ParseEmitter(append(before, after...))
		require.False(t, ok, "there is none")

		d := drawDraft(t)
		rec := extended(&d, section)
		wal.SealRecord(rec, true)
		var e wal.Event
		checked, n, err := wal.ParseRecord(rec)
		require.NoError(t, err)
		require.Equal(t, len(rec), n)
		require.NoError(t, wal.ParseEvent(checked, &e))
		require.Equal(t, section, e.Extensions, "unknown tags are kept")
		require.Equal(t, section, wal.Extensions(checked))
		require.True(t, bytes.Equal(d.Payload, e.Payload))
		require.True(t, bytes.Equal(d.Headers, wal.Headers(checked)))
		require.Equal(t, e.Hash, wal.Hash(checked))
	})
}

func TestMetaIsReadAsWrittenAmongOtherTags(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pairs := blob(t, "pairs")
		section := []byte(nil)
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			section = wal.AppendExtension(section, rapid.Uint64Min(3).Draw(t, "tag"), blob(t, "value"))
		}
		e := drawEmitter(t)
		section = wal.AppendEmitter(section, &e)
		require.Nil(t, wal.Meta(section))
		section = wal.AppendExtension(wal.AppendMeta(section, pairs), 9, blob(t, "after"))
		require.True(t, bytes.Equal(pairs, wal.Meta(section)))
		by, ok := wal.ParseEmitter(section)
		require.True(t, ok)
		require.Equal(t, e, by)
		require.NotPanics(t, func() { wal.Meta(section[:rapid.IntRange(0, len(section)).Draw(t, "cut")]) })
	})
}

func TestAnEmitterTakesTwelveBytesWhereEpochAndAttemptAreSmall(t *testing.T) {
	require.Len(t, wal.AppendEmitter(nil, &wal.Emitter{Epoch: 127, Attempt: 127}), 12)
	require.Len(t, wal.AppendEmitter(nil, &wal.Emitter{Epoch: 1 << 13, Attempt: 1}), 13)
	require.Len(t, wal.AppendEmitter(nil, &wal.Emitter{Epoch: math.MaxUint64, Attempt: math.MaxUint32}), 25)
}

func TestTheNamesOfAnEmitterAreCheckedByItsID(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		worker, build := text.Draw(t, "worker"), text.Draw(t, "build")
		id, names := wal.EmitterID(worker, build), wal.AppendEmitterNames(nil, worker, build)
		gotWorker, gotBuild, ok := wal.ParseEmitterNames(names, id)
		require.True(t, ok)
		require.Equal(t, worker, gotWorker)
		require.Equal(t, build, gotBuild)

		bad := bytes.Clone(names)
		bad[rapid.IntRange(0, len(bad)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, _, ok = wal.ParseEmitterNames(bad, id)
		require.False(t, ok, "a flipped bit")
		_, _, ok = wal.ParseEmitterNames(append(names, 0), id)
		require.False(t, ok, "a byte too many")
		_, _, ok = wal.ParseEmitterNames(names[:len(names)-1], id)
		require.False(t, ok, "a byte too few")
	})
	require.NotEqual(t, wal.EmitterID("ab", "c"), wal.EmitterID("a", "bc"))
	sum := sha([]byte("\x03xyz\x02"))
	_, _, ok := wal.ParseEmitterNames([]byte("\x03xyz\x02"), [8]byte(sum[:]))
	require.False(t, ok, "the right digest of bytes that are no names")
}

func TestExtensionsThatMakeNoSenseNameNoEmitter(t *testing.T) {
	whole := wal.AppendEmitter(nil, &wal.Emitter{ID: [8]byte{1, 2, 3}, Epoch: 300, Attempt: 2})
	for n := range whole {
		_, ok := wal.ParseEmitter(whole[:n])
		require.False(t, ok, "cut after %d of %d bytes", n, len(whole))
	}
	id := make([]byte, 8)
	endless := bytes.Repeat([]byte{0x80}, 11)
	for name, section := range map[string][]byte{
		"no room for an id":         wal.AppendExtension(nil, 1, id[:7]),
		"no epoch":                  wal.AppendExtension(nil, 1, id),
		"no attempt":                wal.AppendExtension(nil, 1, slices.Concat(id, []byte{1})),
		"an epoch without an end":   wal.AppendExtension(nil, 1, slices.Concat(id, endless)),
		"an attempt without an end": wal.AppendExtension(nil, 1, slices.Concat(id, []byte{1}, endless)),
		"an attempt above 32 bits":  wal.AppendExtension(nil, 1, slices.Concat(id, []byte{1, 0x80, 0x80, 0x80, 0x80, 0x10})),
		"a tag without an end":      endless,
		"a length beyond the end":   {2, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"the first one counts":      append(wal.AppendExtension(nil, 1, nil), whole...),
	} {
		_, ok := wal.ParseEmitter(section)
		require.False(t, ok, name)
		rec := extended(&wal.Draft{Entity: "e", Payload: []byte("{}")}, section)
		var e wal.Event
		require.NoError(t, wal.ParseEvent(rec, &e), "the event is readable: %s", name)
		require.Equal(t, section, e.Extensions)
	}
	got, ok := wal.ParseEmitter(wal.AppendExtension(nil, 1, slices.Concat(id, []byte{5, 6}, []byte("later"))))
	require.True(t, ok)
	require.Equal(t, wal.Emitter{Epoch: 5, Attempt: 6}, got)
}

func TestExtensionsAreCoveredByTheHashAndNotByTheContentDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, e := drawDraft(t), drawEmitter(t)
		plain := wal.AppendEvent(nil, &d)
		content, retry := wal.Content(plain), wal.Retry(plain)
		one := extended(&d, wal.AppendEmitter(nil, &e))
		other := e
		other.Attempt++
		two := extended(&d, wal.AppendEmitter(nil, &other))
		traced := extended(&d, wal.AppendMeta(nil, wal.AppendPair(nil, "traceparent", "00-1")))
		var previous [32]byte
		hashes := map[[32]byte]bool{}
		for _, rec := range [][]byte{plain, one, two, traced} {
			require.Equal(t, content, wal.Content(rec))
			require.Equal(t, retry, wal.Retry(rec))
			hashes[wal.Chain(previous, content, rec, &wal.Stamp{})] = true
		}
		require.Len(t, hashes, 4)
	})
}

func FuzzExtensionsTakeAnyBytes(f *testing.F) {
	f.Add(wal.AppendEmitter(nil, &wal.Emitter{ID: [8]byte{1}, Epoch: 1, Attempt: 1}))
	f.Add(wal.AppendExtension(wal.AppendExtension(nil, 7, []byte("later")), 1, make([]byte, 10)))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(wal.AppendEmitterNames(nil, "worker", "build"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := wal.ParseEmitter(b); ok {
			again, ok := wal.ParseEmitter(wal.AppendEmitter(nil, &e))
			if !ok || again != e {
				t.Fatalf("%+v became %+v, %v", e, again, ok)
			}
		}
		sum := sha(b)
		if worker, build, ok := wal.ParseEmitterNames(b, [8]byte(sum[:])); ok && len(worker)+len(build) > len(b) {
			t.Fatal("the names are longer than what holds them")
		}
		rec := extended(&wal.Draft{Entity: "e"}, b)
		use(rec)
		if !bytes.Equal(wal.Extensions(rec), b) {
			t.Fatal("extensions are not kept")
		}
	})
}

func TestNothingIsAllocatedByWhatExtensionsClaim(t *testing.T) {
	claims := [][]byte{
		wal.AppendEmitter(nil, &wal.Emitter{Epoch: 1, Attempt: 1}),
		{1, 0xff, 0xff, 0xff, 0xff, 0x0f},
		{2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	}
	room := make([]byte, 0, 64)
	allocated := testing.AllocsPerRun(10, func() {
		for _, claim := range claims {
			_, _ = wal.ParseEmitter(claim)
			_, _, _ = wal.ParseEmitterNames(claim, [8]byte{})
		}
		_ = wal.AppendEmitter(room, &wal.Emitter{Epoch: math.MaxUint64, Attempt: 1})
	})
	require.Zero(t, allocated)
}
