//go:build unix

package vfs

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesAndDirectoriesHaveTheirModes(t *testing.T) {
	dir := in(t.TempDir(), "data")
	defer syscall.Umask(syscall.Umask(0)) // which would hide bits too many
	require.NoError(t, OS().MkdirAll(dir))
	putFile(t, OS(), in(dir, "a"), nil)
	l, err := OS().Lock(in(dir, "LOCK"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for name, want := range map[string]fs.FileMode{"": 0o755, "a": 0o644, "LOCK": 0o644} {
		info, err := os.Stat(in(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), name)
	}
}
