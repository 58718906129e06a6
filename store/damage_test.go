package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// writtenDisk is a disk after a script of so many rounds, closed cleanly, and what must be on it.
func writtenDisk(t *testing.T, mode SyncMode, rounds int) (disk *vfs.Memory, o *crashOracle) {
	synctest.Test(t, func(t *testing.T) {
		r := newCrashRun(vfs.NewMemory(), mode)
		for _, step := range crashScript(rounds) {
			require.NoError(t, step(r))
		}
		disk, o = r.disk.Image(vfs.KeepAll), &r.crashOracle
	})
	return disk, o
}

// smallDisk holds a few small commits in one segment. It ends without a clean close, or with one.
func smallDisk(t *testing.T, mode SyncMode, closed bool) (*vfs.Memory, *crashOracle) {
	r := newCrashRun(vfs.NewMemory(), mode)
	require.NoError(t, r.open())
	for i := range 4 {
		require.NoError(t, commitSeveral(i, 10, 50)(r))
		require.NoError(t, commitWithKey(i, 20)(r))
	}
	if closed {
		require.NoError(t, r.end())
	} else {
		r.kill()
	}
	return r.disk.Image(vfs.KeepAll), &r.crashOracle
}

func segmentFile(number uint32) string { return segmentPath(crashDir, number) }

// batchStarts walks over the batches of the first segment and returns where they start, and where
// the last one ends.
func batchStarts(t *testing.T, disk *vfs.Memory) (starts []int64, end int64) {
	t.Helper()
	data := disk.Bytes(segmentFile(1))
	h, err := wal.ParseSegmentHeader(data)
	require.NoError(t, err)
	x := newScan(nil, &h).next
	for p := wal.NewPieces(bytes.NewReader(data), int64(len(data))); ; {
		b, batch, err := p.Next(&x)
		require.NoError(t, err)
		if batch == nil {
			require.NotEmpty(t, starts)
			return starts, x.Offset
		}
		starts = append(starts, x.Offset)
		x.Advance(&b)
	}
}

func tryOpen(disk *vfs.Memory, mode SyncMode) (*Store, error) {
	return open(disk, crashDir, Options{Sync: mode, SegmentBytes: minSegmentBytes, sidesOnDisk: true}, true)
}

// damaged is a copy of the disk with one byte of a file changed.
func damaged(t require.TestingT, disk *vfs.Memory, name string, at int64, xor byte) *vfs.Memory {
	img := disk.Image(vfs.KeepAll)
	require.NoError(t, img.Corrupt(name, at, xor))
	return img
}

// replaced is a copy of the disk with another content of a file.
func replaced(t require.TestingT, disk *vfs.Memory, name string, content []byte) *vfs.Memory {
	img := disk.Image(vfs.KeepAll)
	file, err := img.Open(name, false)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(int64(len(content))))
	_, err = file.WriteAt(content, 0)
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return img.Image(vfs.KeepAll)
}

// requireCorrupt checks that opening fails and names the place.
func requireCorrupt(t *testing.T, disk *vfs.Memory, mode SyncMode, segment uint32, offset int64, what string) {
	t.Helper()
	_, err := tryOpen(disk, mode)
	var corrupt *CorruptError
	require.ErrorAs(t, err, &corrupt, what)
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, segment, corrupt.Segment, "%s: %v", what, err)
	require.Equal(t, offset, corrupt.Offset, "%s: %v", what, err)
}

// requireCommits opens a disk, compares it with the oracle, and requires k commits.
func requireCommits(t *testing.T, disk *vfs.Memory, o *crashOracle, k int, what string) {
	t.Helper()
	st, err := tryOpen(disk, o.mode)
	require.NoError(t, err, what)
	got, err := o.verify(st, 0)
	require.NoError(t, err, what)
	require.Equal(t, k, got, what)
	require.NoError(t, o.verifyHistory(st, got), what)
	require.NoError(t, st.Close(), what)
}

// refusals opens the disk with each byte below end damaged, see thinning, and requires that it is
// refused.
func refusals(t *testing.T, disk *vfs.Memory, mode SyncMode, starts []int64, end int64) {
	for at, batch := int64(0), 0; at < end; at += thinning {
		for batch < len(starts) && starts[batch] <= at {
			batch++
		}
		place := int64(0)
		if batch > 0 {
			place = starts[batch-1]
		}
		img, what := damaged(t, disk, segmentFile(1), at, 1<<(at%8)), fmt.Sprintf("sync %s, byte %d", mode, at)
		requireCorrupt(t, img, mode, 1, place, what)
	}
}

func TestDamageBelowTheDurableMarkRefusesToOpenAndNamesThePlace(t *testing.T) {
	disk, _ := smallDisk(t, SyncAlways, false)
	starts, _ := batchStarts(t, disk)
	refusals(t, disk, SyncAlways, starts, starts[len(starts)-1])
}

