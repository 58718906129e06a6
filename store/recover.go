package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	mathrand "math/rand/v2"
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// recovery is the opening of a log for writing, in steps:
//
//  1. list the segments; drop files at the end that were made ahead and never started;
//  2. check header, chaining and footer of every sealed segment; write a footer that is missing;
//  3. scan the last segment whole and decide where the log ends;
//  4. write again what lies after the last durable mark, make sure of zeros after it, sync;
//  5. load where the side values lie, oldest segment first, and what they hide of fences that were
//     cancelled or not published;
//  6. write an opening mark, which makes this writer's epoch durable.
//
// A read-only store does 1 to 3 and 5 without changing anything.
//
// Each step may be cut off by a crash and is then done again from the start: nothing is removed but
// what no reader was ever shown, what is written again are the same bytes, and the segments are
// started in the order of their numbers. Nothing is visible before the last step is durable.
//
// The goroutine in Open owns all of it, and the Store too: no other knows of it yet.
type recovery struct {
	store    *Store
	readOnly bool
	limit    limit             // of a read-only store
	withheld bool              // a read-only store may not show all that there is
	reach    fs.FileMode       // permissions of files that count, as the directory may be entered
	header   wal.SegmentHeader // of the last segment that was started

	// What is known of the log up to and including the last segment that was loaded.
	chain       wal.Expected // what the next segment's header must say
	lastTime    uint64       // hybrid time of the last event
	incarnation uint32       // of the log when the last batch was written
	flags       uint16       // of the last batch

	spent     []string // keys of fences of which all is visible
	rewritten rewritten
	unstarted []uint32 // numbers of files at the end of which no batch was ever durable
	merged    []uint32 // numbers of files that another one stands for
	tail      *scan    // of the last segment, nil when it is sealed or there is none
	covered   []*scan  // of segments without a footer of which runs speak
	tailSize  int64    // of its file
	tailUsed  int64    // there are only zeros in it from here on
	lost      bool     // acknowledged events are known to be missing
}

