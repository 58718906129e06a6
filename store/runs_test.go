package store

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// begun reports whether a store that was just opened believed a run of its active segment.
func begun(s *Store) bool { return s.committer.writer.runs.resumed }

// firstRunFile is the file of the runs of the first segment in the directory of the crash tests.
func firstRunFile() string { return filepath.Join(crashDir, idxName(1)) }

// filledLog is a store in a segment of 64 KiB with some 40 KiB of events, side values and keys, and
// so at least two runs.
func filledLog(t *testing.T, mode SyncMode) (*vfs.Memory, *crashRun) {
	t.Helper()
	r := newCrashRun(vfs.NewMemory(), mode)
	require.NoError(t, r.open())
	for i := range 8 {
		require.NoError(t, commitSeveral(i, 1500, 800, 2300)(r))
		require.NoError(t, commitWithKey(i, 100)(r))
	}
	require.Len(t, *r.st.segments.Load(), 1)
	return r.disk, r
}

// requireRead compares what a read-only store shows with the oracle.
func requireRead(t *testing.T, o *crashOracle, reader *Store, what string) {
	t.Helper()
	want := o.replay(len(o.commits))
	require.NoError(t, o.verifyEvents(reader, &want), what)
	require.NoError(t, o.verifySides(reader, &want), what)
	require.NoError(t, o.verifyEntities(reader, &want), what)
}

// requireAll opens a disk, compares it with the oracle, continues to write over the end of the
// segment, and compares again.
func requireAll(t *testing.T, disk *vfs.Memory, o *crashOracle, believed bool, what string) {
	t.Helper()
	r := &crashRun{crashOracle: *o.clone(), disk: disk, options: Options{Sync: o.mode, SegmentBytes: minSegmentBytes}}
	reader, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err, what)
	requireRead(t, o, reader, what)
	require.NoError(t, reader.Close())
	require.NoError(t, r.open(), what)
	require.Equal(t, believed, begun(r.st), what)
	_, err = r.verify(r.st, len(r.commits))
	require.NoError(t, err, what)
	require.NoError(t, repeatLastKey(r), what)
	for i := range 4 {
		require.NoError(t, commitSeveral(i, 9000)(r), what)
	}
	require.Greater(t, r.st.Stats().Segments, 1)
	_, err = r.verify(r.st, len(r.commits))
	require.NoError(t, err, what)
	require.NoError(t, r.verifyHistory(r.st, len(r.commits)), what)
	require.Nil(t, disk.Bytes(firstRunFile()), "it is sealed")
	require.NoError(t, r.end(), what)
}

func TestOpeningReadsOnlyWhatNoRunSpeaksOf(t *testing.T) {
	const segmentBytes = 8 << 20
	disk := vfs.NewMemory()
	options := Options{SegmentBytes: segmentBytes}
	s, err := open(disk, logDir, options, true)
	require.NoError(t, err)
	filler := Raw{Type: "filler", Data: make([]byte, 64<<10)}
	for s.Stats().Segments < 2 || s.committer.writer.next.Offset < 5<<20 {
		_, err := s.Append(t.Context(), At("a", "test"), Any, filler)
		require.NoError(t, err)
	}
	head, end := s.Head(), s.committer.writer.next.Offset
	killStore(s)

	for _, ending := range []string{"a kill", "a clean close"} {
		read := 0
		w := watched{disk, func(name string, b []byte, off int64) {
			if name == segmentName(2) && off >= wal.SegmentHeaderSize && off < end {
				read += len(b)
			}
		}, func(int) {}}
		s, err = open(w, logDir, options, true)
		require.NoError(t, err, ending)
		require.True(t, begun(s))
		require.Equal(t, head, s.Head())
		require.Less(t, read, 2<<20, "after %s: not even two runs", ending)
		if ending == "a clean close" {
			require.Less(t, read, 600<<10, "a batch, and the zeros after the end")
		}
		require.Len(t, all(t, s, Region{Entity: "a"}), int(head))
		require.NoError(t, s.Close())
	}
}

