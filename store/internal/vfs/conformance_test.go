package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCreateRefusesATakenNameAndAMissingDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		putFile(t, fsys, in(dir, "a"), []byte("kept"))
		_, err := fsys.Create(in(dir, "a"))
		require.ErrorIs(t, err, fs.ErrExist)
		require.Equal(t, "kept", string(getFile(t, fsys, in(dir, "a"))))

		require.NoError(t, fsys.MkdirAll(in(dir, "sub"), 0o700))
		_, err = fsys.Create(in(dir, "sub"))
		require.ErrorIs(t, err, fs.ErrExist)

		_, err = fsys.Create(in(dir, "missing", "a"))
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestOpenNeedsAnExistingFile(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		for _, readOnly := range []bool{true, false} {
			_, err := fsys.Open(in(dir, "a"), readOnly)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Empty(t, names)
	})
}

func TestWhatIsWrittenIsReadAtOnceByEveryHandle(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		w := mustCreate(t, fsys, in(dir, "a"))
		defer w.Close()
		r, err := fsys.Open(in(dir, "a"), true)
		require.NoError(t, err)
		defer r.Close()
		mustWrite(t, w, 3, []byte("abc"))
		mustWrite(t, w, 4, []byte("X"))
		mustWrite(t, w, 99, nil) // an empty write does not grow the file
		require.NoError(t, w.Sync())

		size, err := r.Size()
		require.NoError(t, err)
		require.EqualValues(t, 6, size)
		got := make([]byte, 6)
		_, err = r.ReadAt(got, 0)
		require.NoError(t, err)
		require.Equal(t, "\x00\x00\x00aXc", string(got))
	})
}

func TestALargeWriteIsWholeAndInItsPlace(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		f := mustCreate(t, fsys, in(dir, "a"))
		defer f.Close()
		want := make([]byte, 2*writePiece+100)
		for i := range want {
			want[i] = byte(i % 251)
		}
		mustWrite(t, f, 0, []byte("abc"))
		mustWrite(t, f, 3, want)
		require.True(t, bytes.Equal(append([]byte("abc"), want...), getFile(t, fsys, in(dir, "a"))))
	})
}

func TestAReadBeyondTheEndIsShortWithEOF(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		f := mustCreate(t, fsys, in(dir, "a"))
		defer f.Close()
		mustWrite(t, f, 0, []byte("abc"))
		got := make([]byte, 5)
		n, err := f.ReadAt(got, 1)
		require.Equal(t, io.EOF, err)
		require.Equal(t, "bc", string(got[:n]))
		n, err = f.ReadAt(got, 100)
		require.Equal(t, io.EOF, err)
		require.Zero(t, n)
		_, err = f.ReadAt(nil, 3)
		require.NoError(t, err)
	})
}

func TestReservedRoomReadsAsZerosAndKeepsWhatIsThere(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		const size = 1<<20 + 4096
		f := mustCreate(t, fsys, in(dir, "a"))
		defer f.Close()
		mustWrite(t, f, 0, []byte("kept"))
		if err := f.Reserve(0, size); !errors.Is(err, errors.ErrUnsupported) {
			require.NoError(t, err)
		} else {
			require.NoError(t, WriteZeros(f, 4, size))
		}
		require.NoError(t, f.Sync())
		got, err := f.Size()
		require.NoError(t, err)
		require.EqualValues(t, size, got)
		mustWrite(t, f, 1<<20, []byte("abc"))
		b := make([]byte, 8)
		_, err = f.ReadAt(b, 1<<20-2)
		require.NoError(t, err)
		require.Equal(t, "\x00\x00abc\x00\x00\x00", string(b))
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
		require.Equal(t, "kept\x00\x00\x00\x00", string(b))
		_ = f.Reserve(10, 5)
		got, err = f.Size()
		require.NoError(t, err)
		require.EqualValues(t, size, got, "nothing is cut off")
	})
}

func TestAllZerosAreWrittenWhereTheSystemCannotAllocate(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "a"))
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, WriteZeros(f, 0, 1<<20+1))
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	require.Equal(t, make([]byte, 1<<20+1), b)
}

