package store

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fileVersions returns the versions that the headers of the segment files of a directory say, by
// number of the segment, as a program reads them that knows nothing else.
func fileVersions(t *testing.T, dir string) map[uint32]uint16 {
	t.Helper()
	versions := make(map[uint32]uint16)
	for _, name := range fileNames(t, dir) {
		number, ok := segmentNumber(name)
		if !ok || !strings.HasSuffix(name, segmentSuffix) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		versions[number] = binary.LittleEndian.Uint16(b[8:])
	}
	return versions
}

// requireRefusals requires that those of which events were dropped, and they alone, are files that
// a program of before retention refuses.
func requireRefusals(t *testing.T, dir string, dropped int) {
	t.Helper()
	const known = 2 // to such a program
	refused := 0
	for number, v := range fileVersions(t, dir) {
		if v > known {
			refused++
			require.LessOrEqual(t, int(number), dropped)
		}
	}
	require.Equal(t, dropped > 0, refused > 0, "it would take what stays of events for a log without them")
}

// Directories of every version keep all that they hold through each thing that rewrites them, in
// any order; and older programs may read them up to the first drop.
func TestADirectoryOfAnyVersionIsErasedDroppedBackedUpAndRepaired(t *testing.T) {
	for version, directory := range map[string]func(*testing.T) string{"1": goldenDir, "2": goldenCopy} {
		for _, order := range []string{"erase retain backup repair", "retain erase backup repair", "backup repair retain erase", "repair erase backup retain"} {
			t.Run("version "+version+", "+order, func(t *testing.T) {
				g := &goldenLog{t: t, dir: directory(t)}
				g.open()
				g.log(func(s *Store) { g.keep(s) })
				requireRefusals(t, g.dir, 0)
				for what := range strings.FieldsSeq(order) {
					map[string]func(){"erase": g.erase, "retain": g.retain, "backup": g.backup, "repair": g.repair}[what]()
					g.check()
				}
			})
		}
	}
}

// goldenLog is a copy of a golden directory, and what it must hold.
type goldenLog struct {
	t        *testing.T
	dir      string
	s        *Store
	dropped  int // number of the last segment without events
	versions map[string]uint64
	keys     []Batch
	receipts [][]Recorded
	sides    string
}

func (g *goldenLog) open() {
	g.s = diskLog(g.t, g.dir, smallSegments(SyncAlways))
	g.s.tasks.Wait()
}

// log does something with the log.
func (g *goldenLog) log(do func(*Store)) {
	do(g.s)
	require.NoError(g.t, g.s.Close())
	g.open()
}

// keep notes what is in the log, and adds some events of today.
func (g *goldenLog) keep(s *Store) {
	g.versions = make(map[string]uint64)
	for _, e := range all(g.t, s, Region{}) {
		g.versions[e.Coordinate.Entity] = e.Version
	}
	b := Batch{IdempotencyKey: "today", Events: eventsOf("order:1", "today")}
	g.keys, g.receipts = append(g.keys, b), append(g.receipts, write(g.t, s, b).Events)
	g.versions["order:1"]++
	g.versions["today"]++
	g.sides = sidesOf(s)
}

func (g *goldenLog) erase() {
	g.log(func(s *Store) {
		_, err := Erase(g.t.Context(), s, Erasure{Entity: "order:1", Reason: "asked for", By: "an officer"})
		require.NoError(g.t, err)
	})
	requireRefusals(g.t, g.dir, g.dropped)
}

func (g *goldenLog) retain() {
	g.log(func(s *Store) {
		fillSegment(g.t, s)
		report, err := Retain(g.t.Context(), s, nil, RetainOptions{Before: s.Head()})
		require.NoError(g.t, err)
		require.Positive(g.t, report.Segments)
		segments := *s.segments.Load()
		g.dropped = int(segments[droppedOf(segments)-1].last)
		write(g.t, s, Batch{Events: eventsOf("order:1")}) // which can be erased
		g.versions["order:1"]++
	})
	requireRefusals(g.t, g.dir, g.dropped)
}

// fillSegment seals the active one.
func fillSegment(t *testing.T, s *Store) {
	t.Helper()
	for before := s.Stats().Segment; s.Stats().Segment == before; {
		write(t, s, Batch{Events: []Proposal{{At: At("filler", "shop"), Payload: Raw{Type: "k", Data: make([]byte, 10_000)}}}})
	}
	s.tasks.Wait()
}

func (g *goldenLog) backup() {
	dir := filepath.Join(g.t.TempDir(), "copy")
	_, err := Backup(g.t.Context(), g.s, dir, BackupOptions{})
	require.NoError(g.t, err)
	requireRefusals(g.t, dir, g.dropped)
	back := filepath.Join(g.t.TempDir(), "back")
	_, err = Restore(g.t.Context(), dir, back, RestoreOptions{})
	require.NoError(g.t, err)
	requireRefusals(g.t, back, g.dropped)
	require.NoError(g.t, g.s.Close())
	g.dir = back
	g.open()
}

func (g *goldenLog) repair() {
	require.NoError(g.t, g.s.Close())
	mended := filepath.Join(g.t.TempDir(), "mended")
	report, err := Repair(g.t.Context(), g.dir, mended, RepairOptions{Reason: "to be sure", By: "an officer"})
	require.NoError(g.t, err)
	require.Empty(g.t, report.Lost)
	requireRefusals(g.t, mended, g.dropped)
	g.dir = mended
	g.open()
}

func (g *goldenLog) check() {
	g.t.Helper()
	for entity, v := range g.versions {
		require.Equal(g.t, v, version(g.t, g.s, entity), entity)
		_, err := g.s.Append(g.t.Context(), At(entity, "shop"), Absent, note{})
		require.ErrorIs(g.t, err, ErrConflict)
		for _, err := range History(g.t.Context(), g.s, entity) {
			if !isDropped(err) {
				require.NoError(g.t, err)
			}
		}
	}
	for i, b := range g.keys {
		k, found, err := g.s.findKey(b.IdempotencyKey)
		require.NoError(g.t, err)
		require.True(g.t, found)
		r, err := g.s.storedReceipt(b.IdempotencyKey, k)
		require.NoError(g.t, err)
		require.Equal(g.t, g.receipts[i], r.Events)
	}
	for line := range strings.Lines(g.sides) {
		require.Contains(g.t, sidesOf(g.s), line)
	}
	report, err := Verify(g.t.Context(), g.s, VerifyOptions{})
	require.NoError(g.t, err)
	require.NoError(g.t, report.Err())
}
