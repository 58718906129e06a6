package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

func TestDamageInsideASealedSegmentIsTheErrorOfTheReadThatMeetsIt(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 2)
	whole := o.replay(len(o.commits))
	data := disk.Bytes(segmentFile(1))
	trailer, err := wal.ParseTrailer(data[len(data)-wal.TrailerSize:], int64(len(data)))
	require.NoError(t, err)
	for p := Position(1); uint64(p) < trailer.NextPosition; p++ {
		offset := offsetOf(t, disk, p)
		img := damaged(t, disk, segmentFile(1), offset+60, 0x04)
		st := mustOpen(t, img, o.mode)
		_, err := st.GetAt(t.Context(), p)
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, CorruptError{Segment: 1, Offset: offset, Reason: corrupt.Reason}, *corrupt)
		for other := Position(1); other <= st.Head(); other++ {
			if other == p {
				continue
			}
			e, err := st.GetAt(t.Context(), other)
			require.NoError(t, err, "damage at %d, read %d", p, other)
			require.NoError(t, compareEvent(&e, other, &whole.events[other-1]))
		}
		require.ErrorIs(t, readAll(st, Beginning()), ErrCorrupt)
		require.NoError(t, readAll(st, After(Position(trailer.NextPosition-1))))
		require.NoError(t, st.Close())
	}
}

func TestADamagedFooterIsRebuiltFromTheData(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 2)
	data := disk.Bytes(segmentFile(1))
	trailer, err := wal.ParseTrailer(data[len(data)-wal.TrailerSize:], int64(len(data)))
	require.NoError(t, err)
	for at := int64(trailer.DataEnd); at < int64(len(data)); at += 5 {
		img := damaged(t, disk, segmentFile(1), at, 0x41)
		requireCommits(t, img, o, len(o.commits), fmt.Sprintf("byte %d", at))
		if at >= int64(len(data)-wal.TrailerSize) {
			require.Equal(t, data, img.Bytes(segmentFile(1)), "the trailer was written again")
		}
	}
	for _, size := range []int{int(trailer.DataEnd), int(trailer.DataEnd) + 10, len(data) - 1} {
		img := replaced(t, disk, segmentFile(1), data[:size])
		requireCommits(t, img, o, len(o.commits), fmt.Sprintf("cut to %d", size))
		require.Equal(t, data, img.Bytes(segmentFile(1)))
	}
}

func TestDamageOfASealedHeaderRefusesToOpen(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		disk, _ := writtenDisk(t, mode, 2)
		for number := range lastSegment(t, disk) {
			for at := range int64(wal.SegmentHeaderSize) {
				if at != 8 && at != 9 {
					what := fmt.Sprintf("sync %s, segment %d, byte %d", mode, number+1, at)
					requireCorrupt(t, damaged(t, disk, segmentFile(number+1), at, 0x80), mode, number+1, 0, what)
				}
			}
		}
	}
}

func TestDamageOfTheHeaderOfASealedLastSegmentRefusesToOpen(t *testing.T) {
	r := newCrashRun(vfs.NewMemory(), SyncNever)
	require.NoError(t, r.open())
	for r.st.Stats().Segments < 3 {
		require.NoError(t, commitSeveral(1, 6000)(r))
	}
	r.kill()
	disk := replaced(t, r.disk, segmentFile(3), make([]byte, minSegmentBytes)) // made ahead and not begun
	st := mustOpen(t, disk.Image(vfs.KeepAll), SyncNever)
	require.NoError(t, st.Close())
	requireCorrupt(t, damaged(t, disk, segmentFile(2), 20, 0x80), SyncNever, 2, 0, "segment 2")
}

func TestDataOfASealedSegmentThatEndsEarlyIsDamage(t *testing.T) {
	disk, _ := writtenDisk(t, SyncAlways, 2)
	starts, _ := batchStarts(t, disk)
	data := disk.Bytes(segmentFile(1))
	for _, start := range starts {
		requireCorrupt(t, replaced(t, disk, segmentFile(1), data[:start]), SyncAlways, 1, start, "cut between batches")
	}
}
