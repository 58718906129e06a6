package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

const repairedDir = "repaired"

func repairOf(disk *vfs.Memory) RepairOptions {
	return RepairOptions{Store: Options{Device: &vfs.Device{FS: disk}}, Reason: "bad disk", By: "ann"}
}

// repaired repairs a log on a copy of its disk, and returns that.
func repaired(t require.TestingT, disk *vfs.Memory) (*vfs.Memory, RepairReport, error) {
	before := disk.Image(vfs.KeepAll)
	plan, planned := PlanRepair(context.Background(), logDir, repairOf(before))
	report, err := Repair(context.Background(), logDir, repairedDir, repairOf(before))
	require.Equal(t, planned == nil, err == nil, "planned: %v, done: %v", planned, err)
	for _, name := range mustList(t, disk) {
		require.Equal(t, disk.Bytes(logDir+"/"+name), before.Bytes(logDir+"/"+name), "the original is only read")
	}
	if err == nil {
		require.Equal(t, plan.Origin.Store, report.Origin.Store)
		plan.Origin = report.Origin
		require.Equal(t, plan, report)
	}
	return before, report, err
}

func flip(t *testing.T, disk *vfs.Memory, name string, at int64) {
	t.Helper()
	require.NoError(t, disk.Corrupt(name, at, 0x10))
}

// cutTo cuts a file short.
func cutTo(t *testing.T, disk *vfs.Memory, name string, size int64) {
	t.Helper()
	file, err := disk.Open(name, false)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(size))
	require.NoError(t, file.Sync())
	require.NoError(t, file.Close())
}

// overwrite writes bytes of a file, which it makes if need be.
func overwrite(t *testing.T, disk *vfs.Memory, name string, at int64, b []byte) {
	t.Helper()
	file, err := disk.Open(name, false)
	if err != nil {
		file, err = disk.Create(name)
	}
	require.NoError(t, err)
	_, err = file.WriteAt(b, at)
	require.NoError(t, err)
	require.NoError(t, file.Sync())
	require.NoError(t, file.Close())
	require.NoError(t, disk.SyncDir(logDir))
}

func mustList(t require.TestingT, disk *vfs.Memory) []string {
	names, err := disk.List(logDir)
	require.NoError(t, err)
	return names
}

// requireRepaired compares a repaired log with what was written, and with the report.
func requireRepaired(t require.TestingT, disk *vfs.Memory, w *asWritten, report *RepairReport) {
	st, err := open(disk, repairedDir, Options{}, true)
	require.NoError(t, err)
	defer st.Close()
	last := report.Last
	if len(w.hidden) > 0 && (report.Commits > 0 || report.Cut) { // what fences hid is not known
		return
	}
	v := verified(t, st, VerifyOptions{})
	require.NoError(t, v.Err())
	require.ElementsMatch(t, report.Lost, LostRanges(st, 1, st.Head()))
	require.Equal(t, ranges(w.hidden).with(report.Lost...).clip(1, last), CancelledRanges(st, 1, last))
	ended := len(w.events) == 0 || last >= w.events[len(w.events)-1].Position
	require.True(t, report.Cut || w.blind || ended, "the log ends with %d, %v", last, report)
	for i := range w.events {
		want := &w.events[i]
		if want.Position > last {
			break
		}
		got, err := st.GetAt(context.Background(), want.Position)
		if ranges(report.Lost).has(want.Position) {
			require.ErrorIs(t, err, ErrLost)
			_, err = st.Get(context.Background(), want.ID)
			require.ErrorIs(t, err, ErrNotFound)
			continue
		}
		if want.Position <= report.Unnamed && errors.Is(err, ErrDropped) { // how far the drop went is lost, and so is its file
			require.Equal(t, report.Unnamed+1, First(st))
			require.True(t, report.Rest)
			continue
		}
		require.NoError(t, err, "%v", report)
		require.Equal(t, want.record, got.record)
		found, err := st.Get(context.Background(), want.ID)
		require.NoError(t, err)
		require.Equal(t, want.Position, found.Position)
		anchor := Anchor{
			Store: report.Origin.Store, Position: got.Position, Event: got.ID,
			Hidden: ranges(ranges(w.hidden).clip(1, got.Position)).digest(), // before the damage
		}
		require.NoError(t, st.CheckAnchor(context.Background(), anchor))
	}
	if report.Cut || w.blind || !ended {
		return
	}
	for key, want := range w.sides {
		value, found, err := st.Side(key)
		require.NoError(t, err)
		switch {
		case slices.Contains(report.Sides, key):
			require.True(t, found && len(value.Value) == 0 || isReserved(key))
		case report.Commits == 0:
			require.True(t, found)
			require.Equal(t, want, string(value.Value))
		}
	}
	audit, err := st.GetAt(context.Background(), last+1)
	require.NoError(t, err)
	var note Repaired
	require.NoError(t, audit.Decode(&note))
	require.Equal(t, "ann", note.By)
	require.Equal(t, report.Events(), note.Events)
	for _, key := range w.keys { // what was committed with a key is not committed again
		_, found, err := st.findKey(key)
		require.NoError(t, err)
		require.True(t, found || report.Commits > 0 || report.Rest, key)
	}
}

