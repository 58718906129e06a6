package store

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

const logDir = "log"

// note is a payload as a program has it.
type note struct{ Text string }

func (note) Kind() string { return "note.taken" }

// smallSegments makes a log roll over after some hundred small events.
func smallSegments(mode SyncMode) Options { return Options{Sync: mode, SegmentBytes: minSegmentBytes} }

// segmentPath is where a segment of the store in a directory lies.
func segmentPath(dir string, number uint32) string { return filepath.Join(dir, segmentName(number)) }

// openLog opens a store that is closed when the test ends.
func openLog(t *testing.T, fsys vfs.FS, o Options) *Store {
	t.Helper()
	s, err := open(fsys, logDir, o, false)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// memoryLog opens a new store in memory. A segment of the usual size would be 64 MiB of zeros
// there, twice: that took tests most of their time.
func memoryLog(t *testing.T) *Store {
	t.Helper()
	return openLog(t, vfs.NewMemory(), Options{SegmentBytes: 1 << 20})
}

// reopen closes a store and opens it again.
func reopen(t *testing.T, s *Store) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	return openLog(t, s.fs, s.options)
}

// cachesOfOne lets stores that are opened from now on keep one entity and one index, up to the end
// of the test.
func cachesOfOne(t *testing.T) {
	t.Helper()
	entities, indexes, bytes := maxEntities, maxOpenIndexes, maxIndexBytes
	t.Cleanup(func() { maxEntities, maxOpenIndexes, maxIndexBytes = entities, indexes, bytes })
	maxEntities, maxOpenIndexes, maxIndexBytes = 1, 1, 1
}

// put commits an event and requires that it works.
func put(t *testing.T, s *Store, entity string) Receipt {
	t.Helper()
	r, err := s.Append(t.Context(), At(entity, "test"), Any, note{Text: "about " + entity})
	require.NoError(t, err)
	return r
}

// write commits a batch and requires that it works.
func write(t *testing.T, s *Store, b Batch) Receipt {
	t.Helper()
	r, err := s.Commit(t.Context(), b)
	require.NoError(t, err)
	return r
}

// eventsOf makes proposals, one for each entity.
func eventsOf(entities ...string) (proposals []Proposal) {
	for _, entity := range entities {
		proposals = append(proposals, Proposal{At: At(entity, "test"), Payload: note{Text: "about " + entity}})
	}
	return proposals
}

// all reads the events of a region.
func all(t *testing.T, s *Store, r Region) (events []Event) {
	t.Helper()
	for e, err := range s.Read(t.Context(), r, Beginning()) {
		require.NoError(t, err)
		events = append(events, e)
	}
	return events
}

// entities names the entities of events.
func entities(events []Event) (names []string) {
	for _, e := range events {
		names = append(names, e.Coordinate.Entity)
	}
	return names
}

// grow appends events until the log has so many segments.
func grow(t *testing.T, s *Store, segments int) {
	t.Helper()
	filler := Raw{Type: "filler", Data: make([]byte, 8<<10)}
	for i := 0; s.Stats().Segments < segments; i++ {
		_, err := s.Append(t.Context(), At(fmt.Sprintf("filler:%d", i%7), "test"), Any, filler)
		require.NoError(t, err)
	}
}

// requireChains recomputes the hash chain of every entity from what readers see.
func requireChains(t require.TestingT, events []Event) { requireChainsAfter(t, nil, events) }

// requireChainsAfter is requireChains of a log that continues what it has dropped.
func requireChainsAfter(t require.TestingT, s *Store, events []Event) {
	last := make(map[string][32]byte)
	for _, e := range events {
		if _, known := last[e.Coordinate.Entity]; !known && s != nil {
			before, err := s.stateBefore(e.Coordinate.Entity)
			require.NoError(t, err)
			last[e.Coordinate.Entity] = before.Hash
		}
		d := wal.Draft{
			Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind, Codec: e.Codec, Headers: e.headers(),
			SchemaVersion: e.SchemaVersion, Depth: e.Depth, Cause: e.Cause, Payload: e.Payload,
			Salt: saltOf(&e),
		}
		if e.Correlation != e.ID {
			d.Correlation = e.Correlation
		}
		rec := wal.Extend(wal.AppendEvent(nil, &d), 0, extensionsOf(&e))
		stamp := wal.Stamp{Position: uint64(e.Position), Version: e.Version, Time: uint64(e.Time), ID: e.ID}
		last[d.Entity] = wal.Chain(last[d.Entity], wal.Content(rec), rec, &stamp)
		require.Equal(t, last[d.Entity], e.Hash(), "event %d", e.Position)
	}
}

