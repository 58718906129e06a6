package vfs

import (
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestALockExcludesAnotherProcessAndEndsWithItsDeath(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	kill, outcome := startHolder(t, name)
	require.Equal(t, "<nil>", outcome)

	_, err := disk().Lock(name)
	require.ErrorIs(t, err, ErrLocked)
	held, err := disk().Locked(name)
	require.NoError(t, err)
	require.True(t, held)

	kill()
	held, err = disk().Locked(name)
	require.NoError(t, err)
	require.False(t, held)
	l, err := disk().Lock(name)
	require.NoError(t, err)

	_, outcome = startHolder(t, name)
	require.Contains(t, outcome, ErrLocked.Error())
	require.NoError(t, l.Close())
}

func TestNoNumberOfCallersOfLockedKeepsTheLockFromItsTaker(t *testing.T) {
	const callers, takings = 64, 100
	name := in(t.TempDir(), "LOCK")
	l, err := disk().Lock(name)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	done := make(chan struct{})
	var asking sync.WaitGroup
	for range callers {
		asking.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := disk().Locked(name); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range takings {
		l, err := disk().Lock(name)
		require.NoError(t, err, "taking %d", i)
		held, err := disk().Locked(name)
		require.NoError(t, err)
		require.True(t, held)
		require.NoError(t, l.Close())
	}
	close(done)
	asking.Wait()
}

func TestLockFailsAfterItsPatience(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	synctest.Test(t, func(t *testing.T) {
		holder, err := disk().Lock(name)
		require.NoError(t, err)
		start := time.Now()
		_, err = disk().Lock(name)
		require.ErrorIs(t, err, ErrLocked)
		require.Equal(t, 250*time.Millisecond, time.Since(start))
		require.NoError(t, holder.Close())
	})
}

func TestAReadOnlyFileSystemIsARefusal(t *testing.T) {
	err := asPermission(&fs.PathError{Op: "open", Path: "LOCK", Err: syscall.EROFS})
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, err, syscall.EROFS)
	require.NotErrorIs(t, asPermission(syscall.ENOENT), fs.ErrPermission)
	require.NoError(t, asPermission(nil))
}

func TestWantOfRoomAndWantOfDescriptorsAreToldApart(t *testing.T) {
	for _, test := range []struct {
		err         error
		full, files bool
	}{
		{syscall.ENOSPC, true, false},
		{syscall.EDQUOT, true, false},
		{ErrNoSpace, true, false},
		{&fs.PathError{Op: "write", Err: syscall.EDQUOT}, true, false},
		{syscall.EMFILE, false, true},
		{&fs.PathError{Op: "open", Err: syscall.ENFILE}, false, true},
		{syscall.EIO, false, false},
		{fs.ErrPermission, false, false},
		{nil, false, false},
	} {
		require.Equal(t, test.full, IsFull(test.err), "%v", test.err)
		require.Equal(t, test.files, IsOutOfFiles(test.err), "%v", test.err)
	}
}