func TestAfterACleanCloseNoDamageBeforeTheClosingMarkIsTakenForATornWrite(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		disk, _ := smallDisk(t, mode, true)
		require.NoError(t, disk.Remove(firstRunFile())) // with it, only what comes after it is read
		starts, _ := batchStarts(t, disk)
		refusals(t, disk, mode, starts, starts[len(starts)-1])
	}
}

func TestABadBatchAtTheDurableMarkEndsTheLogThere(t *testing.T) {
	disk, o := smallDisk(t, SyncAlways, false)
	starts, end := batchStarts(t, disk)
	for at := starts[len(starts)-1]; at < end; at++ {
		img := damaged(t, disk, segmentFile(1), at, 0x10)
		requireCommits(t, img, o, len(o.commits)-1, fmt.Sprintf("byte %d", at))
	}
}

func TestALastFileCutShortHoldsThePrefixThatIsLeft(t *testing.T) {
	disk, o := smallDisk(t, SyncAlways, true)
	starts, end := batchStarts(t, disk)
	content := disk.Bytes(segmentFile(1))
	for size := int64(0); size <= end+64; size += thinning {
		img := replaced(t, disk, segmentFile(1), content[:size])
		k := -1 // the opening mark holds no commit
		for _, start := range append(starts[1:], end) {
			if start <= size {
				k++
			}
		}
		if size < starts[0] { // as if it had never been begun
			st, err := tryOpen(img, o.mode)
			require.NoError(t, err, "size %d", size)
			require.Zero(t, st.Head())
			require.NotEqual(t, o.history.Store, st.Origin().Store)
			continue
		}
		requireCommits(t, img, o, min(max(k, 0), len(o.commits)), fmt.Sprintf("size %d", size))
		if next := img.Bytes(segmentFile(2)); next != nil { // there was no room for a mark
			require.GreaterOrEqual(t, len(next), minSegmentBytes, "size %d", size)
		}
	}
}

func TestATruncatedLastOfManyFilesHoldsThePrefixThatIsLeft(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 2)
	number := lastSegment(t, disk)
	require.Greater(t, number, uint32(1))
	content := disk.Bytes(segmentFile(number))
	for _, size := range []int{0, 1, 127, 128, 129, 191, 192, 200, 1000, 3000} {
		img := replaced(t, disk, segmentFile(number), content[:min(size, len(content))])
		st, err := tryOpen(img, o.mode)
		require.NoError(t, err, "size %d", size)
		k, err := o.verify(st, 1)
		require.NoError(t, err, "size %d", size)
		require.NoError(t, o.verifyHistory(st, k), "size %d", size)
		require.NoError(t, commitOne(crashProposal("order:1", 1, 10))(&crashRun{st: st, crashOracle: crashOracle{
			mode: o.mode, commits: o.commits[:k], leaps: st.Stats().Sequence - uint64(k),
		}}), "size %d", size)
		require.NoError(t, st.Close())
	}
}

func lastSegment(t *testing.T, disk *vfs.Memory) uint32 {
	names, err := disk.List(crashDir)
	require.NoError(t, err)
	last := uint32(0)
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			last = max(last, n)
		}
	}
	return last
}

// offsetOf finds the record of an event of the first segment.
func offsetOf(t *testing.T, disk *vfs.Memory, p Position) int64 {
	st := mustOpen(t, disk.Image(vfs.KeepAll), SyncAlways)
	defer st.Close()
	g := (*st.segments.Load())[0]
	idx, err := st.indexOf(g)
	require.NoError(t, err)
	offset, err := idx.Offset(uint32(p - g.first))
	require.NoError(t, err)
	return int64(offset)
}

