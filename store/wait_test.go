package store

import (
	"context"
	"errors"
	"io/fs"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// waited is what a Wait on another goroutine came back with.
type waited struct {
	head Position
	err  error
}

func waitFor(ctx context.Context, s *Store, after Position) <-chan waited {
	got := make(chan waited, 1)
	go func() {
		head, err := s.Wait(ctx, after)
		got <- waited{head, err}
	}()
	return got
}

func TestWaitSeesALevelNotAnEdge(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	put(t, s, "a")
	for after := range Position(2) {
		head, err := s.Wait(t.Context(), after)
		require.NoError(t, err)
		require.Equal(t, Position(2), head)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	head, err := s.Wait(ended, 1)
	require.NoError(t, err, "what is there already is returned whatever the context says")
	require.Equal(t, Position(2), head)
}

func TestEveryWaiterWakesWhenTheHeadPassesItsPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), Options{})
		const waiters = 50
		var got [3][]<-chan waited
		for after := range got {
			for range waiters {
				got[after] = append(got[after], waitFor(t.Context(), s, Position(after)))
			}
		}
		for after := range got {
			synctest.Wait()
			for _, later := range got[after:] {
				require.Empty(t, later[0])
			}
			put(t, s, "a")
			synctest.Wait()
			for _, w := range got[after] {
				require.Equal(t, waited{head: Position(after + 1)}, <-w)
			}
		}
	})
}

func TestCommitsWithoutEventsWakeNoWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), Options{})
		s.announcer.wait()
		announced := s.announcer.wait()
		write(t, s, sideOf(SideWrite{Key: "k"}))
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k"}}})
		time.Sleep(time.Second)
		select {
		case <-announced:
			require.Fail(t, "announced")
		default:
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), Options{})
		put(t, s, "a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		head, err := s.Wait(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, Position(1), head)
	})
}

// askedDisk counts how often a reader asks whether there is a writer.
type askedDisk struct {
	vfs.FS
	asked *atomic.Int64
}

type askedDir struct {
	vfs.Dir
	asked *atomic.Int64
}

func (d askedDisk) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	opened, err := d.FS.OpenDir(dir, perm)
	return askedDir{opened, d.asked}, err
}

func (d askedDir) Locked(name string) (bool, error) {
	d.asked.Add(1)
	return d.Dir.Locked(name)
}

func TestAReaderThatWaitsBesideAWriterLooksOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := askedDisk{vfs.NewMemory(), new(atomic.Int64)}
		put(t, openLog(t, disk, Options{}), "a")
		beside := openLog(t, disk, Options{ReadOnly: true})
		before := disk.asked.Load()
		beside.Head()
		once := disk.asked.Load() - before
		require.Positive(t, once)

		ctx, cancel := context.WithTimeout(t.Context(), 10*followInterval+followInterval/2)
		defer cancel()
		before = disk.asked.Load()
		_, err := beside.Wait(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 12*once, disk.asked.Load()-before, "at first, after ten intervals, and at the end")
	})
}

func TestWaitEndsWhenTheStoreIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openLog(t, vfs.NewMemory(), Options{})
		got := waitFor(t.Context(), s, 0)
		synctest.Wait()
		require.NoError(t, s.Close())
		require.Equal(t, waited{err: ErrClosed}, <-got)
		_, err := s.Wait(t.Context(), 0)
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestWaitEndsWhenTheWriterHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		s := openLog(t, disk, Options{})
		put(t, s, "a")
		got := waitFor(t.Context(), s, 1)
		synctest.Wait()
		broken := errors.New("broken")
		disk.FailAt(disk.Ops()+1, broken)
		_, err := s.Append(t.Context(), At("a", "test"), Any, note{})
		require.ErrorIs(t, err, ErrPoisoned)
		require.ErrorIs(t, err, ErrOutcomeUnknown)
		require.ErrorIs(t, err, broken)
		require.Equal(t, waited{head: 1, err: ErrPoisoned}, <-got)
		head, err := s.Wait(t.Context(), 0)
		require.NoError(t, err, "what is visible stays so")
		require.Equal(t, Position(1), head)
		_, err = s.Wait(t.Context(), 1)
		require.ErrorIs(t, err, ErrPoisoned)
		require.True(t, s.Stats().Poisoned)
	})
}
