package vfs

import (
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"
	"github.com/stretchr/testify/require"
)

func TestALockExcludesAnotherProcessAndEndsWithItsDeath(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	kill, outcome := startHolder(t, name)
	require.Equal(t, "<nil>", outcome)

	_, err := OS().Lock(name)
	require.ErrorIs(t, err, ErrLocked)
	held, err := OS().Locked(name)
	require.NoError(t, err)
	require.True(t, held)

	kill()
	held, err = OS().Locked(name)
	require.NoError(t, err)
	require.False(t, held)
	l, err := OS().Lock(name)
	require.NoError(t, err)

	_, outcome = startHolder(t, name)
	require.Contains(t, outcome, ErrLocked.Error())
	require.NoError(t, l.Close())
}

func TestLockWaitsOutACallOfLocked(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	synctest.Test(t, func(t *testing.T) {
		glance := flock.New(name)
		ok, err := glance.TryRLock()
		require.NoError(t, err)
		require.True(t, ok)
		go func() {
			time.Sleep(lockPatience - 2*lockPoll)
			_ = glance.Close()
		}()
		l, err := OS().Lock(name)
		require.NoError(t, err)
		require.NoError(t, l.Close())
	})
}

func TestLockFailsAfterItsPatience(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	synctest.Test(t, func(t *testing.T) {
		holder, err := OS().Lock(name)
		require.NoError(t, err)
		start := time.Now()
		_, err = OS().Lock(name)
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
