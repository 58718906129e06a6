package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func depotOn(t *testing.T, disk *vfs.Memory) *DirectoryDepot {
	t.Helper()
	d, err := openDepot(disk, "depot")
	require.NoError(t, err)
	return d
}

// shippedRun ships what a run has after each step, as a Ship does that looks as often.
type shippedRun struct {
	*crashRun
	depot Depot
	of    *Store
	ship  *shipment
}

func (r *shippedRun) look(ctx context.Context) (err error) {
	if r.of != r.st {
		if r.ship, err = newShipment(ctx, r.st, r.depot); err != nil {
			return err
		}
		r.of = r.st
	}
	_, err = r.ship.look(ctx)
	return err
}

// requireShipped restores what was shipped and compares it.
func requireShipped(t *testing.T, disk *vfs.Memory, o *crashOracle, floor int, dst string) {
	t.Helper()
	_, err := RestoreFrom(t.Context(), depotOn(t, disk), dst, onDisk(disk))
	require.NoError(t, err, dst)
	st, err := open(disk, dst, smallSegments(SyncAlways), true)
	require.NoError(t, err, dst)
	require.NoError(t, o.compare(st, floor), dst)
	require.NoError(t, o.verifyKeys(st, survivors(st)), dst)
	require.Equal(t, max(o.history.Incarnation, 1)+1, st.Origin().Incarnation, dst)
	put(t, st, "order:1")
	require.NoError(t, st.Close(), dst)
}

func TestWhatIsShippedAtAnyTimeIsAllThatWasCommitted(t *testing.T) {
	for name, script := range map[string][]crashStep{"script": crashScript(2), "rewritten": rewritingScript(4)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := shippedRun{crashRun: newCrashRun(vfs.NewMemory(), SyncAlways)}
				r.depot = depotOn(t, r.disk)
				most := 0
				for i, step := range script[:len(script)-1] {
					require.NoError(t, step(r.crashRun), "step %d", i)
					require.NoError(t, r.look(t.Context()), "step %d", i)
					last := r.ship.made.Segments[len(r.ship.made.Segments)-1]
					most = max(most, len(last.Objects))
					if i%5 == 0 {
						requireShipped(t, r.disk, &r.crashOracle, len(r.commits), fmt.Sprint("restored ", i))
					}
				}
				require.NoError(t, r.end())
				require.Greater(t, most, 1, "the active segment was shipped in pieces")
				require.Less(t, most, 12)
				requireNoOtherObjects(t, &r)
			})
		})
	}
}

// requireNoOtherObjects requires that the depot has what counts and nothing else.
func requireNoOtherObjects(t *testing.T, r *shippedRun) {
	t.Helper()
	want := []string{manifestObject, shipperObject}
	for _, g := range r.ship.made.Segments {
		want = append(want, g.Objects...)
	}
	names, err := r.depot.List(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, want, names)
}

// The log and the depot lie on one disk, whose power is cut at any operation: in the store, in the
// depot, in what is removed there.
func TestAPowerCutLeavesThePrefixThatWasShippedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cuts := 0
		for n := 1; ; n += 17 * min(thinning, 5) {
			r := shippedRun{crashRun: newCrashRun(vfs.NewMemory(), SyncAlways)}
			r.depot = depotOn(t, r.disk)
			r.disk.CutAt(r.disk.Ops() + n)
			floor, cut := shipScript(t, &r)
			r.kill()
			if !cut {
				t.Logf("%d power cuts", cuts)
				return
			}
			for seed := range uint64(5) {
				cuts++
				requireShippedAfterCut(t, r.disk.Image(seed+seed/4*uint64(n)), &r.crashOracle, floor, n)
			}
		}
	})
}

// shipScript runs a script and ships after each step, up to a power cut. floor is the number of
// commits that were shipped.
func shipScript(t *testing.T, r *shippedRun) (floor int, cut bool) {
	t.Helper()
	script := rewritingScript(2)
	for _, step := range script[:len(script)-1] {
		err := step(r.crashRun)
		if err == nil {
			if err = r.look(t.Context()); err == nil {
				floor = len(r.commits)
			}
		}
		if err != nil {
			require.True(t, errors.Is(err, vfs.ErrPowerCut) || errors.Is(err, ErrPoisoned), "%v", err)
			return floor, true
		}
	}
	return floor, false
}

func requireShippedAfterCut(t *testing.T, disk *vfs.Memory, o *crashOracle, floor, n int) {
	t.Helper()
	if floor > 0 {
		requireShipped(t, disk, o, floor, fmt.Sprint("cut at ", n))
	}
	st, err := open(disk, crashDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	err = Ship(t.Context(), st, depotOn(t, disk), ShipOptions{Once: true})
	if !errors.Is(err, ErrForeignHistory) { // an event that was not acknowledged may be in the depot alone
		require.NoError(t, err)
		requireShipped(t, disk, o, survivors(st), fmt.Sprint("shipped again after ", n))
	}
	require.NoError(t, st.Close())
}

func TestShippingBesideWritersEndsWithTheWholeLog(t *testing.T) {
	disk := vfs.NewMemory().Untraced()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "first")
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for w := range 4 {
		busy.Go(func() { writeCounted(ctx, t, s, w) })
	}
	shipping, end := context.WithCancel(t.Context())
	reports, ended := make(chan CopyReport, 1000), make(chan error, 1)
	go func() {
		ended <- Ship(shipping, s, depotOn(t, disk), ShipOptions{Every: time.Millisecond, Shipped: func(r CopyReport) { reports <- r }})
	}()
	for range 5 {
		<-reports
	}
	_, err := s.Wait(t.Context(), 300)
	require.NoError(t, err)
	stop()
	busy.Wait()
	for r := range reports {
		if r.Sequence == s.Stats().Sequence {
			require.Equal(t, s.Head(), r.Anchor.Position)
			break
		}
	}
	end()
	require.ErrorIs(t, <-ended, context.Canceled)
	_, err = RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, digest(s), digest(copyOf(t, disk, "back")))
}

