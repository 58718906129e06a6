package store

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// hotLog is a log on the disk of the machine with several segments, of which the first ones are
// mapped because they were read here and there.
func hotLog(t *testing.T) *Store {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("files are not mapped there")
	}
	s, err := Open(t.TempDir(), smallSegments(SyncNever))
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	for i := 0; s.Stats().Segments < 5; i++ {
		_, err := s.Append(t.Context(), At(fmt.Sprint("e:", i%20), "test"), Any, Raw{Type: "k", Data: make([]byte, 500+i%300)})
		require.NoError(t, err)
	}
	require.NoError(t, s.Close())
	s, err = Open(s.path, s.options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// readHere reads the events of a segment one by one, often.
func readHere(t *testing.T, s *Store, g *segment) {
	t.Helper()
	for i := range sparseReads + 10 {
		_, err := s.GetAt(t.Context(), min(s.Head(), g.first+Position(i%40)))
		require.NoError(t, err)
	}
}

func TestASealedSegmentThatIsReadHereAndThereIsMapped(t *testing.T) {
	s := hotLog(t)
	want := all(t, s, Region{})
	segments := *s.segments.Load()
	for _, g := range segments {
		require.Nil(t, g.mapping.Load())
		readHere(t, s, g)
	}
	for i, g := range segments {
		require.Equal(t, i < len(segments)-1, g.mapping.Load() != nil, "segment %d of %d", g.number, len(segments))
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
