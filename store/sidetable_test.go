package store

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/btree"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/index"
)

// placed is an entry of a table, as of a record in a segment.
func placed(key, value string, revision uint64, segment uint32) index.Side {
	side := index.SideOf(key, []byte(value), false)
	side.Revision, side.Segment = revision, segment
	return side
}

func emptyTable() *sideTable {
	t := &sideTable{}
	t.reset()
	return t
}

// entries lists what a tree holds.
func entries(tree *btree.BTreeG[index.Side]) (all []index.Side) {
	tree.Scan(func(side index.Side) bool {
		all = append(all, side)
		return true
	})
	return all
}

// sorted lists what a plain map holds, and sums up the records by segment.
func sorted(plain map[string]index.Side) (all []index.Side, live map[uint32]int64) {
	live = map[uint32]int64{}
	for _, key := range slices.Sorted(maps.Keys(plain)) {
		side := plain[key]
		all = append(all, side)
		live[side.Segment] += int64(24 + len(key) + int(side.Length))
	}
	return all, live
}

func TestTheTableOfSideValuesAgreesWithAPlainMapAndItsCopiesStayAsTheyWere(t *testing.T) {
	keys := rapid.StringOfN(rapid.RuneFrom([]rune("ab/ä")), 1, 3, -1)
	rapid.Check(t, func(t *rapid.T) {
		table, plain := emptyTable(), map[string]index.Side{}
		var copies []*btree.BTreeG[index.Side]
		var wanted [][]index.Side
		var head atomic.Uint64
		for revision := range rapid.Uint64Range(1, 200).Draw(t, "groups") {
			pending := map[string]index.Side{}
			for _, key := range rapid.SliceOfN(keys, 0, 4).Draw(t, "keys") {
				side := placed(key, strings.Repeat("v", rapid.IntRange(0, 70).Draw(t, "length")), revision, uint32(revision/10))
				if side.Deleted = rapid.IntRange(0, 2).Draw(t, "delete") == 0; side.Deleted {
					delete(plain, key)
				} else {
					plain[key] = side
				}
				pending[key] = side
			}
			require.Empty(t, table.publish(pending, &head, Position(revision)))
			if rapid.IntRange(0, 9).Draw(t, "copy") == 0 {
				all, _ := sorted(plain)
				copies, wanted = append(copies, table.snapshot()), append(wanted, all)
			}
		}
		all, live := sorted(plain)
		require.Equal(t, all, entries(table.tree))
		var sum int64
		for segment := range uint32(25) {
			require.Equal(t, live[segment], table.liveBytes(segment))
			sum += live[segment]
		}
		values, bytes := table.size()
		require.Equal(t, len(all), values)
		require.Equal(t, sum, bytes)
		for i, tree := range copies {
			require.Equal(t, wanted[i], entries(tree))
		}
		for key, want := range plain {
			got, found := table.get(key)
			require.True(t, found)
			require.Equal(t, want, got)
		}
		_, found := table.get(strings.Repeat("a", 1<<17))
		require.False(t, found)
	})
}

// tableOf has so many keys of 30 bytes with a value of 8.
func tableOf(keys int) *sideTable {
	t := emptyTable()
	var hint btree.PathHint
	for i := range keys {
		t.put(placed(fmt.Sprintf("checkpoint/worker-%012d", i), "12345678", 1, 1), &hint)
	}
	return t
}

func manyKeys() int {
	if soaking() {
		return 1_000_000
	}
	return 100_000
}

// What a listing costs a commit does not depend on how many keys there are: nodes on the way to the
// keys that it writes are copied, once.
func TestAListingCostsACommitNoMoreThanTheNodesThatItWritesTo(t *testing.T) {
	table := tableOf(manyKeys())
	allocated := func(does func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		does()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	var listing *btree.BTreeG[index.Side]
	require.Less(t, allocated(func() { listing = table.snapshot() }), uint64(1<<10))
	pending := map[string]index.Side{"checkpoint/worker-000000050000": placed("checkpoint/worker-000000050000", "new", 2, 2)}
	var head atomic.Uint64
	require.Less(t, allocated(func() { table.publish(pending, &head, 1) }), uint64(32<<10))
	n := 0
	listing.Scan(func(side index.Side) bool {
		require.EqualValues(t, 1, side.Revision)
		n++
		return true
	})
	require.Equal(t, manyKeys(), n)
}

// heap is what is reachable, in bytes.
func heap() int64 {
	var m runtime.MemStats
	for range 2 { // what pools keep is freed by the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// As measured: 80 bytes of the tree, where keys came in their order, and 48 of the text.
func TestAKeyOfThirtyBytesTakesAtMost140BytesOfMemory(t *testing.T) {
	before := heap()
	table := tableOf(manyKeys())
	perKey := (heap() - before) / int64(manyKeys())
	runtime.KeepAlive(table)
	t.Logf("%d bytes per key", perKey)
	require.Less(t, perKey, int64(140))
}

// As measured: 42 bytes of the tree, and 48 of the text.
func TestAKeyThatWasLoadedTakesAtMost100BytesOfMemory(t *testing.T) {
	const keys, atOnce = 20_000, 1000
	dir, o := t.TempDir(), Options{Sync: SyncNever, SegmentBytes: 256 << 10}
	st, err := Open(dir, o)
	require.NoError(t, err)
	for i := 0; i < keys; i += atOnce {
		var b Batch
		for k := i; k < i+atOnce; k++ {
			b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprintf("checkpoint/worker-%012d", k), Value: []byte("12345678")})
		}
		_, err := st.Commit(t.Context(), b)
		require.NoError(t, err)
	}
	require.NoError(t, st.Close())
	loaded := func() *btree.BTreeG[index.Side] {
		st, err := Open(dir, o)
		require.NoError(t, err)
		require.NoError(t, st.Close())
		return st.sides.tree
	}
	before := heap()
	table := loaded()
	perKey := (heap() - before) / keys
	require.Equal(t, keys, table.Len())
	t.Logf("%d bytes per key", perKey)
	require.Less(t, perKey, int64(100))
}