func TestAStoreIsTheSameWithRunsAndWithout(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		synctest.Test(t, func(t *testing.T) { // else the interval might be over
			disk, r := filledLog(t, mode)
			r.kill()
			requireAll(t, disk.Image(vfs.KeepAll), &r.crashOracle, mode == SyncAlways, fmt.Sprint(mode, " killed"))

			disk, r = filledLog(t, mode)
			require.NoError(t, r.end())
			requireAll(t, disk.Image(vfs.KeepAll), &r.crashOracle, true, fmt.Sprint(mode, " closed"))
			require.NoError(t, disk.Remove(firstRunFile()))
			requireAll(t, disk.Image(vfs.KeepAll), &r.crashOracle, false, fmt.Sprint(mode, " without"))
		})
	}
}

func TestARunOfAnotherTimeOrStoreIsNotBelieved(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	early, earlier := disk.Image(vfs.KeepAll), r.crashOracle.clone()
	require.NoError(t, commitSeveral(1, 4000, 12000)(r))
	require.NoError(t, r.end())
	other, _ := filledLog(t, SyncAlways)

	late := disk.Bytes(firstRunFile())
	soon := early.Bytes(firstRunFile())
	require.NotEmpty(t, soon)
	require.True(t, bytes.HasPrefix(late, soon), "runs are appended")

	requireAll(t, replaced(t, early, firstRunFile(), late), earlier, true, "a newer file: the runs that the segment has")
	requireAll(t, replaced(t, disk, firstRunFile(), soon), &r.crashOracle, true, "an older file: its runs")
	requireAll(t, replaced(t, disk, firstRunFile(), other.Bytes(firstRunFile())), &r.crashOracle, false, "that of another store")
	short := early.Bytes(segmentFile(1))[:8<<10]
	cut := replaced(t, early, segmentFile(1), short)
	s, err := tryOpen(cut, SyncAlways)
	require.NoError(t, err)
	require.False(t, begun(s), "the segment is shorter than the first run")
	k, err := earlier.verify(s, 0)
	require.NoError(t, err)
	require.Positive(t, k)
	require.NoError(t, s.Close())
}

func TestADamagedRunIsScannedInstead(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	require.NoError(t, r.end())
	content := disk.Bytes(firstRunFile())
	step := 97
	if soaking() {
		step = 1
	}
	check := func(img *vfs.Memory, what string) {
		s, err := tryOpen(img, SyncAlways)
		require.NoError(t, err, what)
		_, err = r.verify(s, len(r.commits))
		require.NoError(t, err, what)
		require.NoError(t, s.Close(), what)
	}
	for at := 0; at < len(content); at += step {
		check(damaged(t, disk, firstRunFile(), int64(at), 1<<(at%8)), fmt.Sprint("byte ", at))
		check(replaced(t, disk, firstRunFile(), content[:at]), fmt.Sprint("cut at ", at))
	}
	check(damaged(t, disk, firstRunFile(), 0, 1), "the first byte")
}

func TestDamageBeforeTheEndOfARunIsFoundByTheReadThatMeetsIt(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	require.NoError(t, r.end())
	starts, _ := batchStarts(t, disk)
	opened := 0
	for _, at := range starts[1 : len(starts)-1] {
		img := damaged(t, disk, segmentFile(1), at+wal.BatchHeaderSize+20, 4)
		s, err := tryOpen(img, SyncAlways)
		if err != nil { // it is the batch that a run ends with, so that this was scanned
			require.ErrorIs(t, err, ErrCorrupt)
			continue
		}
		opened++
		require.True(t, begun(s))
		_, err = r.verify(s, 0)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoError(t, s.Close())
	}
	require.Greater(t, opened, len(starts)/2)
	closing := damaged(t, disk, segmentFile(1), starts[len(starts)-1]+10, 4)
	requireCommits(t, closing, &r.crashOracle, len(r.commits), "the last run ends with a mark, which may be torn")
}

func TestAFullDiskKeepsARunFromBeingWrittenAndNothingElse(t *testing.T) {
	r := newCrashRun(vfs.NewMemory(), SyncAlways)
	require.NoError(t, r.open())
	require.NoError(t, commitSeveral(1, 100)(r))
	r.disk.SetCapacity(0) // the segment has its room
	for i := range 5 {
		require.NoError(t, commitSeveral(i, 6000)(r))
	}
	require.True(t, r.st.committer.writer.runs.file.failed)
	require.NoError(t, r.end())
	r.disk.SetCapacity(math.MaxInt64)
	requireAll(t, r.disk, &r.crashOracle, false, "without runs")
}

