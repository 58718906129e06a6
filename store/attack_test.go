package store

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

func TestCloseReportsAFailedSyncThatNoCommitHasReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := afterAFewCommits(t, SyncInterval)
		require.NoError(t, r.sleep())
		require.NoError(t, commitOne(crashProposal("order:1", 9, 100))(r))
		r.disk.FailAt(r.disk.Ops()+1, syscall.EIO)
		time.Sleep(time.Second)
		require.True(t, r.st.Stats().Poisoned)
		require.ErrorIs(t, r.st.Close(), ErrPoisoned)
	})
}

func TestAFooterThatDoesNotFitOnAFullDiskDoesNotKeepTheLogFromOpening(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	_ = s
	n := 0
	for s.Stats().Segments < 2 {
		_, err := s.Append(t.Context(), At(fmt.Sprint("e:", n), "test"), Any, Raw{Type: "f", Data: []byte("{}")})
		require.NoError(t, err)
		n++
	}
	put(t, s, "last")
	// A crash took the footer of the first segment: its file has the size it was filled to.
	image := powerCutImage(t, disk, vfs.KeepNothing)
	name := segmentPath(logDir, 1)
	f, err := image.Open(name, false)
	require.NoError(t, err)
	size, err := f.Size()
	require.NoError(t, err)
	d, err := image.OpenDir(logDir, ownerOnly)
	require.NoError(t, err)
	tr, ok := readTrailer(&segment{number: 1, files: &fileCache{dir: d}}, size)
	require.True(t, ok)
	require.NoError(t, f.Truncate(int64(tr.DataEnd)))
	require.NoError(t, f.Truncate(minSegmentBytes))
	require.NoError(t, f.Sync())
	image.SetCapacity(0)
	again, err := open(image, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	put(t, again, "more")
	require.Equal(t, n+2, int(again.Head()))
	image.SetCapacity(math.MaxInt64)
	require.NoError(t, again.Close())
}

func TestAPayloadThatLooksLikeABatchDoesNotTurnATornWriteIntoDamage(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, Options{}, true)
	require.NoError(t, err)
	put(t, s, "acknowledged")
	at := s.committer.writer.next.Offset
	// The author of a payload guesses where it will lie, every offset in turn, and does not know the
	// id of the store.
	var data []byte
	const prefix = wal.BatchHeaderSize + 112 + len("e") + len("test") + len("f") + len("json")
	for len(data) < 4096 {
		for (int(at)+prefix+len(data))%8 != 0 {
			data = append(data, 0)
		}
		fake := wal.FinishBatch(make([]byte, wal.BatchHeaderSize), &wal.BatchHeader{
			Segment: 1, Offset: uint32(int(at) + prefix + len(data)), Durable: math.MaxUint32,
		}, 0)
		data = append(data, fake...)
	}
	disk.CutAt(disk.Ops() + 2) // in the sync
	_, err = s.Append(t.Context(), At("e", "test"), Any, Raw{Type: "f", Data: data})
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	for seed := range uint64(50) {
		image := disk.Image(seed)
		again, err := open(image, logDir, Options{}, true)
		require.NoError(t, err, "seed %d", seed)
		require.NoError(t, again.Close())
	}
}

func TestAReaderBesideAWriterReportsDamageInsteadOfWaitingForever(t *testing.T) {
	dir := t.TempDir()
	w, err := Open(dir, Options{})
	require.NoError(t, err)
	defer w.Close()
	put(t, w, "one")
	r, err := Open(dir, Options{ReadOnly: true})
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, Position(1), r.Head())
	at := w.committer.writer.next.Offset
	put(t, w, "two")
	f, err := os.OpenFile(filepath.Join(dir, "0000000001.seg"), os.O_RDWR, 0)
	require.NoError(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], at+100)
	require.NoError(t, err)
	b[0] ^= 1
	_, err = f.WriteAt(b[:], at+100)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	put(t, w, "three")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = r.Wait(ctx, 1)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestBatchBytesAreCountedBeforeTheyAreCopied(t *testing.T) {
	s := memoryLog(t)
	var b Batch
	value := make([]byte, maxSideValueBytes)
	for i := range 400 {
		b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprint(i), Value: value})
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := s.Commit(t.Context(), b)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrInvalid)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8*MaxBatchBytes))
}

func TestASegmentFileTooLargeForMemoryIsDamage(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		dir := t.TempDir()
		s, err := Open(dir, Options{})
		require.NoError(t, err)
		put(t, s, "one")
		require.NoError(t, s.Close())
		require.NoError(t, os.Truncate(segmentPath(dir, 1), 1<<42))
		_, err = Open(dir, Options{ReadOnly: readOnly})
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

func TestAStatusFileThatIsCutShortHarmsNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir, Options{})
	require.NoError(t, err)
	put(t, s, "one")
	require.NoError(t, os.Truncate(filepath.Join(dir, beaconName), 0))
	put(t, s, "two")
	put(t, s, "three")
	status, ok, err := s.readBeacon()
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, Position(3), status.assigned)
	require.NoError(t, s.Close())
}

func TestAReaderThatFollowsKeepsNoGrowingIndexOfSealedSegments(t *testing.T) {
	fsys := vfs.NewMemory()
	w, err := open(fsys, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	defer w.Close()
	put(t, w, "one")
	r, err := open(fsys, logDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	defer r.Close()
	for n := 2; n <= 6; n++ {
		grow(t, w, n)
		require.Equal(t, w.Head(), r.Head())
	}
	segments := *r.segments.Load()
	for _, g := range segments[:len(segments)-1] {
		require.NotNil(t, g.trailer.Load(), "segment %d", g.number)
		require.Nil(t, g.index.Load(), "segment %d", g.number)
	}
	require.Equal(t, all(t, w, Region{}), all(t, r, Region{}))
}
