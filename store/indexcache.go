package store

import (
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// indexCache loads the indexes of sealed segments on first use and drops the least recently used
// ones.
//
// mu is held while an index is being loaded, I/O included, so that two readers do not load the same
// one: they would need the memory twice. The price is that loading one index keeps readers of
// others that are not loaded waiting. Readers of loaded indexes take no lock. Under mu only the
// lock of the index that is being rebuilt is taken.
//
// Dropping an index is safe beside its readers: they hold the index itself, which does not change,
// and the collector frees it after the last of them. So the bound is on what the cache holds, not
// on what is in use.
type indexCache struct {
	clock  atomic.Uint64
	mu     sync.Mutex
	loaded []*segment
	bytes  int64
}

// indexOf returns the index of a segment, loading it if need be.
func (s *Store) indexOf(g *segment) (index.Index, error) {
	if l := g.index.Load(); l != nil {
		l.used.Store(s.indexes.clock.Add(1))
		return l.Index, nil
	}
	return s.indexes.load(g)
}

func (c *indexCache) load(g *segment) (index.Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := g.index.Load(); l != nil {
		return l.Index, nil
	}
	l, err := readIndex(g)
	if err != nil {
		return nil, err
	}
	l.used.Store(c.clock.Add(1))
	g.index.Store(l)
	c.loaded = append(c.loaded, g)
	c.bytes += l.bytes
	for c.bytes > maxIndexBytes && len(c.loaded) > 1 {
		c.evict()
	}
	return l.Index, nil
}

// evict drops the index that was not used for the longest time. mu is held, so that none of those
// in loaded is nil. It looks at all of them, which is less than the loading of one that it makes
// room for.
func (c *indexCache) evict() {
	oldest := 0
	for i, g := range c.loaded {
		if g.index.Load().used.Load() < c.loaded[oldest].index.Load().used.Load() {
			oldest = i
		}
	}
	g := c.loaded[oldest]
	c.bytes -= g.index.Load().bytes
	g.index.Store(nil)
	c.loaded = append(c.loaded[:oldest], c.loaded[oldest+1:]...)
}

// readIndex reads the index of a sealed segment from its footer, or rebuilds it from the data when
// the footer is damaged. That is in memory only: a reader changes no file, and each opening finds
// the same damage and the same answer.
func readIndex(g *segment) (*loadedIndex, error) {
	t := g.trailer.Load()
	blob, err := g.bytes(int64(t.DataEnd), int64(t.DataEnd)+int64(t.IndexLen))
	if err == nil {
		if blob, err = presentIndex(blob, t); err == nil {
			return openIndex(blob)
		}
	}
	return rebuildIndex(g)
}

// presentIndex returns the index of a footer in its present version.
func presentIndex(blob []byte, t *wal.Trailer) ([]byte, error) {
	if index.IsVersionOne(blob) {
		if wal.Checksum(blob) != t.IndexSum {
			return nil, index.ErrCorrupt
		}
		return index.Upgrade(blob)
	}
	return blob, index.Check(blob, t.IndexSum)
}

// rebuildIndex makes the index of a segment from its events.
func rebuildIndex(g *segment) (*loadedIndex, error) {
	scan, err := scanSegment(g, int64(g.trailer.Load().DataEnd))
	if err != nil {
		return nil, err
	}
	blob, _ := scan.active.Footer()
	return openIndex(blob)
}

func openIndex(blob []byte) (*loadedIndex, error) {
	sealed, err := index.OpenSealed(blob)
	return &loadedIndex{Index: sealed, bytes: int64(len(blob))}, err
}
