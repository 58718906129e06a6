package store

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// A directory that could not be synced is synced by the next call, which does the rest, too: the
// log need not be opened again for that.
func TestACallAfterAFailedSyncOfTheDirectoryFinishesWhatTheOneBeforeCouldNot(t *testing.T) {
	base := vfs.NewMemory()
	s, err := open(base, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	put(t, s, "customer")
	keyedLogFrom(t, s, 0, 100)
	dropBefore(t, s, 60)
	put(t, s, "customer")
	keyedLogFrom(t, s, 100, 100)
	require.NoError(t, s.Close())
	for name, call := range map[string]func(s *Store) error{
		"retain": func(s *Store) error {
			_, err := Retain(t.Context(), s, nil, RetainOptions{Before: 150})
			return err
		},
		"erase": func(s *Store) error {
			_, err := Erase(t.Context(), s, forgets("customer"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for _, nth := range directorySyncs(t, base, call) {
				for _, again := range []bool{true, false} {
					if callAgain(t, base.Image(vfs.KeepAll), nth, again, call) {
						failed++
					}
				}
			}
			require.GreaterOrEqual(t, failed, 4)
		})
	}
}

// directorySyncs returns which operations of a call sync the directory, counted from its first one.
func directorySyncs(t *testing.T, base *vfs.Memory, call func(*Store) error) (at []int) {
	t.Helper()
	disk := base.Image(vfs.KeepAll)
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	before := disk.Ops()
	require.NoError(t, call(s))
	for i, op := range disk.Trace()[before:] {
		if strings.HasPrefix(op, "syncdir") {
			at = append(at, i+1)
		}
	}
	require.Greater(t, len(at), 1)
	killStore(s)
	return at
}

// callAgain fails one operation of a call, and calls again, before the power is cut. It reports
// whether the first call has failed: it need not for the next segment, which is made again.
func callAgain(t *testing.T, disk *vfs.Memory, nth int, again bool, call func(*Store) error) bool {
	t.Helper()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	disk.FailAt(disk.Ops()+nth, syscall.EIO)
	failed := call(s)
	if failed != nil {
		require.ErrorIs(t, failed, syscall.EIO, "operation %d", nth)
		require.NotErrorIs(t, failed, ErrBusy)
	}
	if again {
		require.NoError(t, call(s), "operation %d", nth)
		require.Nil(t, s.Stats().Erasing)
		names, err := disk.List(logDir)
		require.NoError(t, err)
		require.False(t, slices.ContainsFunc(names, s.isLeft), "operation %d: %v", nth, names)
	}
	first, digests := s.first(), digest(s)
	killStore(s)
	for seed := range uint64(8) {
		s, err := open(powerCutImage(t, disk, seed), logDir, smallSegments(SyncAlways), true)
		require.NoError(t, err)
		if again {
			require.Equal(t, first, s.first())
			require.Equal(t, digests, digest(s))
		}
		require.Equal(t, uint64(1), version(t, s, "order:7"))
		require.Equal(t, uint64(2), version(t, s, "customer"))
		report, err := Verify(t.Context(), s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, report.Err())
		require.NoError(t, s.Close())
	}
	return failed != nil
}
