package store

import (
	"iter"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/index"
)

// indexCache opens the indexes of sealed segments on first use, and keeps those that were used last
// open: so many, and of those that had to be made in memory so many bytes. To open one is to read
// its head.
//
// mu is held while an index is opened or made, I/O included, so that two readers do not make the
// same one: they would need the memory twice. The price is that making one index keeps readers of
// others that are not open waiting. Readers of open indexes take no lock. Under mu only the lock of
// the index that is being made is taken, and fileCache.mu.
//
// Dropping an index is safe beside its readers: they hold the index itself, which does not change,
// and the collector frees it after the last of them, its mapping with it. So the bound is on what
// the cache holds, not on what is in use.
type indexCache struct {
	mu    sync.Mutex
	open  []*segment // whose index is not nil
	hand  int        // of the clock: the next of open that may have to leave
	bytes int64      // of those in memory

	maxOpen  int
	maxBytes int64
}

// loadedIndex is an index that can be asked.
type loadedIndex struct {
	index.Index
	sealed *index.Sealed // the same without its mending, nil for a growing one

	bytes int64       // of memory that it takes, 0 where it is read from its file, and for a growing one
	made  bool        // from the events, since the one in the file is damaged or knows no links
	used  atomic.Bool // since the hand of the clock passed; a hint, written without order
}

// newestWith yields those of some segments that may have what is asked for, the newest first: those
// whose filter says so, and those whose index is growing or not open. Others are passed over many
// at a time, as most of them are in a log of many segments. stays is what a segment is asked whose
// events were dropped.
func newestWith(segments []*segment, asked, stays *index.Asked) iter.Seq[*segment] {
	return func(yield func(*segment) bool) {
		for rest := segments; len(rest) > 0; {
			group := rest[max(0, len(rest)-index.AtOnce):]
			rest = rest[:len(rest)-len(group)]
			for perhaps := perhapsIn(group, asked, stays); perhaps != 0; {
				i := bits.Len64(perhaps) - 1
				perhaps &^= 1 << i
				if !yield(group[i]) {
					return
				}
			}
		}
	}
}

// perhapsIn returns a bit for each of some segments, at most [index.AtOnce], that may have what is
// asked for. Those whose events were dropped come first, and are asked for what stays: where that
// is nil each of them is to be seen.
func perhapsIn(group []*segment, asked, stays *index.Asked) uint64 {
	var sealed [index.AtOnce]*index.Sealed
	for i, g := range group {
		if !g.dropped || stays != nil {
			sealed[i] = g.sealed()
		}
	}
	n := droppedOf(group)
	if n == 0 {
		return asked.Perhaps(sealed[:len(group)])
	}
	perhaps := uint64(1)<<n - 1
	if stays != nil {
		perhaps = stays.Perhaps(sealed[:n])
	}
	if n < len(group) {
		perhaps |= asked.Perhaps(sealed[n:len(group)]) << n
	}
	return perhaps
}

// indexOf returns the index of a segment, opening it if need be.
func (s *Store) indexOf(g *segment) (index.Index, error) {
	if l := g.index.Load(); l != nil {
		l.use()
		return l.Index, nil
	}
	return s.indexes.load(g, s)
}

func (l *loadedIndex) use() {
	if !l.used.Load() {
		l.used.Store(true)
	}
}

// sealed returns the index of a segment that is sealed, nil where it is not open.
func (g *segment) sealed() *index.Sealed {
	l := g.index.Load()
	if l == nil || l.sealed == nil {
		return nil
	}
	l.use()
	return l.sealed
}

func (c *indexCache) load(g *segment, s *Store) (index.Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := g.index.Load(); l != nil {
		return l.Index, nil
	}
	l, err := s.openIndex(g)
	if err != nil {
		return nil, err
	}
	c.keep(g, l)
	return l.Index, nil
}

// mend replaces an index that turned out to be damaged, or to be of a program that knew no links,
// by one that is made from the events, unless another reader has done so. What is kept beside the
// segment goes where it is damaged: the next opening writes it again.
func (c *indexCache) mend(g *segment, s *Store, damaged bool) (index.Index, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := g.index.Load(); l != nil && l.made {
		return l.Index, nil
	}
	l, err := s.makeIndex(g)
	if err != nil {
		return nil, err
	}
	if damaged && !s.options.ReadOnly && g.trailer.Load().Version == 1 {
		_ = s.dir.Remove(idxName(g.number))
	}
	if at := slices.Index(c.open, g); at >= 0 {
		c.drop(at)
	}
	c.keep(g, l)
	return l.Index, nil
}

// forget drops the index of a segment that readers no longer see.
func (c *indexCache) forget(g *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := slices.Index(c.open, g); at >= 0 {
		c.drop(at)
	}
}

// keep stores an index and drops others until the bounds hold, but never the last. mu is held.
func (c *indexCache) keep(g *segment, l *loadedIndex) {
	for len(c.open) > 0 && (len(c.open) >= c.maxOpen || c.bytes+l.bytes > c.maxBytes) {
		c.evict()
	}
	l.used.Store(true)
	g.index.Store(l)
	c.open = append(c.open, g)
	c.bytes += l.bytes
}

// evict drops an index that was not used for a while. Readers may use all of them while the hand
// goes round, so it goes round once. mu is held, so that none of those in open is nil.
func (c *indexCache) evict() {
	for range c.open {
		c.hand %= len(c.open)
		if !c.open[c.hand].index.Load().used.Swap(false) {
			break
		}
		c.hand++
	}
	c.drop(c.hand % len(c.open))
}

func (c *indexCache) drop(at int) {
	c.bytes -= c.open[at].index.Swap(nil).bytes
	c.open = slices.Delete(c.open, at, at+1)
}
