package store

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/lineage"
)

// Pages of one event each, over fences that were cancelled at the beginning, in the midst and at
// the end, in sealed segments and in the active one.
func TestPagesAscendStrictlyAfterTheirPositionAndNeverShowWhatACancelledFenceHides(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	want := map[string][]Position{}
	for i := range 40 {
		f := fenceOf(t, s)
		stage(t, f, "a:1", "hidden")
		seen := put(t, s, []string{"a", "b:1"}[i%2])
		require.NoError(t, f.Cancel(t.Context()))
		namespace := []string{"a", "b"}[i%2]
		want[namespace] = append(want[namespace], seen.Position())
		want[""] = append(want[""], seen.Position())
		if i%10 == 5 {
			grow(t, s, s.Stats().Segments+1)
		}
	}
	reader := openLog(t, s.fs, Options{ReadOnly: true})
	for _, st := range []*Store{s, reader, nil} {
		if st == nil {
			st = reopen(t, s)
		}
		for _, entity := range []string{"", "a", "b", "hidden"} {
			r := Region{Entity: entity, Kinds: []string{note{}.Kind()}}
			for _, limit := range []int{1, 7} {
				require.Equal(t, want[entity], pagesOf(t, st, r, limit), "region %q in pages of %d", entity, limit)
			}
		}
	}
}

// pagesOf reads a region in pages.
func pagesOf(t *testing.T, s *Store, r Region, limit int) (all []Position) {
	t.Helper()
	for after := Position(0); after < s.Head(); {
		page, err := s.ReadPage(t.Context(), r, after, 0, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Events), limit)
		require.Greater(t, page.Scanned, after, "a page may be empty, and is no end then")
		for _, e := range page.Events {
			require.Greater(t, e.Position, after)
			require.LessOrEqual(t, e.Position, page.Scanned)
			after = e.Position
			all = append(all, e.Position)
		}
		after = page.Scanned
	}
	return all
}

func TestAWatcherFindsInTheStoreWhatItIsTold(t *testing.T) {
	s := memoryLog(t)
	told, late := 0, 0
	stop, err := Watch(s, watching(func(p *Publication) {
		if head := s.Head(); head < p.Head {
			t.Errorf("the head is %d, and %d was told", head, p.Head)
		}
		for o := range p.Outlines() {
			e, err := s.GetAt(t.Context(), o.Position)
			if err != nil || e.Coordinate != o.Coordinate || e.Version != o.Version {
				t.Errorf("told %v, found %v: %v", o, e, err)
			}
			told++
		}
		if p.Late {
			page, err := s.ReadPage(t.Context(), Region{}, p.After, p.Head, 100)
			if err != nil {
				t.Error(err)
			}
			late += len(page.Events)
		}
	}))
	require.NoError(t, err)
	defer stop()
	put(t, s, "a")
	f, g := fenceOf(t, s), fenceOf(t, s)
	stage(t, f, "b", "c")
	stage(t, g, "hidden")
	write(t, s, Batch{Events: eventsOf("a", "d")})
	require.NoError(t, g.Cancel(t.Context()))
	require.NoError(t, f.Publish(t.Context()))
	put(t, s, "a")
	require.Equal(t, []int{2, 4}, []int{told, late})
}

// What is cancelled and was sealed is hidden by a side value alone: where that cannot be read,
// nothing is shown.
func TestWhereTheStateOfAFenceIsDamagedNothingThatItHidesIsShown(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "a")
	f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline, Reason: strings.Repeat("why ", 25)})
	require.NoError(t, err)
	stage(t, f, "hidden")
	require.NoError(t, f.Cancel(t.Context()))
	grow(t, s, 3)
	place := placeOf(t, s, fenceKey(2))
	require.False(t, place.Inline, "it is read where it lies")
	require.Less(t, place.Segment, s.Stats().Segment, "it is sealed")
	require.NoError(t, s.Close())
	path := segmentPath(logDir, place.Segment)
	flip := func(at int64) { require.NoError(t, disk.Corrupt(path, at, 0x10)) }
	shown := func(readOnly bool) (names []string, err error) {
		s, err := open(disk, logDir, Options{ReadOnly: readOnly, SegmentBytes: minSegmentBytes}, true)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return entities(all(t, s, Region{Kinds: []string{note{}.Kind()}})), nil
	}
	for at := int64(place.Offset); at < int64(place.Offset)+sideSize(&place); at += 3 {
		flip(at)
		for _, readOnly := range []bool{true, false} {
			_, err := shown(readOnly)
			require.ErrorIs(t, err, ErrCorrupt, "byte %d", at)
		}
		flip(at)
	}
	names, err := shown(false)
	require.NoError(t, err, "nothing was written over it")
	require.Equal(t, []string{"a"}, names)
}

