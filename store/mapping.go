package store

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
)

// mapping is the file of a segment, mapped into memory. It lives as long as it is reachable, longer
// than the file is open; then the collector unmaps it. The mapped bytes never leave it: they change
// with the file, and a look at them may be a fault. Of a segment that is still written it has what
// is written later, too, as far as the file was as long when it was mapped.
type mapping struct{ mapped []byte }

// mapFile returns errors.ErrUnsupported where a file cannot be mapped.
func mapFile(file vfs.File, size int64) (*mapping, error) {
	viewer, ok := file.(vfs.Viewer)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	b, unmap, err := viewer.View(0, int(size))
	if err != nil {
		return nil, err
	}
	m := &mapping{b}
	runtime.AddCleanup(m, func(unmap func() error) { _ = unmap() }, unmap)
	return m, nil
}

// ReadAt copies out. It fails where the file was cut or cannot be read, which else would be a
// signal that ends the process: the runtime makes a panic of a fault where it is told to, for this
// goroutine alone. Any other panic goes its way.
func (m *mapping) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 || off > int64(len(m.mapped))-int64(len(b)) {
		return 0, io.EOF
	}
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		runtime.KeepAlive(m)
		if cause := recover(); cause != nil {
			n, err = 0, faultOf(cause)
		}
	}(debug.SetPanicOnFault(true))
	return copy(b, m.mapped[off:]), nil
}

// fetch brings records into the cache of the processor: the first of some extents, as far as they
// take no more than fetchBytes, and at least one. It returns how many. A record that is read for
// itself has to be waited for, and one that is copied after another waits for each. As nothing here
// depends on what is read, the processor waits for all of them at once.
//
// A fault ends it: who reads there meets it again.
func (m *mapping) fetch(extents []index.Extent) (n int) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		runtime.KeepAlive(m)
		if cause := recover(); cause != nil {
			_ = faultOf(cause)
		}
	}(debug.SetPanicOnFault(true))
	size, left := int64(len(m.mapped)), int64(fetchBytes)
	for _, x := range extents {
		from, to := int64(x.Start), extentEnd(x, size)
		if left -= to - from; left < 0 || from >= to {
			break
		}
		touch(m.mapped[from:to])
		n++
	}
	return max(n, 1)
}

// touch looks at every line of the cache in b. What it returns is of no use, which no compiler may
// find out: so it must not become part of its caller.
//
//go:noinline
func touch(b []byte) (sum byte) {
	for i := 0; i < len(b); i += cacheLine {
		sum += b[i]
	}
	return sum + b[len(b)-1]
}

func faultOf(cause any) error {
	err, isError := cause.(runtime.Error)
	var fault interface{ Addr() uintptr }
	if !isError || !errors.As(err, &fault) {
		panic(cause)
	}
	return fmt.Errorf("store: mapped file: %w", err)
}

// mappingCache maps the segments that are read here and there, a record at a time: copying
// one out of memory costs a fraction of a call to the system. What is read in large pieces is never
// read from a mapping, as to touch a page for the first time costs as much as to copy it. For the
// same reason segments of which little is read are not mapped.
//
// mu is held for bookkeeping, never during I/O. Readers take no lock: they hold the mapping itself,
// and the collector unmaps it after the last of them. So the bounds are on what the cache holds.
// Where files cannot be mapped (on Windows, on a disk in memory), they are read as ever.
type mappingCache struct {
	mu     sync.Mutex
	mapped []*segment // whose mapping is not nil, the oldest first
	bytes  int64
	closed bool
}

// mappingFor returns the mapping through which so many bytes are read; nil where they are read from
// the file.
func (g *segment) mappingFor(n int) *mapping {
	if n > sparseBytes {
		return nil
	}
	if m := g.mapping.Load(); m != nil {
		return m
	}
	if g.sparse.Add(1) == sparseReads {
		g.files.mappings.add(g)
	}
	return g.mapping.Load()
}

// add maps a segment. Where that fails it is not tried again for as long as the store is open.
func (c *mappingCache) add(g *segment) {
	file, err := g.hold()
	if err != nil {
		return
	}
	defer file.drop()
	size, err := file.Size()
	if err != nil || size > maxMappedBytes {
		return
	}
	m, err := mapFile(file.File, size)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if g.file.Load() != file { // readers may see the segment no more, which forget was told already
		g.sparse.Store(0)
		return
	}
	for len(c.mapped) > 0 && (len(c.mapped) >= maxMappings || c.bytes+size > maxMappedBytes) {
		c.dropAt(0)
	}
	g.mapping.Store(m)
	c.mapped, c.bytes = append(c.mapped, g), c.bytes+size
}

// forget drops the mapping of a segment, if it has one. One that readers see no more is not mapped
// again if its file was closed before.
func (c *mappingCache) forget(g *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.mapped, g); i >= 0 {
		c.dropAt(i)
	}
}

// dropAt drops a mapping. If the segment is still read much, it is mapped again. mu is held.
func (c *mappingCache) dropAt(i int) {
	g := c.mapped[i]
	c.bytes -= int64(len(g.mapping.Swap(nil).mapped))
	g.sparse.Store(0)
	c.mapped = slices.Delete(c.mapped, i, i+1)
}

// close drops all, for good: a reader finds out by its file that the store is closed.
func (c *mappingCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for len(c.mapped) > 0 {
		c.dropAt(len(c.mapped) - 1)
	}
}
