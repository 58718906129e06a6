//go:build unix

package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// modes returns the permissions of a directory and of all in it.
func modes(t *testing.T, dir string) map[string]fs.FileMode {
	t.Helper()
	found := map[string]fs.FileMode{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := entry.Info()
		require.NoError(t, err)
		name, err := filepath.Rel(dir, path)
		found[name] = info.Mode().Perm()
		return err
	}))
	return found
}

func TestAStoreIsForItsOwnerAloneUnlessItsOptionsSayMore(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // which would hide bits too many
	for _, test := range []struct{ option, files, dirs fs.FileMode }{
		{0, 0o600, 0o700},
		{0o600, 0o600, 0o700},
		{0o640, 0o640, 0o750},
		{0o644, 0o644, 0o755},
		{0o666, 0o666, 0o777},
	} {
		top := t.TempDir()
		dir := filepath.Join(top, "made", "on demand")
		s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes, FileMode: test.option})
		grow(t, s, 3)
		s.tasks.Wait() // files come and go in the background
		found := modes(t, filepath.Join(top, "made"))
		require.Greater(t, len(found), 6, "two directories, segments, LOCK, OWNER, STATUS")
		for name, mode := range found {
			want := test.files
			if name == "." || name == "on demand" {
				want = test.dirs
			}
			require.Equal(t, want, mode, name)
		}
		require.Zero(t, s.Stats().Exposed)
		require.NoError(t, s.Close())
	}
}

func TestAStoreThatOthersMayReadSaysSoAndStaysAsItIs(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	dir := filepath.Join(t.TempDir(), "data")
	s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes, FileMode: 0o664})
	grow(t, s, 3)
	require.NoError(t, s.Close())
	before := modes(t, dir)
	for _, readOnly := range []bool{false, true} {
		for _, test := range []struct{ dir, option, exposed fs.FileMode }{
			{0o775, 0, 0o064},
			{0o775, 0o660, 0o004},
			{0o775, 0o666, 0},
			{0o750, 0, 0o060},
			{0o744, 0, 0}, // no other user may enter it
			{0o700, 0, 0},
		} {
			require.NoError(t, os.Chmod(dir, test.dir))
			s := diskLog(t, dir, Options{SegmentBytes: minSegmentBytes, FileMode: test.option, ReadOnly: readOnly})
			require.Equal(t, test.exposed, s.Stats().Exposed, "%o %o", test.dir, test.option)
			require.NoError(t, s.Close())
		}
	}
	require.NoError(t, os.Chmod(dir, 0o775))
	after := modes(t, dir)
	for name, mode := range before {
		if name != ownerName {
			require.Equal(t, mode, after[name], name)
		}
	}
}
