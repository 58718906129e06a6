package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Depot keeps the objects of a log that is shipped by [Ship]: it is what an object store can do.
// [OpenDirectoryDepot] makes one of a directory. Names are of at most 64 letters, digits, hyphens
// and dots. Several goroutines may use it.
type Depot interface {
	// Put stores an object, durably when it returns, and replaces one of the same name. Whatever
	// happens meanwhile, an object has all of the content or is as it was before. An error of content
	// is one of Put.
	Put(ctx context.Context, name string, content io.Reader) error
	// Get reads an object; fs.ErrNotExist if there is none.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the names of all objects.
	List(ctx context.Context) ([]string, error)
	// Remove removes an object; it is no error if there is none.
	Remove(ctx context.Context, name string) error
}

// DirectoryDepot is a [Depot] in a directory, as of another disk or a network drive.
type DirectoryDepot struct {
	dir  vfs.Dir
	path string
}

// OpenDirectoryDepot opens a directory, which it creates if need be. What is made in it is for the
// user of the process alone.
func OpenDirectoryDepot(path string) (*DirectoryDepot, error) { return openDepot(vfs.OS(), path) }

func openDepot(fsys vfs.FS, path string) (*DirectoryDepot, error) {
	if path == "" {
		return nil, &InvalidError{Field: "directory", Rule: "must not be empty"}
	}
	err := fsys.MkdirAll(path, directoryMode(ownerOnly))
	if err == nil {
		var dir vfs.Dir
		if dir, err = fsys.OpenDir(path, ownerOnly); err == nil {
			return &DirectoryDepot{dir, path}, nil
		}
	}
	return nil, fmt.Errorf("open depot %s: %w", path, shortage(err))
}

// String returns the path that it was opened with. Errors of [Ship] and [RestoreFrom] name a depot
// by its method of this name, if it has one.
func (d *DirectoryDepot) String() string { return d.path }

// nameOf a depot in errors.
func nameOf(d Depot) string {
	if named, ok := d.(fmt.Stringer); ok {
		return "depot " + named.String()
	}
	return "depot"
}

// Close gives the directory back. Objects that are being read stay readable.
func (d *DirectoryDepot) Close() error { return d.dir.Close() }

// Put implements [Depot]. A crash may leave a file with the suffix ".copy", which List does not
// show and the next Put of that name replaces.
func (d *DirectoryDepot) Put(ctx context.Context, name string, content io.Reader) error {
	unfinished := name + copiedSuffix
	if err := d.Remove(ctx, unfinished); err != nil {
		return err
	}
	file, err := d.dir.Create(unfinished)
	if err != nil {
		return shortage(err)
	}
	w := &copyWriter{file: file, copier: &copier{}}
	if _, err = io.Copy(w, content); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close(), ctx.Err()); err == nil {
		err = d.dir.Rename(unfinished, name)
	}
	if err != nil {
		_ = d.dir.Remove(unfinished)
		return shortage(err)
	}
	return d.dir.Sync()
}

// Get implements [Depot].
func (d *DirectoryDepot) Get(_ context.Context, name string) (io.ReadCloser, error) {
	file, err := d.dir.Open(name, true)
	if err != nil {
		return nil, shortage(err)
	}
	size, err := file.Size()
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return object{io.NewSectionReader(file, 0, size), file}, nil
}

// object is a file that is read from its beginning on.
type object struct {
	io.Reader
	io.Closer
}

// List implements [Depot].
func (d *DirectoryDepot) List(context.Context) (objects []string, err error) {
	names, err := d.dir.List()
	for _, name := range names {
		if !strings.HasSuffix(name, copiedSuffix) {
			objects = append(objects, name)
		}
	}
	return objects, err
}

// Remove implements [Depot].
func (d *DirectoryDepot) Remove(_ context.Context, name string) error {
	if err := d.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