func TestTruncateCutsAndGrowsWithZeros(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		f := mustCreate(t, fsys, in(dir, "a"))
		defer f.Close()
		mustWrite(t, f, 0, []byte("abcdef"))
		require.NoError(t, f.Sync())
		require.NoError(t, f.Truncate(2))
		require.Equal(t, "ab", string(getFile(t, fsys, in(dir, "a"))))
		require.NoError(t, f.Truncate(4))
		require.NoError(t, f.Sync())
		require.Equal(t, "ab\x00\x00", string(getFile(t, fsys, in(dir, "a"))))
	})
}

func TestNegativeOffsetsAndSizesAreErrors(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		f := mustCreate(t, fsys, in(dir, "a"))
		defer f.Close()
		_, err := f.WriteAt([]byte("x"), -1)
		require.Error(t, err)
		_, err = f.ReadAt(make([]byte, 1), -1)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
		require.Error(t, f.Truncate(-1))
	})
}

func TestAReadOnlyFileRefusesChanges(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		putFile(t, fsys, in(dir, "a"), []byte("abc"))
		f, err := fsys.Open(in(dir, "a"), true)
		require.NoError(t, err)
		defer f.Close()
		_, err = f.WriteAt([]byte("x"), 0)
		require.Error(t, err)
		require.Error(t, f.Truncate(0))
		require.Equal(t, "abc", string(getFile(t, fsys, in(dir, "a"))))

		rw, err := fsys.Open(in(dir, "a"), false)
		require.NoError(t, err)
		defer rw.Close()
		mustWrite(t, rw, 0, []byte("x"))
		require.Equal(t, "xbc", string(getFile(t, fsys, in(dir, "a"))))
	})
}

func TestAClosedFileFailsEveryCall(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		f := mustCreate(t, fsys, in(dir, "a"))
		require.NoError(t, f.Close())
		_, err := f.WriteAt([]byte("x"), 0)
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = f.ReadAt(make([]byte, 1), 0)
		require.ErrorIs(t, err, fs.ErrClosed)
		_, err = f.Size()
		require.ErrorIs(t, err, fs.ErrClosed)
		require.ErrorIs(t, f.Sync(), fs.ErrClosed)
		require.ErrorIs(t, f.Truncate(0), fs.ErrClosed)
		require.ErrorIs(t, f.Close(), fs.ErrClosed)
	})
}

func TestRenameReplacesTheTarget(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		putFile(t, fsys, in(dir, "a"), []byte("new"))
		putFile(t, fsys, in(dir, "b"), []byte("old"))
		require.NoError(t, fsys.Rename(in(dir, "a"), "b"))
		require.Equal(t, "new", string(getFile(t, fsys, in(dir, "b"))))
		require.NoError(t, fsys.Rename(in(dir, "b"), "b"))
		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"b"}, names)
		require.NoError(t, fsys.SyncDir(dir))
	})
}

func TestRenameNeedsAFileAndATargetThatIsNoDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		require.NoError(t, fsys.MkdirAll(in(dir, "sub"), 0o700))
		require.ErrorIs(t, fsys.Rename(in(dir, "none"), "b"), fs.ErrNotExist)
		putFile(t, fsys, in(dir, "a"), []byte("a"))
		require.Error(t, fsys.Rename(in(dir, "a"), "sub"))
		require.Equal(t, "a", string(getFile(t, fsys, in(dir, "a"))))
	})
}

func TestRemoveTakesTheNameAway(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		putFile(t, fsys, in(dir, "a"), []byte("a"))
		require.NoError(t, fsys.Remove(in(dir, "a")))
		require.ErrorIs(t, fsys.Remove(in(dir, "a")), fs.ErrNotExist)
		_, err := fsys.Open(in(dir, "a"), true)
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.NoError(t, fsys.SyncDir(dir))
		putFile(t, fsys, in(dir, "a"), []byte("again"))
		require.Equal(t, "again", string(getFile(t, fsys, in(dir, "a"))))
	})
}
