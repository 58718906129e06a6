package store

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// reserver is a build of a worker, in an epoch and at an attempt.
func reserver(build string, epoch uint64, attempt uint32) *Emitter {
	return &Emitter{Worker: "reserve-stock", Build: build, Epoch: epoch, Attempt: attempt}
}

// keyOfEmitter is the key of the side value with the names of an emitter.
func keyOfEmitter(e *Emitter) string { return emitterKey(wal.EmitterID(e.Worker, e.Build)) }

// emit commits an event of an emitter.
func emit(t *testing.T, s *Store, entity string, e *Emitter) Position {
	t.Helper()
	b := Batch{Events: eventsOf(entity)}
	b.Events[0].Emitter = e
	return write(t, s, b).Position()
}

func requireEmitter(t *testing.T, want *Emitter, e Event) {
	t.Helper()
	got, ok := e.Emitter()
	if want == nil {
		require.False(t, ok, "event %d: %+v", e.Position, got)
		return
	}
	require.True(t, ok, "event %d", e.Position)
	require.Equal(t, *want, got, "event %d", e.Position)
}

func TestAnEventSaysWhoEmittedItHoweverItIsRead(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncAlways))
	r := diskLog(t, dir, Options{ReadOnly: true})
	want := map[Position]*Emitter{}
	want[put(t, s, "order:1").Position()] = nil
	for i, e := range []*Emitter{
		reserver("rev-1", 1, 1), reserver("rev-1", 1, 2), reserver("rev-2+dirty", 300, 1), reserver("", 0, 1),
		reserver("rev-1", 2, 70000),
	} {
		want[emit(t, s, fmt.Sprintf("stock:%d", i%2), e)] = e
		want[put(t, s, "order:2").Position()] = nil
	}
	require.Len(t, sideKeys(s, emitterPrefix), 3, "names are kept once for each build")
	check := func(s *Store) {
		events := all(t, s, Region{Entity: "order"})
		events = append(events, all(t, s, Region{Entity: "stock"})...)
		require.Len(t, events, len(want))
		for _, e := range events {
			requireEmitter(t, want[e.Position], e)
			alone, err := s.GetAt(t.Context(), e.Position)
			require.NoError(t, err)
			requireEmitter(t, want[e.Position], alone)
		}
		requireChains(t, all(t, s, Region{}))
	}
	check(s)
	check(r)
	require.NoError(t, r.Close())

	grow(t, s, 4)
	for i := range 500 { // supersede a side value until the segment of the names is not the last one any more
		write(t, s, Batch{Sides: []SideWrite{{Key: "checkpoint/w", Value: fmt.Appendf(make([]byte, 4096), "%d", i)}}})
	}
	require.NoError(t, s.Close())
	s = diskLog(t, dir, smallSegments(SyncAlways))
	require.Greater(t, s.Stats().Segments, 4)
	for _, e := range want {
		if e != nil {
			before, _, err := s.Side(keyOfEmitter(e))
			require.NoError(t, err)
			emit(t, s, "bin:1", e)
			after, kept, err := s.Side(keyOfEmitter(e))
			require.NoError(t, err)
			require.True(t, kept)
			require.Equal(t, before, after, "the log still has its names")
		}
	}
	for _, e := range all(t, s, Region{Entity: "stock"}) {
		requireEmitter(t, want[e.Position], e)
	}
}

func TestAnEmitterWhoseNamesAreGoneOrForgedHasNone(t *testing.T) {
	s := memoryLog(t)
	e := reserver("rev", 3, 2)
	emit(t, s, "stock:1", e)
	names, kept, err := s.Side(keyOfEmitter(e))
	require.NoError(t, err)
	require.True(t, kept)
	// No caller can write there: this is what another program may have left.
	set := func(value []byte) {
		s.sides.mu.Lock()
		defer s.sides.mu.Unlock()
		s.sides.put(index.SideOf(names.Key, value, value == nil), nil)
	}
	set(nil)
	nameless := &Emitter{Epoch: 3, Attempt: 2}
	requireEmitter(t, nameless, all(t, s, Region{})[0])

	set(wal.AppendEmitterNames(nil, "another", "rev"))
	requireEmitter(t, nameless, all(t, s, Region{})[0])

	set(names.Value)
	requireEmitter(t, e, all(t, s, Region{})[0])
}

