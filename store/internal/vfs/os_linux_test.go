package vfs

import (
	"io/fs"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// asNobody drops root's file-system rights on the calling thread while f runs; for
// any other user the modes count anyway.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		f()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	require.NoError(t, unix.Setfsuid(65534))
	defer func() { require.NoError(t, unix.Setfsuid(0)) }()
	f()
}

func TestLockInAReadOnlyDirectoryIsRefusedEvenIfTheFileExists(t *testing.T) {
	// Not t.TempDir: its parent is closed to others, which would refuse by itself.
	dir, err := os.MkdirTemp("", "vfs") //nolint:usetesting // as said above
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o700)
		_ = os.RemoveAll(dir)
	})
	require.NoError(t, os.Chmod(dir, 0o777))

	asNobody(t, func() {
		l, err := disk().Lock(in(dir, "LOCK"))
		require.NoError(t, err, "a writable directory")
		require.NoError(t, l.Close())
	})
	require.NoError(t, os.Chmod(dir, 0o555))
	asNobody(t, func() {
		_, err := disk().Lock(in(dir, "LOCK"))
		require.ErrorIs(t, err, fs.ErrPermission)
		_, err = disk().Lock(in(dir, "LOCK2"))
		require.ErrorIs(t, err, fs.ErrPermission)
		held, err := disk().Locked(in(dir, "LOCK"))
		require.NoError(t, err, "a reader may still ask")
		require.False(t, held)
	})
}

func TestLookingForTheHolderOfALockTakesNothing(t *testing.T) {
	name := in(t.TempDir(), "LOCK")
	l, err := disk().Lock(name)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	synctest.Test(t, func(t *testing.T) {
		looking, err := os.Open(name)
		require.NoError(t, err)
		defer looking.Close()
		held, err := presence(looking)
		require.NoError(t, err)
		require.False(t, held)
		began := time.Now()
		l, err := disk().Lock(name)
		require.NoError(t, err)
		require.Zero(t, time.Since(began), "it did not have to wait")
		held, err = presence(looking)
		require.NoError(t, err)
		require.True(t, held)
		require.NoError(t, l.Close())
	})
}