func saltOf(e *Event) (salt [wal.SaltSize]byte) {
	if len(e.record) > 0 {
		salt = wal.Salt(e.record)
	}
	return salt
}

func extensionsOf(e *Event) []byte {
	if len(e.record) == 0 {
		return nil
	}
	return wal.Extensions(e.record)
}

// untouched requires that f writes nothing.
func untouched(t *testing.T, s *Store, f func()) {
	t.Helper()
	segment := s.committer.writer.segment
	head, sequence, end := s.Head(), s.Stats().Sequence, segment.end.Load()
	f()
	require.Equal(t, head, s.Head())
	require.Equal(t, sequence, s.Stats().Sequence)
	require.Equal(t, end, segment.end.Load())
	require.Same(t, segment, s.committer.writer.segment)
}

// answer is what a commit on another goroutine came back with.
type answer struct {
	receipt Receipt
	err     error
}

// async commits on another goroutine.
func async(ctx context.Context, s *Store, b Batch) <-chan answer {
	got := make(chan answer, 1)
	go func() {
		r, err := s.Commit(ctx, b)
		got <- answer{r, err}
	}()
	return got
}

// pending requires that there is no answer yet; call it in a bubble that has come to rest.
func pending(t *testing.T, answers ...<-chan answer) {
	t.Helper()
	for i, got := range answers {
		select {
		case a := <-got:
			require.Fail(t, "answered too early", "answer %d: %+v", i, a)
		default:
		}
	}
}

// syncGate is a file system that counts the syncs of files and, while shut, lets none through
// without a token.
type syncGate struct {
	vfs.FS
	syncs  atomic.Int64
	writes atomic.Int64 // to segments
	shut   atomic.Bool
	opened sync.Once
	tokens chan struct{}
}

func newSyncGate() *syncGate {
	return &syncGate{FS: vfs.NewMemory(), tokens: make(chan struct{})}
}

// open lets every sync through from now on.
func (g *syncGate) open() {
	g.opened.Do(func() {
		g.shut.Store(false)
		close(g.tokens)
	})
}

// step lets one sync through.
func (g *syncGate) step() { g.tokens <- struct{}{} }

func (g *syncGate) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := g.FS.OpenDir(dir, perm)
	if err != nil {
		return nil, err
	}
	return gatedDir{d, g}, nil
}

type gatedDir struct {
	vfs.Dir
	gate *syncGate
}

func (d gatedDir) Create(name string) (vfs.File, error) { return d.gate.wrap(d.Dir.Create(name)) }

func (d gatedDir) Open(name string, readOnly bool) (vfs.File, error) {
	return d.gate.wrap(d.Dir.Open(name, readOnly))
}

func (g *syncGate) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return gatedFile{f, g}, nil
}

type gatedFile struct {
	vfs.File
	gate *syncGate
}

func (f gatedFile) Sync() error {
	if f.gate.shut.Load() {
		<-f.gate.tokens
	}
	f.gate.syncs.Add(1)
	return f.File.Sync()
}

func (f gatedFile) WriteAt(b []byte, off int64) (int, error) {
	if len(b) != beaconSize {
		f.gate.writes.Add(1)
	}
	return f.File.WriteAt(b, off)
}

// disk is the memory that a gate guards.
func (g *syncGate) disk() *vfs.Memory { return g.FS.(*vfs.Memory) }

// sideText returns the value of a side key as text, "-" when there is none.
func sideText(s *Store, key string) string {
	v, ok, err := s.Side(key)
	switch {
	case err != nil:
		return err.Error()
	case !ok:
		return "-"
	}
	return string(v.Value)
}

// sideKeys lists the side keys with a prefix.
func sideKeys(s *Store, prefix string) (keys []string) {
	for v, err := range s.Sides(prefix) {
		if err != nil {
			return append(keys, err.Error())
		}
		keys = append(keys, v.Key)
	}
	return slices.Clip(keys)
}