// recoverLog opens the log and returns its writer.
func (s *Store) recoverLog() (*writer, error) {
	r := &recovery{store: s}
	isBackup, err := s.copied()
	if err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	if err := r.checkLoss(); err != nil {
		return nil, err
	}
	if isBackup {
		if err := s.leaveBackup(); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(s.removeRewritten(), r.removeMerged()); err != nil {
		return nil, err
	}
	if err := s.openBeacon(); err != nil {
		return nil, err
	}
	r.dropRuns()
	if r.tail != nil {
		if err := r.rewriteTail(); err != nil {
			return nil, err
		}
	}
	if err := r.loadSides(); err != nil {
		return nil, err
	}
	fences, err := s.loadFences(math.MaxUint32) // all writers before have ended
	if err != nil {
		return nil, err
	}
	hidden, _ := fences.apply(0)
	s.conceal(&fences, hidden)
	if err := s.loadErasures(); err != nil {
		return nil, err
	}
	r.spent = fences.published()
	return r.start()
}

// load does steps 1 to 3.
func (r *recovery) load() error {
	numbers, err := r.store.segmentNumbers()
	if err != nil {
		return err
	}
	if r.reach, err = reach(r.store.dir); err != nil {
		return err
	}
	r.chain = wal.Expected{Sequence: 1, Position: 1}
	for i, number := range numbers {
		if _, readable := r.limit.of(number); r.readOnly && !readable {
			break
		}
		next := r.chain.Segment + uint32(len(r.unstarted)) + 1
		if number > next { // a file that is missing is damage, wherever it is
			return &CorruptError{Segment: next, Reason: "segment file is missing"}
		}
		if number < next {
			r.merged = append(r.merged, number)
			continue
		}
		if err := r.loadSegment(number, i == 0, numbers[len(numbers)-1]); err != nil {
			return err
		}
	}
	if err := r.checkRewritten(); err != nil {
		return err
	}
	if r.store.options.MustExist && len(*r.store.segments.Load()) == 0 {
		return r.store.notStore()
	}
	return r.dropUnstarted()
}

// reach returns the permissions that files in a directory can grant: none to those who may not
// enter it.
func reach(dir vfs.Dir) (fs.FileMode, error) {
	perm, err := dir.Perm()
	return perm & 0o111 * 0o7, err
}

// segmentNumbers returns the numbers of the segment files in the directory, in order.
func (s *Store) segmentNumbers() (numbers []uint32, err error) {
	names, err := s.dir.List()
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

// loadSegment opens one segment and compares it with those before it. Files at the end that hold
// nothing yet are remembered as unstarted. highest is the number of the last file.
func (r *recovery) loadSegment(number uint32, first bool, highest uint32) error {
	g := newSegment(number, &r.store.files)
	size, err := r.look(g)
	if err != nil {
		return err
	}
	if size > maxFileBytes { // a batch in it may claim as much, and has to fit into memory
		return g.corrupt(maxFileBytes, fmt.Sprintf("file has %d bytes, more than a segment can have", size))
	}
	started, err := r.readHeader(g, size)
	if err != nil {
		return err
	}
	if !started {
		r.unstarted = append(r.unstarted, number)
		r.store.files.forget(g)
		return nil
	}
	if len(r.unstarted) > 0 {
		return &CorruptError{Segment: r.unstarted[0], Reason: "segment header is bad, and a later segment was started"}
	}
	if err := r.checkHeader(g, first); err != nil {
		return err
	}
	r.store.addSegment(g)
	if trailer, ok := readTrailer(g, size); ok {
		r.sealed(g, &trailer)
		return nil
	}
	if r.readOnly {
		end, _ := r.limit.of(number)
		size = min(size, end)
	}
	return r.scanTail(g, size, g.last >= highest)
}

// look returns the size of a segment's file, and takes in which users may read it.
func (r *recovery) look(g *segment) (size int64, err error) {
	file, err := g.hold()
	if err != nil {
		return 0, err
	}
	defer file.drop()
	perm, err := file.Perm()
	if err != nil {
		return 0, err
	}
	r.store.exposed |= perm & r.reach &^ r.store.options.FileMode
	return file.Size()
}

// readHeader reads the header of a segment. A bad one is a torn first write, unless a footer or the
// mark of a batch after it proves that it was durable once: the header goes out with the first
// batch, so whatever makes a later byte durable makes the header durable too.
func (r *recovery) readHeader(g *segment, size int64) (started bool, err error) {
	b, err := g.bytes(0, min(size, wal.SegmentHeaderSize))
	if err != nil {
		return false, err
	}
	h, err := wal.ParseSegmentHeader(b)
	if err == nil {
		r.header = h
		g.is(&h)
		r.rewritten.note(g, &h)
		return true, nil
	}
	if errors.Is(err, wal.ErrNewer) {
		return false, fmt.Errorf("segment %d: %w", g.number, ErrNewerFormat)
	}
	durable, err := r.provedDurable(g, size)
	if durable {
		return false, g.corrupt(0, "segment header does not match its checksum")
	}
	return false, err
}

// provedDurable reports whether a segment whose header is bad was durable once.
//
// The seed of the batches is derived from the store id in the header, which is unreadable here. The
// id of the segments before is used, and for the first segment of a store Marked, which needs none.
func (r *recovery) provedDurable(g *segment, size int64) (bool, error) {
	p := g.pieces(size)
	_, sealed := readTrailer(g, size)
	marked, err := p.Marked(g.number)
	if sealed || marked || err != nil {
		return sealed || marked, err
	}
	rest, err := p.Rest(wal.Seed(r.store.origin.Store), g.number, wal.SegmentHeaderSize)
	return rest.Durable > 0, err
}

// dropUnstarted removes the files at the end that were never started. Without a sync for every
// group there may be two: the bytes of the one may be lost although the next was made ahead. The
// last goes first, each durably, so that a crash in between leaves no hole in the numbers.
func (r *recovery) dropUnstarted() error {
	if r.readOnly {
		return nil
	}
	for _, number := range slices.Backward(r.unstarted) {
		if err := r.store.dir.Remove(segmentName(number)); err != nil {
			return err
		}
		if err := r.store.dir.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// checkHeader compares a segment's header with what came before it. This is what proves that the
// segment before is whole: its last checksum stands in this header, which was written only after
// that segment was synced.
func (r *recovery) checkHeader(g *segment, first bool) error {
	h := &r.header
	if first {
		r.store.origin.Store = h.Store
		r.limit.believed = r.limit.believed && r.limit.said.store == h.Store
		r.chain = wal.Expected{Sequence: h.FirstSequence, Position: h.FirstPosition, Previous: h.Previous}
	}
	switch {
	case h.Segment != g.number || h.Last < g.number:
		return g.corrupt(0, fmt.Sprintf("header says segment %d up to %d", h.Segment, h.Last))
	case h.Store != r.store.origin.Store:
		return g.corrupt(0, "segment of another store")
	case h.FirstPosition != r.chain.Position || h.FirstSequence != r.chain.Sequence || h.Previous != r.chain.Previous:
		return g.corrupt(0, "segment does not continue the one before it")
	}
	r.incarnation = h.Incarnation
	r.lastTime = max(r.lastTime, h.LastTime)
	r.tail = nil
	return nil
}

// readTrailer reads the trailer at the end of a file. The checksum and the lengths in it, which
// must add up to the size of the file, leave no room for payloads that look like one.
func readTrailer(g *segment, size int64) (t wal.Trailer, ok bool) {
	if size < wal.TrailerSize {
		return t, false
	}
	b, err := g.bytes(size-wal.TrailerSize, size)
	if err != nil {
		return t, false
	}
	t, err = wal.ParseTrailer(b, size)
	return t, err == nil
}

// sealed records a segment whose trailer is good. Its batches are not read: what is damaged in them
// is the error of the read that meets it.
func (r *recovery) sealed(g *segment, t *wal.Trailer) {
	g.trailer.Store(t)
	g.end.Store(int64(t.DataEnd))
	r.lastTime, r.incarnation, r.tail, r.flags = t.LastTime, t.Incarnation, nil, 0
	if t.Weak {
		r.flags = wal.FlagWeak
	}
	r.chain = wal.Expected{
		Segment: g.last, Sequence: t.NextSequence, Position: t.NextPosition,
		Previous: t.LastChecksum, WriterEpoch: t.WriterEpoch,
	}
}

// start makes the writer and writes its opening mark. The epoch of the writer grows with every
// opening; the incarnation of the log grows only when acknowledged events were lost, or the log was
// restored, because from then on positions that were handed out may mean other events.
func (r *recovery) start() (*writer, error) {
	s := r.store
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, err
	}
	w := &writer{
		store:        s,
		next:         r.chain,
		clock:        hybridClock{last: r.lastTime, random: mathrand.NewChaCha8(seed)},
		entities:     newEntityCache(maxEntities),
		pendingSides: make(map[string]index.Side),
		spent:        r.spent,
	}
	s.clock.observe(r.lastTime)
	w.next.WriterEpoch++
	if s.origin.Incarnation = r.incarnation; r.lost || r.incarnation == 0 || s.options.restores {
		s.origin.Incarnation++
	}
	s.sequence.Store(w.next.Sequence)
	s.assigned.Store(w.next.Position - 1)
	s.head.Store(w.next.Position - 1)
	var leap uint64
	if len(*s.segments.Load()) > 0 && r.flags&wal.FlagClosed == 0 {
		leap = sequenceLeap
	}
	if s.options.restores {
		leap = restoredLeap
	}
	if r.tail != nil {
		w.segment, w.active, w.capacity = r.tail.segment, r.tail.active, r.tailSize
		w.durable, w.sideBytes = r.tail.next.Offset, r.tail.sideBytes
		w.runs, w.promised = r.tail.writerRuns(), r.tail.promised
		if h := &r.tail.header; h.Version < wal.Version || h.Generation > 0 { // nothing is added to it: the mark begins the next segment
			w.capacity = w.next.Offset
		}
	} else if err := r.firstSegment(w); err != nil {
		return nil, err
	}
	w.next.Seed = wal.Seed(s.origin.Store)
	if err := w.mark(wal.FlagOpened, leap); err != nil {
		return nil, err
	}
	return w, nil
}
