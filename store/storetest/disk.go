package storetest

import (
	"context"
	"encoding/binary"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/internal/vfs"
)

// ErrPowerCut is the error of everything that a store does after the power of its [Disk] was cut.
var ErrPowerCut = vfs.ErrPowerCut

// Disk is a disk in the memory of this process whose power can be cut: for tests of what a crash
// leaves of a program's work. A store opened on it does there what it does on a real one; what it
// has not synced when the power fails is lost, kept, or torn, sector by sector.
//
//	disk := storetest.NewDisk()
//	st, _ := disk.Open("data", store.Options{})
//	...                        // work; or beforehand disk.CutAt(n), to fail in the middle of it
//	disk.Cut()
//	_ = st.Close()             // it ends what the store has running, and can write nothing any more
//	disk = disk.Rebooted(seed) // one of the states that the disk may be found in
//	st, _ = disk.Open("data", store.Options{})
//
// It is safe for concurrent use.
type Disk struct {
	memory *vfs.Memory
	boot   uint64 // counts the boots since NewDisk, and stands for the machine's boot id
}

// NewDisk returns an empty disk without limit.
func NewDisk() *Disk { return &Disk{memory: vfs.NewMemory().Untraced().Readable(), boot: 1} }

// Open is [store.Open] of a directory on the disk. Several stores may be open at once, read-only
// ones beside a writer too.
func (d *Disk) Open(dir string, o store.Options) (*store.Store, error) {
	o.Device = &vfs.Device{FS: d.memory, Boot: d.bootID()}
	return store.Open(dir, o)
}

// Restore is [store.Restore] from a directory on the disk to another one. A [store.Backup] of a
// store on it lies on it, too.
func (d *Disk) Restore(ctx context.Context, src, dst string, o store.RestoreOptions) (store.CopyReport, error) {
	o.Store.Device = &vfs.Device{FS: d.memory, Boot: d.bootID()}
	return store.Restore(ctx, src, dst, o)
}

// Open opens an empty store on a disk of its own: for tests and examples that need a store and no
// crash. Close loses the contents.
func Open(o store.Options) (*store.Store, error) { return NewDisk().Open("memory", o) }

// Ops returns the number of operations so far that change the disk: writes, syncs, and changes of
// names.
func (d *Disk) Ops() int { return d.memory.Ops() }

// CutAt lets the power fail at operation n, counted from 1 as by [Disk.Ops]: that one may have had
// all, part or none of its effect, and every later call fails with [ErrPowerCut], except that a
// store which is open can still be read. An n that is past never comes.
func (d *Disk) CutAt(n int) { d.memory.CutAt(n) }

// Cut lets the power fail now: the next operation is the first that fails.
func (d *Disk) Cut() { d.memory.CutAt(d.memory.Ops() + 1) }

// FailAt makes operation n fail with err, without an effect. A store whose write or sync fails
// writes no more until it is opened again.
func (d *Disk) FailAt(n int, err error) { d.memory.FailAt(n, err) }

// SetCapacity limits the disk to a number of bytes; what does not fit fails with
// [store.ErrDiskFull].
func (d *Disk) SetCapacity(bytes int64) { d.memory.SetCapacity(bytes) }

// Rebooted returns the disk as the next boot finds it: after the power cut, or as if it were cut
// now. What was synced is there; of the rest the seed decides. Nothing fails on it and it has no
// limit. The Disk itself is not changed.
func (d *Disk) Rebooted(seed uint64) *Disk {
	return &Disk{memory: d.memory.Image(seed).Untraced().Readable(), boot: d.boot + 1}
}

// bootID reports apart the boots of a disk.
func (d *Disk) bootID() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], d.boot)
	return id
}
