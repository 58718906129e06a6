package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
)

// sidesWith commits side values in segments of their own, so that all but the last are sealed.
func sidesWith(t *testing.T, s *Store, size int, keys ...string) {
	t.Helper()
	for _, key := range keys {
		write(t, s, sideOf(SideWrite{Key: key, Value: bytes.Repeat([]byte(key[:1]), size)}))
		grow(t, s, s.Stats().Segments+1)
	}
}

func TestOpeningReadsNoSideValue(t *testing.T) {
	disk := vfs.NewMemory()
	o := Options{SegmentBytes: 1 << 20}
	s, err := open(disk, logDir, o, true)
	require.NoError(t, err)
	const size = 500_000
	sidesWith(t, s, size, "a", "b", "c", "d")
	require.NoError(t, s.Close())
	var read atomic.Int64
	s, err = open(watched{disk, func(_ string, b []byte, _ int64) { read.Add(int64(len(b))) }, func(int) {}}, logDir, o, true)
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	require.Less(t, read.Load(), o.SegmentBytes+10_000, "the last segment, and tables")
	require.Equal(t, 4, s.Stats().SideValues)
	before := read.Load()
	for v, err := range s.SideRange("b", "c", 0) {
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte("b"), size), v.Value)
	}
	require.InDelta(t, size, read.Load()-before, 100, "one value, and no other")
}

// placeOf is where a value lies.
func placeOf(t *testing.T, s *Store, key string) index.Side {
	t.Helper()
	place, found := s.sides.get(key)
	require.True(t, found)
	return place
}

func TestDamageToASideValueIsTheErrorOfTheReadThatMeetsItAndOfNoOther(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	sidesWith(t, s, 100, "a", "b", "c")
	place := placeOf(t, s, "b")
	for at := place.Offset; at < place.Offset+uint32(sideSize(&place)); at++ {
		require.NoError(t, disk.Corrupt(segmentPath(logDir, place.Segment), int64(at), 0x10))
		value, found, err := s.Side("b")
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, &CorruptError{Segment: place.Segment, Offset: int64(place.Offset), Reason: corrupt.Reason}, err)
		require.True(t, found)
		require.Equal(t, SideValue{Key: "b", Revision: place.Revision}, value)
		require.NoError(t, disk.Corrupt(segmentPath(logDir, place.Segment), int64(at), 0x10))
	}
	require.NoError(t, disk.Corrupt(segmentPath(logDir, place.Segment), int64(place.Offset)+40, 0x10))
	for range 2 {
		var keys []string
		for v, err := range s.Sides("") {
			require.Equal(t, v.Key == "b", err != nil)
			keys = append(keys, v.Key)
		}
		require.Equal(t, []string{"a", "b", "c"}, keys)
		require.Len(t, all(t, s, Region{}), int(s.Head()))
		s = reopen(t, s)
	}
	write(t, s, sideOf(SideWrite{Key: "b", Value: bytes.Repeat([]byte("n"), 100), Expect: Exactly(place.Revision)}))
	require.Equal(t, string(bytes.Repeat([]byte("n"), 100)), sideText(s, "b"))
	require.Equal(t, string(bytes.Repeat([]byte("n"), 100)), sideText(reopen(t, s), "b"), "what is damaged is superseded")
}

func TestARecordOfAnotherSideValueIsNeverTakenForTheOneThatIsAskedFor(t *testing.T) {
	s := memoryLog(t)
	for range 2 { // of one revision
		write(t, s, Batch{Sides: []SideWrite{{Key: "a", Value: make([]byte, 100)}, {Key: "b", Value: make([]byte, 100)}}})
	}
	a, b := placeOf(t, s, "a"), placeOf(t, s, "b")
	for _, wrong := range []func(*index.Side){
		func(p *index.Side) { p.Offset = b.Offset },
		func(p *index.Side) { p.Revision-- },
		func(p *index.Side) { p.Length-- },
		func(p *index.Side) { p.Length = 1 << 30 },
		func(p *index.Side) { p.Offset = 0 },
	} {
		place := a
		wrong(&place)
		s.sides.put(place, nil)
		_, _, err := s.Side("a")
		require.ErrorIs(t, err, ErrCorrupt)
	}
	s.sides.put(a, nil)
	require.Len(t, sideText(s, "a"), 100)
}

