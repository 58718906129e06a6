package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// afterAFewCommits is an open store with some commits.
func afterAFewCommits(t *testing.T, mode SyncMode) *crashRun {
	r := newCrashRun(vfs.NewMemory(), mode)
	require.NoError(t, r.open())
	for i := range 3 {
		require.NoError(t, commitSeveral(i, 100, 200)(r))
		require.NoError(t, commitWithKey(i, 50)(r))
	}
	return r
}

// requirePoisoned checks a writer that failed once: no more commits, reading as before, and Close
// gives everything back.
func requirePoisoned(t require.TestingT, r *crashRun) {
	for range 2 {
		_, err := r.st.Commit(context.Background(), Batch{Events: []Proposal{crashProposal("order:1", 1, 10)}})
		require.ErrorIs(t, err, ErrPoisoned)
		require.NotErrorIs(t, err, ErrOutcomeUnknown, "this one was not written")
	}
	require.True(t, r.st.Stats().Poisoned)
	_, err := r.st.Wait(context.Background(), r.st.Head())
	require.ErrorIs(t, err, ErrPoisoned)
	want := r.replay(r.acked())
	require.NoError(t, r.verifyEvents(r.st, &want))
	require.NoError(t, r.verifySides(r.st, &want))
	require.ErrorIs(t, r.st.Close(), ErrPoisoned)
	_, err = r.st.GetAt(context.Background(), 1)
	require.ErrorIs(t, err, ErrClosed)
}

// requireReopened opens the disk again and compares: what was acknowledged is there, and survives a
// power cut now.
func requireReopened(t require.TestingT, r *crashRun, where string) {
	st, err := open(r.disk, crashDir, r.options, true)
	require.NoError(t, err, where)
	r.st = st
	k, err := r.verify(st, r.acked())
	require.NoError(t, err, where)
	require.Equal(t, r.history, st.Origin(), where)
	r.found(k, st)
	st, err = open(powerCutImage(t, r.disk, vfs.KeepNothing), crashDir, r.options, true)
	require.NoError(t, err, where)
	_, err = r.verify(st, r.floor)
	require.NoError(t, err, where)
	require.NoError(t, st.Close(), where)
}

func TestAFailedWriteOrSyncPoisonsTheWriterUntilReopen(t *testing.T) {
	for i, what := range []string{"write", "sync"} {
		t.Run(what, func(t *testing.T) {
			r := afterAFewCommits(t, SyncAlways)
			before := r.disk.Ops()
			r.disk.FailAt(before+1+i, syscall.EIO)
			err := commitOne(crashProposal("order:1", 9, 100))(r)
			require.Contains(t, r.disk.Trace()[before+i], what)
			require.ErrorIs(t, err, ErrPoisoned)
			require.ErrorIs(t, err, ErrOutcomeUnknown)
			require.ErrorIs(t, err, syscall.EIO)
			requirePoisoned(t, r)
			requireReopened(t, r, what)
			require.NoError(t, commitOne(crashProposal("order:1", 10, 100))(r))
			require.NoError(t, r.end())
		})
	}
}

func TestAFailedBackgroundSyncPoisonsTheWriter(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval} {
		synctest.Test(t, func(t *testing.T) {
			r := afterAFewCommits(t, mode)
			require.NoError(t, r.sleep())
			require.NoError(t, commitLazy(1, 100)(r))
			before := r.disk.Ops()
			r.disk.FailAt(before+1, syscall.EIO)
			require.ErrorIs(t, r.sleep(), ErrPoisoned)
			require.Contains(t, r.disk.Trace()[before], "sync")
			requirePoisoned(t, r)
			requireReopened(t, r, mode.String())
		})
	}
}

func TestAFailedStatusWriteHarmsNothing(t *testing.T) {
	r := afterAFewCommits(t, SyncAlways)
	r.disk.FailAt(r.disk.Ops()+3, syscall.EIO)
	require.NoError(t, commitOne(crashProposal("order:1", 9, 100))(r))
	require.Equal(t, "write STATUS 0+96", r.disk.Trace()[r.disk.Ops()-1])
	require.NoError(t, commitOne(crashProposal("order:1", 10, 100))(r))
	r.kill()
	requireReopened(t, r, "status")
}