func TestARepairLosesWhatIsDamagedAndNothingElse(t *testing.T) {
	disk := verifiedLog(t, 3)
	w := readWritten(t, disk)
	rng := rand.New(rand.NewPCG(1, 2))
	for number := uint32(1); number <= 3; number++ {
		name := segmentPath(logDir, number)
		size := len(disk.Bytes(name))
		if number == 3 {
			size = 20_000
		}
		stride := size / 40 * thinning
		if soaking() {
			stride = 1
		}
		for at := 0; at < size; at += 1 + rng.IntN(2*stride) {
			flipped := damaged(t, disk, name, int64(at), byte(1<<rng.IntN(8)))
			done, report, err := repaired(t, flipped)
			where := fmt.Sprintf("segment %d, offset %d", number, at)
			require.NoError(t, err, where)
			requireRepaired(t, done, &w, &report)
			most := uint64(3) // a batch
			if number < 3 {
				most = 1
			}
			if !report.Cut {
				require.LessOrEqual(t, report.Events(), most, "%s: %v", where, report.String())
			}
		}
	}
}

func TestALogThatIsWholeIsRepairedByCopyingIt(t *testing.T) {
	disk := verifiedLog(t, 3)
	w := readWritten(t, disk)
	done, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.True(t, report.Clean())
	require.Empty(t, report.Segments)
	require.Equal(t, 3, report.Kept)
	requireRepaired(t, done, &w, &report)
}

