package vfs

import (
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Memory is a file system in memory that keeps what is durable apart from what is
// merely written, and whose power can be cut; doc.go has the model. It is safe for
// concurrent use. Names are cleaned, but "data" and "/data" are different
// directories. The roots, "." among them, exist from the start.
//
// Memory holds three copies of a byte at most: as read, as durable, and as written
// since the last Sync. A write costs its own length, never that of the file.
type Memory struct {
	mu     sync.Mutex
	dirs   directories
	locks  map[string]*memoryLock
	nextID uint64 // of inodes, which Image draws by: the same calls give the same ids

	faults
}

var _ FS = (*Memory)(nil)

// NewMemory returns an empty disk without faults, of unlimited capacity.
func NewMemory() *Memory {
	return &Memory{
		dirs:   directories{},
		locks:  map[string]*memoryLock{},
		faults: newFaults(),
	}
}

// MkdirAll is one operation; a power cut in it leaves the first few of the missing directories.
func (m *Memory) MkdirAll(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	return m.do(operation{verb: "mkdir", path: dir}, func() error {
		missing, err := m.dirs.missing(dir)
		if err != nil {
			return err
		}
		if m.cut {
			m.unfinished = missing // Image decides how far it got
			return nil
		}
		for _, path := range missing {
			m.dirs.add(path)
		}
		return nil
	})
}

// Create fails on a disk that is full to the last byte.
func (m *Memory) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var n *inode
	err := m.do(operation{verb: "create", path: name}, func() (err error) {
		if err = m.room(1); err != nil {
			return err
		}
		n, err = m.create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &memoryFile{fs: m, inode: n, name: name}, nil
}

// Open takes no number: it changes nothing.
func (m *Memory) Open(name string, readOnly bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &memoryFile{fs: m, inode: n, name: name, readOnly: readOnly}, nil
}

// Remove leaves the content to those who have the file open.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.do(operation{verb: "remove", path: name}, func() error {
		n, err := m.find(name)
		if err != nil {
			return err
		}
		d, base := m.dirs.locate(name)
		d.change(nameChange{from: base, inode: n})
		return nil
	})
}

// Rename onto the same name changes nothing, and takes a number all the same.
func (m *Memory) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !sameDirectory(oldName, newName) {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: ErrCrossDirectory}
	}
	return m.do(operation{verb: "rename", path: oldName, to: newName}, func() error {
		n, err := m.find(oldName)
		if err != nil {
			return err
		}
		d, from := m.dirs.locate(oldName)
		_, to := m.dirs.locate(newName)
		switch {
		case m.dirs[filepath.Clean(newName)] != nil:
			return fs.ErrExist
		case from != to:
			d.change(nameChange{from: from, to: to, inode: n, replaced: d.names[to]})
		}
		return nil
	})
}

// List shows names that are not durable yet, too.
func (m *Memory) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs.of(filepath.Clean(dir))
	switch {
	case m.cut:
		return nil, &fs.PathError{Op: "list", Path: dir, Err: ErrPowerCut}
	case d == nil:
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	return slices.Sorted(maps.Keys(d.names)), nil
}

// SyncDir is one operation; a power cut in it leaves each of the changes kept or lost.
func (m *Memory) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.do(operation{verb: "syncdir", path: dir}, func() error {
		d := m.dirs.of(filepath.Clean(dir))
		switch {
		case d == nil:
			return fs.ErrNotExist
		case !m.cut: // else in flight: Image decides
			d.sync()
		}
		return nil
	})
}

// Lock answers at once: nothing holds a lock for a moment only. It takes no number,
// though the file that it creates is an unsynced name like any other.
func (m *Memory) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.lockable(name); err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	l := &memoryLock{fs: m, name: filepath.Clean(name)}
	m.locks[l.name] = l
	return l, nil
}

func (m *Memory) lockable(name string) error {
	switch {
	case m.cut:
		return ErrPowerCut
	case m.readOnly:
		return fs.ErrPermission
	case m.locks[filepath.Clean(name)] != nil:
		return ErrLocked
	}
	if _, err := m.find(name); err == nil {
		return nil
	}
	_, err := m.create(name)
	return err
}

// Locked takes no number: it changes nothing.
func (m *Memory) Locked(name string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cut {
		return false, &fs.PathError{Op: "lock", Path: name, Err: ErrPowerCut}
	}
	_, err := m.find(name)
	return err == nil && m.locks[filepath.Clean(name)] != nil, nil
}

type memoryLock struct {
	fs   *Memory
	name string
}

func (l *memoryLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.fs.locks[l.name] == l { // a second Close must not end the next holder's lock
		delete(l.fs.locks, l.name)
	}
	return nil
}

// directories are those of a disk by their cleaned paths.
type directories map[string]*directory

// of returns the directory of a cleaned path, nil if there is none.
func (all directories) of(path string) *directory {
	if all[path] == nil && path == filepath.Dir(path) {
		return all.add(path) // a root
	}
	return all[path]
}

func (all directories) add(path string) *directory {
	d := &directory{names: map[string]*inode{}, synced: map[string]*inode{}}
	all[path] = d
	return d
}

// missing lists what MkdirAll has to create, parents first.
func (all directories) missing(path string) ([]string, error) {
	var missing []string
	for ; all.of(path) == nil; path = filepath.Dir(path) {
		if d, base := all.locate(path); d != nil && d.names[base] != nil {
			return nil, syscall.ENOTDIR
		}
		missing = append(missing, path)
	}
	slices.Reverse(missing)
	return missing, nil
}

// locate splits a name into its directory, nil if there is none, and its base.
func (all directories) locate(name string) (*directory, string) {
	name = filepath.Clean(name)
	return all.of(filepath.Dir(name)), filepath.Base(name)
}

func (m *Memory) find(name string) (*inode, error) {
	if m.cut && !m.inFlight {
		return nil, ErrPowerCut
	}
	if d, base := m.dirs.locate(name); d != nil && d.names[base] != nil {
		return d.names[base], nil
	}
	return nil, fs.ErrNotExist
}

func (m *Memory) create(name string) (*inode, error) {
	d, base := m.dirs.locate(name)
	switch {
	case d == nil:
		return nil, fs.ErrNotExist
	case d.names[base] != nil || m.dirs[filepath.Clean(name)] != nil:
		return nil, fs.ErrExist
	}
	m.nextID++
	n := newInode(m.nextID, nil)
	d.change(nameChange{to: base, inode: n})
	return n, nil
}

func newInode(id uint64, content []byte) *inode {
	return &inode{id: id, visible: slices.Clone(content), durable: content}
}
