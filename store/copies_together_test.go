package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// changedSinceShipped is a log of which a depot and a backup have an older state: since then events
// were erased, and some dropped.
func changedSinceShipped(t *testing.T) (s *Store, ship *shipment, older string) {
	t.Helper()
	disk := vfs.NewMemory()
	s = openLog(t, disk, smallSegments(SyncAlways))
	keyedLog(t, s, 60)
	personalLog(t, s)
	s.tasks.Wait()
	ship, err := newShipment(t.Context(), s, depotOn(t, disk))
	require.NoError(t, err)
	_, err = ship.look(t.Context())
	require.NoError(t, err)
	backedUp(t, s, "copy")
	older = digest(s)
	_, err = Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	report := dropBefore(t, s, s.Head()-3)
	require.Positive(t, report.Segments)
	require.NotEmpty(t, filesWithSecrets(t, disk, "depot"))
	return s, ship, older
}

// requireAsChanged requires that a restored store is that log as it is now.
func requireAsChanged(t *testing.T, s, r *Store) {
	t.Helper()
	require.Equal(t, digest(s), digest(r))
	require.Equal(t, First(s), First(r))
	requireIntact(t, r)
	require.Equal(t, uint64(1), version(t, r, "order:30"))
	_, found, err := r.findKey("key 30")
	require.NoError(t, err)
	require.True(t, found)
	last, err := s.AnchorAt(t.Context(), First(s)-1)
	require.NoError(t, err)
	require.NoError(t, r.CheckAnchor(t.Context(), last))
}

func TestADepotHasNothingAnyMoreOfWhatWasErasedOrDroppedOnceMoreIsShipped(t *testing.T) {
	for _, again := range []bool{false, true} { // by another Ship
		s, ship, _ := changedSinceShipped(t)
		disk := s.fs.(*vfs.Memory)
		before := sizeOf(t, disk, "depot")
		if again {
			var err error
			ship, err = newShipment(t.Context(), s, depotOn(t, disk))
			require.NoError(t, err)
		}
		shipped, err := ship.look(t.Context())
		require.NoError(t, err)
		require.True(t, shipped)
		require.Less(t, sizeOf(t, disk, "depot"), before)
		require.Empty(t, filesWithSecrets(t, disk, "depot"))
		requireNoOtherObjects(t, &shippedRun{depot: depotOn(t, disk), ship: ship})
		_, err = RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
		require.NoError(t, err)
		requireAsChanged(t, s, mustOpenAt(t, disk, "back"))
		backedUp(t, s, "copy")
		require.Empty(t, filesWithSecrets(t, disk, "copy"))
		requireAsChanged(t, s, restored(t, disk, "copy", "of the backup"))
	}
}

// The power is cut while the depot, or the backup, is brought up to what was erased and dropped.
func TestAPowerCutWhileACopyFollowsDropsAndErasuresLeavesTheFormerLogOrThisOne(t *testing.T) {
	s, _, older := changedSinceShipped(t)
	want := digest(s)
	require.NoError(t, s.Close())
	base := s.fs.(*vfs.Memory).Image(vfs.KeepAll)
	for dir, bring := range map[string]func(*testing.T, *vfs.Memory, *Store) error{
		"depot": func(t *testing.T, disk *vfs.Memory, s *Store) error {
			depot, err := openDepot(disk, "depot")
			if err != nil {
				return err
			}
			return Ship(t.Context(), s, depot, ShipOptions{Once: true})
		},
		"copy": func(t *testing.T, _ *vfs.Memory, s *Store) error {
			_, err := Backup(t.Context(), s, "copy", BackupOptions{})
			return err
		},
	} {
		back := func(disk *vfs.Memory, dst string) string {
			if dir == "copy" {
				return digest(restored(t, disk, "copy", dst))
			}
			_, err := RestoreFrom(t.Context(), depotOn(t, disk), dst, onDisk(disk))
			require.NoError(t, err)
			return digest(copyOf(t, disk, dst))
		}
		cuts := 0
		for n := 1; ; n += 3 {
			disk := base.Image(vfs.KeepAll)
			st := openLog(t, disk, Options{ReadOnly: true})
			from := disk.Ops()
			disk.CutAt(from + n)
			err := bring(t, disk, st)
			_ = st.Close()
			if disk.Ops() < from+n {
				require.NoError(t, err)
				break
			}
			for seed := range uint64(3) {
				cuts++
				img := disk.Image(seed)
				require.Contains(t, []string{older, want}, back(img, "back"), "%s, cut at %d", dir, n)
				st := openLog(t, img, Options{ReadOnly: true})
				require.NoError(t, bring(t, img, st))
				require.NoError(t, st.Close())
				require.Equal(t, want, back(img, "back again"), "%s, cut at %d", dir, n)
				require.Empty(t, filesWithSecrets(t, img, dir))
			}
		}
		require.Greater(t, cuts, 20)
		t.Logf("%s: %d power cuts", dir, cuts)
	}
}

