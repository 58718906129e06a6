package vfs

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	nextID uint64 // of inodes, which Image draws by: the same calls give the same ids

	faults
}

var _ FS = (*Memory)(nil)

// NewMemory returns an empty disk without faults, of unlimited capacity.
func NewMemory() *Memory {
	return &Memory{
		dirs:   directories{},
		faults: newFaults(),
	}
}

// MkdirAll is one operation; a power cut in it leaves the first few of the missing directories. A
// Memory has one user, and no permissions.
func (m *Memory) MkdirAll(dir string, _ fs.FileMode) error {
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

// OpenDir takes no number: it changes nothing.
func (m *Memory) OpenDir(dir string, _ fs.FileMode) (Dir, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.opened(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return d, nil
}

func (m *Memory) opened(dir string) (*memoryDir, error) {
	dir = filepath.Clean(dir)
	switch d := m.dirs.of(dir); {
	case m.cut:
		return nil, ErrPowerCut
	case d == nil:
		return nil, fs.ErrNotExist
	default:
		return &memoryDir{fs: m, directory: d, path: dir}, nil
	}
}

// MoveDir is what another program does to a directory while this one has it open: from now on it
// has another path, and what it holds has, too. It takes no number and is durable at once.
func (m *Memory) MoveDir(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	for path, d := range maps.Clone(m.dirs) {
		if rest, inside := strings.CutPrefix(path, from); inside && (rest == "" || os.IsPathSeparator(rest[0])) {
			delete(m.dirs, path)
			m.dirs[to+rest] = d
		}
	}
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

// hasDirectory reports whether a directory lies at a name.
func (m *Memory) hasDirectory(d *memoryDir, name string) bool {
	for path, at := range m.dirs {
		if at == d.directory {
			return m.dirs[filepath.Join(path, name)] != nil
		}
	}
	return false
}

// locate splits a name into its directory, nil if there is none, and its base.
func (all directories) locate(name string) (*directory, string) {
	name = filepath.Clean(name)
	return all.of(filepath.Dir(name)), filepath.Base(name)
}

// file returns the file at a path.
func (all directories) file(name string) (*inode, error) {
	if d, base := all.locate(name); d != nil && d.names[base] != nil {
		return d.names[base], nil
	}
	return nil, fs.ErrNotExist
}

func newInode(id uint64, content []byte) *inode {
	return &inode{id: id, visible: slices.Clone(content), durable: content}
}
