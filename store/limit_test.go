package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// errDead is what a process gets that does not live any more.
var errDead = errors.New("the process is dead")

// mortal is a disk as a process sees it that dies before its nth change of it: the machine lives
// on, with all that the process had written.
type mortal struct {
	vfs.FS
	left int // changes until then
}

func (m *mortal) alive() error {
	if m.left--; m.left < 0 {
		return errDead
	}
	return nil
}

func (m *mortal) MkdirAll(dir string, perm fs.FileMode) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.FS.MkdirAll(dir, perm)
}

func (m *mortal) OpenDir(dir string, perm fs.FileMode) (vfs.Dir, error) {
	d, err := m.FS.OpenDir(dir, perm)
	return mortalDir{d, m}, err
}

type mortalDir struct {
	vfs.Dir
	process *mortal
}

func (d mortalDir) Create(name string) (vfs.File, error) {
	if err := d.process.alive(); err != nil {
		return nil, err
	}
	f, err := d.Dir.Create(name)
	return mortalFile{f, d.process}, err
}

func (d mortalDir) Open(name string, readOnly bool) (vfs.File, error) {
	f, err := d.Dir.Open(name, readOnly)
	return mortalFile{f, d.process}, err
}

func (d mortalDir) Remove(name string) error {
	if err := d.process.alive(); err != nil {
		return err
	}
	return d.Dir.Remove(name)
}

func (d mortalDir) Sync() error {
	if err := d.process.alive(); err != nil {
		return err
	}
	return d.Dir.Sync()
}

type mortalFile struct {
	vfs.File
	process *mortal
}

func (f mortalFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.process.alive(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f mortalFile) Truncate(size int64) error {
	if err := f.process.alive(); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f mortalFile) Reserve(from, to int64) error {
	if err := f.process.alive(); err != nil {
		return err
	}
	return f.File.Reserve(from, to)
}

func (f mortalFile) Sync() error {
	if err := f.process.alive(); err != nil {
		return err
	}
	return f.File.Sync()
}

// lastLife runs a script in a process that dies before its nth change, and returns what is left of
// it: its lock is held until it is killed.
func lastLife(disk *vfs.Memory, mode SyncMode, n int, script []crashStep) (r *crashRun, died bool) {
	r = newCrashRun(disk, mode)
	process := &mortal{FS: disk, left: n}
	r.through = process
	for _, step := range script {
		if step(r) != nil {
			break
		}
	}
	return r, process.left < 0
}

// reading is a store that was opened to read, if there is one.
func reading(t *testing.T, disk *vfs.Memory) *Store {
	t.Helper()
	st, err := open(disk, crashDir, Options{ReadOnly: true}, true)
	if errors.Is(err, ErrNotStore) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return st
}

// requireLasting checks that a power cut takes away nothing of what a reader shows.
func requireLasting(t *testing.T, disk *vfs.Memory, reader *Store, where string) Position {
	t.Helper()
	if reader == nil {
		return 0
	}
	anchor, err := reader.AnchorAt(t.Context(), reader.Head())
	require.NoError(t, err, where)
	sequence := reader.Stats().Sequence
	for _, seed := range []uint64{vfs.KeepNothing, vfs.KeepAll, vfs.KeepFirst, 77, 78} {
		where := fmt.Sprintf("%s, image %d", where, seed)
		st, err := tryOpen(powerCutImage(t, disk, seed), SyncAlways)
		require.NoError(t, err, where)
		require.NoError(t, st.CheckAnchor(t.Context(), anchor), where)
		require.GreaterOrEqual(t, st.Stats().Sequence, sequence, where)
		killStore(st)
	}
	return anchor.Position
}

// eachDeath calls f with what is left of a process that died before each of its changes, see
// thinning.
func eachDeath(mode SyncMode, disk func() *vfs.Memory, script []crashStep, f func(r *crashRun, where string)) {
	for n := 0; ; n += thinning {
		r, died := lastLife(disk(), mode, n, script)
		if !died {
			r.kill()
			return
		}
		f(r, fmt.Sprintf("sync %s, death before change %d", mode, n))
		r.kill()
	}
}

func TestWhatAReaderShowsWithoutAWriterSurvivesAPowerCut(t *testing.T) {
	for _, mode := range []SyncMode{SyncAlways, SyncInterval, SyncNever} {
		synctest.Test(t, func(t *testing.T) {
			shown := map[Position]bool{}
			eachDeath(mode, vfs.NewMemory, crashScript(2), func(r *crashRun, where string) {
				follower := reading(t, r.disk) // beside it
				r.kill()
				acked := r.replay(r.acked())
				for i, reader := range []*Store{follower, reading(t, r.disk)} {
					head := requireLasting(t, r.disk, reader, fmt.Sprint(where, ", reader ", i))
					if reader != nil && reader.Head() < Position(len(acked.events)) {
						require.Fail(t, "acknowledged and not shown", where)
					}
					shown[head] = true
				}
			})
			require.Greater(t, len(shown), 15/thinning)
		})
	}
}

// What the last writer wrote may be lost where no sync tells: the disk takes none.
func TestAReaderThatCannotSyncShowsWhatIsKnownDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shown, withheld := map[Position]bool{}, 0
		eachDeath(SyncAlways, vfs.NewMemory, crashScript(2), func(r *crashRun, where string) {
			r.kill()
			r.disk.SetReadOnly(true)
			reader := reading(t, r.disk)
			shown[requireLasting(t, r.disk, reader, where)] = true
			if reader != nil && reader.follower.withheld.Load() {
				withheld++
				requireUndecided(t, reader, r.commits, where)
			}
			r.disk.SetReadOnly(false)
			if reader != nil {
				require.GreaterOrEqual(t, reader.Head(), Position(len(r.replay(r.acked()).events)), where)
				require.False(t, reader.follower.withheld.Load())
				requireLasting(t, r.disk, reader, where)
			}
		})
		require.Greater(t, len(shown), 20/thinning)
		require.Positive(t, withheld)
	})
}

