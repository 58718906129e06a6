package store

import (
	"encoding/binary"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func drawAnyRegion(t *rapid.T) Region {
	name := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringN(1, 300, 600))
	version := rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64())
	return Region{
		Entity: name.Draw(t, "entity"), Scope: name.Draw(t, "scope"), Category: name.Draw(t, "category"),
		Kinds:      rapid.SliceOfN(name, 0, 5).Draw(t, "kinds"),
		MinVersion: version.Draw(t, "min version"), MaxVersion: version.Draw(t, "max version"),
	}
}

func TestARegionIsRestoredFromItsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawAnyRegion(t)
		got, ok := RegionOf(r.Identity())
		require.True(t, ok)
		if len(r.Kinds) == 0 {
			r.Kinds = nil
		}
		slices.Sort(r.Kinds)
		r.Kinds = slices.Compact(r.Kinds)
		require.Equal(t, r, got)
	})
}

func TestWhatIsNotExactlyAnIdentityIsNoRegion(t *testing.T) {
	good := Region{Entity: "order", Kinds: []string{"a", "b"}, MaxVersion: math.MaxUint64}.Identity()
	for i := range len(good) {
		_, ok := RegionOf(good[:i])
		require.False(t, ok, "cut at %d", i)
	}
	kinds := func(count uint64, list ...string) string {
		b := binary.AppendUvarint([]byte{1, 0, 0, 0, 0, 0}, count)
		for _, k := range list {
			b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
		}
		return string(b)
	}
	_, ok := RegionOf(kinds(2, "a", "b"))
	require.True(t, ok)
	for name, bad := range map[string]string{
		"something after it":   good + "\x00",
		"another version":      "\x02" + good[1:],
		"kinds out of order":   kinds(2, "b", "a"),
		"a kind twice":         kinds(2, "a", "a"),
		"fewer kinds":          kinds(3, "a", "b"),
		"kinds without end":    kinds(math.MaxUint64),
		"a length beyond":      "\x01\x05a",
		"a longer length":      "\x01\x80\x00\x00\x00\x00\x00\x00",
		"a number of 70 bits":  "\x01\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x00",
		"a number without end": "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		_, ok := RegionOf(bad)
		require.False(t, ok, name)
	}
}

func FuzzRegionOf(f *testing.F) {
	f.Add("")
	f.Add(Region{}.Identity())
	f.Add(Region{Entity: "order", Scope: "shop", Kinds: []string{"a", "b"}, MinVersion: 1, MaxVersion: 300}.Identity())
	f.Fuzz(func(t *testing.T, identity string) {
		if r, ok := RegionOf(identity); ok && r.Identity() != identity {
			t.Fatalf("%q was read as %+v, whose identity is %q", identity, r, r.Identity())
		}
	})
}

func TestARegionIsDescribedWithAllItsTerms(t *testing.T) {
	for want, r := range map[string]Region{
		"everything":                                    {},
		"entity=order scope=shop category=order":        {Entity: "order", Scope: "shop", Category: "order"},
		"kinds=order.placed,order.shipped versions=2..": {Kinds: []string{"order.placed", "order.shipped"}, MinVersion: 2},
		"versions=..5":                                  {MaxVersion: 5},
		"versions=2..5":                                 {MinVersion: 2, MaxVersion: 5},
	} {
		require.Equal(t, want, r.String())
	}
}

func TestAStoreOnDiskNeedsADirectory(t *testing.T) {
	for _, o := range []Options{{}, {ReadOnly: true}} {
		_, err := Open("", o)
		require.Equal(t, &InvalidError{Field: "directory", Rule: "must not be empty"}, err)
	}
}
