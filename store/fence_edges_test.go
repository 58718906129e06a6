package store

import (
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// The commits of a queue that the holder of the role takes at once, with the ends of two fences
// between them.
func TestAFenceEndsBetweenTheCommitsThatAreQueuedBeforeAndAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		gate.shut.Store(false)
		f, g := fenceOf(t, s), fenceOf(t, s)
		stage(t, f, "a")
		stage(t, g, "b")
		gate.shut.Store(true)
		queue := func(commit func() error) <-chan error {
			answered := make(chan error, 1)
			go func() { answered <- commit() }()
			synctest.Wait()
			return answered
		}
		appends := func(entity string) func() error {
			return func() error {
				_, err := s.Append(t.Context(), At(entity, "test"), Any, note{})
				return err
			}
		}
		leader := queue(appends("leader"))
		before := queue(appends("a"))
		published := queue(func() error { return f.Publish(t.Context()) })
		cancelled := queue(func() error { return g.Cancel(t.Context()) })
		after, afterToo := queue(appends("a")), queue(appends("b"))
		gate.open()
		require.NoError(t, <-leader)
		require.ErrorIs(t, <-before, ErrReserved)
		require.NoError(t, <-published)
		require.NoError(t, <-cancelled)
		require.NoError(t, <-after, "what it had reserved is free")
		require.NoError(t, <-afterToo)
		require.Empty(t, s.Stats().Fences)
		require.Equal(t, []string{"a", "leader", "a", "b"}, visible(t, s))
		require.Equal(t, []Range{{2, 2}}, CancelledRanges(s, 0, 100))
		requireChains(t, everything(t, s))
	})
}

// The writer wrote that the fence is published, and could not make that durable. The next writer
// decides: until then a reader takes the fence neither for published nor for cancelled.
func TestAFenceOfWhichTheEndMayNotBeShownStaysOpenForReadersUntilTheNextWriterDecides(t *testing.T) {
	for name, keep := range map[string]uint64{"kept": vfs.KeepAll, "lost": vfs.KeepNothing} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMemory()
			s := mustOpen(t, disk, SyncAlways)
			put(t, s, "a")
			f := fenceOf(t, s)
			r := stage(t, f, "b")
			put(t, s, "c")
			before, err := open(disk, crashDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
			disk.FailAt(disk.Ops()+2, syscall.EIO) // the sync, after the write
			require.ErrorIs(t, f.Publish(t.Context()), ErrPoisoned)
			_ = s.Close()
			after, err := open(disk, crashDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
			for range 2 {
				for _, reader := range []*Store{before, after} {
					require.Equal(t, []string{"a"}, visible(t, reader))
					require.Equal(t, []FenceStats{{Reason: "close October", First: 2, Events: 1}}, reader.Stats().Fences)
					require.Empty(t, CancelledRanges(reader, 0, 100))
					require.NoError(t, reader.CheckAnchor(t.Context(), r.Anchor()), "it is there, beyond the head")
				}
			}
			if keep == vfs.KeepNothing {
				disk = powerCutImage(t, disk, keep)
				require.NoError(t, before.Close())
				require.NoError(t, after.Close())
				before, after = mustRead(t, disk), mustRead(t, disk)
			}
			s = mustOpen(t, disk, SyncAlways)
			want := []string{"a", "b", "c"}
			if keep == vfs.KeepNothing {
				want = []string{"a", "c"}
			}
			for _, st := range []*Store{s, before, after} {
				require.Equal(t, want, visible(t, st))
				require.Empty(t, st.Stats().Fences)
				require.NoError(t, st.Close())
			}
		})
	}
}

func mustRead(t *testing.T, disk *vfs.Memory) *Store {
	t.Helper()
	s, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	require.NoError(t, err)
	return s
}

// A reader that looked before a writer began shows nothing of what that writer has open.
func TestAReaderDoesNotTakeAFenceForCancelledOnceAnotherWriterHasBegun(t *testing.T) {
	disk := vfs.NewMemory()
	s := mustOpen(t, disk, SyncAlways)
	defer s.Close()
	r := mustRead(t, disk)
	defer r.Close()
	f := fenceOf(t, s)
	stage(t, f, "a")
	require.Zero(t, r.Head())
	r.follower.mu.Lock()
	require.NoError(t, r.follower.endFences(r, limit{}), "as of when there was no writer")
	r.follower.mu.Unlock()
	require.Zero(t, r.Head())
	require.NoError(t, f.Publish(t.Context()))
	require.Equal(t, []string{"a"}, visible(t, r))
}

func TestAnAnchorBeyondTheHeadIsJudgedByWhatIsThereWhileAFenceIsOpen(t *testing.T) {
	disk := vfs.NewMemory()
	s := mustOpen(t, disk, SyncAlways)
	r := mustRead(t, disk)
	put(t, s, "a")
	f := fenceOf(t, s)
	staged, other := stage(t, f, "b"), put(t, s, "c")
	check := func(stores ...*Store) {
		t.Helper()
		for _, st := range stores {
			for _, receipt := range []Receipt{staged, other} {
				require.NoError(t, st.CheckAnchor(t.Context(), receipt.Anchor()))
				foreign := receipt.Anchor()
				foreign.Event[15]++
				require.ErrorIs(t, st.CheckAnchor(t.Context(), foreign), ErrForeignHistory)
			}
		}
	}
	beyond := Anchor{Store: s.Origin().Store, Position: 4, Event: other.Events[0].ID}
	check(s, r)
	require.ErrorIs(t, s.CheckAnchor(t.Context(), beyond), ErrForeignHistory, "it was never assigned")
	_, err := s.AnchorAt(t.Context(), 2)
	require.ErrorIs(t, err, ErrNotFound, "no reader can stand there")
	killStore(s)
	check(r, mustRead(t, disk))
	require.ErrorIs(t, r.CheckAnchor(t.Context(), beyond), ErrForeignHistory)
	s = mustOpen(t, disk, SyncAlways)
	defer s.Close()
	check(s, r)
	require.Equal(t, []string{"a", "c"}, visible(t, r))
}
