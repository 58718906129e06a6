package vfs

import (
	"io"
	"path/filepath"
)

// What follows is for tests, which name files by their paths on the disk.

// at opens the directory of a path, for one call. Where there is none the calls below say so by the
// error of opening it.
func (m *Memory) at(name string) (*memoryDir, string, error) {
	d, err := m.OpenDir(filepath.Dir(filepath.Clean(name)), 0)
	if err != nil {
		return nil, "", err
	}
	return d.(*memoryDir), filepath.Base(name), nil
}

// Create is Dir.Create.
func (m *Memory) Create(name string) (File, error) {
	d, base, err := m.at(name)
	if err != nil {
		return nil, err
	}
	return d.Create(base)
}

// Open is Dir.Open.
func (m *Memory) Open(name string, readOnly bool) (File, error) {
	d, base, err := m.at(name)
	if err != nil {
		return nil, err
	}
	return d.Open(base, readOnly)
}

// Remove is Dir.Remove.
func (m *Memory) Remove(name string) error {
	d, base, err := m.at(name)
	if err != nil {
		return err
	}
	return d.Remove(base)
}

// Rename is Dir.Rename; of the new name only the base counts.
func (m *Memory) Rename(oldName, newName string) error {
	d, base, err := m.at(oldName)
	if err != nil {
		return err
	}
	return d.Rename(base, filepath.Base(newName))
}

// List is Dir.List.
func (m *Memory) List(dir string) ([]string, error) {
	d, err := m.OpenDir(dir, 0)
	if err != nil {
		return nil, err
	}
	return d.List()
}

// SyncDir is Dir.Sync.
func (m *Memory) SyncDir(dir string) error {
	d, err := m.OpenDir(dir, 0)
	if err != nil {
		return err
	}
	return d.Sync()
}

// Lock is Dir.Lock.
func (m *Memory) Lock(name string) (io.Closer, error) {
	d, base, err := m.at(name)
	if err != nil {
		return nil, err
	}
	return d.Lock(base)
}

// Locked is Dir.Locked.
func (m *Memory) Locked(name string) (bool, error) {
	d, base, err := m.at(name)
	if err != nil {
		return false, err
	}
	return d.Locked(base)
}