func TestWhatIsWrongWithFilesIsRepaired(t *testing.T) {
	whole := verifiedLog(t, 5)
	w := readWritten(t, whole)
	file := func(number uint32) string { return segmentPath(logDir, number) }
	st := openLog(t, whole.Image(vfs.KeepAll), Options{ReadOnly: true})
	segments := *st.segments.Load()
	events := func(number uint32) uint64 { return uint64(segments[number].first - segments[number-1].first) }
	for _, c := range []struct {
		name   string
		damage func(*vfs.Memory)
		lost   uint64
		clean  bool
	}{
		{"a header", func(d *vfs.Memory) { flip(t, d, file(2), 40) }, 0, true},
		{"the first header", func(d *vfs.Memory) { flip(t, d, file(1), 40) }, 0, true},
		{"the last header", func(d *vfs.Memory) { flip(t, d, file(5), 40) }, 0, true},
		{"two headers", func(d *vfs.Memory) { flip(t, d, file(2), 40); flip(t, d, file(3), 40) }, 0, true},
		{"all headers but the beacon", func(d *vfs.Memory) {
			for n := uint32(1); n <= 5; n++ {
				flip(t, d, file(n), 40)
			}
		}, 0, true},
		{"a trailer", func(d *vfs.Memory) { flip(t, d, file(2), int64(len(d.Bytes(file(2))))-20) }, 0, true},
		{"an index", func(d *vfs.Memory) { flip(t, d, file(2), int64(segments[1].trailer.Load().DataEnd)+100) }, 0, true},
		{"a batch header", func(d *vfs.Memory) { flip(t, d, file(2), wal.SegmentHeaderSize+2) }, 0, true},
		{"the length of a batch", func(d *vfs.Memory) { flip(t, d, file(2), wal.SegmentHeaderSize+5) }, 0, true},
		{"the length of a record", func(d *vfs.Memory) { flip(t, d, file(2), wal.SegmentHeaderSize+wal.BatchHeaderSize+1) }, 1, true},
		{"files that were swapped", func(d *vfs.Memory) {
			require.NoError(t, d.Rename(file(2), "log/x"))
			require.NoError(t, d.Rename(file(4), file(2)))
			require.NoError(t, d.Rename("log/x", file(4)))
		}, 0, true},
		{"a file that is gone", func(d *vfs.Memory) { require.NoError(t, d.Remove(file(3))) }, events(3), false},
		{"two files that are gone", func(d *vfs.Memory) {
			require.NoError(t, d.Remove(file(3)))
			require.NoError(t, d.Remove(file(2)))
		}, events(2) + events(3), false},
		{"the first file is gone", func(d *vfs.Memory) { require.NoError(t, d.Remove(file(1))) }, events(1), false},
		{"a file that is empty", func(d *vfs.Memory) { cutTo(t, d, file(3), 0) }, events(3), false},
		{"a file of zeros", func(d *vfs.Memory) { overwrite(t, d, file(3), 0, make([]byte, len(d.Bytes(file(3))))) }, events(3), false},
		{"a file that is cut in the middle of its footer", func(d *vfs.Memory) {
			cutTo(t, d, file(2), int64(segments[1].trailer.Load().DataEnd)+50)
		}, 0, true},
		{"a file over another one", func(d *vfs.Memory) {
			require.NoError(t, d.Remove(file(3)))
			overwrite(t, d, file(3), 0, d.Bytes(file(2)))
		}, events(3), false},
	} {
		disk := whole.Image(vfs.KeepAll)
		c.damage(disk)
		done, report, err := repaired(t, disk)
		require.NoError(t, err, c.name)
		require.Equal(t, c.lost, report.Events(), "%s: %s", c.name, report.String())
		require.Equal(t, c.clean && c.lost == 0, report.Clean(), "%s: %s", c.name, report.String())
		requireRepaired(t, done, &w, &report)
	}
}

func TestAFileThatIsCutShortLosesWhatWasAfterTheCut(t *testing.T) {
	whole := verifiedLog(t, 4)
	w := readWritten(t, whole)
	name := segmentPath(logDir, 2)
	size := int64(len(whole.Bytes(name)))
	for at := int64(200); at < size; at += size / 7 {
		disk := whole.Image(vfs.KeepAll)
		cutTo(t, disk, name, at)
		done, report, err := repaired(t, disk)
		require.NoError(t, err)
		requireRepaired(t, done, &w, &report)
	}
}

func TestRandomDamageIsRepairedOrRefused(t *testing.T) {
	disk := verifiedLog(t, 3)
	w := readWritten(t, disk)
	names, beacon := mustList(t, disk), disk.Bytes(logDir+"/"+beaconName)
	rapid.Check(t, func(t *rapid.T) {
		disk := disk.Image(vfs.KeepAll)
		for range rapid.IntRange(1, 4).Draw(t, "damages") {
			disk = damageAtRandom(t, disk, logDir+"/"+rapid.SampledFrom(names).Draw(t, "file"))
		}
		w := w
		w.blind = !slices.Equal(beacon, disk.Bytes(logDir+"/"+beaconName))
		done, report, err := repaired(t, disk)
		if errors.Is(err, ErrNotStore) || errors.Is(err, ErrCorrupt) {
			return
		}
		require.NoError(t, err)
		requireRepaired(t, done, &w, &report)
	})
}

