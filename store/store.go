package store

import (
	"context"
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
//
// Ownership: the fields of the first group are set by Open and never change. Those of the second
// are how the one that advances the log (the holder of the committer's role, or in a read-only
// store the holder of follower.mu) tells readers what there is; only it writes them. Each of the
// others has a lock of its own or is used by one goroutine at a time, as it says.
type Store struct {
	fs      vfs.FS
	path    string  // of the directory, as Open was given it: for messages alone
	dir     vfs.Dir // the directory itself, whatever lies at path later; release closes it
	options Options
	origin  Origin
	boot    [16]byte
	exposed fs.FileMode // see Stats
	poisons bool        // Scan overwrites events that are gone
	inline  bool        // background work runs in the committer's place: for tests that need one order of events
	gates   []storeGate // immutable

	// head is the position of the last visible event. It is stored after the bytes, the index and the
	// segments that it makes visible, under the lock of the side values that come with it, and never
	// falls: a reader loads it once and finds everything up to it, whatever is written meanwhile.
	// It is the last position that was assigned, unless a fence is open. hidden is stored before the
	// head moves past a cancelled range, and nil while there is none.
	head     atomic.Uint64
	assigned atomic.Uint64
	hidden   atomic.Pointer[ranges]
	lost     atomic.Pointer[losses] // the part of hidden that damage has taken, as of the same time
	sequence atomic.Uint64          // of the next commit

	// segments holds the segments in order of their numbers. Invariants: the slice that is pointed to
	// never changes, so that a reader may walk it without a lock (addSegment and exchange copy it);
	// the next one has one segment more, or the same events in another segment in the place of one or
	// some; segment i+1 begins with the position after the last of segment i, and only the last one
	// grows. A reader loads it after the head, never before: then it holds every segment that the head
	// reaches into.
	segments atomic.Pointer[[]*segment]

	files    fileCache  // locks itself
	indexes  indexCache // locks itself
	sides    sideTable  // locks itself; written by the one that advances the log
	decoders decoderPool
	requests requestPool
	emitters emitterTable // locks itself
	clock    clock        // locks itself
	erasing  erasing      // locks itself

	renewing  sync.Mutex  // held while a segment is replaced by what is in its file now, I/O included
	announcer announcer   // locks itself
	watchers  watchers    // locks itself
	closed    atomic.Bool // set once, when the writer has ended and before files are closed
	closing   sync.Mutex  // held by Close from beginning to end

	// Of a writer. The beacon and writing, the file of the active segment as it is open for writing,
	// belong to the holder of the committer's role, the lock to Open and Close. unmapBeacon, not
	// beaconMap, is what release goes by: the map is dropped when it fails.
	committer   *committer
	writing     vfs.File
	lock        io.Closer
	owner       Owner // what the file says of this process; guarded by closing
	beaconFile  vfs.File
	beaconMap   []byte // the file in memory, where the system can do that
	unmapBeacon func() error
	tasks       tasks      // background work
	taskMu      sync.Mutex // one piece of it at a time
	rewriter    rewriter   // has a goroutine of its own while it works, as it waits for commits
	fences      openFences // locks itself
	holding     holding    // locks itself

	// Of a read-only store; nil in a writer.
	follower *follower
}

// Open opens the store in a directory, which it creates if need be, and recovers what a crash left.
//
// Opening for writing takes a lock that lasts until Close or the death of the process: [ErrLocked]
// if another has it. The lock is that of the directory, not of its path: the store stays in the
// directory that it found, also when that is renamed, when another takes its place, and when the
// process changes its working directory.
//
// What lies after the last batch known durable is written once more and synced, so that everything
// that is visible after Open is on disk. Errors: [ErrCorrupt] (a [CorruptError] with segment and
// offset) for damage to what was durable once; [ErrNewerFormat]; [InvalidError] for bad options and
// an empty name; [ErrDiskFull] and [ErrBusy] for want of room and of descriptors; the file system's
// errors, fs.ErrPermission for a read-only directory or file system among them. A failed Open
// changes nothing that recovery would not change as well.
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
	s := newStore(fsys, dir, o, inline)
	if err := s.begin(); err != nil {
		s.release()
		return nil, fmt.Errorf("open %s: %w", dir, shortage(err))
	}
	return s, nil
}

// newStore is a store of which nothing is open.
func newStore(fsys vfs.FS, dir string, o Options, inline bool) *Store {
	s := &Store{fs: fsys, path: dir, options: o, inline: inline, poisons: poisons, gates: openGates(o.Gates)}
	s.clock.start(o.Clock)
	s.sides.start(&s.segments, s.again, s.catchUp, o.sidesOnDisk)
	s.decoders.sides, s.emitters.sides = &s.sides, &s.sides
	s.rewriter.busy = newRole()
	s.segments.Store(&[]*segment{})
	s.indexes.maxOpen, s.indexes.maxBytes = maxOpenIndexes, maxIndexBytes
	return s
}

func (s *Store) begin() (err error) {
	if s.options.Device != nil {
		s.boot = s.options.Device.Boot
	} else if s.boot, err = bootID(); err != nil {
		return err
	}
	if err := s.openDirectory(); err != nil {
		return err
	}
	if s.options.ReadOnly {
		return s.openReadOnly()
	}
	return s.openWriter()
}

