package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Erasures, commits, rewriting, readers of this process and of another one, and the end of it all
// in the middle: every call returns, and the log is whole.
func TestErasuresBesideWritersReadersAndClose(t *testing.T) {
	rounds := 4
	if soaking() {
		rounds = 100
	}
	for round := range rounds {
		disk := vfs.NewMemory()
		s := openLog(t, disk, smallSegments(SyncAlways))
		for i := range 8 {
			write(t, s, Batch{Events: []Proposal{personal(fmt.Sprint("customer:", i), 1+700*i)}})
		}
		r := openLog(t, disk, Options{ReadOnly: true})
		var group sync.WaitGroup
		for i := range 4 {
			group.Go(func() {
				for n := range 6 {
					_, err := Erase(t.Context(), s, forgets(fmt.Sprint("customer:", 2*i+n%2)))
					checkBeside(t, err)
				}
			})
		}
		for i := range 2 {
			group.Go(func() {
				for n := range 40 {
					b := Batch{Sides: []SideWrite{{Key: fmt.Sprint("k/", i), Value: make([]byte, 4000)}}}
					if n%4 == 0 {
						b.Events = []Proposal{personal(fmt.Sprint("customer:", n%8), 100)}
					}
					_, err := s.Commit(t.Context(), b)
					checkBeside(t, err)
				}
			})
			group.Go(func() {
				of := []*Store{s, r}[i]
				for range 20 {
					for e, err := range of.Read(t.Context(), Region{}, Beginning()) {
						if checkBeside(t, err); err != nil {
							break
						}
						if _, erased := e.Erased(); erased && len(e.Payload) > 0 {
							t.Error("an erased event has a payload")
						}
					}
				}
			})
		}
		if round%2 == 0 {
			group.Go(func() { _ = s.Close() })
		}
		group.Wait()
		require.NoError(t, r.Close())
		s = reopen(t, s)
		_, err := Erase(t.Context(), s, forgets("customer:1"))
		require.NoError(t, err)
		require.NoError(t, s.Stats().Erasing)
		requireWhole(t, s)
		for i := range 8 {
			_, err := Erase(t.Context(), s, forgets(fmt.Sprint("customer:", i)))
			require.NoError(t, err)
		}
		require.Empty(t, filesWithSecrets(t, disk, logDir))
	}
}

func checkBeside(t *testing.T, err error) {
	if err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestAnErasureContinuesWhereItsCallerWaitsNoLonger(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	personalLog(t, s)
	s.tasks.Wait()
	before := visibleEvents(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	hooks, returned := hook(s), make(chan struct{})
	hooks.renames = func(string) error { // it has begun
		cancel()
		<-returned
		return nil
	}
	report, err := Erase(ctx, s, forgets("customer:7"))
	close(returned)
	require.ErrorIs(t, err, context.Canceled)
	require.NotZero(t, report.ID)
	requireForgotten(t, before, visibleEvents(t, s), "begun")
	_, err = Erase(t.Context(), s, forgets("customer:7")) // nothing is left to erase but files
	require.NoError(t, err)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
}

// Whatever fails, the erasure is there or not there, and the next try finishes it.
func TestAnErrorAtAnyOperationOfAnErasureIsMadeGoodByTheNextTry(t *testing.T) {
	base := vfs.NewMemory()
	s, err := open(base, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	personalLog(t, s)
	before := visibleEvents(t, s)
	require.NoError(t, s.Close())
	for _, failure := range []error{syscall.EIO, syscall.ENOSPC} {
		for n := 1; ; n += thinning {
			disk := base.Image(vfs.KeepAll)
			s, err := open(disk, logDir, smallSegments(SyncAlways), true)
			require.NoError(t, err)
			from := disk.Ops()
			disk.FailAt(from+n, failure)
			where := fmt.Sprintf("%v at operation %d", failure, n)
			_, err = Erase(t.Context(), s, forgets("customer:7"))
			if disk.Ops() < from+n {
				require.NoError(t, err)
				killStore(s)
				break
			}
			if err == nil { // what was left of files that count no more
				require.Empty(t, filesWithSecrets(t, disk, logDir), where)
			}
			if _, again := Erase(t.Context(), s, forgets("customer:7")); again != nil { // until the next opening
				killStore(s)
				s, err = open(disk, logDir, smallSegments(SyncAlways), true)
				require.NoError(t, err, where)
				_, err = Erase(t.Context(), s, forgets("customer:7"))
				require.NoError(t, err, where)
			}
			require.NoError(t, s.Stats().Erasing, where)
			require.Empty(t, filesWithSecrets(t, disk, logDir), where)
			requireForgotten(t, before, visibleEvents(t, s), where)
			requireWhole(t, s)
			require.NoError(t, s.Close(), where)
		}
	}
}

func TestAnEventInAnOpenFenceIsErasedOnlyAfterIt(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline, Reason: "month's end"})
	require.NoError(t, err)
	staged, err := f.Stage(t.Context(), Batch{Events: eventsOf("a")})
	require.NoError(t, err)
	put(t, s, "b") // after it, and not visible yet
	_, err = Erase(t.Context(), s, forgets("a"))
	var reserved *ReservedError
	require.ErrorAs(t, err, &reserved)
	require.Equal(t, staged.Position(), reserved.Position)
	require.ErrorContains(t, err, "month's end")
	report, err := Erase(t.Context(), s, forgets("b"))
	require.NoError(t, err)
	require.Len(t, report.Events, 1)
	require.NoError(t, f.Publish(t.Context()))
	report, err = Erase(t.Context(), s, forgets("a"))
	require.NoError(t, err)
	require.Len(t, report.Events, 2)
	for _, e := range all(t, s, Region{Scope: "test"}) {
		_, erased := e.Erased()
		require.True(t, erased)
	}
	requireWhole(t, s)
}
