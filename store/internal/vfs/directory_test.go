package vfs

import (
	"io/fs"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestADirectoryStaysTheSameWhenItsPathIsTakenByAnother(t *testing.T) {
	move := func(t *testing.T, fsys FS, from, to string) {
		t.Helper()
		if m, ok := fsys.(*Memory); ok {
			m.MoveDir(from, to)
			return
		}
		require.NoError(t, os.Rename(from, to))
	}
	if runtime.GOOS == "windows" {
		return // there a directory that is in use keeps its path
	}
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		first, moved := in(dir, "first"), in(dir, "moved")
		require.NoError(t, fsys.MkdirAll(first, 0o700))
		d, err := fsys.OpenDir(first, 0o600)
		require.NoError(t, err)
		defer d.Close()
		lock, err := d.Lock("LOCK")
		require.NoError(t, err)
		defer lock.Close()

		move(t, fsys.FS, first, moved)
		require.NoError(t, fsys.MkdirAll(first, 0o700))
		putFile(t, fsys, in(first, "theirs"), []byte("theirs"))
		f, err := d.Create("mine")
		require.NoError(t, err)
		require.NoError(t, f.Close())
		require.NoError(t, d.Sync())
		require.ErrorIs(t, d.Remove("theirs"), fs.ErrNotExist)
		names, err := d.List()
		require.NoError(t, err)
		require.Equal(t, []string{"LOCK", "mine"}, names)
		require.Empty(t, getFile(t, fsys, in(moved, "mine")))
		require.Equal(t, "theirs", string(getFile(t, fsys, in(first, "theirs"))))

		other, err := fsys.Lock(in(first, "LOCK"))
		require.NoError(t, err, "another directory has another lock")
		require.NoError(t, other.Close())
		_, err = fsys.Lock(in(moved, "LOCK"))
		require.ErrorIs(t, err, ErrLocked)
	})
}

func TestAClosedDirectoryFailsEveryCall(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		d, err := fsys.OpenDir(dir, 0o600)
		require.NoError(t, err)
		f, err := d.Create("a")
		require.NoError(t, err)
		defer f.Close()
		lock, err := d.Lock("LOCK")
		require.NoError(t, err)
		defer lock.Close()
		require.NoError(t, d.Close())
		_, create := d.Create("b")
		_, open := d.Open("a", true)
		_, list := d.List()
		_, lockErr := d.Lock("LOCK")
		for what, err := range map[string]error{
			"create": create, "open": open, "list": list, "lock": lockErr,
			"remove": d.Remove("a"), "rename": d.Rename("a", "b"), "sync": d.Sync(),
		} {
			if what != "sync" || runtime.GOOS != "windows" {
				require.ErrorIs(t, err, fs.ErrClosed, what)
			}
		}
		mustWrite(t, f, 0, []byte("open all the same"))
		held, err := fsys.Locked(in(dir, "LOCK"))
		require.NoError(t, err)
		require.True(t, held)
	})
}

func TestANameThatIsAPathIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		require.NoError(t, fsys.MkdirAll(in(dir, "sub"), 0o700))
		d, err := fsys.OpenDir(dir, 0o600)
		require.NoError(t, err)
		defer d.Close()
		putFile(t, fsys, in(dir, "a"), []byte("a"))
		for _, name := range []string{"", ".", "..", "sub/a", "../a", in(dir, "a"), "a/"} {
			_, create := d.Create(name)
			_, open := d.Open(name, true)
			for what, err := range map[string]error{
				"create": create, "open": open, "remove": d.Remove(name),
				"rename": d.Rename(name, "b"), "rename to": d.Rename("a", name),
			} {
				require.ErrorIs(t, err, fs.ErrInvalid, "%s %q", what, name)
			}
		}
		require.Equal(t, "a", string(getFile(t, fsys, in(dir, "a"))))
	})
}

func TestListReturnsSortedFilesWithoutDirectories(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		require.NoError(t, fsys.MkdirAll(in(dir, "bb"), 0o700))
		for _, name := range []string{"c", "a", "b"} {
			putFile(t, fsys, in(dir, name), []byte(name))
		}
		putFile(t, fsys, in(dir, "bb", "inner"), []byte("x"))
		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"a", "b", "c"}, names)
		_, err = fsys.List(in(dir, "missing"))
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestMkdirAllCreatesTheWholeChainAndMayBeRepeated(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		for range 2 {
			require.NoError(t, fsys.MkdirAll(in(dir, "x", "y", "z"), 0o700))
		}
		putFile(t, fsys, in(dir, "x", "y", "z", "f"), []byte("f"))
		require.Error(t, fsys.MkdirAll(in(dir, "x", "y", "z", "f"), 0o700))
		require.Error(t, fsys.MkdirAll(in(dir, "x", "y", "z", "f", "g"), 0o700))
	})
}

func TestALockExcludesASecondHolderInTheSameProcess(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		name := in(dir, "LOCK")
		first, err := fsys.Lock(name)
		require.NoError(t, err)
		_, err = fsys.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		_, err = fsys.Lock(in(dir, "OTHER"))
		require.ErrorIs(t, err, ErrLocked, "the lock is that of the directory")

		require.NoError(t, first.Close())
		require.NoError(t, fsys.MkdirAll(in(dir, "sub"), 0o700))
		other, err := fsys.Lock(in(dir, "sub", "LOCK"))
		require.NoError(t, err)
		require.NoError(t, other.Close())
		second, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, first.Close()) // must not end the second holder's lock
		_, err = fsys.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, second.Close())

		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Equal(t, []string{"LOCK"}, names)
	})
}

func TestLockedSeesAHolderWithoutDisturbingIt(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		name := in(dir, "LOCK")
		requireLocked := func(want bool) {
			t.Helper()
			got, err := fsys.Locked(name)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		requireLocked(false)
		names, err := fsys.List(dir)
		require.NoError(t, err)
		require.Empty(t, names, "asking creates nothing")

		l, err := fsys.Lock(name)
		require.NoError(t, err)
		requireLocked(true)
		requireLocked(true)
		_, err = fsys.Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		require.NoError(t, l.Close())
		requireLocked(false)
		l, err = fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestALockOutlivesTheRemovalOfItsFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // there the file cannot be removed
	}
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		name := in(dir, "LOCK")
		first, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, fsys.Remove(name))
		for range 2 {
			held, err := fsys.Locked(name)
			require.NoError(t, err)
			require.True(t, held)
			_, err = fsys.Lock(name)
			require.ErrorIs(t, err, ErrLocked)
		}
		require.NoError(t, first.Close())
		held, err := fsys.Locked(name)
		require.NoError(t, err)
		require.False(t, held)
		second, err := fsys.Lock(name)
		require.NoError(t, err)
		require.NoError(t, second.Close())
	})
}

func TestLockNeedsTheDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		_, err := fsys.Lock(in(dir, "missing", "LOCK"))
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = fsys.Locked(in(dir, "missing", "LOCK"))
		require.ErrorIs(t, err, fs.ErrNotExist)
	})
}

func TestTheRoomOfADirectoryIsThatOfItsDisk(t *testing.T) {
	onEach(t, func(t *testing.T, fsys byPath, dir string) {
		d, err := fsys.OpenDir(dir, 0o600)
		require.NoError(t, err)
		free, err := d.Room()
		require.NoError(t, err)
		require.Positive(t, free)
		require.NoError(t, d.Close())
		_, err = d.Room()
		require.ErrorIs(t, err, fs.ErrClosed)
	})
}