func (s *Store) openWriter() error {
	if err := s.lockDirectory(); err != nil {
		return err
	}
	s.rewriter.busy.tryTake() // what recovery seals is rewritten once there is a committer
	w, err := s.recoverLog()
	if err != nil {
		return err
	}
	s.committer = newCommitter(w)
	count(w, &openBatch{})
	s.committer.tally = w.tally
	s.erasing.start()
	s.rewriter.busy.leave()
	s.rewriteAhead()
	s.eraseAhead()
	return nil
}

// openDirectory finds the directory by its path, once, and makes one if there is none and may be.
func (s *Store) openDirectory() (err error) {
	creates := !s.options.ReadOnly && !s.options.MustExist
	if creates {
		if err := s.fs.MkdirAll(s.path, directoryMode(s.options.FileMode)); err != nil {
			return err
		}
	}
	s.dir, err = s.fs.OpenDir(s.path, s.options.FileMode)
	if errors.Is(err, fs.ErrNotExist) && !creates {
		return s.notStore()
	}
	s.files.dir = s.dir
	return err
}

func (s *Store) notStore() error { return fmt.Errorf("%w: %q", ErrNotStore, s.path) }

// lockDirectory makes this process the owner of the directory.
func (s *Store) lockDirectory() error {
	if s.lock != nil { // Restore has it
		return nil
	}
	if s.options.MustExist {
		// Before anything is made; whether the files are a store is decided under the lock.
		if numbers, err := s.segmentNumbers(); err != nil {
			return err
		} else if len(numbers) == 0 {
			return s.notStore()
		}
	}
	lock, err := s.dir.Lock(lockName)
	if errors.Is(err, vfs.ErrLocked) {
		return readOwner(s.dir)
	}
	if err != nil {
		return err
	}
	s.lock = lock
	s.writeOwner()
	return nil
}

// addSegment makes a segment known to readers, who may be walking the present slice: Clip leaves
// append no room in it, so it copies.
func (s *Store) addSegment(g *segment) {
	for {
		former := s.segments.Load()
		segments := append(slices.Clip(*former), g)
		if s.segments.CompareAndSwap(former, &segments) {
			return
		}
	}
}

// exchange puts a segment in the place of those whose files it has replaced.
func (s *Store) exchange(old []*segment, g *segment) {
	for {
		former := s.segments.Load()
		at := slices.Index(*former, old[0])
		segments := slices.Replace(slices.Clone(*former), at, at+len(old), g)
		if s.segments.CompareAndSwap(former, &segments) {
			return
		}
	}
}

// background runs a task of the writer beside the commits, one at a time: making a file and sealing
// one would only slow each other down. Close waits for it. A task must not take the committer's
// role or wait for it, as the holder of the role may be waiting for the task.
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

// tasks are goroutines that Close waits for. Others may be begun meanwhile, which a WaitGroup does
// not allow where there are none.
type tasks struct {
	mu      sync.Mutex
	running int
	none    chan struct{} // closed once none is running
}

// Go runs a task on one of them. It must not panic.
func (t *tasks) Go(task func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running++; t.running == 1 {
		t.none = make(chan struct{})
	}
	go func() {
		defer t.ended()
		unlabel()
		task()
	}()
}

func (t *tasks) ended() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running--; t.running == 0 {
		close(t.none)
	}
}

// Wait returns once there was a moment in which none was running.
func (t *tasks) Wait() {
	t.mu.Lock()
	none, running := t.none, t.running
	t.mu.Unlock()
	if running > 0 {
		<-none
	}
}

// Head returns the position up to which the log is visible, 0 when nothing is: that of the last
// visible event, or of a later one that a cancelled fence hides. What is visible is durable under
// the sync mode. While a fence is open it waits, see [Fence].
func (s *Store) Head() Position {
	s.catchUp()
	return Position(s.head.Load())
}

// Close lets queued commits finish, refuses new ones with [ErrClosed], marks a clean end in the
// log, syncs it and releases the lock. Open fences are cancelled. Waiters and readers get
// [ErrClosed]. A second Close does nothing. An error means that the clean end could not be
// recorded; what was acknowledged is not affected, as far as the sync mode says. After a failed
// write or sync it wraps [ErrPoisoned]: a sync in the background may have failed that no caller has
// seen.
func (s *Store) Close() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return nil
	}
	var err error
	s.rewriter.stop.Store(true)
	_ = s.rewriter.busy.take(context.Background()) // what is under way ends soon
	defer s.rewriter.busy.leave()
	s.fences.close()
	if s.committer != nil {
		s.committer.close()
		s.tasks.Wait()
		err = s.committer.writer.end()
	}
	s.closed.Store(true)
	s.erasing.close()
	s.announce()
	s.watchers.ended(ErrClosed)
	if s.follower != nil { // a catching-up under way ends first; later ones see closed
		s.follower.mu.Lock()
		defer s.follower.mu.Unlock()
	}
	s.release()
	if err != nil {
		return fmt.Errorf("close %s: %w", s.path, err)
	}
	return nil
}

// release closes the files and frees the lock, last: another writer may begin as soon as it is
// free.
func (s *Store) release() {
	s.tasks.Wait()
	s.files.close()
	if s.writing != nil {
		_ = s.writing.Close()
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
	if s.dir != nil {
		_ = s.dir.Close()
	}
}
