package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// asWritten is what a log held before it was damaged.
type asWritten struct {
	events []Event
	sides  map[string]string
	hidden []Range // by cancelled fences
	keys   []string
	blind  bool // nothing says how far the log went
}

func readWritten(t *testing.T, disk *vfs.Memory) (w asWritten) {
	t.Helper()
	s := openLog(t, disk.Image(vfs.KeepAll), Options{ReadOnly: true})
	w.events, w.sides = all(t, s, Region{}), make(map[string]string)
	for _, key := range sideKeys(s, "") {
		w.sides[key] = sideText(s, key)
	}
	w.hidden = CancelledRanges(s, 1, s.Head())
	for i := range int(s.Head()) {
		if _, found, err := s.findKey(fmt.Sprint("key ", i)); err == nil && found {
			w.keys = append(w.keys, fmt.Sprint("key ", i))
		}
	}
	return w
}

// requireReported compares a report with what a reader of the damaged log meets: what is not
// reported lost is there, as it was, and what is reported lost is not.
func requireReported(t require.TestingT, disk *vfs.Memory, w *asWritten, r *VerifyReport) {
	st, err := open(disk, logDir, Options{ReadOnly: true}, false)
	if err != nil {
		require.ErrorIs(t, err, ErrCorrupt)
		require.Error(t, r.Err(), "a log that does not open: %v", err)
		return
	}
	defer st.Close()
	lost, gone := make(map[Position]bool), make(map[string]bool)
	footers, others := make(map[uint32]bool), make(map[uint32]bool)
	for _, d := range r.Damage {
		footers[d.Segment] = footers[d.Segment] || d.Kind == DamagedFooter
		others[d.Segment] = others[d.Segment] || d.Kind != DamagedFooter
		for p := d.First; d.Kind == DamagedEvents && p <= d.Last; p++ {
			lost[p] = true
		}
		gone[d.SideKey] = true
	}
	for i := range w.events[:st.Head()] {
		want := &w.events[i]
		got, err := st.eventAt(want.Position)
		number := uint32(0)
		for _, g := range *st.segments.Load() {
			if g.first <= want.Position {
				number = g.number
			}
		}
		if err == nil || !footers[number] || !others[number] {
			require.Equal(t, lost[want.Position], errors.Is(err, ErrCorrupt), "event %d: %v", want.Position, err)
		}
		if err == nil {
			require.Equal(t, want.Hash(), got.Hash())
			require.Equal(t, want.Payload, got.Payload)
		}
	}
	if int(st.Head()) < len(w.events) {
		return // the end of the log was taken for a torn write
	}
	for key, want := range w.sides {
		value, found, err := st.Side(key)
		require.True(t, gone[key] == (err != nil) || len(r.Damage) > 1, "%s: %v", key, err)
		if err == nil {
			require.True(t, found)
			require.Equal(t, want, string(value.Value))
		}
	}
}

func TestAnyByteThatIsFlippedIsFoundOrDoesNoHarm(t *testing.T) {
	disk := verifiedLog(t, 3)
	w := readWritten(t, disk)
	rng := rand.New(rand.NewPCG(1, 2))
	found, flips := 0, 0
	for number := uint32(1); number <= 3; number++ {
		name := segmentPath(logDir, number)
		size := len(disk.Bytes(name))
		stride := size / 60 * thinning
		if soaking() {
			stride = 1
		}
		for at := 0; at < size; at += 1 + rng.IntN(2*stride-1) {
			flipped := damaged(t, disk, name, int64(at), byte(1<<rng.IntN(8)))
			r, err := verifyDir(t.Context(), flipped, logDir, VerifyOptions{})
			require.NoError(t, err)
			requireReported(t, flipped, &w, &r)
			if flips++; !r.Whole() {
				found++
			}
			inside := number < 3 && at >= wal.SegmentHeaderSize && at < size-wal.TrailerSize
			require.True(t, !inside || !r.Whole(), "segment %d, offset %d", number, at)
		}
	}
	require.Greater(t, found, flips/2)
}