func TestAFailedWriteOfARunDoesNotEndTheWriter(t *testing.T) {
	dry, r := filledLog(t, SyncAlways)
	ops := dry.Ops()
	require.NoError(t, r.end())
	failed := 0
	for n := 1; n <= ops; n++ {
		r := newCrashRun(vfs.NewMemory(), SyncAlways)
		require.NoError(t, r.open())
		if n <= r.disk.Ops() {
			r.kill()
			continue
		}
		r.disk.FailAt(n, errors.New("no more"))
		var err error
		for i := 0; i < 8 && err == nil; i++ {
			err = commitSeveral(i, 1500, 800, 2300)(r)
		}
		if err == nil && r.st.committer.writer.runs.file.failed {
			failed++
			require.False(t, r.st.Stats().Poisoned)
			_, err = r.verify(r.st, len(r.commits))
			require.NoError(t, err)
		}
		r.kill()
	}
	require.Positive(t, failed)
}

func TestARunThatACrashLeftBesideASealedSegmentIsRemoved(t *testing.T) {
	disk, o := writtenDisk(t, SyncAlways, 2)
	file, err := disk.Create(firstRunFile())
	require.NoError(t, err)
	require.NoError(t, file.Close())
	requireCommits(t, disk, o, len(o.commits), "opened")
	require.Nil(t, disk.Bytes(firstRunFile()))
}

func TestAReaderThatBeganWithRunsFollowsItsWriter(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	reader, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	require.NotEmpty(t, reader.follower.tail.runs)
	for i := range 6 {
		require.NoError(t, commitSeveral(i, 9000, 10)(r))
		requireRead(t, &r.crashOracle, reader, fmt.Sprint(i))
	}
	require.Greater(t, reader.Stats().Segments, 1)
	require.NoError(t, reader.Close())
	require.NoError(t, r.end())
}

func TestKeysAndEntitiesOfOneHashInDifferentRunsAreToldApart(t *testing.T) {
	disk := vfs.NewMemory()
	options := smallSegments(SyncAlways)
	batches := map[string]Batch{}
	for _, text := range []string{collider1, collider2} {
		batches[text] = Batch{IdempotencyKey: text, Events: []Proposal{{
			At: At(text, "test"), Payload: Raw{Type: "large", Data: make([]byte, 2<<10)},
		}}}
		s, err := open(disk, logDir, options, true)
		require.NoError(t, err)
		write(t, s, batches[text])
		require.NoError(t, s.Close())
	}
	s := openLog(t, disk, options)
	require.True(t, begun(s))
	for text, b := range batches {
		require.True(t, write(t, s, b).Duplicate, text)
		version, err := s.Version(t.Context(), text)
		require.NoError(t, err)
		require.Equal(t, uint64(1), version, text)
		require.Equal(t, uint64(2), put(t, s, text).Events[0].Version)
	}
}

func TestARunOfAnotherContinuationOfTheSameLogIsNotBelieved(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	common := r.st.committer.writer.runs.from
	r.kill()
	var ends []*crashRun
	for i := range 2 { // records of the same length
		c := &crashRun{crashOracle: *r.clone(), disk: disk.Image(vfs.KeepAll), options: r.options}
		require.NoError(t, c.open())
		require.NoError(t, commitOne(crashProposal("order:1", 3*i, 17000))(c))
		require.NoError(t, c.end())
		require.Greater(t, len(c.disk.Bytes(firstRunFile())), len(disk.Bytes(firstRunFile())))
		ends = append(ends, c)
	}
	mixed := replaced(t, ends[0].disk, firstRunFile(), ends[1].disk.Bytes(firstRunFile()))
	s, err := tryOpen(mixed, SyncAlways)
	require.NoError(t, err)
	require.Equal(t, common, s.committer.writer.runs.from, "the runs before they parted")
	killStore(s)
	requireAll(t, mixed, &ends[0].crashOracle, true, "mixed")
}

func TestARunThatDoesNotFollowTheOneBeforeIsNotBelieved(t *testing.T) {
	disk, r := filledLog(t, SyncAlways)
	r.kill()
	content := disk.Bytes(firstRunFile())
	first, ok := parseIdxRun(content)
	require.True(t, ok)
	require.Greater(t, len(content), int(first.size()))
	requireAll(t, replaced(t, disk, firstRunFile(), content[first.size():]), &r.crashOracle, false, "the first is missing")
	twice := append(content[:first.size():first.size()], content...)
	requireAll(t, replaced(t, disk, firstRunFile(), twice), &r.crashOracle, true, "the first comes twice")
}
