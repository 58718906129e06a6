package store

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestARegionMatchesByNamespaceScopeKindCategoryAndVersion(t *testing.T) {
	s := memoryLog(t)
	for _, p := range []struct{ entity, scope, kind string }{
		{"order", "a", "order.placed"},
		{"order:1", "a", "order.placed"},
		{"order:1", "a", "order.paid"},
		{"order:1:line:2", "b", "orders"},
		{"orders", "b", "order"},
		{"stock", "b", "stock.order"},
	} {
		_, err := s.Append(t.Context(), At(p.entity, p.scope), Any, Raw{Type: p.kind})
		require.NoError(t, err)
	}
	for want, region := range map[string]Region{
		"[1 2 3 4 5 6]": {},
		"[1 2 3 4]":     {Entity: "order"},
		"[2 3 4]":       {Entity: "order:1"},
		"[4]":           {Entity: "order:1:line"},
		"[]":            {Entity: "order:"},
		"[1 2 3]":       {Scope: "a"},
		"[1 2 3 5]":     {Category: "order"},
		"[1 2 4]":       {Kinds: []string{"orders", "order.placed", "orders"}},
		"[5]":           {Kinds: []string{"order"}},
		"[3]":           {MinVersion: 2},
		"[1 2 4 5 6]":   {MaxVersion: 1},
		"[2]":           {Entity: "order:1", Scope: "a", Category: "order", MinVersion: 1, MaxVersion: 1},
		"[] ":           {Scope: ReservedScope},
	} {
		got := []Position{}
		for _, e := range all(t, s, region) {
			require.True(t, region.Matches(e))
			got = append(got, e.Position)
		}
		require.Equal(t, want[:len(fmt.Sprint(got))], fmt.Sprint(got), region)
		for _, e := range all(t, s, Region{}) {
			if region.Matches(e) {
				require.Contains(t, got, e.Position, region)
			}
		}
	}
}

func TestTheReservedScopeIsSeenOnlyByARegionThatNamesIt(t *testing.T) {
	audit := Event{Coordinate: At("a", ReservedScope), Kind: "k", Version: 1}
	require.False(t, Region{}.Matches(audit))
	require.False(t, Region{Entity: "a"}.Matches(audit))
	require.True(t, Region{Scope: ReservedScope}.Matches(audit))
}

func TestRegionsThatSelectByTheSameTermsHaveOneIdentity(t *testing.T) {
	require.Equal(t, Region{Kinds: []string{"a", "b"}}.Identity(), Region{Kinds: []string{"b", "a", "b"}}.Identity())
	seen := map[string]Region{}
	for _, r := range []Region{
		{},
		{Entity: "a"},
		{Scope: "a"},
		{Category: "a"},
		{Kinds: []string{"a"}},
		{Kinds: []string{"a", "b"}},
		{Kinds: []string{"ab"}},
		{Entity: "a", Scope: "b"},
		{Entity: "ab"},
		{MinVersion: 1},
		{MaxVersion: 1},
		{MinVersion: 1, MaxVersion: 1},
		{Scope: "ab"},
	} {
		require.NotContains(t, seen, r.Identity())
		seen[r.Identity()] = r
	}
}

func TestAReadStopsAtTheHeadAsItWasWhenItBegan(t *testing.T) {
	s := memoryLog(t)
	for range 3 {
		put(t, s, "a")
	}
	n := 0
	for _, err := range s.Read(t.Context(), Region{}, Beginning()) {
		require.NoError(t, err)
		put(t, s, "more")
		n++
	}
	require.Equal(t, 3, n)
	require.Equal(t, Position(6), s.Head())
}

func TestReadingMayNestAndEndEarly(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	grow(t, s, 3)
	n := 0
	for outer, err := range s.Read(t.Context(), Region{}, Beginning()) {
		require.NoError(t, err)
		for inner, err := range s.Read(t.Context(), Region{}, After(outer.Position)) {
			require.NoError(t, err)
			require.Equal(t, outer.Position+1, inner.Position)
			break
		}
		if n++; n == 5 {
			break
		}
	}
	require.Equal(t, 5, n)
	require.Len(t, all(t, s, Region{}), int(s.Head()))
}

