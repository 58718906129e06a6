package store

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// fileCache opens the files of segments for readers as they are needed, and keeps the last ones
// open: so a store of any size takes a bounded number of descriptors, maxOpenFiles and one for each
// reader that is reading from a file when it leaves the cache. What is written goes through other
// descriptors, at most three: the active segment, the next one, and the one that is being sealed.
//
// mu is held while a file is opened or closed. Readers of files that are open take no lock: they
// hold the file by its counter while they read, and the last holder closes it. No other lock is
// taken under mu.
type fileCache struct {
	dir      vfs.Dir      // set by Open
	mappings mappingCache // locks itself; no lock is held while the other is taken

	mu     sync.Mutex
	open   []*segment // whose file is not nil
	hand   int        // of the clock: the next of open that may have to leave
	closed bool
}

// openFile is a file while it is open.
type openFile struct {
	vfs.File
	holders atomic.Int32 // readers, and the cache; 0 when it is closed
	used    atomic.Bool  // since the hand of the clock passed; a hint, written without order
}

// hold opens the file of a segment, unless it is open, and keeps it open until drop.
func (g *segment) hold() (*openFile, error) {
	if f := g.file.Load(); f != nil && f.hold() {
		if !f.used.Load() {
			f.used.Store(true)
		}
		return f, nil
	}
	f, err := g.files.load(g)
	if err != nil {
		return nil, fmt.Errorf("store: open segment %d: %w", g.number, shortage(err))
	}
	return f, nil
}

// hold reports false when the last holder has closed the file.
func (f *openFile) hold() bool {
	for {
		n := f.holders.Load()
		if n == 0 {
			return false
		}
		if f.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drop ends a hold. An error of closing a file that was only read means nothing.
func (f *openFile) drop() {
	if f.holders.Add(-1) == 0 {
		_ = f.File.Close()
	}
}

// load opens the file of a segment. Where the descriptors of the process are used up, those in the
// cache are given back first.
func (c *fileCache) load(g *segment) (*openFile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, fs.ErrClosed
	}
	if f := g.file.Load(); f != nil { // the cache holds it, so it is open
		f.holders.Add(1)
		return f, nil
	}
	file, err := c.dir.Open(segmentName(g.number), true)
	if vfs.IsOutOfFiles(err) && len(c.open) > 0 {
		c.dropAll()
		file, err = c.dir.Open(segmentName(g.number), true)
	}
	if errors.Is(err, fs.ErrNotExist) && g.generation != anyGeneration { // another file stands for it
		return nil, &replacedError{g}
	}
	if err != nil {
		return nil, err
	}
	if !g.isOf(file) {
		_ = file.Close()
		return nil, &replacedError{g}
	}
	if len(c.open) >= maxOpenFiles {
		c.evict()
	}
	f := &openFile{File: file}
	f.holders.Store(2)
	g.file.Store(f)
	c.open = append(c.open, g)
	return f, nil
}

// evict drops a file that was not used for a while. Readers may use all of them while the hand goes
// round, so it goes round once.
func (c *fileCache) evict() {
	for range c.open {
		c.hand %= len(c.open)
		if !c.open[c.hand].file.Load().used.Swap(false) {
			break
		}
		c.hand++
	}
	c.dropAt(c.hand % len(c.open))
}

func (c *fileCache) dropAt(i int) {
	c.open[i].file.Swap(nil).drop()
	c.open = slices.Delete(c.open, i, i+1)
}

func (c *fileCache) dropAll() {
	for len(c.open) > 0 {
		c.dropAt(len(c.open) - 1)
	}
}

// closeIdle closes the files that no reader is reading from, and those when they are done. It
// reports whether there were any.
func (c *fileCache) closeIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := len(c.open) > 0
	c.dropAll()
	return found
}

// forget closes the file of a segment that readers never see.
func (c *fileCache) forget(g *segment) {
	c.mappings.forget(g)
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.open, g); i >= 0 {
		c.dropAt(i)
	}
}

// close ends the cache. A reader that is reading closes its file when it is done.
func (c *fileCache) close() {
	c.mappings.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.dropAll()
}
