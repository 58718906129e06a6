package store

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// shipOnce ships what there is and requires that it works.
func shipOnce(t *testing.T, s *Store, to Depot) {
	t.Helper()
	require.NoError(t, Ship(t.Context(), s, to, ShipOptions{Once: true}))
}

// requireRestorable requires that what was shipped is the log of a store as it is now.
func requireRestorable(t *testing.T, s *Store, disk *vfs.Memory, dst string) {
	t.Helper()
	_, err := RestoreFrom(t.Context(), depotOn(t, disk), dst, onDisk(disk))
	require.NoError(t, err, dst)
	require.Equal(t, digest(s), digest(copyOf(t, disk, dst)), dst)
}

func piecesOf(t *testing.T, disk *vfs.Memory) []string {
	t.Helper()
	names, err := disk.List("depot")
	require.NoError(t, err)
	return slices.DeleteFunc(names, func(name string) bool { return !isPiece(name) })
}

func TestObjectsOfOthersInADepotAreLeftAlone(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	others := []string{"letter", "0000000001.seg", "0000000001.0123abcd.x", "0000000001.0123abcd.1.copy", "lost+found"}
	d := depotOn(t, disk)
	for _, name := range others {
		_, err := disk.Create(filepath.Join("depot", name))
		require.NoError(t, err)
	}
	require.NoError(t, d.Put(t.Context(), "0000000001.0123abcd.1", strings.NewReader("of a Ship that was cut off")))
	for range 2 {
		shipOnce(t, s, d)
		someMore(t, s)
	}
	shipOnce(t, s, d)
	objects, err := d.List(t.Context())
	require.NoError(t, err)
	require.NotContains(t, objects, "0000000001.0123abcd.1.copy", "it was not put to its end")
	names, err := disk.List("depot")
	require.NoError(t, err)
	require.Subset(t, names, []string{"letter", "0000000001.seg", "0000000001.0123abcd.x", "lost+found"})
	require.NotContains(t, names, "0000000001.0123abcd.1")
	requireRestorable(t, s, disk, "back")
}

func TestWhatADepotHasLostIsReportedAndShippedAgain(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	shipOnce(t, s, depotOn(t, disk))
	for i := range piecesOf(t, disk) {
		require.NoError(t, disk.Remove(filepath.Join("depot", piecesOf(t, disk)[i])))
		dst := fmt.Sprint("back ", i)
		_, err := RestoreFrom(t.Context(), depotOn(t, disk), dst, onDisk(disk))
		require.ErrorIs(t, err, ErrCorrupt)
		before := piecesOf(t, disk)
		shipOnce(t, s, depotOn(t, disk))
		kept := slices.DeleteFunc(piecesOf(t, disk), func(name string) bool { return !slices.Contains(before, name) })
		require.GreaterOrEqual(t, len(kept), len(before)-1, "but for the active segment nothing else is")
		requireRestorable(t, s, disk, dst+" again")
	}
}

// meddledDepot calls a function before, or after, one of its calls.
type meddledDepot struct {
	Depot
	calls  int // until then
	after  bool
	meddle func()
	met    string // the call
}

func (d *meddledDepot) around(name string, call func() error) error {
	d.calls--
	met := d.calls == 0
	if met {
		d.met = name
	}
	if met && !d.after {
		d.meddle()
	}
	err := call()
	if met && d.after {
		d.meddle()
	}
	return err
}

func (d *meddledDepot) Put(ctx context.Context, name string, content io.Reader) error {
	return d.around("put "+name, func() error { return d.Depot.Put(ctx, name, content) })
}

func (d *meddledDepot) Get(ctx context.Context, name string) (r io.ReadCloser, err error) {
	return r, d.around("get "+name, func() error {
		r, err = d.Depot.Get(ctx, name)
		return err
	})
}

func (d *meddledDepot) List(ctx context.Context) (names []string, err error) {
	return names, d.around("list", func() error {
		names, err = d.Depot.List(ctx)
		return err
	})
}

func (d *meddledDepot) Remove(ctx context.Context, name string) error {
	return d.around("remove", func() error { return d.Depot.Remove(ctx, name) })
}

// Between any two calls that a Ship makes another one begins, and ships all. One of the two is
// told, at the next commit, and what is in the depot then can be restored.
func TestTwoShipsInOneDepotLeaveWhatCanBeRestored(t *testing.T) {
	for _, first := range []bool{true, false} {
		for call := 1; meddle(t, first, call, false) && meddle(t, first, call, true); call++ {
			require.Less(t, call, 200)
		}
	}
}

