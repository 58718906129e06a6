package store

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/index"
)

// hotLog is a log on the disk of the machine with several segments, opened again.
func hotLog(t *testing.T) *Store {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("files are not mapped there")
	}
	s, err := Open(t.TempDir(), smallSegments(SyncNever))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	for s.Stats().Segments < 5 {
		appendHot(t, s)
	}
	require.NoError(t, s.Close())
	s, err = Open(s.path, s.options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// appendHot appends an event of one of twenty entities.
func appendHot(t *testing.T, s *Store) {
	t.Helper()
	i := int(s.Head())
	_, err := s.Append(t.Context(), At(fmt.Sprint("e:", i%20), "test"), Any, Raw{Type: "k", Data: make([]byte, 500+i%300)})
	require.NoError(t, err)
}

// readHere reads the events of a segment one by one, often.
func readHere(t *testing.T, s *Store, g *segment) {
	t.Helper()
	for i := range sparseReads + 10 {
		_, err := s.GetAt(t.Context(), min(s.Head(), g.first+Position(i%40)))
		require.NoError(t, err)
	}
}

func TestASegmentThatIsReadHereAndThereIsMapped(t *testing.T) {
	s := hotLog(t)
	want := all(t, s, Region{})
	segments := *s.segments.Load()
	for _, g := range segments {
		require.Nil(t, g.mapping.Load())
		readHere(t, s, g)
	}
	for _, g := range segments {
		require.NotNil(t, g.mapping.Load(), "segment %d of %d", g.number, len(segments))
	}
	requireSameEvents(t, want, all(t, s, Region{}))
	for i := range 20 {
		r := Region{Entity: fmt.Sprint("e:", i)}
		read, err := clones(s.Read(t.Context(), r, Beginning()))
		require.NoError(t, err)
		lent, err := clones(borrowed(s, r))
		require.NoError(t, err)
		requireSameEvents(t, read, lent)
		for _, e := range read {
			requireSameEvents(t, want[e.Position-1:e.Position], []Event{e})
		}
	}
	require.NoError(t, s.Close())
	_, err := s.GetAt(t.Context(), 1)
	require.ErrorIs(t, err, ErrClosed)
	require.Empty(t, s.files.mappings.mapped)
	require.Zero(t, s.files.mappings.bytes)
}

func TestWhatIsAppendedToAMappedSegmentIsReadFromIt(t *testing.T) {
	s := hotLog(t)
	count := len(*s.segments.Load())
	g := (*s.segments.Load())[count-1]
	readHere(t, s, g)
	m := g.mapping.Load()
	require.NotNil(t, m)
	for len(*s.segments.Load()) == count { // until it is sealed
		appendHot(t, s)
		last := fmt.Sprint("e:", (s.Head()-1)%20)
		lent, err := clones(borrowed(s, Region{Entity: last}))
		require.NoError(t, err)
		require.Equal(t, s.Head(), lent[len(lent)-1].Position)
		e, err := s.GetAt(t.Context(), s.Head())
		require.NoError(t, err)
		requireSameEvents(t, []Event{e}, lent[len(lent)-1:])
	}
	want := all(t, s, Region{})
	for i := range 20 {
		r := Region{Entity: fmt.Sprint("e:", i)}
		for _, e := range all(t, s, r) {
			requireSameEvents(t, want[e.Position-1:e.Position], []Event{e})
		}
	}
	require.Same(t, m, g.mapping.Load(), "it was mapped with all that it had room for")
}

func TestAReaderBesideAWriterReadsFromAMappedSegmentWhatIsAppended(t *testing.T) {
	s := hotLog(t)
	beside, err := Open(s.path, Options{ReadOnly: true})
	require.NoError(t, err)
	defer beside.Close()
	count := len(*s.segments.Load())
	g := (*beside.segments.Load())[count-1]
	readHere(t, beside, g)
	require.NotNil(t, g.mapping.Load())
	for len(*s.segments.Load()) == count { // until it is sealed
		for range 10 {
			appendHot(t, s)
		}
		for beside.Head() < s.Head() {
			_, err := beside.Wait(t.Context(), beside.Head())
			require.NoError(t, err)
		}
		for _, entity := range []string{"e:1", "e:7"} {
			r := Region{Entity: entity}
			lent, err := clones(borrowed(beside, r))
			require.NoError(t, err)
			requireSameEvents(t, all(t, s, r), lent)
		}
	}
	requireSameEvents(t, all(t, s, Region{}), all(t, beside, Region{}))
}

func TestRecordsAreFetchedFromAMappingAsFarAsTheyAreThere(t *testing.T) {
	const size = 64 << 10
	m := &mapping{make([]byte, size)}
	for name, c := range map[string]struct {
		extents []index.Extent
		want    int
	}{
		"few":                          {[]index.Extent{{Start: 10, Next: 400}, {Start: 4000, Next: 4400}}, 2},
		"as many as there is room for": {[]index.Extent{{Start: 0, Next: fetchBytes - 1}, {Start: 20000, Next: 20001}, {Start: 20002, Next: 20003}}, 2},
		"one that is too large":        {[]index.Extent{{Start: 0, Next: fetchBytes + 1}, {Start: 20000, Next: 20001}}, 1},
		"the last one":                 {[]index.Extent{{Start: size - 100}}, 1},
		"beyond the file":              {[]index.Extent{{Start: size}, {Start: size + 100, Next: size + 200}}, 1},
		"reaching beyond the file":     {[]index.Extent{{Start: 100, Next: 200}, {Start: size - 100, Next: size + 100}, {Start: size + 100}}, 2},
	} {
		require.Equal(t, c.want, m.fetch(c.extents), name)
	}
}

func TestAFileThatIsCutUnderItsMappingIsDamageAndNoCrash(t *testing.T) {
	s := hotLog(t)
	g := (*s.segments.Load())[1]
	want := all(t, s, Region{Entity: "e:3"})
	readHere(t, s, g)
	require.NotNil(t, g.mapping.Load())
	scan, err := scanSegment(g, g.end.Load())
	require.NoError(t, err)
	g.index.Store(&loadedIndex{Index: scan.active}) // that of the file is cut off, too
	path := segmentPath(s.path, g.number)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.Truncate(path, 8<<10))
	_, err = g.mapping.Load().ReadAt(make([]byte, 100), g.end.Load()-200)
	require.ErrorContains(t, err, "mapped file")
	require.LessOrEqual(t, g.mapping.Load().fetch([]index.Extent{{Start: 100, Next: 200}, {Start: uint32(g.end.Load() - 200)}}), 1)
	for _, reader := range []func() ([]Event, error){
		func() ([]Event, error) { return clones(s.Read(t.Context(), Region{Entity: "e:3"}, Beginning())) },
		func() ([]Event, error) { return clones(borrowed(s, Region{Entity: "e:3"})) },
		func() ([]Event, error) { return clones(pages(s, Region{Entity: "e:3"}, 3)) },
	} {
		got, err := reader()
		var damage *CorruptError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, g.number, damage.Segment)
		require.Less(t, len(got), len(want))
		requireSameEvents(t, want[:len(got)], got)
	}
	_, err = s.GetAt(t.Context(), (*s.segments.Load())[2].first-1)
	require.ErrorIs(t, err, ErrCorrupt)
	require.NoError(t, os.WriteFile(path, whole, 0o600))
	requireSameEvents(t, want, all(t, s, Region{Entity: "e:3"}))
}

func TestMappingsAreBoundedAndLeaveBesideTheirReaders(t *testing.T) {
	s := hotLog(t)
	s.files.mappings.bytes = maxMappedBytes // as if others filled the cache
	want := all(t, s, Region{Entity: "e:1"})
	require.Equal(t, 4, race(4, func(i int) error {
		for range 20 {
			got, err := clones(s.Read(t.Context(), Region{Entity: "e:1"}, Beginning()))
			if err != nil {
				return err
			}
			if len(got) != len(want) {
				return fmt.Errorf("%d events, want %d", len(got), len(want))
			}
			for _, g := range (*s.segments.Load())[:4] {
				for p := range Position(70) {
					if _, err := s.GetAt(t.Context(), g.first+p%40); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}))
	require.Len(t, s.files.mappings.mapped, 1)
}

func TestAPanicThatIsNoFaultGoesItsWay(t *testing.T) {
	require.PanicsWithValue(t, "other", func() { _ = faultOf("other") })
	var m mapping
	_, err := m.ReadAt(make([]byte, 1), 0)
	require.Error(t, err)
}
