package store

import (
	"fmt"
	"io/fs"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// unmapped is the machine's file system, but for mapping files.
type unmapped struct{ vfs.FS }

type unmappedDir struct{ vfs.Dir }

func (u unmapped) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := u.FS.OpenDir(dir, perm)
	return unmappedDir{d}, err
}

func (d unmappedDir) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	return struct{ vfs.File }{f}, err
}

// bothWays are the file systems through which an index is mapped, and read in pieces.
var bothWays = map[string]vfs.FS{"mapped": vfs.OS(), "in pieces": unmapped{vfs.OS()}}

// manyEntities is a directory with three segments, whose indexes have several blocks, and what it
// answers.
func manyEntities(t *testing.T) (dir, want string) {
	t.Helper()
	dir = t.TempDir()
	s := diskLog(t, dir, Options{Sync: SyncNever, SegmentBytes: 4 * minSegmentBytes})
	for i := 0; s.Stats().Segments < 3; i++ {
		b := Batch{Events: eventsOf(fmt.Sprintf("order:%d", i), fmt.Sprintf("order:%d", i%5))}
		if i%3 == 0 {
			b.IdempotencyKey = fmt.Sprint("key ", i)
		}
		if i%2 == 0 {
			b.Events[0].Causation = Causation{Cause: uuid.UUID{byte(i % 100), 1}, Correlation: uuid.UUID{byte(i % 10), 2}}
		}
		write(t, s, b)
	}
	want = questioned(t, s)
	require.NoError(t, s.Close())
	return dir, want
}

// questioned is what a store says to questions that look into all parts of its indexes.
func questioned(t *testing.T, s *Store) (said string) {
	t.Helper()
	for _, r := range []Region{{}, {Entity: "order:3"}, {Scope: "test"}, {Entity: "order:200", Kinds: []string{"note.taken"}}, {Scope: "none"}} {
		var positions []Position
		for e, err := range s.Read(t.Context(), r, Beginning()) {
			require.NoError(t, err)
			positions = append(positions, e.Position)
		}
		said += fmt.Sprintln(r, positions)
	}
	for i := range 40 {
		entity, key := fmt.Sprintf("order:%d", i*13), fmt.Sprint("key ", i*13)
		k, found, err := s.findKey(key)
		require.NoError(t, err)
		said += fmt.Sprintln(entity, version(t, s, entity), found, k.FirstPosition)
	}
	for i := range byte(50) {
		said += fmt.Sprintln("effects", positions(t, Effects(t.Context(), s, uuid.UUID{2 * i, 1}, Reach{})))
	}
	for i := range byte(5) {
		said += fmt.Sprintln("correlated", positions(t, Correlated(t.Context(), s, uuid.UUID{2 * i, 2}, Reach{})))
	}
	return said
}

// readThrough opens a directory for reading through a file system.
func readThrough(t *testing.T, fsys vfs.FS, dir string) *Store {
	t.Helper()
	s, err := open(fsys, dir, Options{ReadOnly: true}, false)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// footerOf returns where the index of a segment lies in its file.
func footerOf(t *testing.T, s *Store, number int) (from, to int64) {
	t.Helper()
	trailer := (*s.segments.Load())[number-1].trailer.Load()
	return int64(trailer.DataEnd), int64(trailer.DataEnd) + int64(trailer.IndexLen)
}

func TestAnIndexAnswersTheSameMappedAndReadInPieces(t *testing.T) {
	dir, want := manyEntities(t)
	for name, fsys := range bothWays {
		s := readThrough(t, fsys, dir)
		require.Equal(t, want, questioned(t, s), name)
		require.Zero(t, s.Stats().IndexMemory, "nothing is loaded")
		from, to := footerOf(t, s, 1)
		require.Greater(t, to-from, int64(3*4096))
	}
	cachesOfOne(t)
	for name, fsys := range bothWays {
		s := readThrough(t, fsys, dir)
		require.Equal(t, want, questioned(t, s), name)
		require.LessOrEqual(t, len(s.indexes.open), 1)
	}
}

func TestDamageAnywhereInAnIndexChangesNoAnswer(t *testing.T) {
	dir, want := manyEntities(t)
	from, to := footerOf(t, readThrough(t, vfs.OS(), dir), 1)
	good, err := os.ReadFile(segmentPath(dir, 1))
	require.NoError(t, err)
	met, looks := 0, 0
	for at := from; at < to; at += 1021 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x04
		require.NoError(t, os.WriteFile(segmentPath(dir, 1), bad, 0o600))
		for name, fsys := range bothWays {
			s := readThrough(t, fsys, dir)
			require.Equal(t, want, questioned(t, s), "%s, byte %d", name, at)
			if looks++; s.Stats().IndexMemory > 0 {
				met++
			}
			require.NoError(t, s.Close())
		}
	}
	require.Greater(t, met, looks*3/4)
}