func TestEachCommitBringsTheNamesThatItsEmittersNeedAndTheLogHasNot(t *testing.T) {
	s := memoryLog(t)
	batch := func(builds ...string) Batch {
		var b Batch
		for _, build := range builds {
			b.Events = append(b.Events, eventsOf("stock:1")...)
			b.Events[len(b.Events)-1].Emitter = reserver(build, 1, 1)
		}
		return b
	}
	for _, c := range []struct {
		batch Batch
		known int
	}{
		{batch("a", "b", "a"), 2}, {batch("b", "a"), 2}, {batch("b", "c"), 3}, {Batch{Events: eventsOf("stock:1")}, 3},
	} {
		write(t, s, c.batch)
		require.Len(t, sideKeys(s, emitterPrefix), c.known)
	}
	refused := batch("d")
	refused.Events[0].Expect = Absent
	untouched(t, s, func() {
		_, err := s.Commit(t.Context(), refused)
		require.ErrorIs(t, err, ErrConflict)
	})
	require.Len(t, sideKeys(s, emitterPrefix), 3, "one that is refused brings nothing")
	alternating, req := batch("d", "e", "d"), newRequest()
	require.NoError(t, req.encode(&alternating, &s.emitters))
	require.Len(t, req.sides, 2, "each emitter is named once")
	write(t, s, batch("d"))
	require.Len(t, sideKeys(s, emitterPrefix), 4)
}

func TestAnEmitterWithoutAWorkerOrWithALongNameIsRefused(t *testing.T) {
	s := memoryLog(t)
	const most = maxEmitterBytes
	for _, c := range []struct {
		emitter Emitter
		want    InvalidError
	}{
		{Emitter{Build: "rev", Attempt: 1}, InvalidError{Field: "emitter worker", Rule: "must not be empty"}},
		{Emitter{Worker: long(most + 1)}, InvalidError{Field: "emitter worker bytes", Limit: most, Value: int64(most + 1)}},
		{Emitter{Worker: "w", Build: long(most + 1)}, InvalidError{Field: "emitter build bytes", Limit: most, Value: int64(most + 1)}},
	} {
		b := Batch{Events: eventsOf("stock:1")}
		b.Events[0].Emitter = &c.emitter
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), b)
			require.Equal(t, &c.want, err)
		})
	}
	e := &Emitter{Worker: long(most), Build: long(most)}
	emit(t, s, "stock:1", e)
	requireEmitter(t, e, all(t, s, Region{})[0])
}

func TestARetryByAnotherEmitterIsTheSameCommit(t *testing.T) {
	s := memoryLog(t)
	b := Batch{IdempotencyKey: "once", Events: eventsOf("stock:1")}
	b.Events[0].Emitter = reserver("rev-1", 1, 1)
	first := write(t, s, b)
	for _, e := range []*Emitter{nil, reserver("rev-2", 1, 1), reserver("rev-1", 1000, 1), reserver("rev-1", 1, 2)} {
		b.Events[0].Emitter = e
		again := write(t, s, b)
		require.True(t, again.Duplicate)
		require.Equal(t, first.Events, again.Events)
	}
	b.Events[0].At.Entity = "stock:2"
	_, err := s.Commit(t.Context(), b)
	require.ErrorIs(t, err, ErrIdempotencyKeyReused)
}

func TestAnEncodedProposalKeepsItsEmitter(t *testing.T) {
	p := eventsOf("stock:1")[0]
	p.Emitter = reserver("rev", 1, 1)
	encoded, err := p.Encode()
	require.NoError(t, err)
	require.Same(t, p.Emitter, encoded.Emitter)
	p.Emitter = &Emitter{}
	_, err = p.Encode()
	require.ErrorIs(t, err, ErrInvalid)
}