// requireUndecided checks that no anchor of the log is called foreign because it is not shown yet.
func requireUndecided(t *testing.T, reader *Store, commits []submitted, where string) {
	t.Helper()
	for i := range commits {
		if a := commits[i].receipt.Anchor(); a.Position > reader.Head() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.ErrorIs(t, reader.CheckAnchor(ctx, a), context.DeadlineExceeded, where)
			cancel()
		}
	}
}

// The writer that begins finds the beacon of a former one, which may say more than a power cut
// left.
func TestWhatAReaderShowsBesideAWriterThatBeginsSurvivesAPowerCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		killedOne := func() *vfs.Memory {
			r, _ := lastLife(vfs.NewMemory(), SyncAlways, 1<<20, crashScript(2)[:17])
			r.kill()
			return r.disk
		}
		for name, left := range map[string]func() *vfs.Memory{
			"the process before was killed": killedOne,
			"the power was cut":             func() *vfs.Memory { return powerCutImage(t, killedOne(), vfs.KeepNothing) },
			"the power was cut, and the beacon is newer": func() *vfs.Memory {
				disk := killedOne()
				return restoreStatus(t, disk.Image(vfs.KeepNothing), disk)
			},
		} {
			n := 0
			for died := true; died; n += thinning {
				died = standsStill(t, left(), n, fmt.Sprintf("%s, death before change %d", name, n))
			}
			require.Greater(t, n, 10, name)
		}
	})
}

// standsStill lets a writer begin and add something until it stands still, with its lock, before
// its nth change of the disk.
func standsStill(t *testing.T, disk *vfs.Memory, n int, where string) (stood bool) {
	t.Helper()
	process := &mortal{FS: disk, left: n}
	before := reading(t, disk)
	st, err := open(process, crashDir, Options{SegmentBytes: minSegmentBytes}, true)
	if err != nil {
		dir, err := disk.OpenDir(crashDir, ownerOnly)
		require.NoError(t, err)
		lock, err := dir.Lock(lockName) // which it would have kept
		require.NoError(t, err)
		defer func() { require.NoError(t, lock.Close()) }()
	} else {
		for range 3 {
			_, _ = st.Append(t.Context(), At("order:1", "shop"), Any, crashPayload(1, 9000))
		}
		defer killStore(st)
	}
	for _, reader := range []*Store{before, reading(t, disk)} {
		requireLasting(t, disk, reader, where)
	}
	return process.left < 0
}

// As where a disk takes no more, and then says that all is well: what it lost is in memory still.
func TestWhatAFailedSyncLeftIsNotShownWhenItsWriterHasEnded(t *testing.T) {
	for _, beside := range []bool{true, false} {
		disk := vfs.NewMemory()
		s := openLog(t, disk, Options{})
		put(t, s, "a")
		var reader *Store
		if beside {
			reader = openLog(t, disk, Options{ReadOnly: true})
		}
		disk.FailAt(disk.Ops()+2, syscall.EIO) // after the batch
		_, err := s.Append(t.Context(), At("b", "test"), Any, note{})
		require.ErrorIs(t, err, ErrPoisoned)
		require.Error(t, s.Close())
		if reader == nil {
			reader = openLog(t, disk, Options{ReadOnly: true})
		}
		require.Equal(t, Position(1), reader.Head())
		require.Equal(t, []string{"a"}, entities(all(t, reader, Region{})))

		s = openLog(t, disk, Options{}) // which writes it once more
		require.Equal(t, Position(2), s.Head())
		require.Equal(t, Position(2), reader.Head())
	}
}

// A system without an id of its boot cannot tell an old beacon by that.
func TestABeaconIsNotBelievedForTheBatchesOfALaterWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		o := Options{Device: &vfs.Device{FS: gate}}
		s := openLog(t, gate, o)
		for range 5 {
			put(t, s, "a")
		}
		var said beacon
		require.True(t, said.decode(gate.disk().Bytes(logDir+"/"+beaconName)))
		said.visible += 10000 // as if the power cut had taken more
		var stale [beaconSize]byte
		said.encode(&stale)
		require.NoError(t, s.Close())

		s = openLog(t, gate, o)
		o.ReadOnly = true
		before := openLog(t, gate.disk(), o)
		gate.shut.Store(true)
		t.Cleanup(gate.open)
		unsynced := async(t.Context(), s, Batch{Events: eventsOf("b"), Sides: []SideWrite{{Key: "k"}}})
		synctest.Wait()
		overwriteBeacon(t, gate.disk(), stale[:])
		for _, reader := range []*Store{before, openLog(t, gate.disk(), o)} {
			require.Equal(t, Position(5), reader.Head())
			require.Equal(t, "-", sideText(reader, "k"))
		}
		gate.open()
		require.NoError(t, (<-unsynced).err)
		require.Equal(t, Position(6), before.Head())
	})
}
