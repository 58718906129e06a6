package vfs

import (
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
)

// memoryDir is one opening of a directory; it stays with it, whatever its path.
type memoryDir struct {
	fs        *Memory
	directory *directory
	path      string // at opening, for messages
	closed    bool
}

// do numbers an operation on a name and lets it have its effect, unless a fault forbids it.
func (d *memoryDir) do(verb, name string, effect func() error) error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.usable(verb, name); err != nil {
		return err
	}
	return d.fs.do(operation{verb: verb, path: filepath.Join(d.path, name)}, effect)
}

// usable refuses what cannot reach the disk.
func (d *memoryDir) usable(verb, name string) error {
	if err := d.open(verb); err != nil {
		return err
	}
	return checkName(verb, name)
}

func (d *memoryDir) open(verb string) error {
	if d.closed {
		return &fs.PathError{Op: verb, Path: d.path, Err: fs.ErrClosed}
	}
	return nil
}

// Create fails on a disk that is full to the last byte.
func (d *memoryDir) Create(name string) (File, error) {
	var n *inode
	err := d.do("create", name, func() (err error) {
		if err = d.fs.room(1); err != nil {
			return err
		}
		n, err = d.create(name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &memoryFile{fs: d.fs, inode: n, name: filepath.Join(d.path, name)}, nil
}

func (d *memoryDir) create(name string) (*inode, error) {
	if d.directory.names[name] != nil || d.fs.hasDirectory(d, name) {
		return nil, fs.ErrExist
	}
	d.fs.nextID++
	n := newInode(d.fs.nextID, nil)
	d.directory.change(nameChange{to: name, inode: n})
	return n, nil
}

// Open takes no number: it changes nothing.
func (d *memoryDir) Open(name string, readOnly bool) (File, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.usable("open", name); err != nil {
		return nil, err
	}
	path := filepath.Join(d.path, name)
	find := d.find
	if readOnly && d.fs.readable {
		find = d.named
	}
	n, err := find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &memoryFile{fs: d.fs, inode: n, name: path, readOnly: readOnly}, nil
}

func (d *memoryDir) find(name string) (*inode, error) {
	if d.fs.cut && !d.fs.inFlight {
		return nil, ErrPowerCut
	}
	return d.named(name)
}

// named is find after a power cut too.
func (d *memoryDir) named(name string) (*inode, error) {
	if n := d.directory.names[name]; n != nil {
		return n, nil
	}
	return nil, fs.ErrNotExist
}

// Remove leaves the content to those who have the file open.
func (d *memoryDir) Remove(name string) error {
	return d.do("remove", name, func() error {
		n, err := d.find(name)
		if err != nil {
			return err
		}
		d.directory.change(nameChange{from: name, inode: n})
		return nil
	})
}

// Rename onto the same name changes nothing, and takes a number all the same.
func (d *memoryDir) Rename(oldName, newName string) error {
	if err := checkName("rename", newName); err != nil {
		return err
	}
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.usable("rename", oldName); err != nil {
		return err
	}
	op := operation{verb: "rename", path: filepath.Join(d.path, oldName), to: newName}
	return d.fs.do(op, func() error {
		n, err := d.find(oldName)
		switch {
		case err != nil:
			return err
		case d.fs.hasDirectory(d, newName):
			return fs.ErrExist
		case oldName != newName:
			d.directory.change(nameChange{from: oldName, to: newName, inode: n, replaced: d.directory.names[newName]})
		}
		return nil
	})
}

// List shows names that are not durable yet, too.
func (d *memoryDir) List() ([]string, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.open("list"); err != nil {
		return nil, err
	}
	if d.fs.cut {
		return nil, &fs.PathError{Op: "list", Path: d.path, Err: ErrPowerCut}
	}
	return slices.Sorted(maps.Keys(d.directory.names)), nil
}

// Perm returns 0: a Memory has one user.
func (d *memoryDir) Perm() (fs.FileMode, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return 0, d.open("stat")
}

// Room takes no number: it changes nothing.
func (d *memoryDir) Room() (int64, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	return d.fs.dirs.free(d.fs.capacity), d.open("room")
}

// Sync is one operation; a power cut in it leaves each of the changes kept or lost.
func (d *memoryDir) Sync() error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.open("syncdir"); err != nil {
		return err
	}
	return d.fs.do(operation{verb: "syncdir", path: d.path}, func() error {
		if !d.fs.cut { // else in flight: Image decides
			d.directory.sync()
		}
		return nil
	})
}

// Close leaves files and locks open.
func (d *memoryDir) Close() error {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	d.closed = true
	return nil
}

// Lock answers at once: nothing holds a lock for a moment only. It takes no number,
// though the file that it creates is an unsynced name like any other.
func (d *memoryDir) Lock(name string) (io.Closer, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	err := d.usable("lock", name)
	if err == nil {
		err = d.lockable(name)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "lock", Path: filepath.Join(d.path, name), Err: err}
	}
	d.directory.lock = &memoryLock{fs: d.fs, directory: d.directory}
	return d.directory.lock, nil
}

func (d *memoryDir) lockable(name string) error {
	switch {
	case d.fs.cut:
		return ErrPowerCut
	case d.fs.readOnly:
		return fs.ErrPermission
	case d.directory.lock != nil:
		return ErrLocked
	}
	if _, err := d.find(name); err == nil {
		return nil
	}
	_, err := d.create(name)
	return err
}

// Locked takes no number: it changes nothing.
func (d *memoryDir) Locked(name string) (bool, error) {
	d.fs.mu.Lock()
	defer d.fs.mu.Unlock()
	if err := d.usable("lock", name); err != nil {
		return false, err
	}
	if d.fs.cut {
		return false, &fs.PathError{Op: "lock", Path: filepath.Join(d.path, name), Err: ErrPowerCut}
	}
	return d.directory.lock != nil, nil
}

type memoryLock struct {
	fs        *Memory
	directory *directory
}

func (l *memoryLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	if l.directory.lock == l { // a second Close must not end the next holder's lock
		l.directory.lock = nil
	}
	return nil
}
