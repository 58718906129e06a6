//go:build unix

package vfs

import (
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilesAndDirectoriesHaveTheirModes(t *testing.T) {
	dir := in(t.TempDir(), "data")
	require.NoError(t, Disk().MkdirAll(dir))
	putFile(t, Disk(), in(dir, "a"), nil)
	l, err := Disk().Lock(in(dir, "LOCK"))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	for name, most := range map[string]fs.FileMode{"": 0o755, "a": 0o644, "LOCK": 0o644} {
		info, err := os.Stat(in(dir, name))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o600), info.Mode().Perm()&0o600, name)
		require.Zero(t, info.Mode().Perm()&^most, name)
	}
}