// besides runs functions again and again until one of them stops all.
type besides struct {
	t    *testing.T
	busy sync.WaitGroup
	ctx  context.Context //nolint:containedctx // of all of them
	stop context.CancelFunc
}

func (b *besides) again(call func(round int) error) {
	b.busy.Go(func() {
		for round := 0; b.ctx.Err() == nil; round++ {
			if err := call(round); err != nil && b.ctx.Err() == nil {
				b.t.Errorf("round %d: %v", round, err)
				b.stop()
			}
		}
	})
}

// One directory is backed up to by two goroutines, another by a third, and a depot is shipped to,
// beside commits, erasures and drops. What may be dropped is what all copies have: the backups by
// the limit that is given, the depot by a hold.
func TestCopiesErasuresAndDropsBesideEachOther(t *testing.T) {
	disk := vfs.NewMemory().Untraced()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "first")
	b := &besides{t: t}
	b.ctx, b.stop = context.WithCancel(t.Context())
	// The depot is held for, as Ship's documentation says: it may be behind the backups.
	shipped := func(end Position) {
		if err := SetHold(t.Context(), s, Hold{Who: "depot", From: end + 1}); err != nil {
			t.Errorf("hold for the depot: %v", err)
		}
	}
	shipped(0)
	for w := range 2 {
		b.busy.Go(func() { writeCounted(b.ctx, t, s, w) })
	}
	var ends [2]atomic.Uint64 // of the copies
	var made, refused, dropped, erased atomic.Int64
	for range 2 {
		b.again(func(int) error {
			report, err := Backup(t.Context(), s, "one", BackupOptions{})
			switch {
			case errors.Is(err, ErrLocked):
				refused.Add(1)
				return nil
			case err == nil:
				made.Add(1)
				for end := ends[0].Load(); uint64(report.Anchor.Position) > end; end = ends[0].Load() {
					ends[0].CompareAndSwap(end, uint64(report.Anchor.Position))
				}
			}
			return err
		})
	}
	b.again(func(round int) error {
		report, err := Backup(t.Context(), s, "two", BackupOptions{})
		if err != nil {
			return err
		}
		ends[1].Store(uint64(report.Anchor.Position))
		if found, err := verifyDir(t.Context(), disk, "two", VerifyOptions{}); err != nil || found.Err() != nil {
			return errors.Join(err, found.Err())
		}
		if round >= 6 && dropped.Load() > 3 && erased.Load() > 3 {
			b.stop()
		}
		return nil
	})
	b.again(func(round int) error {
		entity := fmt.Sprint("customer:", round)
		if _, err := s.Commit(t.Context(), Batch{Events: []Proposal{personal(entity, 500)}}); err != nil {
			return err
		}
		_, err := Erase(t.Context(), s, forgets(entity))
		erased.Add(1)
		return err
	})
	b.again(func(int) error {
		report, err := Retain(t.Context(), s, nil, RetainOptions{Before: Position(min(ends[0].Load(), ends[1].Load()))})
		dropped.Add(int64(report.Segments))
		return err
	})
	b.busy.Go(func() {
		err := Ship(b.ctx, s, depotOn(t, disk), ShipOptions{
			Every:   time.Millisecond,
			Shipped: func(r CopyReport) { shipped(r.Anchor.Position) },
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ship: %v", err)
		}
	})
	b.busy.Wait()
	require.Positive(t, made.Load())
	require.Positive(t, dropped.Load())
	require.Positive(t, erased.Load())
	t.Logf("%d backups, %d refused, %d erasures, %d segments dropped", made.Load(), refused.Load(), erased.Load(), dropped.Load())

	shipOnce(t, s, depotOn(t, disk))
	requireRestorable(t, s, disk, "shipped")
	for _, dst := range []string{"one", "two"} {
		backedUp(t, s, dst)
		require.Empty(t, unfinishedFiles(t, disk, dst))
		require.Empty(t, filesWithSecrets(t, disk, dst))
		r := restored(t, disk, dst, dst+" restored")
		require.Equal(t, digest(s), digest(r))
		requireCounted(t, r, 2)
		requireIntact(t, r)
	}
	require.Empty(t, filesWithSecrets(t, disk, "depot"))
}