func TestAReadStartsAtAPositionTheHeadOrATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
		resolve := func(from From) Position {
			p, err := s.Resolve(t.Context(), from)
			require.NoError(t, err)
			return p
		}
		require.Zero(t, resolve(Since(time.Now())))
		require.Zero(t, resolve(Now()))
		var times []time.Time
		for range 30 { // over several segments
			times = append(times, time.Now())
			write(t, s, Batch{Events: append(raw(Raw{Type: "large", Data: make([]byte, 9<<10)}).Events, eventsOf("b")...)})
			time.Sleep(time.Second)
		}
		for i, at := range times {
			require.Equal(t, Position(2*i), resolve(Since(at)))
			require.Equal(t, Position(2*i+2), resolve(Since(at.Add(time.Millisecond))))
		}
		require.Zero(t, resolve(Since(time.Time{})))
		require.Equal(t, s.Head(), resolve(Since(time.Now())))
		require.Equal(t, s.Head(), resolve(Now()))
		require.Equal(t, Position(7), resolve(After(7)))
		require.Zero(t, resolve(Beginning()))
		require.Zero(t, resolve(From{}))
		require.Equal(t, Position(99), resolve(After(99)))
		for e, err := range s.Read(t.Context(), Region{}, After(99)) {
			require.Fail(t, "read past the head", "event %d, error %v", e.Position, err)
		}
	})
}

