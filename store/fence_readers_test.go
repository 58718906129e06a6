package store

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestALineageLeavesOutWhatACancelledFenceHides(t *testing.T) {
	s := memoryLog(t)
	root := put(t, s, "root").Events[0].ID
	effect := func(entity string, of uuid.UUID) Batch {
		b := Batch{Events: eventsOf(entity)}
		b.Events[0].Causation = Causation{Cause: of, Correlation: root, Depth: 1}
		return b
	}
	f := fenceOf(t, s)
	staged, err := f.Stage(t.Context(), effect("hidden", root))
	require.NoError(t, err)
	write(t, s, effect("shown", root))
	orphan := write(t, s, effect("orphan", staged.Events[0].ID)).Events[0].ID
	require.NoError(t, f.Cancel(t.Context()))

	list := func(events iter.Seq2[Event, error]) (names []string, failed error) {
		for e, err := range events {
			if err != nil {
				return names, err
			}
			names = append(names, e.Coordinate.Entity)
		}
		return names, nil
	}
	got, err := list(Effects(t.Context(), s, root, Reach{}))
	require.NoError(t, err)
	require.Equal(t, []string{"root", "shown"}, got)
	got, err = list(Correlated(t.Context(), s, root, Reach{}))
	require.NoError(t, err)
	require.Equal(t, []string{"root", "shown", "orphan"}, got)
	n, err := s.countEffects(t.Context(), root, 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = list(Causes(t.Context(), s, orphan, Reach{}))
	var missing *MissingCauseError
	require.ErrorAs(t, err, &missing, "it ends where the cause is not there, and says so")
	got, err = list(History(t.Context(), s, "hidden"))
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestReadingBackwardsAndListingNamesLeaveOutWhatACancelledFenceHides(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "shop:a")
	f := fenceOf(t, s)
	stage(t, f, "shop:hidden", "shop:a")
	put(t, s, "shop:b")
	require.NoError(t, f.Cancel(t.Context()))
	put(t, s, "shop:a")
	stage(t, fenceOf(t, s), "shop:open")
	var back []string
	for e, err := range Backward(t.Context(), s, Region{}, 0) {
		require.NoError(t, err)
		back = append(back, e.Coordinate.Entity)
	}
	require.Equal(t, []string{"shop:a", "shop:b", "shop:a"}, back)
	names, more, err := Names(t.Context(), s, EntityNames, "shop:", 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Equal(t, []Name{{"shop:a", 2}, {"shop:b", 1}}, names)
}

// Writers beside fences that are published and cancelled: no reader ever sees a part of a fence,
// and versions have no hole.
func TestReadersSeeFencesWholeOrNotAtAll(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := range 20 {
				f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline})
				if err != nil {
					t.Error(err)
					return
				}
				for range 3 {
					_, err := f.Stage(t.Context(), Batch{Events: eventsOf(fmt.Sprint("w:", w))})
					if err != nil {
						t.Error(err)
					}
					_, _ = s.Append(t.Context(), At(fmt.Sprint("o:", w), "test"), Any, note{})
				}
				end := f.Publish
				if i%3 == 0 {
					end = f.Cancel
				}
				if err := end(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	readers.Go(func() {
		for head := Position(0); ctx.Err() == nil; {
			head, _ = s.Wait(ctx, head)
			for w := range 4 {
				entity := fmt.Sprint("w:", w)
				n, err := s.Count(t.Context(), Region{Entity: entity}, 0, head, 1000)
				if err != nil || n%3 != 0 {
					t.Errorf("%d events of %s up to %d are a part of a fence: %v", n, entity, head, err)
				}
				if _, err := s.Version(t.Context(), entity); err != nil {
					t.Error(err)
				}
			}
		}
	})
	all.Wait()
	cancel()
	readers.Wait()
	requireChains(t, everything(t, s))
	for w := range 4 {
		v, err := s.Version(t.Context(), fmt.Sprint("w:", w))
		require.NoError(t, err)
		require.Equal(t, uint64(13*3), v)
	}
}
