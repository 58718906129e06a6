package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestEverythingAfterCloseIsAnError(t *testing.T) {
	s := memoryLog(t)
	r := put(t, s, "a")
	write(t, s, sideOf(SideWrite{Key: "k"}))
	kept := all(t, s, Region{})
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "a second Close does nothing")

	ctx := t.Context()
	calls := map[string]func() error{
		"Append":   func() error { _, err := s.Append(ctx, At("a", "test"), Any, note{}); return err },
		"Commit":   func() error { _, err := s.Commit(ctx, sideOf(SideWrite{Key: "k"})); return err },
		"Lazy":     func() error { _, err := s.Commit(ctx, Batch{Lazy: true, Sides: []SideWrite{{Key: "k"}}}); return err },
		"ReadPage": func() error { _, err := s.ReadPage(ctx, Region{}, 0, 0, 1); return err },
		"Get":      func() error { _, err := s.Get(ctx, r.Events[0].ID); return err },
		"GetAt":    func() error { _, err := s.GetAt(ctx, 1); return err },
		"Count":    func() error { _, err := s.Count(ctx, Region{}, 0, 0, 1); return err },
		"Bytes":    func() error { _, err := s.Bytes(ctx, 0, 0); return err },
		"Version":  func() error { _, err := s.Version(ctx, "a"); return err },
		"Resolve":  func() error { _, err := s.Resolve(ctx, Now()); return err },
		"Since":    func() error { _, err := s.Resolve(ctx, Since(time.Unix(0, 0))); return err },
		"Wait":     func() error { _, err := s.Wait(ctx, 1); return err },
		"Read": func() (failed error) {
			for _, err := range s.Read(ctx, Region{}, Beginning()) {
				failed = err
			}
			return failed
		},
	}
	for name, call := range calls {
		require.ErrorIs(t, call(), ErrClosed, name)
	}
	require.Equal(t, Position(1), s.Head())
	require.JSONEq(t, `{"Text":"about a"}`, string(kept[0].Payload), "what was read stays")
}

func TestCloseLetsQueuedCommitsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		queued := async(t.Context(), s, Batch{Events: eventsOf("queued")})
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		require.Empty(t, closed)
		require.ErrorIs(t, (<-async(t.Context(), s, Batch{Events: eventsOf("late")})).err, ErrClosed)
		gate.open()
		require.NoError(t, (<-leader).err)
		require.NoError(t, (<-queued).err)
		require.NoError(t, <-closed)
		require.Equal(t, Position(2), openLog(t, gate, Options{}).Head())
	})
}

func TestCloseMakesLazyCommitsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: []byte("v")}}})
		require.NoError(t, s.Close())
		require.Equal(t, "v", sideText(afterPowerCut(t, gate, Options{}), "k"))
	})
}

func TestACleanCloseLeavesNoFileOfASegmentThatWasMadeAhead(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	for s.committer.writer.preallocated == nil {
		write(t, s, raw(Raw{Type: "filler", Data: make([]byte, 4<<10)}))
	}
	require.NoError(t, s.Close())
	names, err := disk.List(logDir)
	require.NoError(t, err)
	require.Equal(t, []string{idxName(1), segmentName(1), lockName, beaconName}, names)
}

// acceptable says whether err is what a call may get while the store is being closed.
func acceptable(err error) bool { return err == nil || errors.Is(err, ErrClosed) }

func TestCloseMayBeCalledAtAnyMomentByAnyGoroutine(t *testing.T) {
	for round := range 6 {
		disk := vfs.NewMemory()
		s, err := open(disk, logDir, smallSegments(SyncMode(round%3)), false)
		require.NoError(t, err)
		ctx := t.Context()
		calls := []func() error{
			func() error {
				_, err := s.Append(ctx, At("a", "test"), Any, Raw{Type: "x", Data: make([]byte, 2<<10)})
				return err
			},
			func() error { _, err := s.Commit(ctx, Batch{Lazy: true, Sides: []SideWrite{{Key: "k"}}}); return err },
			func() error { _, err := s.Wait(ctx, s.Head()); return err },
			func() error { _, err := s.ReadPage(ctx, Region{Entity: "a"}, 0, 0, 50); return err },
			func() error { _, err := s.Get(ctx, uuid.New()); return ignore(err, ErrNotFound) },
			func() error { _, err := s.Count(ctx, Region{Scope: "test"}, 0, 0, 1000); return err },
			func() error { _, err := s.Bytes(ctx, 0, 0); return err },
			func() error { _, err := s.Version(ctx, "a"); return err },
			func() (failed error) {
				for _, err := range s.Read(ctx, Region{}, Beginning()) {
					failed = err
				}
				return failed
			},
		}
		var busy sync.WaitGroup
		for _, call := range append(calls, calls[0], calls[0], calls[0]) {
			busy.Go(func() {
				for {
					err := call()
					if !acceptable(err) {
						t.Error(err)
					}
					if err != nil {
						return
					}
				}
			})
		}
		_, err = s.Wait(ctx, Position(20*round))
		require.NoError(t, err)
		require.Equal(t, 3, race(3, func(int) error { return s.Close() }))
		busy.Wait()

		head := s.Head()
		s = openLog(t, disk, s.options)
		require.Equal(t, head, s.Head())
		requireChains(t, all(t, s, Region{}))
	}
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

func TestReadsEndWithTheirContext(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.ReadPage(ctx, Region{}, 0, 0, 1)
	require.ErrorIs(t, err, context.Canceled)
	_, err = s.GetAt(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	for _, err := range s.Read(ctx, Region{}, Beginning()) {
		require.ErrorIs(t, err, context.Canceled)
	}
}
