package store

import (
	"io/fs"
	"time"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// SyncMode says what an acknowledged commit has survived.
type SyncMode uint8

const (
	// SyncAlways acknowledges a commit after its bytes were synced to the disk; writers that wait at
	// the same time share one sync. It survives a power cut.
	SyncAlways SyncMode = iota
	// SyncInterval acknowledges after write(2) and syncs every Options.SyncEvery while there is
	// something to sync. A killed process loses nothing, a power cut at most the commits of the last
	// interval.
	SyncInterval
	// SyncNever acknowledges after write(2) and leaves syncing to the operating system, to segment
	// changes and to Close. A killed process loses nothing, a power cut what was not synced.
	SyncNever
)

// String returns the name of the mode.
func (m SyncMode) String() string {
	switch m {
	case SyncInterval:
		return "interval"
	case SyncNever:
		return "never"
	default:
		return "always"
	}
}

// Options of a store. The zero value is right for most programs.
type Options struct {
	// Sync is the durability of an acknowledgement.
	Sync SyncMode
	// SyncEvery is the period of SyncInterval; 0 means 100 ms, less than a millisecond is refused.
	SyncEvery time.Duration
	// SegmentBytes is the size at which segment files stop growing; 0 means 64 MiB. The first takes 4
	// MiB or less, each following one twice as much up to this size. They are filled with zeros ahead
	// of use, which halves the cost of a sync; in the weaker modes their room is only reserved.
	// Between 64 KiB and 1 GiB.
	SegmentBytes int64
	// MustExist refuses to create: opening a directory without a store is [ErrNotStore] and makes
	// none. A store whose creation was cut off, so that no Open of it ever returned, counts as none.
	MustExist bool
	// FileMode is the permissions of the files that are made, less the umask; directories get the
	// same, and may be entered by those who may read. 0 means 0600: the user of the process alone. It
	// must let the owner read and write, and no user execute. What is there already keeps its
	// permissions; Stats.Exposed says where they grant more.
	FileMode fs.FileMode
	// Clock returns what time it is; nil means the clock of the machine. It is for tests that move the
	// time themselves, as package reactortest does. Where the times it returns have a monotonic
	// reading, that is elapsed time; others should not go back, or Now stands still meanwhile. It is
	// called by many goroutines, one at a time, and must not use the store. A system of package actors
	// waits by the timers of package time, which must move with it: in a bubble of testing/synctest
	// they do, without a Clock.
	Clock func() time.Time
	// Gates judge each event before it is committed, in this order. A reader has no use for them.
	Gates []Gate
	// ReadOnly opens the directory beside its writer, or without one, and changes nothing in it.
	// Without one it syncs the last segment before it shows what is there; where the system does not
	// let it (on Windows that takes the right to write), the last commits before the death of a writer
	// are shown once another one has opened the store.
	ReadOnly bool
	// Device is where the directory lies, nil for the machine's own file system. It is the seam for
	// tests: only package storetest can make one, and its functions set it.
	Device *vfs.Device

	// sidesOnDisk keeps no side value in memory, however short: for tests.
	sidesOnDisk bool
	// restores begins a new incarnation in a directory that Restore is filling.
	restores bool
}

func (o Options) withDefaults() (Options, error) {
	if o.Sync > SyncNever {
		return o, &InvalidError{Field: "sync mode", Rule: "unknown"}
	}
	if o.SyncEvery == 0 {
		o.SyncEvery = defaultSyncEvery
	}
	if o.SyncEvery < time.Millisecond {
		return o, &InvalidError{Field: "sync interval", Rule: "must be at least 1ms", Value: o.SyncEvery}
	}
	if err := checkGates(o.Gates); err != nil {
		return o, err
	}
	if o.FileMode == 0 {
		o.FileMode = ownerOnly
	}
	if o.FileMode&^0o666 != 0 || o.FileMode&ownerOnly != ownerOnly {
		return o, &InvalidError{Field: "file mode", Rule: "must be between 0600 and 0666", Value: o.FileMode}
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = defaultSegmentBytes
	}
	if o.SegmentBytes < minSegmentBytes {
		return o, &InvalidError{Field: "segment bytes", Rule: "must be at least 64 KiB", Value: o.SegmentBytes}
	}
	if o.SegmentBytes > maxSegmentBytes {
		return o, &InvalidError{Field: "segment bytes", Limit: maxSegmentBytes, Value: o.SegmentBytes}
	}
	return o, nil
}

// ownerOnly is the default of Options.FileMode.
const ownerOnly fs.FileMode = 0o600

// directoryMode lets all enter a directory that may read the files in it.
func directoryMode(files fs.FileMode) fs.FileMode { return files | files>>2&0o111 }
