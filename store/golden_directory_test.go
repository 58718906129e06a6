package store

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// update makes the golden directory again. It must open forever as it is, so that is for a change
// of what it holds, never for a change of the format.
var update = flag.Bool("update", false, "write the golden directory again")

// goldenV2 is a whole directory of version 2, closed in good order:
//
//	0000000001.seg  sealed, rewritten once: events, keys and what is left of its side values
//	0000000002.seg  sealed as it was written
//	0000000003.seg  active, with its index beside it in 0000000003.idx
var goldenV2 = filepath.Join("testdata", "v2")

// goldenBatches are what is in it, but for the checkpoints that filled its first segment.
func goldenBatches() []Batch {
	raw := func(kind, entity, data string) Proposal {
		return Proposal{At: At(entity, "shop"), Payload: Raw{Type: kind, Codec: "json", Data: []byte(data)}}
	}
	placed := raw("order.placed", "order:1", `{"sku":"lamp"}`)
	placed.Headers, placed.Meta = map[string]string{"tenant": "münchen"}, map[string]string{"traceparent": "00-4bf92f"}
	reserved := raw("stock.reserved", "stock:lamp", `{"order":"1"}`)
	reserved.Emitter = &Emitter{Worker: "reserve-stock", Build: "0123abc", Epoch: 3, Attempt: 2}
	return []Batch{
		{IdempotencyKey: "place-1", Events: []Proposal{placed, raw("order.placed", "order:2", `{}`)}},
		{Events: []Proposal{reserved}, Sides: []SideWrite{
			{Key: "kept", Value: []byte{0, 1}}, {Key: "gone", Value: []byte("soon")}, {Key: "large", Value: bytes.Repeat([]byte("large "), 50)},
		}},
		{Sides: []SideWrite{{Key: "gone", Delete: true}}},
		{IdempotencyKey: "pay-1", Events: []Proposal{raw("order.paid", "order:1", strings.Repeat(" ", 50_000)+"1")}},
		{Events: []Proposal{raw("order.paid", "order:2", strings.Repeat(" ", 20_000)+"2")}},
		{IdempotencyKey: "ship-1", Events: []Proposal{raw("order.shipped", "order:1", `null`)}, Sides: []SideWrite{
			{Key: "checkpoint", Value: []byte("at 6")},
		}},
	}
}

// goldenFilled is the index of the batch before which the first segment is full.
const goldenFilled = 3

func makeGoldenDirectory(t *testing.T, dir string) {
	t.Helper()
	s, err := open(vfs.OS(), dir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	for i, b := range goldenBatches() {
		for i == goldenFilled && s.Stats().Segments == 1 {
			checkpoints(t, s, 0, 1, 1, 4000)
		}
		write(t, s, b)
	}
	require.NoError(t, s.Close())
	for _, name := range []string{"LOCK", "STATUS"} {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, name)))
	}
}

// goldenCopy is a copy of the golden directory.
func goldenCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if *update {
		require.NoError(t, os.RemoveAll(goldenV2))
		makeGoldenDirectory(t, goldenV2)
	}
	require.NoError(t, os.CopyFS(dir, os.DirFS(goldenV2)))
	return dir
}

// requireGoldenV2 requires that all of the golden directory is there and found by its indexes,
// whatever came after it.
func requireGoldenV2(t *testing.T, s *Store) {
	t.Helper()
	require.Equal(t, []uint32{1, 0, 0}, generations(s)[:3])
	events := all(t, s, Region{})
	require.Equal(t, []string{"order:1", "order:2", "stock:lamp", "order:1", "order:2", "order:1"}, entities(events)[:6])
	requireOrder(t, events)
	requireChains(t, events)
	require.Equal(t, map[string]string{"tenant": "münchen"}, events[0].Headers())
	require.Equal(t, map[string]string{"traceparent": "00-4bf92f"}, events[0].Meta())
	require.Len(t, events[3].Payload, 50_001)
	by, emitted := events[2].Emitter()
	require.True(t, emitted)
	require.Equal(t, Emitter{Worker: "reserve-stock", Build: "0123abc", Epoch: 3, Attempt: 2}, by)
	require.Equal(t, []string{"order:2", "order:2"}, entities(all(t, s, Region{Entity: "order:2"})))
	require.Equal(t, []string{"order:1", "order:2"}, entities(all(t, s, Region{Kinds: []string{"order.paid"}})))
	require.Equal(t, "\x00\x01", sideText(s, "kept"))
	require.Equal(t, strings.Repeat("large ", 50), sideText(s, "large"))
	require.Equal(t, "-", sideText(s, "gone"))
	require.Equal(t, "at 6", sideText(s, "checkpoint"))
	require.Zero(t, s.Stats().IndexMemory, "the indexes are used where they lie")
}

func TestADirectoryOfVersionTwoOpensForeverAndAcceptsCommits(t *testing.T) {
	dir := goldenCopy(t)
	r := diskLog(t, dir, Options{ReadOnly: true, MustExist: true})
	requireGoldenV2(t, r)
	require.Equal(t, Position(6), r.Head())
	require.NoError(t, r.Close())
	require.NoError(t, fs.WalkDir(os.DirFS(goldenV2), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		want, err := os.ReadFile(filepath.Join(goldenV2, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, got, name)
		return nil
	}), "a reader changes nothing")

	s := diskLog(t, dir, smallSegments(SyncAlways))
	requireGoldenV2(t, s)
	for _, b := range goldenBatches() {
		if b.IdempotencyKey == "" {
			continue
		}
		require.True(t, write(t, s, b).Duplicate, b.IdempotencyKey)
		b.Events = b.Events[:1]
		b.Events[0].At.Scope = "another"
		_, err := s.Commit(t.Context(), b)
		require.ErrorIs(t, err, ErrIdempotencyKeyReused)
	}
	sequence := s.Stats().Sequence
	next, err := s.Append(t.Context(), At("order:1", "shop"), Exactly(3), note{})
	require.NoError(t, err)
	require.Equal(t, Position(7), next.Position())
	require.Equal(t, sequence+1, next.Sequence)
	require.NoError(t, s.Close())
	requireGoldenV2(t, diskLog(t, dir, Options{ReadOnly: true}))
}

// What is derived may be missing.
func TestADirectoryOfVersionTwoOpensWithoutTheIndexBesideIt(t *testing.T) {
	dir := goldenCopy(t)
	require.NoError(t, os.Remove(filepath.Join(dir, "0000000003.idx")))
	requireGoldenV2(t, diskLog(t, dir, Options{ReadOnly: true}))
	requireGoldenV2(t, diskLog(t, dir, smallSegments(SyncAlways)))
}

// What is written today has the same files and holds the same: else the golden directory would
// prove nothing about it.
func TestADirectoryThatIsWrittenTodayHoldsWhatTheGoldenOneDoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "today")
	makeGoldenDirectory(t, dir)
	require.Equal(t, fileNames(t, goldenCopy(t)), fileNames(t, dir))
	requireGoldenV2(t, diskLog(t, dir, Options{ReadOnly: true}))
}

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
