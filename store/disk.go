package store

import (
	"encoding/binary"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// ErrPowerCut is the error of everything that a store does after the power of its [Disk] was cut.
var ErrPowerCut = vfs.ErrPowerCut

// Disk is a disk in the memory of this process whose power can be cut: for tests of what a program makes of a crash. A store
// opened with Options.Disk does on it what it does on a real one; what it has not synced when the power fails is lost, kept,
// or torn, sector by sector.
//
//	disk := store.NewDisk()
//	st, _ := store.Open("data", store.Options{Disk: disk})
//	...                        // work; or beforehand disk.CutAt(n), to fail in the middle of it
//	disk.Cut()
//	_ = st.Close()             // it ends what the store has running, and can write nothing any more
//	disk = disk.Rebooted(seed) // one of the states that the disk may be found in
//	st, _ = store.Open("data", store.Options{Disk: disk})
//
// It is safe for concurrent use.
type Disk struct {
	memory *vfs.Memory
	boot   uint64
}

// NewDisk returns an empty disk without limit.
func NewDisk() *Disk { return &Disk{memory: vfs.NewMemory().Untraced(), boot: 1} }

// Ops is the number of operations so far that change the disk: writes, syncs, and changes of names.
func (d *Disk) Ops() int { return d.memory.Ops() }

// CutAt lets the power fail at operation n, counted from 1 as by [Disk.Ops]: that one may have had all, part or none of its
// effect, and every later call fails with [ErrPowerCut]. An n that is past never comes.
func (d *Disk) CutAt(n int) { d.memory.CutAt(n) }

// Cut lets the power fail now: the next operation is the first that fails.
func (d *Disk) Cut() { d.memory.CutAt(d.memory.Ops() + 1) }

// FailAt makes operation n fail with err, without an effect. A store whose write or sync fails writes no more until it is
// opened again.
func (d *Disk) FailAt(n int, err error) { d.memory.FailAt(n, err) }

// SetCapacity limits the disk to a number of bytes; what does not fit fails with [ErrDiskFull].
func (d *Disk) SetCapacity(bytes int64) { d.memory.SetCapacity(bytes) }

// Rebooted gives the disk as the next boot finds it: after the power cut, or as if it were cut now. What was synced is there;
// of the rest the seed decides. It has no faults and no limit. The Disk itself is not changed.
func (d *Disk) Rebooted(seed uint64) *Disk {
	return &Disk{memory: d.memory.Image(seed).Untraced(), boot: d.boot + 1}
}

// bootID tells apart the boots of a disk.
func (d *Disk) bootID() (id [16]byte) {
	binary.LittleEndian.PutUint64(id[:], d.boot)
	return id
}
