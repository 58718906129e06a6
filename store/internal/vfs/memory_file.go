package vfs

import (
	"bytes"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// inode is the content of a file, whatever its name.
type inode struct {
	id      uint64
	visible []byte   // what reads see
	durable []byte   // what every power cut leaves
	changes []change // leads from durable to visible
	hole    int64    // bytes at the end of visible that have no room on the disk, see Memory.Sparsen
}

// allocated is the offset up to which the file has room on the disk.
func (n *inode) allocated() int64 { return int64(len(n.visible)) - n.hole }

// evict makes the visible content what the disk has, and will have after a Sync.
func (n *inode) evict() {
	content := bytes.Clone(n.durable)
	for _, c := range n.changes {
		content = c.apply(content)
	}
	n.hole = max(0, n.hole-int64(len(n.visible)-len(content)))
	n.visible = content
}

// change is one write, or the setting of a size.
type change struct {
	off      int64 // of a truncate: the new size
	data     []byte
	truncate bool
}

func (n *inode) change(c change) {
	n.changes = append(n.changes, c)
	n.visible = c.apply(n.visible)
}

func (n *inode) sync() {
	for _, c := range n.changes {
		n.durable = c.apply(n.durable)
	}
	clear(n.changes) // the data is garbage now
	n.changes = n.changes[:0]
}

func (c change) apply(content []byte) []byte {
	if c.truncate {
		return resize(content, c.off)
	}
	return put(content, c.off, c.data)
}

func put(content []byte, off int64, data []byte) []byte {
	if len(data) == 0 {
		return content // does not even grow the file
	}
	if end := off + int64(len(data)); end > int64(len(content)) {
		content = resize(content, end)
	}
	copy(content[off:], data)
	return content
}

// resize grows with zeros: the spare capacity may hold what was cut off before.
func resize(content []byte, size int64) []byte {
	old := int64(len(content))
	if size <= old {
		return content[:size]
	}
	content = slices.Grow(content, int(size-old))[:size]
	clear(content[old:])
	return content
}

var _ Flusher = (*memoryFile)(nil)

// memoryFile is one opening of an inode; it outlives the inode's name.
type memoryFile struct {
	fs       *Memory
	inode    *inode
	name     string // at opening
	readOnly bool
	closed   bool
}

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("read", off); err != nil {
		return 0, err
	}
	n := 0
	if off < int64(len(f.inode.visible)) {
		n = copy(p, f.inode.visible[off:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.writable("write", off); err != nil {
		return 0, err
	}
	size, written := int64(len(p)), 0
	err := f.fs.do(operation{verb: "write", path: f.name, off: off, size: size}, func() error {
		if f.fs.failing {
			size /= 2
		}
		if size == 0 {
			return nil
		}
		if err := f.fs.room(off + size - f.inode.allocated()); err != nil {
			return err
		}
		filled := max(f.inode.allocated(), off+size)
		f.inode.change(change{off: off, data: bytes.Clone(p[:size])})
		f.inode.hole = int64(len(f.inode.visible)) - filled
		written = int(size)
		return nil
	})
	return written, err
}

func (f *memoryFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.writable("truncate", size); err != nil {
		return err
	}
	return f.fs.do(operation{verb: "truncate", path: f.name, size: size}, func() error {
		if err := f.fs.room(size - int64(len(f.inode.visible))); err != nil {
			return err
		}
		grown := max(0, size-int64(len(f.inode.visible)))
		filled := min(f.inode.allocated(), size)
		f.inode.change(change{off: size, truncate: true})
		f.inode.hole = size - grown - filled
		return nil
	})
}

// Reserve takes a number only where it changes anything.
func (f *memoryFile) Reserve(from, to int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.writable("reserve", from); err != nil {
		return err
	}
	if from >= to || to <= f.inode.allocated() {
		return nil
	}
	return f.fs.do(operation{verb: "reserve", path: f.name, off: from, size: to - from}, func() error {
		if err := f.fs.room(to - f.inode.allocated()); err != nil {
			return err
		}
		if to > int64(len(f.inode.visible)) {
			f.inode.change(change{off: to, truncate: true})
		}
		f.inode.hole = int64(len(f.inode.visible)) - to
		return nil
	})
}

// Flush is as if the bytes were written once more: a power cut may leave them although it takes the
// writes that made them, and others since.
func (f *memoryFile) Flush(from, to int64) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.writable("flush", from) != nil {
		return
	}
	_ = f.fs.do(operation{verb: "flush", path: f.name, off: from, size: to - from}, func() error {
		if to = min(to, f.inode.allocated()); from < to {
			f.inode.change(change{off: from, data: bytes.Clone(f.inode.visible[from:to])})
		}
		return nil
	})
}

// Perm returns 0: a Memory has one user.
func (f *memoryFile) Perm() (fs.FileMode, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return 0, f.usable("stat", 0)
}

func (f *memoryFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "sync", Path: f.name, Err: fs.ErrClosed}
	}
	return f.fs.do(operation{verb: "sync", path: f.name}, func() error {
		switch {
		case f.fs.cut: // in flight: Image decides
		case f.fs.failing:
			f.inode.changes = nil
		default:
			f.inode.sync()
		}
		return nil
	})
}

func (f *memoryFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.usable("stat", 0); err != nil {
		return 0, err
	}
	return int64(len(f.inode.visible)), nil
}

func (f *memoryFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	f.closed = true
	return nil
}

func (f *memoryFile) usable(verb string, off int64) error {
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case f.fs.cut && (verb != "read" || !f.fs.readable):
		err = ErrPowerCut
	case off < 0:
		err = syscall.EINVAL
	default:
		return nil
	}
	return &fs.PathError{Op: verb, Path: f.name, Err: err}
}

func (f *memoryFile) writable(verb string, off int64) error {
	if err := f.usable(verb, off); err != nil {
		return err
	}
	if f.readOnly {
		return &fs.PathError{Op: verb, Path: f.name, Err: fs.ErrPermission}
	}
	return nil
}
