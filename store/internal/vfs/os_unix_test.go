//go:build unix

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesAndDirectoriesHaveTheirModes(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would hide bits too many
	for _, files := range []fs.FileMode{0o600, 0o640, 0o666} {
		dir := in(t.TempDir(), "data")
		dirs := files | files>>2&0o111
		require.NoError(t, OS().MkdirAll(dir, dirs))
		d, err := OS().OpenDir(dir, files)
		require.NoError(t, err)
		f, err := d.Create("a")
		require.NoError(t, err)
		got, err := f.Perm()
		require.NoError(t, err)
		require.Equal(t, files, got)
		l, err := d.Lock("LOCK")
		require.NoError(t, err)
		require.NoError(t, errors.Join(l.Close(), f.Close(), d.Close()))
		for name, want := range map[string]fs.FileMode{"": dirs, "a": files, "LOCK": files} {
			info, err := os.Stat(in(dir, name))
			require.NoError(t, err)
			require.Equal(t, want, info.Mode().Perm(), name)
		}
	}
}