func TestAnEventIsFoundByItsIdAndItsPosition(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	_, err := s.Get(t.Context(), uuid.New())
	require.ErrorIs(t, err, ErrNotFound)
	grow(t, s, 4)
	for _, want := range all(t, s, Region{}) {
		got, err := s.Get(t.Context(), want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = s.GetAt(t.Context(), want.Position)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, id := range []uuid.UUID{{}, uuid.New(), uuid.Max, uuid.Must(uuid.NewV7())} {
		_, err = s.Get(t.Context(), id)
		require.ErrorIs(t, err, ErrNotFound)
	}
	for _, p := range []Position{0, s.Head() + 1, ^Position(0)} {
		_, err = s.GetAt(t.Context(), p)
		require.ErrorIs(t, err, ErrNotFound)
	}
}

func TestPagesAreBoundedByBytesAndJoinWithoutGap(t *testing.T) {
	s := memoryLog(t)
	const n, size = 24, 600 << 10
	for i := range n {
		_, err := s.Append(t.Context(), At(fmt.Sprint("e:", i%2), "test"), Any, Raw{Type: "large", Data: make([]byte, size)})
		require.NoError(t, err)
	}
	var events []Event
	pages := 0
	for after := Position(0); after < s.Head(); pages++ {
		page, err := s.ReadPage(t.Context(), Region{}, after, 0, 1000)
		require.NoError(t, err)
		require.Greater(t, page.Scanned, after)
		require.LessOrEqual(t, len(page.Events)*size, maxPageBytes+size)
		events = append(events, page.Events...)
		after = page.Scanned
	}
	require.Len(t, events, n)
	require.Greater(t, pages, 2)
	require.Len(t, all(t, s, Region{Entity: "e:1"}), n/2)
}

func TestAPageLooksAtSoManySegmentsAndSaysHowFarItGot(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	grow(t, s, maxPageHops+10)
	put(t, s, "needle")
	page, err := s.ReadPage(t.Context(), Region{Entity: "needle"}, 0, 0, 1)
	require.NoError(t, err)
	require.Empty(t, page.Events)
	require.Less(t, page.Scanned, s.Head())
	page, err = s.ReadPage(t.Context(), Region{Entity: "needle"}, page.Scanned, 0, 1)
	require.NoError(t, err)
	require.Len(t, page.Events, 1)
	require.Equal(t, s.Head(), page.Scanned)
	require.Len(t, all(t, s, Region{Entity: "needle"}), 1)
}

func TestIndexesThatWereDroppedFromMemoryAreLoadedAgain(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	grow(t, s, 6)
	s = reopen(t, s)
	s.indexes.maxOpen = 1
	for range 3 {
		require.Len(t, all(t, s, Region{Entity: "filler"}), int(s.Head()))
		require.Len(t, s.indexes.open, 1)
	}
	require.Equal(t, 3, race(3, func(i int) error {
		for p := Position(1); p <= s.Head(); p++ {
			if _, err := s.GetAt(t.Context(), p); err != nil {
				return err
			}
		}
		return nil
	}))
}

func TestASegmentForWhichEverythingWasRefusedIsPartOfTheLog(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "a")
	large := func(kilobytes int, expect Expect) error {
		_, err := s.Append(t.Context(), At("a", "test"), expect, Raw{Type: "large", Data: make([]byte, kilobytes<<10)})
		return err
	}
	require.ErrorIs(t, large(100, Absent), ErrConflict)
	require.Equal(t, 2, s.Stats().Segments, "the room was made before the commit was refused")
	require.ErrorIs(t, large(300, Absent), ErrConflict)
	require.NoError(t, large(900, Exactly(1)))
	require.Equal(t, 4, s.Stats().Segments)
	for range 2 {
		require.Len(t, all(t, s, Region{}), 2)
		require.Len(t, all(t, openLog(t, disk, Options{ReadOnly: true}), Region{}), 2)
		require.Len(t, all(t, openLog(t, disk.Image(vfs.KeepNothing), s.options), Region{}), 2)
		s = reopen(t, s)
	}
}

func TestWhatIsGoodBeforeDamageIsReadAndTheErrorComesAfter(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, "d", Options{SegmentBytes: minSegmentBytes}, true)
	require.NoError(t, err)
	defer s.Close()
	for i := range 10 {
		_, err := s.Append(t.Context(), At("a", "s"), Any, Raw{Type: "k.x", Data: []byte{byte(i)}})
		require.NoError(t, err)
	}
	g := (*s.segments.Load())[0]
	idx, err := s.indexOf(g)
	require.NoError(t, err)
	offset, err := idx.Offset(6) // the seventh event
	require.NoError(t, err)
	require.NoError(t, disk.Corrupt(segmentPath("d", 1), int64(offset)+20, 0x10))

	page, err := s.ReadPage(t.Context(), Region{}, 0, 0, 100)
	require.NoError(t, err)
	require.Len(t, page.Events, 6)
	require.Equal(t, Position(6), page.Scanned)
	_, err = s.ReadPage(t.Context(), Region{}, page.Scanned, 0, 100)
	var damage *CorruptError
	require.ErrorAs(t, err, &damage)
	require.Equal(t, uint32(1), damage.Segment)

	var read []Position
	for e, err := range s.Read(t.Context(), Region{}, Beginning()) {
		if err != nil {
			require.ErrorIs(t, err, ErrCorrupt)
			break
		}
		read = append(read, e.Position)
	}
	require.Len(t, read, 6)
}

// As in the window of a worker with lanes that reads few of many, or among the checkpoints of
// others.
func TestScatteredEventsKeepLittleMoreThanThemselvesAlive(t *testing.T) {
	const events = 400
	few := Batch{Events: eventsOf("a", "b", "b", "b", "b", "b", "b", "b")}
	beside := Batch{Events: eventsOf("a"), Sides: []SideWrite{{Key: "k", Value: make([]byte, 60<<10)}}}
	for name, b := range map[string]Batch{"among other events": few, "among side values": beside} {
		s := openLog(t, vfs.NewMemory(), Options{Sync: SyncNever})
		for range events {
			write(t, s, b)
		}
		s.tasks.Wait() // the disk is memory, too
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		window := all(t, s, Region{Entity: "a"})
		runtime.GC()
		runtime.GC() // what readers share for the next one lives through the first
		runtime.ReadMemStats(&after)
		require.Len(t, window, events, name)
		require.Less(t, (int64(after.HeapAlloc)-int64(before.HeapAlloc))/events, int64(1<<10), name)
		for _, e := range window {
			again, err := s.GetAt(t.Context(), e.Position)
			require.NoError(t, err)
			require.Equal(t, again, e, "what was read later changed nothing of it")
		}
		runtime.KeepAlive(window)
	}
}
