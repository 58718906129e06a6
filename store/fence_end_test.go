package store

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestTheDeadlineEndsAFenceAlsoForWhatIsQueuedByThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		gate.shut.Store(false)
		f, err := OpenFence(t.Context(), s, FenceOptions{})
		require.NoError(t, err)
		stage(t, f, "a")
		gate.shut.Store(true)
		put := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		staged, published := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := f.Stage(t.Context(), Batch{Events: eventsOf("a")})
			staged <- err
		}()
		go func() { published <- f.Publish(t.Context()) }()
		time.Sleep(2 * time.Second)
		gate.open()
		require.NoError(t, (<-put).err)
		requireCancelled(t, ByDeadline, <-staged)
		requireCancelled(t, ByDeadline, <-published)
		synctest.Wait()
		require.Equal(t, []string{"leader"}, visible(t, s))
		require.Equal(t, []Range{{1, 1}}, CancelledRanges(s, 0, 100))
	})
}

// The head waits until there is room for the cancellation.
func TestADeadlineThatMeetsAFullDiskOrAFullQueueCancelsLater(t *testing.T) {
	for name, obstacle := range map[string]func(t *testing.T, s *Store) (remove func()){
		"disk": func(t *testing.T, s *Store) func() {
			t.Helper()
			disk, _ := s.fs.(*vfs.Memory)
			disk.SetCapacity(0)
			for err := error(nil); !errors.Is(err, ErrDiskFull); {
				_, err = s.Append(t.Context(), At("filler", "test"), Any, note{})
			}
			return func() { disk.SetCapacity(math.MaxInt64) }
		},
		"queue": func(_ *testing.T, s *Store) func() {
			length := func(n int) {
				s.committer.mu.Lock()
				defer s.committer.mu.Unlock()
				s.committer.queue.length = n
			}
			length(maxQueued)
			return func() { length(0) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
				f, err := OpenFence(t.Context(), s, FenceOptions{Reason: strings.Repeat("x", maxFenceReason)})
				require.NoError(t, err)
				r := stage(t, f, "a")
				remove := obstacle(t, s)
				time.Sleep(5 * time.Second)
				require.Zero(t, s.Head())
				require.Len(t, s.Stats().Fences, 1)
				remove()
				require.ErrorIs(t, s.WaitVisible(t.Context(), r), ErrFenceCancelled)
				require.Empty(t, s.Stats().Fences)
				put(t, s, "a")
			})
		})
	}
}

func TestWhatAFenceHasReservedIsFreeWhileAnotherIsOpen(t *testing.T) {
	for _, publish := range []bool{true, false} {
		s := memoryLog(t)
		f, g := fenceOf(t, s), fenceOf(t, s)
		_, err := f.Stage(t.Context(), Batch{IdempotencyKey: "k", Events: eventsOf("a")})
		require.NoError(t, err)
		_, err = g.Stage(t.Context(), Batch{IdempotencyKey: "other", Events: eventsOf("b")})
		require.NoError(t, err)
		end := f.Cancel
		if publish {
			end = f.Publish
		}
		require.NoError(t, end(t.Context()))
		again := write(t, s, Batch{IdempotencyKey: "k", Events: eventsOf("a")})
		require.Equal(t, publish, again.Duplicate)
		_, err = s.Commit(t.Context(), Batch{IdempotencyKey: "other", Events: eventsOf("b")})
		require.ErrorIs(t, err, ErrReserved)
	}
}

// What the log says of a fence that was published is deleted by a later commit of a fence, also
// after the store was opened again, and once.
func TestTheStateOfAPublishedFenceIsDeletedOnceItIsOfNoUse(t *testing.T) {
	s := memoryLog(t)
	f, g := fenceOf(t, s), fenceOf(t, s)
	stage(t, f, "a")
	stage(t, g, "b")
	stage(t, f, "c")
	require.NoError(t, f.Publish(t.Context()))
	require.NoError(t, g.Publish(t.Context()))
	require.Equal(t, []string{"a", "b", "c"}, visible(t, s))
	require.Equal(t, []string{fenceKey(1)}, sideKeys(s, fencePrefix), "the second was visible at once")
	require.Equal(t, []string{fenceKey(1)}, s.committer.writer.spent)
	s = reopen(t, s)
	require.Equal(t, []string{"a", "b", "c"}, visible(t, s))
	stage(t, fenceOf(t, s), "d")
	require.Equal(t, []string{fenceKey(4)}, sideKeys(s, fencePrefix))
	require.Empty(t, s.committer.writer.spent)
}

// A fence that was published is none for conditions, although another one holds it back.
func TestWhatIsPublishedAndNotYetVisibleBreaksAConditionForGood(t *testing.T) {
	s := memoryLog(t)
	f, g := fenceOf(t, s), fenceOf(t, s)
	stage(t, f, "seat:1")
	stage(t, g, "b")
	stage(t, f, "c")
	taken := Batch{Events: eventsOf("x"), Conditions: []Condition{{Region: Region{Entity: "seat"}}}}
	_, err := s.Commit(t.Context(), taken)
	require.ErrorIs(t, err, ErrReserved)
	require.NoError(t, f.Publish(t.Context()))
	require.Empty(t, visible(t, s))
	_, err = s.Commit(t.Context(), taken)
	require.ErrorIs(t, err, ErrConflict)
	require.NotErrorIs(t, err, ErrReserved)
}

func TestTheHeadLiesBeforeEveryFenceThatItWouldShowAPartOf(t *testing.T) {
	published := []Range{{2, 5}, {4, 9}, {8, 13}, {20, 21}}
	for open, want := range map[Position]Position{12: 1, 14: 13, 9: 1, 20: 19, 22: 21, 2: 1, 1: 0} {
		require.Equal(t, want, headBefore(30, []Range{{open, open}}, published), "open from %d on", open)
	}
	require.Equal(t, Position(30), headBefore(30, nil, published))
}