// meddle returns false where a Ship makes fewer calls. first says that the depot is empty.
func meddle(t *testing.T, first bool, call int, after bool) bool {
	t.Helper()
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	if !first {
		shipOnce(t, s, depotOn(t, disk))
		someMore(t, s)
	}
	var second *shipment
	d := &meddledDepot{Depot: depotOn(t, disk), calls: call, after: after}
	d.meddle = func() {
		var err error
		second, err = newShipment(t.Context(), s, depotOn(t, disk))
		require.NoError(t, err)
		_, err = second.look(t.Context())
		require.NoError(t, err)
	}
	begun, err := newShipment(t.Context(), s, d)
	if err == nil {
		_, err = begun.look(t.Context())
	}
	if err != nil {
		require.ErrorIs(t, err, ErrBusy)
	}
	if second == nil {
		return false
	}
	where := fmt.Sprintf("first: %v, call %d (%s), after it: %v", first, call, d.met, after)
	put(t, s, "more")
	var ended error
	for _, other := range []*shipment{begun, second} {
		if other == begun && err != nil {
			continue
		}
		if _, failed := other.look(t.Context()); failed != nil {
			require.ErrorIs(t, failed, ErrBusy, where)
			ended = failed
		}
	}
	require.True(t, (err == nil) != (ended == nil), "%s: one of the two ends: %v, %v", where, err, ended)
	requireRestorable(t, s, disk, "back")
	return true
}

// hastyDepot takes an object for stored that it has not read to its end.
type hastyDepot struct{ Depot }

func (d hastyDepot) Put(ctx context.Context, name string, content io.Reader) error {
	if !isPiece(name) {
		return d.Depot.Put(ctx, name, content)
	}
	return d.Depot.Put(ctx, name, io.LimitReader(content, 700))
}

func TestAPutThatHasNotReadAllIsNoPut(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	shipOnce(t, s, depotOn(t, disk))
	want := digest(s)
	someMore(t, s)
	err := Ship(t.Context(), s, hastyDepot{depotOn(t, disk)}, ShipOptions{Once: true})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	_, err = RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, want, digest(copyOf(t, disk, "back")))
	shipOnce(t, s, depotOn(t, disk))
	requireRestorable(t, s, disk, "back again")
}

func TestADepotThatIsFullKeepsWhatItHasAndGetsNoFuller(t *testing.T) {
	disk, room := vfs.NewMemory(), vfs.NewMemory()
	s := someLog(t, disk)
	shipOnce(t, s, depotOn(t, room))
	want := digest(s)
	someMore(t, s)
	for extra := int64(0); ; extra += 20 << 10 {
		before := piecesOf(t, room)
		room.SetCapacity(sizeOf(t, room, "depot") + extra)
		err := Ship(t.Context(), s, depotOn(t, room), ShipOptions{Once: true})
		room.SetCapacity(math.MaxInt64)
		if err == nil {
			require.Positive(t, extra)
			break
		}
		require.ErrorIs(t, err, ErrDiskFull)
		require.Equal(t, before, piecesOf(t, room))
		back := fmt.Sprint("back ", extra)
		_, err = RestoreFrom(t.Context(), depotOn(t, room), back, onDisk(disk))
		require.NoError(t, err)
		require.Equal(t, want, digest(copyOf(t, disk, back)))
	}
	_, err := RestoreFrom(t.Context(), depotOn(t, room), "back", onDisk(disk))
	require.NoError(t, err)
	require.Equal(t, digest(s), digest(copyOf(t, disk, "back")))
}

func sizeOf(t *testing.T, disk *vfs.Memory, dir string) (size int64) {
	t.Helper()
	names, err := disk.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		size += int64(len(disk.Bytes(filepath.Join(dir, name))))
	}
	return size
}

// The machine was believed lost, the log was restored elsewhere, and both ship to one depot.
func TestARestoredStoreContinuesInTheDepotAndTheFormerOneIsRefused(t *testing.T) {
	disk := vfs.NewMemory()
	s := someLog(t, disk)
	former, err := newShipment(t.Context(), s, depotOn(t, disk))
	require.NoError(t, err)
	_, err = former.look(t.Context())
	require.NoError(t, err)
	put(t, s, "not shipped")
	_, err = RestoreFrom(t.Context(), depotOn(t, disk), "back", onDisk(disk))
	require.NoError(t, err)
	r, err := open(disk, "back", smallSegments(SyncAlways), true)
	require.NoError(t, err)
	defer r.Close()
	before := piecesOf(t, disk)
	shipOnce(t, r, depotOn(t, disk))
	kept := slices.DeleteFunc(piecesOf(t, disk), func(name string) bool { return !slices.Contains(before, name) })
	require.NotEmpty(t, kept, "sealed segments are the same")
	someMore(t, r)
	shipOnce(t, r, depotOn(t, disk))
	_, err = former.look(t.Context())
	require.ErrorIs(t, err, ErrBusy)
	require.ErrorIs(t, Ship(t.Context(), s, depotOn(t, disk), ShipOptions{Once: true}), ErrForeignHistory)
	requireRestorable(t, r, disk, "back again")
}

func TestAnObjectIsNotReplacedOnceTheContextHasEnded(t *testing.T) {
	d := depotOn(t, vfs.NewMemory())
	require.NoError(t, d.Put(t.Context(), "name", strings.NewReader("first")))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.Put(ctx, "name", strings.NewReader("second")), context.Canceled)
	b, err := getObject(t.Context(), d, "name")
	require.NoError(t, err)
	require.Equal(t, "first", string(b))
}