func TestAllDamageIsFoundAndNamed(t *testing.T) {
	disk := verifiedLog(t, 4)
	w := readWritten(t, disk)
	second, third := int64(0), int64(0)
	s := openLog(t, disk.Image(vfs.KeepAll), Options{ReadOnly: true})
	segments := *s.segments.Load()
	for i, at := range []*int64{&second, &third} {
		idx, err := s.indexOf(segments[i+1])
		require.NoError(t, err)
		offset, err := idx.Offset(4) // a large one
		require.NoError(t, err)
		*at = int64(offset)
	}
	p2, p3 := segments[1].first+4, segments[2].first+4
	footer := int64(segments[0].trailer.Load().DataEnd) + 40
	disk = damaged(t, disk, segmentPath(logDir, 2), second+200, 1)
	disk = damaged(t, disk, segmentPath(logDir, 3), third+200, 1)
	disk = damaged(t, disk, segmentPath(logDir, 1), footer, 1)

	r, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
	require.NoError(t, err)
	requireReported(t, disk, &w, &r)
	require.Len(t, r.Damage, 3)
	require.Equal(t, DamagedFooter, r.Damage[0].Kind)
	require.Equal(t, footer, r.Damage[0].Offset)
	for i, want := range []Damage{
		{Kind: DamagedEvents, Segment: 2, Offset: second, First: p2, Last: p2},
		{Kind: DamagedEvents, Segment: 3, Offset: third, First: p3, Last: p3},
	} {
		want.Reason = "record does not match its checksum"
		require.Equal(t, want, r.Damage[i+1])
	}
	require.EqualValues(t, 2, r.Unlinked, "the events of the entities after those that are lost")
	require.EqualValues(t, len(w.events)-2, r.Events)
}

func TestADirectoryThatDoesNotOpenIsVerifiedFileByFile(t *testing.T) {
	whole := verifiedLog(t, 3)
	events := len(readWritten(t, whole).events)
	for _, c := range []struct {
		name   string
		damage func(*vfs.Memory) *vfs.Memory
		kinds  []DamageKind
	}{
		{"header", func(d *vfs.Memory) *vfs.Memory { return damaged(t, d, segmentPath(logDir, 2), 40, 1) }, []DamageKind{DamagedHeader}},
		{"first header", func(d *vfs.Memory) *vfs.Memory { return damaged(t, d, segmentPath(logDir, 1), 40, 1) }, []DamageKind{DamagedHeader}},
		{"missing", func(d *vfs.Memory) *vfs.Memory {
			d = d.Image(vfs.KeepAll)
			require.NoError(t, d.Remove(segmentPath(logDir, 2)))
			return d
		}, []DamageKind{MissingSegment, DamagedEvents}},
		{"tail", func(d *vfs.Memory) *vfs.Memory {
			d = damaged(t, d, segmentPath(logDir, 3), wal.SegmentHeaderSize+70, 1)
			require.NoError(t, d.Remove(logDir+"/0000000003.idx")) // which covers the damage: it would open
			return d
		}, []DamageKind{DamagedEvents}},
	} {
		disk := c.damage(whole)
		_, err := open(disk, logDir, Options{ReadOnly: true}, false)
		require.ErrorIs(t, err, ErrCorrupt, c.name)
		r, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
		require.NoError(t, err, c.name)
		var kinds []DamageKind
		lost := 0
		for _, d := range r.Damage {
			kinds = append(kinds, d.Kind)
			if d.Kind == DamagedEvents {
				lost += int(d.Last - d.First + 1)
			}
		}
		require.Equal(t, c.kinds, kinds, c.name)
		require.Equal(t, events, int(r.Events)+lost, "%s: %v", c.name, r.Damage)
	}
}

func TestRandomDamageIsReportedWhereAReaderMeetsIt(t *testing.T) {
	disk := verifiedLog(t, 3)
	w := readWritten(t, disk)
	names, err := disk.List(logDir)
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		disk := disk.Image(vfs.KeepAll)
		for range rapid.IntRange(1, 4).Draw(t, "damages") {
			disk = damageAtRandom(t, disk, logDir+"/"+rapid.SampledFrom(names).Draw(t, "file"))
		}
		r, err := verifyDir(t.Context(), disk, logDir, VerifyOptions{})
		if errors.Is(err, ErrNotStore) {
			return
		}
		require.NoError(t, err)
		requireReported(t, disk, &w, &r)
	})
}