func TestAnEmitterCostsAnEventTwelveBytesAndNoAllocation(t *testing.T) {
	s, e := memoryLog(t), reserver("rev", 1, 1)
	emit(t, s, "stock:1", e) // which brings the names
	sizes, allocated := map[*Emitter]int{}, map[*Emitter]float64{}
	for _, by := range []*Emitter{nil, e} {
		b := Batch{Events: []Proposal{{
			At: At("stock:1", "shop"), Payload: Raw{Type: "stock.reserved", Data: []byte("{}")}, Emitter: by,
		}}}
		req := newRequest()
		require.NoError(t, req.encode(&b, &s.emitters))
		sizes[by] = req.size
		req.records, req.events = make([]byte, 0, 4096), make([]requestEvent, 0, 8)
		allocated[by] = testing.AllocsPerRun(100, func() {
			req.records, req.events = req.records[:0], req.events[:0]
			_ = req.encode(&b, &s.emitters)
		})
	}
	require.Equal(t, 12, sizes[e]-sizes[nil])
	require.Equal(t, allocated[nil], allocated[e])

	event := all(t, s, Region{})[0]
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = event.Emitter() }))
}

// emitterDir is a directory with the golden segments of a log with extensions.
func emitterDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for number, name := range []string{"v1-emitters.seg", "v1-unknown-tag.seg"} {
		b, err := os.ReadFile(filepath.Join("internal", "wal", "testdata", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(segmentPath(dir, uint32(number+1)), b, 0o600))
	}
	return dir
}

func TestADirectoryWithEmittersAndUnknownTagsOpensAndKeepsThem(t *testing.T) {
	dir := emitterDir(t)
	later := wal.AppendExtension(nil, 2000, []byte("of a version to come"))
	golden := reserver("0123456789abcdef0123456789abcdef01234567+dirty", 1, 1)
	second := *golden
	second.Epoch = 2
	want := []*Emitter{nil, golden, reserver("", 300, 70000), &second, nil}
	check := func(s *Store) {
		events := all(t, s, Region{})[:5]
		for i, e := range events {
			requireEmitter(t, want[i], e)
		}
		require.Equal(t, later, extensionsOf(&events[3])[:len(later)])
		require.Equal(t, later, extensionsOf(&events[4]))
		requireChains(t, all(t, s, Region{}))
	}
	r := diskLog(t, dir, Options{ReadOnly: true})
	check(r)
	require.NoError(t, r.Close())
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes})
	check(s)
	for _, stored := range []string{"", golden.Build} {
		_, kept, err := s.Side(keyOfEmitter(reserver(stored, 1, 1)))
		require.NoError(t, err)
		require.True(t, kept)
	}
	put(t, s, "stock:lamp")
	check(s)
}

func TestNamesOfAnEmitterOutliveAPowerCutWithTheEventsThatNeedThem(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	for i := range 20 {
		emit(t, s, "stock:1", reserver(fmt.Sprintf("rev-%d", i), uint64(i), 1))
		left := openLog(t, disk.Image(vfs.KeepNothing), Options{})
		events := all(t, left, Region{})
		require.Len(t, events, i+1)
		for j, e := range events {
			requireEmitter(t, reserver(fmt.Sprintf("rev-%d", j), uint64(j), 1), e)
		}
	}
}

// Without them every event of the emitter would be without a name, forever.
func TestNamesOfEmittersCannotBeWrittenByACaller(t *testing.T) {
	s := memoryLog(t)
	key := emitterPrefix + "00"
	for _, w := range []SideWrite{{Key: key, Value: []byte("x")}, {Key: key, Delete: true}} {
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), Batch{Sides: []SideWrite{w}})
			var invalid *InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, "side key", invalid.Field)
			require.Equal(t, "is reserved", invalid.Rule)
		})
	}
}