func TestAnIndexCutOffBeforeItWasLookedAtIsMadeFromTheEvents(t *testing.T) {
	dir, want := manyEntities(t)
	for name, fsys := range bothWays {
		s := readThrough(t, fsys, dir)
		from, to := footerOf(t, s, 2)
		good, err := os.ReadFile(segmentPath(dir, 2))
		require.NoError(t, err)
		require.NoError(t, os.Truncate(segmentPath(dir, 2), (from+to)/2))
		require.Equal(t, want, questioned(t, s), name)
		require.Positive(t, s.Stats().IndexMemory)
		require.NoError(t, os.WriteFile(segmentPath(dir, 2), good, 0o600))
	}
}

func TestAFileCutUnderItsReadersIsDamageAndNoCrash(t *testing.T) {
	for name, fsys := range bothWays {
		dir, want := manyEntities(t)
		s := readThrough(t, fsys, dir)
		require.Equal(t, want, questioned(t, s), name)
		require.NoError(t, os.Truncate(segmentPath(dir, 1), 4096))
		_, err := s.Version(t.Context(), "never")
		require.ErrorIs(t, err, ErrCorrupt, name)
		_, err = s.Count(t.Context(), Region{Entity: "order"}, 0, 0, 10)
		require.ErrorIs(t, err, ErrCorrupt, name)
		var corrupt *CorruptError
		require.ErrorAs(t, readAll(s, Beginning()), &corrupt)
		require.Equal(t, uint32(1), corrupt.Segment)
	}
}

// Of a golden segment of version 1, its index beside it.

func besidePath(dir string) string { return dir + "/" + idxName(1) }

func TestAWriterKeepsTheIndexOfVersionOneBesideAndBelievesIt(t *testing.T) {
	dir := goldenDir(t)
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	requireGolden(t, s, 3)
	require.Equal(t, uint64(3), version(t, s, "order:1"))
	require.NoError(t, s.Close())
	require.FileExists(t, besidePath(dir))
	require.NoFileExists(t, besidePath(dir)+".new")

	good, err := os.ReadFile(segmentPath(dir, 1))
	require.NoError(t, err)
	trailer, err := wal.ParseTrailer(good[len(good)-wal.TrailerSize:], int64(len(good)))
	require.NoError(t, err)
	good[trailer.DataEnd+40] ^= 1 // the footer is not looked at
	require.NoError(t, os.WriteFile(segmentPath(dir, 1), good, 0o600))
	r := readThrough(t, vfs.OS(), dir)
	require.Equal(t, uint64(3), version(t, r, "order:1"))
	require.Equal(t, []string{"order:1", "order:1", "order:2", "order:1"}, entities(all(t, r, Region{Category: "order"})))
	require.Zero(t, r.Stats().IndexMemory)
}

func TestAReaderOfVersionOneKeepsTheIndexInMemory(t *testing.T) {
	dir := goldenDir(t)
	r := readThrough(t, vfs.OS(), dir)
	requireGolden(t, r, 2)
	require.Positive(t, r.Stats().IndexMemory)
	require.NoFileExists(t, besidePath(dir))
}