// logsOfAllKinds are logs that were written, killed, rewritten, merged, fenced and imported.
func logsOfAllKinds(t *testing.T) (disks []*vfs.Memory) {
	t.Helper()
	always, _ := writtenDisk(t, SyncAlways, 3)
	never, _ := writtenDisk(t, SyncNever, 3)
	disks = append(disks, always, never)
	synctest.Test(t, func(t *testing.T) {
		rewritten, _, _ := backedUpTwice(t)
		disks = append(disks, rewritten)
	})
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		synctest.Test(t, func(t *testing.T) {
			r := &fenceRun{disk: vfs.NewMemory(), mode: mode}
			require.True(t, r.play(t, 0))
			disks = append(disks, r.disk.Image(vfs.KeepAll))
		})
	}
	for i, disk := range disks {
		disk.MoveDir(crashDir, logDir)
		disks[i] = disk.Image(vfs.KeepAll)
	}
	return append(disks, logWithoutBeginning(t))
}

// logWithoutBeginning is a log of which the beginning was dropped, in two files of what stays, with
// events after them.
func logWithoutBeginning(t *testing.T) *vfs.Memory {
	t.Helper()
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	keyedLogFrom(t, s, 0, 300)
	dropBefore(t, s, s.Head())
	keyedLogFrom(t, s, 300, 60)
	dropBefore(t, s, s.Head())
	keyedLogFrom(t, s, 360, 120)
	require.Equal(t, 2, droppedOf(*s.segments.Load()))
	require.NoError(t, s.Close())
	return disk.Image(vfs.KeepAll)
}

func TestWhatStaysOfDroppedEventsIsRepaired(t *testing.T) {
	whole := logWithoutBeginning(t)
	w := readWritten(t, whole)
	name := segmentPath(logDir, 1)
	size := len(whole.Bytes(name))
	rest := 0
	for at := 0; at < size; at += size / 60 * thinning {
		disk := damaged(t, whole, name, int64(at), 4)
		done, report, err := repaired(t, disk)
		require.NoError(t, err)
		require.Zero(t, report.Events(), "offset %d: %s", at, report.String())
		require.False(t, report.Cut)
		requireRepaired(t, done, &w, &report)
		st := openRepaired(t, done)
		require.Equal(t, w.events[0].Position, First(st))
		gone := 0
		for i := range 480 {
			if version(t, st, fmt.Sprint("order:", i)) == 0 {
				gone++
			}
		}
		require.True(t, gone == 0 || report.Rest, "offset %d: %d", at, gone)
		require.NoError(t, st.Close())
		if report.Rest {
			rest++
		}
	}
	require.Positive(t, rest)

	disk := whole.Image(vfs.KeepAll)
	require.NoError(t, disk.Remove(name))
	require.NoError(t, disk.SyncDir(logDir))
	done, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.True(t, report.Rest)
	requireRepaired(t, done, &w, &report)
}

func TestLogsOfAllKindsAreRepaired(t *testing.T) {
	disks := logsOfAllKinds(t)
	written := make([]asWritten, len(disks))
	for i, disk := range disks {
		written[i] = readWritten(t, disk)
	}
	rapid.Check(t, func(t *rapid.T) {
		which := rapid.IntRange(0, len(disks)-1).Draw(t, "log")
		disk, w := disks[which].Image(vfs.KeepAll), written[which]
		names, beacon := mustList(t, disk), disk.Bytes(logDir+"/"+beaconName)
		for range rapid.IntRange(0, 2).Draw(t, "damages") {
			disk = damageAtRandom(t, disk, logDir+"/"+rapid.SampledFrom(names).Draw(t, "file"))
		}
		w.blind = !slices.Equal(beacon, disk.Bytes(logDir+"/"+beaconName))
		done, report, err := repaired(t, disk)
		if errors.Is(err, ErrNotStore) || errors.Is(err, ErrCorrupt) {
			return
		}
		require.NoError(t, err)
		requireRepaired(t, done, &w, &report)
	})
}

