package store

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// What cannot be done at a time waits, as long as its context lets it, or says why it is refused.
func TestWhatMeetsADropWaitsOrIsToldWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, smallSegments(SyncAlways), false)
		require.NoError(t, err)
		ctx := t.Context()
		put(t, s, "customer")
		keyedLogFrom(t, s, 0, 200)
		s.tasks.Wait()
		looking, goOn := make(chan bool), make(chan struct{})
		look := func(*Store, []string) ([]Hold, error) {
			looking <- true
			<-goOn
			return []Hold{}, ctx.Err() // no one else needs anything
		}
		reports, errs := make(chan RetainReport, 2), make(chan error, 2)
		retain := func(before Position) {
			report, err := Retain(ctx, s, look, RetainOptions{Before: before})
			reports <- report
			errs <- err
		}
		go retain(100)
		<-looking
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err = Retain(ended, s, nil, RetainOptions{Before: 150})
		require.ErrorIs(t, err, context.Canceled)
		short, stop := context.WithCancel(ctx)
		erased := make(chan error, 1)
		go func() {
			_, err := Erase(short, s, forgets("customer"))
			erased <- err
		}()
		synctest.Wait()
		stop()
		require.ErrorIs(t, <-erased, context.Canceled, "it has begun, and continues")

		repair := repairOf(disk)
		_, err = Repair(ctx, logDir, repairedDir, repair)
		require.ErrorIs(t, err, ErrLocked)
		_, err = PlanRepair(ctx, logDir, repair)
		require.ErrorIs(t, err, ErrLocked)
		backedUp(t, s, "copy") // needs no files to stay
		require.NoError(t, Ship(ctx, s, depotOn(t, disk), ShipOptions{Once: true}))
		verified, err := Verify(ctx, s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, verified.Err())

		go retain(150) // waits
		synctest.Wait()
		require.Empty(t, reports)
		require.Equal(t, Position(1), s.first())
		goOn <- struct{}{}
		<-looking // once more, before files are replaced: a hold waits
		held := make(chan error, 1)
		go func() { held <- SetHold(ctx, s, Hold{Who: "late", From: 10}) }()
		require.ErrorIs(t, SetHold(ended, s, Hold{Who: "ended", From: 10}), context.Canceled)
		synctest.Wait()
		require.Empty(t, held)
		put(t, s, "beside") // and commits do not
		goOn <- struct{}{}
		require.NoError(t, <-errs)
		first := (<-reports).First
		require.Greater(t, first, Position(50))
		require.ErrorIs(t, <-held, ErrDropped)
		<-looking // the second
		require.NoError(t, ReleaseHold(ctx, s, "late"))
		goOn <- struct{}{}
		<-looking
		goOn <- struct{}{}
		require.NoError(t, <-errs)
		require.Greater(t, (<-reports).First, first)
		s.tasks.Wait()
		require.NoError(t, s.Stats().Erasing, "nor is the erasure lost")

		go retain(200)
		<-looking
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		goOn <- struct{}{}
		require.ErrorIs(t, <-errs, ErrClosed)
		require.NoError(t, <-closed)
		verifyOf(t, disk, logDir)
		verifyOf(t, disk, "copy")
		_, err = RestoreFrom(ctx, depotOn(t, disk), "back", onDisk(disk))
		require.NoError(t, err)
		verifyOf(t, disk, "back")
	})
}

// verifyOf verifies the log in a directory.
func verifyOf(t *testing.T, disk *vfs.Memory, dir string) {
	t.Helper()
	s, err := open(disk, dir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	require.Equal(t, uint64(1), version(t, s, "customer"))
	report, err := Verify(t.Context(), s, VerifyOptions{})
	require.NoError(t, err)
	require.NoError(t, report.Err())
	require.NoError(t, s.Close())
}