func TestAFullDiskRefusesTheNextSegmentAndReadsContinue(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncNever} {
		r := afterAFewCommits(t, mode)
		r.disk.SetCapacity(minSegmentBytes + beaconSize + 1000) // what there is, and a bit
		var err error
		for i := 0; err == nil; i++ {
			err = commitOne(crashProposal("order:1", i, 5000))(r)
		}
		full := r.clone()
		for i := range 3 {
			require.ErrorIs(t, err, ErrDiskFull)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.NotErrorIs(t, err, ErrPoisoned)
			want := full.replay(len(full.commits))
			require.NoError(t, full.verifyEvents(r.st, &want))
			require.NoError(t, full.verifySides(r.st, &want))
			require.Equal(t, len(full.commits), survivors(r.st))
			require.Equal(t, 1, r.st.Stats().Segments)
			err = commitSeveral(i, 6000)(r)
		}
		require.NoError(t, commitOne(crashProposal("order:1", 0, 10))(r), "a small one still fits")
		r.disk.SetCapacity(math.MaxInt64)
		require.NoError(t, commitSeveral(1, 6000)(r))
		require.Equal(t, 2, r.st.Stats().Segments)
		r.kill()
		requireReopened(t, r, "full disk")
		require.NoError(t, r.end())
	}
}

func TestAReadOnlyDirectoryCannotBeWrittenAndCanBeRead(t *testing.T) {
	r := afterAFewCommits(t, SyncAlways)
	require.NoError(t, r.end())
	r.disk.SetReadOnly(true)
	_, err := tryOpen(r.disk, SyncAlways)
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = tryOpen(emptyReadOnlyDisk(), SyncAlways)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, crashDir)

	st, err := open(r.disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	want := r.replay(len(r.commits))
	require.NoError(t, r.verifyEvents(st, &want))
	require.NoError(t, st.Close())
}

func emptyReadOnlyDisk() *vfs.Memory {
	disk := vfs.NewMemory()
	disk.SetReadOnly(true)
	return disk
}

func TestAnyOperationMayFailOnceWithoutHarm(t *testing.T) {
	const shards = 4
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		var failures, poisoned atomic.Int64
		t.Run(mode.String(), func(t *testing.T) {
			for shard := range shards {
				t.Run(fmt.Sprint(shard), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						f := failingRun{t: t, mode: mode, poisoned: &poisoned}
						p := powerCuts{t: t, mode: mode, script: crashScript(crashRounds())}
						for n, ops := 1+shard, p.dryRun(); n <= ops; n += shards * thinning {
							f.failAt(n, p.script)
							failures.Add(1)
						}
					})
				})
			}
		})
		t.Logf("sync %s: %d failed operations, %d of them poisoned the writer", mode, failures.Load(), poisoned.Load())
	}
}

// failingRun goes through the script while one operation fails, and does what a program would: it
// tries again what failed without a trace, and reopens a poisoned store.
type failingRun struct {
	t        *testing.T
	mode     SyncMode
	poisoned *atomic.Int64
}

func (f *failingRun) failAt(n int, script []crashStep) {
	r := newCrashRun(vfs.NewMemory(), f.mode)
	r.disk.FailAt(n, syscall.EIO)
	where := func() string { return fmt.Sprintf("sync %s, operation %d fails (%s)", f.mode, n, r.disk.Trace()[n-1]) }
	for i, step := range script {
		err := step(r)
		if err == nil {
			continue
		}
		if errors.Is(err, ErrPoisoned) {
			f.poisoned.Add(1)
			requirePoisoned(f.t, r)
			requireReopened(f.t, r, where())
			continue // the step is done, or was lost
		}
		require.ErrorIs(f.t, err, syscall.EIO, where())
		if i == len(script)-1 { // the clean end could not be recorded
			continue
		}
		require.NoError(f.t, step(r), "%s: tried again", where())
	}
	r.kill()
	st, err := open(powerCutImage(f.t, r.disk, vfs.KeepNothing), crashDir, r.options, true)
	require.NoError(f.t, err, where())
	_, err = r.verify(st, r.floor)
	require.NoError(f.t, err, where())
	require.NoError(f.t, st.Close(), where())
	requireReopened(f.t, r, where())
	require.NoError(f.t, r.end(), where())
}