// A log with all that a store writes for itself: fences, holds, erasures, names of emitters, keys.
func TestNothingThatTheStoreWritesForItselfIsAnEventOfARegion(t *testing.T) {
	s := memoryLog(t)
	before := write(t, s, Batch{IdempotencyKey: "key", Events: []Proposal{{
		At: At("a", "test"), Payload: note{}, Emitter: &Emitter{Worker: "w", Build: "1", Epoch: 1},
	}}})
	published, cancelled := fenceOf(t, s), fenceOf(t, s)
	stage(t, published, "b")
	stage(t, cancelled, "c")
	require.NoError(t, cancelled.Cancel(t.Context()))
	require.NoError(t, published.Publish(t.Context()))
	require.NoError(t, SetHold(t.Context(), s, Hold{Who: "export", From: 1}))
	_, err := Erase(t.Context(), s, forgets("b"))
	require.NoError(t, err)
	after := put(t, s, "a")
	for range 2 {
		require.Equal(t, []string{"a", "b", "a"}, visible(t, s))
		require.Equal(t, []Position{before.Position(), 2, after.Position()}, pagesOf(t, s, Region{}, 1))
		for e, err := range s.Read(t.Context(), Region{Scope: ReservedScope}, Beginning()) {
			require.NoError(t, err)
			require.Contains(t, []string{AuditErased, AuditUnlinked}, e.Kind, "audits are seen where their scope is named")
		}
		s = reopen(t, s)
	}
}

func TestACauseThatWasDroppedIsABoundaryAndNoShortChain(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	var events []Event
	var c Causation
	for range 200 {
		r := write(t, s, Batch{Events: []Proposal{{At: At("link", "test"), Payload: Raw{Type: "linked", Data: make([]byte, 1000)}, Causation: c}}})
		e, err := s.GetAt(t.Context(), r.Position())
		require.NoError(t, err)
		events, c = append(events, e), e.Causation()
	}
	first := dropBefore(t, s, 150).First
	require.Greater(t, first, Position(2))
	for range 2 {
		up, err := collect(Causes(t.Context(), s, events[199].ID, Reach{}))
		var missing *MissingCauseError
		require.ErrorAs(t, err, &missing)
		require.Equal(t, &MissingCauseError{Event: events[first-1].ID, Position: first, Cause: events[first-2].ID, First: first}, missing)
		require.Len(t, up, int(200-first+1), "all that is there")
		down := positions(t, Effects(t.Context(), s, events[first-2].ID, Reach{}))
		require.Len(t, down, len(up), "what followed from it is found")
		require.Equal(t, first, down[0])
		f, err := Lineage(t.Context(), s, Causes, events[199].ID, Reach{})
		require.NoError(t, err)
		require.Equal(t, lineage.Missing, f.Nodes[0].State)
		require.Equal(t, events[first-2].ID.String(), f.Nodes[0].ID)
		require.Equal(t, 0, f.Nodes[1].Parent)
		s = reopen(t, s)
	}
}

func TestAnErasedEventStaysInItsLineageAndShowsAsErased(t *testing.T) {
	s := memoryLog(t)
	events := chain(t, s, 5)
	report, err := Erase(t.Context(), s, Erasure{Events: []uuid.UUID{events[2].ID}, Reason: "asked for", By: "an officer"})
	require.NoError(t, err)
	require.Len(t, report.Events, 1)
	for range 2 {
		require.Equal(t, []Position{5, 4, 3, 2, 1}, positions(t, Causes(t.Context(), s, events[4].ID, Reach{})))
		require.Equal(t, []Position{3, 4, 5}, positions(t, Effects(t.Context(), s, events[2].ID, Reach{})))
		require.Equal(t, []Position{3}, positions(t, History(t.Context(), s, "link:2")), "its hash is that of its chain")
		f, err := Lineage(t.Context(), s, Effects, events[1].ID, Reach{})
		require.NoError(t, err)
		require.Equal(t, []shape{{1, lineage.Outside, -1, 0}, {2, lineage.Whole, 0, 0}, {3, lineage.Erased, 1, 0}, {4, lineage.Whole, 2, 0}, {5, lineage.Whole, 3, 0}}, shapes(f))
		s = reopen(t, s)
	}
}
