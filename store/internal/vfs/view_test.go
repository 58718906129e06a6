//go:build linux || darwin

package vfs

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAViewShowsThePartThatWasAskedForAlsoAfterItsFileIsClosed(t *testing.T) {
	content := make([]byte, 3*os.Getpagesize())
	for i := range content {
		content[i] = byte(i * 7 / 5)
	}
	path := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(path, "f"), content, 0o600))
	dir, err := OS().OpenDir(path, 0o600)
	require.NoError(t, err)
	defer dir.Close()
	for _, c := range [][2]int{{0, 1}, {0, len(content)}, {1, 2}, {4095, 2}, {5000, 4000}, {len(content) - 1, 1}} {
		file, err := dir.Open("f", true)
		require.NoError(t, err)
		b, unmap, err := file.(Viewer).View(int64(c[0]), c[1])
		require.NoError(t, err)
		require.NoError(t, file.Close())
		require.Equal(t, content[c[0]:c[0]+c[1]], b)
		require.NoError(t, unmap())
	}
	file, err := dir.Open("f", true)
	require.NoError(t, err)
	defer file.Close()
	_, _, err = file.(Viewer).View(0, 0)
	require.Error(t, err)
}