// A file of what stays whose beginning is damaged does not say where it begins. Behind one that is
// gone it may have what stays of any event, so that it is whole when it is repaired.
func TestWhatStaysIsKeptBehindAFileThatIsGone(t *testing.T) {
	whole := logWithoutBeginning(t)
	w, s := readWritten(t, whole), copyOf(t, whole, logDir)
	second := (*s.segments.Load())[1]
	name := segmentPath(logDir, second.number)
	data := whole.Bytes(name)
	clear(data[wal.SegmentHeaderSize/2:][:wal.SegmentHeaderSize]) // header and first batch
	disk := replaced(t, whole, name, data)
	require.NoError(t, disk.Remove(segmentPath(logDir, 1)))
	require.NoError(t, disk.SyncDir(logDir))
	done, report, err := repaired(t, disk)
	require.NoError(t, err)
	require.True(t, report.Rest, "of the one that is gone")
	requireRepaired(t, done, &w, &report)
	st := openRepaired(t, done)
	require.EqualValues(t, 1, version(t, st, fmt.Sprint("order:", second.first)), "of the other one")
	require.NoError(t, st.Close())
}

// Neither does one that was cut as well, with what it knew of its end: what is written for it is
// before what stays of others, so that it was dropped, too.
func TestWhatStaysIsKeptBehindAFileThatWasCut(t *testing.T) {
	whole := logWithoutBeginning(t)
	w := readWritten(t, whole)
	name := segmentPath(logDir, 1)
	data := whole.Bytes(name)
	clear(data[:wal.SegmentHeaderSize])
	for _, size := range []int{wal.SegmentHeaderSize, len(data) / 2, len(data) - 1} {
		done, report, err := repaired(t, replaced(t, whole, name, data[:size]))
		require.NoError(t, err)
		require.True(t, report.Rest)
		requireRepaired(t, done, &w, &report)
	}
}

// Readers of a log without its beginning start after the last event that was dropped, which only
// the header names.
func TestALogWhoseLastDroppedEventIsUnknownCanBeReadFromItsBeginning(t *testing.T) {
	whole := logWithoutBeginning(t)
	s := copyOf(t, whole, logDir)
	first := First(s)
	kept, err := s.AnchorAt(t.Context(), first-1)
	require.NoError(t, err)
	dropped := (*s.segments.Load())[1]
	name := segmentPath(logDir, dropped.number)
	gone := whole.Image(vfs.KeepAll)
	require.NoError(t, gone.Remove(segmentPath(logDir, 1)))
	require.NoError(t, gone.Remove(name))
	require.NoError(t, gone.SyncDir(logDir))
	for how, disk := range map[string]*vfs.Memory{"header": damaged(t, whole, name, 100, 4), "gone": gone} {
		disk, report, err := repaired(t, disk)
		require.NoError(t, err)
		require.Equal(t, first-1, report.Unnamed, how)
		require.False(t, report.Clean())
		require.Contains(t, report.String(), fmt.Sprintf("lost: the id of event %d", first-1))
		st := openRepaired(t, disk)
		require.Equal(t, first, First(st), how)
		anchor, err := st.AnchorAt(t.Context(), first-1)
		require.NoError(t, err, how)
		require.NoError(t, st.CheckAnchor(t.Context(), anchor))
		require.ErrorIs(t, st.CheckAnchor(t.Context(), kept), ErrForeignHistory)
		require.NoError(t, st.Close())
		report2, err := verifyDir(t.Context(), disk, repairedDir, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report2.Err())
	}
	// A file behind it may have been dropped, for all that is known.
	behind := damaged(t, whole, name, 100, 4)
	require.NoError(t, behind.Remove(segmentPath(logDir, dropped.number+1)))
	require.NoError(t, behind.SyncDir(logDir))
	written := readWritten(t, whole)
	done, report, err := repaired(t, behind)
	require.NoError(t, err)
	require.Greater(t, report.Unnamed, first)
	requireRepaired(t, done, &written, &report)
	// One that is before another of them is asked for by no reader.
	_, report, err = repaired(t, damaged(t, whole, segmentPath(logDir, 1), 100, 4))
	require.NoError(t, err)
	require.Zero(t, report.Unnamed)
}