func TestAValueIsTheFormerOneOrTheNewOneWhileItIsOverwrittenInAnotherProcessToo(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	value := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, 65+n%400) }
	write(t, s, sideOf(SideWrite{Key: "k", Value: value(0)}))
	beside := diskLog(t, dir, Options{ReadOnly: true})
	var done atomic.Bool
	var readers sync.WaitGroup
	check := func(v SideValue, err error) error {
		if err != nil {
			return err
		}
		if len(v.Value) == 0 || !bytes.Equal(v.Value, bytes.Repeat(v.Value[:1], len(v.Value))) {
			return fmt.Errorf("revision %d: % x", v.Revision, v.Value)
		}
		return nil
	}
	failed := make(chan error, 4)
	for _, st := range []*Store{s, s, beside} {
		readers.Go(func() {
			for last := uint64(0); !done.Load(); {
				v, _, err := st.Side("k")
				if err = check(v, err); err == nil && v.Revision < last {
					err = fmt.Errorf("revision %d after %d", v.Revision, last)
				}
				last = v.Revision
				for v, bad := range st.Sides("k") {
					err = errors.Join(err, check(v, bad))
				}
				if err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for n := range 3000 { // over many segments
		write(t, s, sideOf(SideWrite{Key: "k", Value: value(n)}))
	}
	done.Store(true)
	readers.Wait()
	close(failed)
	require.NoError(t, <-failed)
	require.Greater(t, s.Stats().Segment, uint32(5))
	require.Equal(t, string(value(2999)), sideText(beside, "k"))
}

func TestALoopOverAllSideValuesHoldsUpNoCommit(t *testing.T) {
	s := memoryLog(t)
	const batch = 1 << 14
	for at := 0; at < manyKeys(); at += batch {
		var b Batch
		for i := range batch {
			b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprintf("checkpoint/worker-%012d", at+i), Value: []byte("12345678")})
		}
		write(t, s, b)
	}
	n := 0
	for v, err := range s.Sides("") {
		require.NoError(t, err)
		if n%10_000 == 0 { // within the loop: it would wait for itself
			write(t, s, sideOf(SideWrite{Key: v.Key, Value: []byte("changed")}))
		}
		require.Equal(t, "12345678", string(v.Value))
		n++
	}
	require.GreaterOrEqual(t, n, manyKeys())
}

func TestNamesOfAnEmitterThatAreDamagedAreNoReasonNotToReadTheEvent(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	e := reserver(string(bytes.Repeat([]byte("r"), 100)), 3, 2)
	emit(t, s, "stock:1", e)
	emit(t, s, "stock:1", e)
	requireEmitter(t, e, all(t, s, Region{})[1])
	place := placeOf(t, s, keyOfEmitter(e))
	require.False(t, place.Inline)
	grow(t, s, 2)
	require.NoError(t, disk.Corrupt(segmentPath(logDir, 1), int64(place.Offset)+40, 1))
	s = reopen(t, s)
	for _, event := range all(t, s, Region{Entity: "stock"}) {
		requireEmitter(t, &Emitter{Epoch: 3, Attempt: 2}, event)
	}
	emit(t, s, "stock:1", e) // the names are taken for kept
}

func TestOpeningVersionOneRefusesDamageToAPresentSideValueAndNotToASupersededOne(t *testing.T) {
	good := goldenDir(t)
	s := diskLog(t, good, Options{ReadOnly: true})
	sealed := (*s.segments.Load())[0]
	trailer := sealed.trailer.Load()
	blob, err := sealed.bytes(int64(trailer.DataEnd)+int64(trailer.IndexLen), int64(trailer.DataEnd)+int64(trailer.IndexLen)+int64(trailer.SidesLen))
	require.NoError(t, err)
	for side, err := range index.Sides(bytes.NewReader(blob), int64(len(blob))) {
		require.NoError(t, err)
		require.Zero(t, side.Revision)
		dir := goldenDir(t)
		bytes, err := os.ReadFile(segmentPath(dir, 1))
		require.NoError(t, err)
		bytes[side.Offset+20] ^= 1
		require.NoError(t, os.WriteFile(segmentPath(dir, 1), bytes, 0o600))
		st, err := Open(dir, Options{ReadOnly: true})
		if side.Key() == "checkpoint" { // the segment after it has a newer one
			require.NoError(t, err)
			require.NoError(t, st.Close())
			continue
		}
		var corrupt *CorruptError
		require.ErrorAs(t, err, &corrupt)
		require.Equal(t, CorruptError{1, int64(side.Offset), "record does not match its checksum"}, *corrupt)
	}
}

func TestTheSideValuesOfAClosedStoreAreClosedToo(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, Options{}, false)
	require.NoError(t, err)
	for _, key := range []string{"a", "b", "c"} {
		write(t, s, sideOf(SideWrite{Key: key, Value: make([]byte, 100)}))
	}
	var errs []error
	for v, err := range s.Sides("") {
		if v.Key == "a" {
			require.NoError(t, s.Close())
		}
		errs = append(errs, err)
	}
	require.Equal(t, []error{nil, ErrClosed}, errs)
	for _, err := range s.Sides("") {
		require.ErrorIs(t, err, ErrClosed)
	}
	_, found, err := s.Side("a")
	require.ErrorIs(t, err, ErrClosed)
	require.False(t, found)
}

// As where the segment of the former value is rewritten meanwhile, and its bytes are no more.
func TestAValueThatIsGoneWhenTheLoopGetsThereIsTheLaterOneOrMissing(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	former := bytes.Repeat([]byte("f"), 100)
	later := bytes.Repeat([]byte("l"), 100)
	for _, key := range []string{"a", "b", "c", "d", "e"} {
		write(t, s, sideOf(SideWrite{Key: key, Value: former}))
	}
	got := map[string]string{}
	for v, err := range s.Sides("") {
		require.NoError(t, err)
		got[v.Key] = string(v.Value)
		if v.Key != "a" {
			continue
		}
		for _, key := range []string{"b", "c"} {
			require.NoError(t, disk.Corrupt(segmentPath(logDir, 1), int64(placeOf(t, s, key).Offset)+30, 1))
		}
		write(t, s, Batch{Sides: []SideWrite{{Key: "b", Value: later}, {Key: "c", Delete: true}, {Key: "d", Value: later}}})
	}
	require.Equal(t, map[string]string{"a": string(former), "b": string(later), "d": string(former), "e": string(former)}, got)
}