func readAll(st *Store, from From) error {
	for _, err := range st.Read(context.Background(), Region{}, from) {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestAMissingSegmentFileRefusesToOpen(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 3)
	number := lastSegment(t, disk)
	require.Greater(t, number, uint32(2))
	for missing := uint32(1); missing < number; missing++ {
		img := disk.Image(vfs.KeepAll)
		require.NoError(t, img.Remove(segmentFile(missing)))
		requireCorrupt(t, img, SyncAlways, missing, 0, fmt.Sprint("segment ", missing))
	}
	img := disk.Image(vfs.KeepAll)
	require.NoError(t, img.Remove(segmentFile(number)))
	st := mustOpen(t, img, SyncAlways)
	k, err := o.verify(st, 1)
	require.NoError(t, err)
	require.Less(t, k, len(o.commits))
	require.NoError(t, o.verifyHistory(st, k), "the status file knows what is gone")
}

func TestASegmentOfANewerVersionRefusesToOpen(t *testing.T) {
	disk, _ := writtenDisk(t, SyncAlways, 2)
	for number := range lastSegment(t, disk) {
		name := segmentFile(number + 1)
		content := disk.Bytes(name)
		binary.LittleEndian.PutUint16(content[8:], wal.Version+1)
		header := content[:wal.SegmentHeaderSize]
		binary.LittleEndian.PutUint32(content[12:], wal.Checksum(slices.Concat(header[:12], header[16:])))
		_, err := tryOpen(replaced(t, disk, name, content), SyncAlways)
		require.ErrorIs(t, err, ErrNewerFormat)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}

func TestAFlippedBitOfTheVersionOfASegmentIsDamage(t *testing.T) {
	disk, _ := writtenDisk(t, SyncAlways, 2)
	for number := range lastSegment(t, disk) {
		for bit := range 16 {
			img := damaged(t, disk, segmentFile(number+1), 8+int64(bit/8), 1<<(bit%8))
			requireCorrupt(t, img, SyncAlways, number+1, 0, fmt.Sprintf("segment %d, bit %d", number+1, bit))
			_, err := open(img, crashDir, Options{ReadOnly: true}, true)
			require.ErrorIs(t, err, ErrCorrupt)
			require.NotErrorIs(t, err, ErrNewerFormat)
		}
	}
}

func TestASegmentOfAnotherStoreOrPlaceRefusesToOpen(t *testing.T) {
	disk, _ := writtenDisk(t, SyncAlways, 3)
	other, _ := writtenDisk(t, SyncAlways, 3)
	requireCorrupt(t, replaced(t, disk, segmentFile(1), other.Bytes(segmentFile(1))), SyncAlways, 2, 0, "foreign first segment")
	for number := uint32(2); number <= lastSegment(t, disk); number++ {
		img := replaced(t, disk, segmentFile(number), other.Bytes(segmentFile(number)))
		requireCorrupt(t, img, SyncAlways, number, 0, "foreign segment")
		_, err := tryOpen(img, SyncAlways)
		require.ErrorContains(t, err, "another store")
		img = replaced(t, disk, segmentFile(number), disk.Bytes(segmentFile(1)))
		requireCorrupt(t, img, SyncAlways, number, 0, "another place")
	}
}

// Two copies of one store that continued separately have segments of the same store, number and
// positions.
func TestASegmentOfACopyThatDivergedRefusesToOpen(t *testing.T) {
	r := afterAFewCommits(t, SyncAlways)
	require.NoError(t, r.end())
	var copies [2]*vfs.Memory
	for i := range copies {
		c := resumed(r.clone(), r.disk.Image(vfs.KeepAll))
		require.NoError(t, c.open())
		for c.st.Stats().Segments < 3 {
			require.NoError(t, commitSeveral(i, 9000, 10)(c))
		}
		require.NoError(t, c.end())
		copies[i] = c.disk
	}
	for _, number := range []uint32{2, 3} {
		img := replaced(t, copies[0], segmentFile(number), copies[1].Bytes(segmentFile(number)))
		requireCorrupt(t, img, SyncAlways, number, 0, "the other copy's")
	}
}

func TestACommitThatNeedsDamagedRecordsIsRefusedAndOthersAreNot(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 2)
	st := mustOpen(t, disk.Image(vfs.KeepAll), o.mode)
	g := (*st.segments.Load())[0]
	idx, err := st.indexOf(g)
	require.NoError(t, err)
	i := 0
	for o.commits[i].batch.IdempotencyKey == "" {
		i++
	}
	keyed := o.commits[i].batch
	keyAt, found, err := idx.FindKey(keyed.IdempotencyKey)
	require.NoError(t, err)
	require.True(t, found)
	ord, found, err := idx.LastOf("order:0")
	require.NoError(t, err)
	require.True(t, found)
	eventAt, err := idx.Offset(ord)
	require.NoError(t, err)
	require.NoError(t, st.Close())

	img := damaged(t, disk, segmentFile(1), int64(keyAt)+40, 0x02)
	require.NoError(t, img.Corrupt(segmentFile(1), int64(eventAt)+40, 0x02))
	st = mustOpen(t, img, o.mode)
	head, sequence := st.Head(), st.Stats().Sequence
	for _, refused := range []Batch{keyed, {Events: []Proposal{crashProposal("order:0", 1, 10)}}} {
		_, err := st.Commit(t.Context(), refused)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NotErrorIs(t, err, ErrPoisoned)
		require.Equal(t, head, st.Head())
		require.Equal(t, sequence, st.Stats().Sequence)
	}
	_, err = st.Commit(t.Context(), Batch{IdempotencyKey: "another", Events: []Proposal{crashProposal("order:1", 1, 10)}})
	require.NoError(t, err)
	require.NoError(t, st.Close())
}
