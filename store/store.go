package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Store is an open log. Its methods may be called from many goroutines.
type Store struct {
	fs      vfs.FS
	dir     string
	options Options
	origin  Origin
	boot    [16]byte
	inline  bool // background work runs in the committer's place: for tests that need one order of events

	head     atomic.Uint64 // position of the last visible event
	sequence atomic.Uint64 // of the next commit
	segments atomic.Pointer[[]*segment]
	indexes  indexCache
	sides    sideTable
	decoders decoderPool
	requests requestPool

	announcer announcer
	closed    atomic.Bool
	closing   sync.Mutex // held by Close

	// Of a writer.
	committer   *committer
	lock        io.Closer
	beaconFile  vfs.File
	beaconMap   []byte // the file in memory, where the system can do that
	unmapBeacon func() error
	tasks       sync.WaitGroup // background work
	taskMu      sync.Mutex     // one piece of it at a time

	// Of a read-only store.
	follower *follower
}

// Open opens the store in a directory, which it creates if need be, and recovers what a crash left.
//
// Opening for writing takes a lock that lasts until Close or the death of the process: [ErrLocked]
// if another has it. What lies behind the last batch known durable is written once more and synced,
// so that everything that is visible after Open is on disk. Errors: [ErrCorrupt] (a [CorruptError]
// with segment and offset) for damage to what was durable once; [ErrNewerFormat]; [InvalidError]
// for bad options and an empty name; the file system's errors, fs.ErrPermission for a read-only
// directory among them. A failed Open changes nothing that recovery would not change as well.
//
// With Options.ReadOnly nothing is changed and no lock is taken: any number may read beside the
// writer. [ErrNotStore] when there is nothing to read.
func Open(dir string, o Options) (*Store, error) {
	if dir == "" {
		return nil, &InvalidError{Field: "directory", Rule: "must not be empty"}
	}
	if o.Device != nil {
		return open(o.Device.FS, dir, o, false)
	}
	return open(vfs.OS(), dir, o, false)
}

// open is Open on any file system. inline lets background work run in the committer's place.
func open(fsys vfs.FS, dir string, o Options, inline bool) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{fs: fsys, dir: dir, options: o, boot: bootID(), inline: inline}
	if o.Device != nil {
		s.boot = o.Device.Boot
	}
	s.sides.values = make(map[string]SideValue)
	s.decoders.sides = &s.sides
	s.segments.Store(&[]*segment{})
	if o.ReadOnly {
		err = s.openReadOnly()
	} else {
		err = s.openWriter()
	}
	if err != nil {
		s.release()
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) openWriter() error {
	if err := s.lockDirectory(); err != nil {
		return err
	}
	w, err := s.recoverLog()
	if err != nil {
		return err
	}
	s.committer = newCommitter(w)
	return nil
}

// lockDirectory makes this process the owner of the directory, and makes the directory if there is
// none.
func (s *Store) lockDirectory() error {
	if s.options.MustExist {
		// Before anything is made. Whether the files hold a store is seen under the lock.
		if numbers, err := s.segmentNumbers(); errors.Is(err, fs.ErrNotExist) || err == nil && len(numbers) == 0 {
			return &NotStoreError{Directory: s.dir}
		} else if err != nil {
			return err
		}
	}
	if err := s.fs.MkdirAll(s.dir); err != nil {
		return err
	}
	lock, err := s.fs.Lock(s.path(lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return &LockedError{Owner: readOwner(s.fs, s.path(ownerName))}
	}
	if err != nil {
		return err
	}
	s.lock = lock
	s.writeOwner()
	return nil
}

// addSegment makes a segment known to readers.
func (s *Store) addSegment(g *segment) {
	segments := append(slices.Clip(*s.segments.Load()), g)
	s.segments.Store(&segments)
}

// background runs a task of the writer beside the commits, one at a time. Close waits for it.
func (s *Store) background(task func()) {
	if s.inline {
		task()
		return
	}
	s.tasks.Go(func() {
		s.taskMu.Lock()
		defer s.taskMu.Unlock()
		task()
	})
}

// Head is the position of the last visible event, 0 when there is none. What is visible is durable
// under the sync mode.
func (s *Store) Head() Position {
	s.catchUp()
	return Position(s.head.Load())
}

// Origin names the chain of events that positions of this store belong to.
func (s *Store) Origin() Origin { return s.origin }

// Close lets queued commits finish, refuses new ones with [ErrClosed], marks a clean end in the
// log, syncs it and gives up the lock. Waiters and readers get [ErrClosed]. A second Close does
// nothing. An error means that the clean end could not be recorded; what was acknowledged is not
// affected, as far as the sync mode says. After a failed write or sync it wraps [ErrPoisoned]: a
// sync in the background may have failed without telling anybody.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return nil
	}
	var err error
	if s.committer != nil {
		s.committer.close()
		s.tasks.Wait()
		err = s.committer.writer.end()
	}
	s.closed.Store(true)
	s.announce()
	if s.follower != nil { // let a catching-up under way end, and see closed afterwards
		s.follower.mu.Lock()
		defer s.follower.mu.Unlock()
	}
	s.release()
	if err != nil {
		return fmt.Errorf("close %s: %w", s.dir, err)
	}
	return nil
}

// release gives back files and lock.
func (s *Store) release() {
	s.tasks.Wait()
	for _, g := range *s.segments.Load() {
		_ = g.file.Close()
	}
	if s.unmapBeacon != nil {
		_ = s.unmapBeacon()
	}
	if s.beaconFile != nil {
		_ = s.beaconFile.Close()
	}
	if s.lock != nil {
		s.removeOwner()
		_ = s.lock.Close()
	}
}
