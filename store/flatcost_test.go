package store

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// countedReads is a disk whose files cannot be mapped, and which counts the reads.
type countedReads struct {
	vfs.FS
	reads *atomic.Int64
}

type dirOfReads struct {
	vfs.Dir
	reads *atomic.Int64
}

type fileOfReads struct {
	vfs.File
	reads *atomic.Int64
}

func (c countedReads) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := c.FS.OpenDir(dir, perm)
	return dirOfReads{d, c.reads}, err
}

func (d dirOfReads) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	if err != nil {
		return nil, err
	}
	return fileOfReads{f, d.reads}, nil
}

func (f fileOfReads) ReadAt(b []byte, at int64) (int, error) {
	f.reads.Add(1)
	return f.File.ReadAt(b, at)
}

func TestALookForWhatIsNotThereReadsOneBlockOfEachSegment(t *testing.T) {
	var reads atomic.Int64
	s := openLog(t, countedReads{vfs.NewMemory(), &reads}, smallSegments(SyncNever))
	for i := 0; s.Stats().Segments < 13; i++ {
		b := Batch{Events: eventsOf(fmt.Sprint("order:", i), fmt.Sprint("order:", i%7)), IdempotencyKey: fmt.Sprint("key ", i)}
		write(t, s, b)
	}
	s = reopen(t, s)
	require.Zero(t, version(t, s, "never")) // all indexes are open now
	sealed := int64(s.Stats().Segments - 1)
	for name, look := range map[string]func(i int) error{
		"a new entity": func(i int) error {
			_, err := s.Append(t.Context(), At(fmt.Sprint("new:", i), "test"), Absent, note{})
			return err
		},
		"a new key": func(i int) error {
			_, err := s.Commit(t.Context(), Batch{IdempotencyKey: fmt.Sprint("new ", i), Events: eventsOf("same")})
			return err
		},
		"a condition on an entity": func(i int) error {
			region := Region{Entity: fmt.Sprint("none:", i)}
			_, err := s.Commit(t.Context(), Batch{Conditions: []Condition{{Region: region}}, Events: eventsOf("same")})
			return err
		},
		"the version of an entity": func(i int) error {
			_, err := s.Version(t.Context(), fmt.Sprint("none:", i))
			return err
		},
	} {
		put(t, s, "same")
		reads.Store(0)
		const looks = 20
		for i := range looks {
			require.NoError(t, look(i), name)
		}
		// A filter is wrong for one in a hundred, which costs two blocks more.
		require.GreaterOrEqual(t, reads.Load(), looks*sealed, name)
		require.LessOrEqual(t, reads.Load(), looks*(sealed+2), name)
	}
}

// mapped returns how many indexes of segments this process has mapped. Those that are mapped from
// their beginning are batches, see mappingCache.
func mapped(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("the system does not tell what is mapped")
	}
	n := 0
	for line := range bytes.Lines(maps) {
		if bytes.Contains(line, []byte(segmentSuffix)) && !bytes.Contains(line, []byte(" 00000000 ")) {
			n++
		}
	}
	return n
}

func TestMappingsOfIndexesThatWereDroppedAreGivenBack(t *testing.T) {
	dir, _ := manyEntities(t)
	before := mapped(t)
	cachesOfOne(t)
	s := readThrough(t, vfs.OS(), dir)
	for range 50 { // of indexes alone: segments that are read often are mapped, too
		n, err := s.Count(t.Context(), Region{Entity: "order:3"}, 0, 0, 1000)
		require.NoError(t, err)
		require.Positive(t, n)
	}
	require.Greater(t, mapped(t), before)
	for range 100 {
		if runtime.GC(); mapped(t) <= before+1 {
			return
		}
	}
	t.Errorf("%d mappings, %d before", mapped(t), before)
}
