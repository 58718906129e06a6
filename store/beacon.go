package store

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// The file STATUS is the writer's beacon for readers in other processes; the package comment draws
// it. The writer overwrites it after each group of commits and never syncs it, so that it costs a
// commit next to nothing.
//
// Readers trust it only while the writer's lock is held and the checksum is right; one that was
// read while it was overwritten fails the checksum and is read again. After a crash it can only
// prove that acknowledged events were lost, never vouch for any: it may be older than the log, and
// it may be newer, as it is not synced and the system writes files in any order.

// beacon is the content of the file.
type beacon struct {
	store       uuid.UUID
	boot        [16]byte // of the machine, zero where unknown
	incarnation uint32
	writerEpoch uint32
	segment     uint32
	visible     int64
	assigned    Position // the last one: the head, unless a fence is open
	sequence    uint64
	failed      bool // the writer: it will write no more, and what lies after visible is not known to be on the disk
}

const (
	beaconSize  = 96
	beaconMagic = "PENSTAT1"
	beaconName  = "STATUS"
	lockName    = "LOCK"
)

func (t *beacon) encode(b *[beaconSize]byte) {
	*b = [beaconSize]byte{}
	copy(b[:], beaconMagic)
	copy(b[16:], t.store[:])
	copy(b[32:], t.boot[:])
	le := binary.LittleEndian
	le.PutUint32(b[48:], t.incarnation)
	le.PutUint32(b[52:], t.writerEpoch)
	le.PutUint32(b[56:], t.segment)
	if t.failed {
		b[60] = 1
	}
	le.PutUint64(b[64:], uint64(t.visible))
	le.PutUint64(b[72:], uint64(t.assigned))
	le.PutUint64(b[80:], t.sequence)
	le.PutUint32(b[8:], wal.Checksum(b[12:]))
}

func (t *beacon) decode(b []byte) bool {
	le := binary.LittleEndian
	if len(b) != beaconSize || string(b[:8]) != beaconMagic || le.Uint32(b[8:]) != wal.Checksum(b[12:]) {
		return false
	}
	copy(t.store[:], b[16:])
	copy(t.boot[:], b[32:])
	t.incarnation = le.Uint32(b[48:])
	t.writerEpoch = le.Uint32(b[52:])
	t.segment = le.Uint32(b[56:])
	t.failed = b[60] == 1
	t.visible = int64(le.Uint64(b[64:]))
	t.assigned = Position(le.Uint64(b[72:]))
	t.sequence = le.Uint64(b[80:])
	return true
}

// writeBeacon overwrites the beacon before the head moves: what a reader in this process sees one
// in another may see. This process does not depend on it, so an error is not one of the commit.
func (w *writer) writeBeacon(assigned Position, failed bool) {
	s := w.store
	t := beacon{
		store:       s.origin.Store,
		boot:        s.boot,
		incarnation: s.origin.Incarnation,
		writerEpoch: w.next.WriterEpoch,
		segment:     w.segment.number,
		visible:     w.segment.end.Load(),
		assigned:    assigned,
		sequence:    s.sequence.Load(),
		failed:      failed,
	}
	t.encode(&w.beacon)
	if s.beaconMap != nil && copyMapped(s.beaconMap, w.beacon[:]) {
		return
	}
	s.beaconMap = nil // release unmaps it
	_, _ = s.beaconFile.WriteAt(w.beacon[:], 0)
}

// copyMapped copies into mapped memory. It reports false where that is a memory fault, because
// another program cut the file short or the disk has no room for the page: else the signal would
// end the process.
func copyMapped(dst, src []byte) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	copy(dst, src)
	return true
}

// openBeacon opens the status file, and maps it where the system can: that saves a system call per
// group.
func (s *Store) openBeacon() error {
	file, err := s.dir.Open(beaconName, false)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = s.dir.Create(beaconName)
	}
	if err != nil {
		return err
	}
	s.beaconFile = file
	if m, ok := file.(vfs.Mapper); ok {
		if err := file.Truncate(beaconSize); err != nil {
			return err
		}
		s.beaconMap, s.unmapBeacon, _ = m.Map(beaconSize) // without a map it is written
	}
	return nil
}

// readBeacon returns the content of the status file, if there is one to be believed. An error says
// that it was not looked at, for want of descriptors: that is no file which is not to be believed.
func (s *Store) readBeacon() (t beacon, ok bool, err error) {
	file, err := s.dir.Open(beaconName, true)
	if vfs.IsOutOfFiles(err) {
		return t, false, err
	}
	if err != nil {
		return t, false, nil
	}
	defer func() { _ = file.Close() }()
	var b [beaconSize]byte
	if n, _ := file.ReadAt(b[:], 0); n != beaconSize {
		return t, false, nil
	}
	return t, t.decode(b[:]), nil
}

// bootID identifies this run of the machine where the system reports it (Linux); it changes when
// the power was cut, and not when only a process died. Zero where it does not; want of descriptors
// is an error, since a boot that is not known counts as another one.
func bootID() (id [16]byte, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if vfs.IsOutOfFiles(err) {
		return id, err
	}
	if u, err := uuid.Parse(strings.TrimSpace(string(text))); err == nil {
		id = u
	}
	return id, nil
}