// brokenDepot fails at one of its calls.
type brokenDepot struct {
	Depot
	calls int // before it fails
}

var errDepot = errors.New("depot is unavailable")

func (d *brokenDepot) broken() bool {
	d.calls--
	return d.calls == 0
}

func (d *brokenDepot) Put(ctx context.Context, name string, content io.Reader) error {
	if d.broken() {
		_, _ = content.Read(make([]byte, 10))
		return errDepot
	}
	return d.Depot.Put(ctx, name, content)
}

func (d *brokenDepot) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if d.broken() {
		return nil, errDepot
	}
	return d.Depot.Get(ctx, name)
}

func (d *brokenDepot) List(ctx context.Context) ([]string, error) {
	if d.broken() {
		return nil, errDepot
	}
	return d.Depot.List(ctx)
}

func (d *brokenDepot) Remove(ctx context.Context, name string) error {
	if d.broken() {
		return errDepot
	}
	return d.Depot.Remove(ctx, name)
}

func TestShippingContinuesAfterAnErrorOfTheDepot(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	want, once := "", ShipOptions{Once: true}
	for calls := 1; ; calls++ {
		broken := &brokenDepot{Depot: depotOn(t, disk), calls: calls}
		put(t, s, "more")
		err := Ship(t.Context(), s, broken, once)
		if err == nil {
			require.Greater(t, calls, 4)
			break
		}
		require.ErrorIs(t, err, errDepot)
		if want != "" {
			back := fmt.Sprint("back ", calls)
			_, err = RestoreFrom(t.Context(), depotOn(t, disk), back, onDisk(disk))
			require.NoError(t, err)
			require.Contains(t, []string{want, digest(s)}, digest(copyOf(t, disk, back)))
		}
		require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), once))
		want = digest(s)
	}
	_, err := RestoreFrom(t.Context(), &brokenDepot{Depot: depotOn(t, disk), calls: 3}, "no", onDisk(disk))
	require.ErrorIs(t, err, errDepot)
	_, err = open(disk, "no", Options{}, true)
	require.ErrorIs(t, err, ErrUnfinishedCopy)
}

func TestADepotOfAnotherLogIsNotTouched(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	once := ShipOptions{Once: true}
	_, err := RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
	require.ErrorIs(t, err, ErrNotBackup)
	require.ErrorContains(t, err, "restore depot depot to back: store: no backup there: nothing was shipped to it")
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), once))
	other, err := open(disk, "other", Options{}, true)
	require.NoError(t, err)
	err = Ship(t.Context(), other, depotOn(t, disk), once)
	require.ErrorIs(t, err, ErrForeignHistory)
	require.ErrorContains(t, err, fmt.Sprintf("ship other to depot depot: what was shipped before, up to event %d: ", s.Head()))
	require.NoError(t, other.Close())
	_, err = RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
	require.NoError(t, err)
	want := digest(copyOf(t, disk, "back"))
	require.Equal(t, digest(s), want)

	first, err := newShipment(t.Context(), s, depotOn(t, disk))
	require.NoError(t, err)
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), once))
	_, err = first.look(t.Context())
	require.ErrorIs(t, err, ErrBusy)
	require.NoError(t, s.Close())
	require.ErrorIs(t, Ship(t.Context(), s, depotOn(t, disk), once), ErrClosed)
}

func TestDamageInADepotIsFound(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	require.NoError(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}))
	names, err := disk.List("depot")
	require.NoError(t, err)
	for i, name := range names {
		if name == shipperObject { // no part of what is shipped
			continue
		}
		path := filepath.Join("depot", name)
		require.NoError(t, disk.Corrupt(path, int64(len(disk.Bytes(path))/3), 1))
		_, err := RestoreFrom(t.Context(), depotOn(t, disk), fmt.Sprint("back ", i), onDisk(disk))
		require.ErrorIs(t, err, ErrCorrupt, name)
		require.NoError(t, disk.Corrupt(path, int64(len(disk.Bytes(path))/3), 1))
	}
}

func TestADirectoryDepotKeepsObjects(t *testing.T) {
	d, err := OpenDirectoryDepot(filepath.Join(t.TempDir(), "a", "depot"))
	require.NoError(t, err)
	ctx := t.Context()
	for _, content := range []string{"first", "second, longer"} {
		require.NoError(t, d.Put(ctx, "name", strings.NewReader(content)))
		r, err := d.Get(ctx, "name")
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, content, string(b))
	}
	require.Error(t, d.Put(ctx, "other", io.MultiReader(strings.NewReader("half"), failingReader{})))
	names, err := d.List(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"name"}, names)
	require.NoError(t, d.Remove(ctx, "name"))
	require.NoError(t, d.Remove(ctx, "name"))
	_, err = d.Get(ctx, "name")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, d.Close())
	_, err = OpenDirectoryDepot("")
	require.ErrorIs(t, err, ErrInvalid)
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errDepot }