func TestWhereAnIndexCannotBeKeptBesideItIsKeptInMemory(t *testing.T) {
	dir := goldenDir(t)
	require.NoError(t, os.MkdirAll(besidePath(dir)+".new/in the way", 0o700))
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	requireGolden(t, s, 3)
	require.Positive(t, s.Stats().IndexMemory)
	require.NoFileExists(t, besidePath(dir))
}

func TestAnIndexBesideThatIsDamagedOrOfAnotherCopyIsNotBelieved(t *testing.T) {
	other := directoryOf(t, "v1-meta.seg", "v1-meta-open.seg")
	s := diskLog(t, other, Options{SegmentBytes: minSegmentBytes})
	require.Zero(t, version(t, s, "never"))
	require.NoError(t, s.Close())
	strange, err := os.ReadFile(besidePath(other))
	require.NoError(t, err)

	dir := goldenDir(t)
	requireGolden(t, diskLog(t, dir, Options{SegmentBytes: minSegmentBytes}), 3)
	good, err := os.ReadFile(besidePath(dir))
	require.NoError(t, err)
	require.NotEqual(t, good, strange)
	contents := [][]byte{strange, nil, good[:100], good[:200], append(strange[:idxHeaderSize:idxHeaderSize], good[idxHeaderSize:]...)}
	for at := 0; at < len(good)-8; at += 7 {
		bad := append([]byte(nil), good...)
		bad[at] ^= 0x20
		contents = append(contents, bad)
	}
	for i, content := range contents {
		fresh := goldenDir(t)
		require.NoError(t, os.WriteFile(besidePath(fresh), content, 0o600))
		r := readThrough(t, vfs.OS(), fresh)
		requireGolden(t, r, 2)
		require.Equal(t, uint64(3), version(t, r, "order:1"), "content %d", i)
		require.Equal(t, uint64(1), version(t, r, "stock:lamp"), "content %d", i)
		require.NoError(t, r.Close())
	}
	w := diskLog(t, directoryOf(t, "v1.seg", "v1-open.seg"), Options{SegmentBytes: minSegmentBytes})
	require.NoError(t, os.WriteFile(besidePath(w.path), strange, 0o600))
	requireGolden(t, w, 3)
	mended, err := os.ReadFile(besidePath(w.path))
	require.NoError(t, err)
	require.Equal(t, good, mended, "a writer writes it again")
}

func TestAPowerCutWhileAnIndexIsWrittenBesideLosesNothing(t *testing.T) {
	disk := vfs.NewMemory()
	require.NoError(t, disk.MkdirAll(logDir, 0o700))
	for number, name := range []string{"v1.seg", "v1-open.seg"} {
		content, err := os.ReadFile("internal/wal/testdata/" + name)
		require.NoError(t, err)
		file, err := disk.Create(segmentPath(logDir, uint32(number+1)))
		require.NoError(t, err)
		_, err = file.WriteAt(content, 0)
		require.NoError(t, err)
		require.NoError(t, file.Sync())
		require.NoError(t, file.Close())
	}
	look := func(d *vfs.Memory) (*Store, error) {
		s, err := open(d, logDir, Options{SegmentBytes: minSegmentBytes}, true)
		if err == nil {
			_, err = s.Version(t.Context(), "order:2")
		}
		return s, err
	}
	whole := disk.Image(vfs.KeepAll)
	s, err := look(whole)
	require.NoError(t, err)
	ops := whole.Ops()
	require.NotEmpty(t, whole.Bytes(logDir+"/"+idxName(1)))
	require.NoError(t, s.Close())
	for cut := 1; cut <= ops; cut++ {
		for seed := range uint64(4) {
			d := disk.Image(vfs.KeepAll)
			d.CutAt(cut)
			if s, err := look(d); err == nil {
				_ = s.Close()
			}
			after := d.Image(seed)
			s, err := look(after)
			require.NoError(t, err, "cut at %d", cut)
			require.Equal(t, uint64(3), version(t, s, "order:1"))
			require.Equal(t, uint64(1), version(t, s, "order:2"))
			require.NotEmpty(t, after.Bytes(logDir+"/"+idxName(1)))
			require.NoError(t, s.Close())
		}
	}
}
