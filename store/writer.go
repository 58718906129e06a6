package store

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// writer turns groups of commits into batches of the log.
//
// Ownership: every field belongs to the goroutine that has the committer's role, which reads and
// writes it without a lock. That is safe because the role passes from goroutine to goroutine under
// committer.mu, or by a token sent on request.wake: either orders all that the former holder did
// before all that the next one does. There are two exceptions, each with its own reason at the
// field: poison, and what a background task sends through preallocated. Opening and closing touch
// the writer when no goroutine can have the role: before the committer exists, and after its close.
//
// Readers never see a writer. What they may see goes to them through Store and segment (publish).
type writer struct {
	store *Store

	// The end of the log.
	segment       *segment      // the active one, shared with readers: see there what is whose
	active        *index.Active // its index, which readers use too: it has its own lock
	capacity      int64         // of its file, filled with zeros from next.Offset on
	next          wal.Expected  // where the next batch goes and what it must say
	headerPending bool          // the segment's header goes out with the first batch
	last          int64         // offset of the last batch of the active segment
	promised      int64         // end of the last batch in it that holds a commit
	runs          writerRuns    // its index on disk
	clock         hybridClock   // of the last event
	sideBytes     uint64        // that side values take in the active segment

	// How much of the active segment is durable. unsyncedSince is when the first byte after durable
	// was written, and zero exactly when there is none.
	durable       int64
	unsyncedSince time.Time
	flushed       int64 // up to where the system was told to write it out

	// entities is the state of entities as of the open batch. An entity without events has no entry,
	// so that refused commits do not fill the memory.
	entities entityCache

	group  []*request    // that is being committed
	fenced *fencing      // nil while nothing is staged
	spent  []string      // keys of states of fences that are of no use any more
	erases []*erasureJob // that the group begins; nil for nearly all
	// preallocated delivers the file of the next segment: nil until one is being made, see
	// preallocateAhead.
	preallocated chan preallocated
	// sealing is closed when the segment before the active one is sealed, or cannot be; nil before the
	// first rollover.
	sealing chan struct{}

	began time.Time // of the group, zero where that is not measured
	tally tally
	syncs liveHistogram

	buf          []byte                // memory of batches, kept from one to the next unless it is large
	entries      []index.Entry         // of the open batch, until the index has them
	pendingSides map[string]index.Side // of the open batch; emptied by publish
	beacon       [beaconSize]byte      // memory of what writeBeacon writes

	// poison is set once, by the holder of the role, after a failed write or sync. Anyone may read
	// it: it is how waiting readers and Stats learn that the head will not move again.
	poison atomic.Pointer[error]
}

// openBatch is a batch under construction.
type openBatch struct {
	buf     []byte // the header of the segment where it is due, room for that of the batch, records
	start   int    // of the batch in buf
	at      int64  // of the batch in the segment
	events  uint32
	commits uint32
	sides   int // bytes of the records of side values
}

// offset returns the offset in the segment of the next record.
func (b *openBatch) offset() uint32 { return uint32(b.at) + uint32(len(b.buf)-b.start) }

// commit admits, writes and publishes a group of requests and fills in the answers. No answer
// leaves it before everything that the answer observed is durable under the mode: a refusal too may
// have seen what the group itself wrote.
func (w *writer) commit(requests []*request) {
	if err := w.poisoned(); err != nil {
		fail(requests, err)
		return
	}
	size := 0
	for _, req := range requests {
		size += req.size
		if req.settles != nil && !settle(w, req) {
			fail(requests, req.err)
			return
		}
	}
	if size > 0 {
		if err := w.reserve(size); err != nil {
			w.refuse(requests, err)
			return
		}
	}
	stamped := w.store.Now()
	b := w.begin()
	w.group = requests
	for _, req := range requests {
		w.apply(&b, req, stamped)
	}
	indexEvents(w)
	if Timestamp(w.clock.last).Time().After(stamped) { // more events than a millisecond has counts
		w.store.clock.observe(w.clock.last)
	}
	var err error
	if b.commits > 0 { // what was refused leaves no trace
		err = w.writeBatch(&b, 0)
	}
	if err == nil && w.mustSync(requests) {
		err = w.sync()
	}
	if err != nil {
		fail(requests, w.poisonWith(err))
		return
	}
	before := Position(w.store.head.Load())
	w.publish()
	count(w, &b)
	w.store.watchers.published(w.store, before, b.events, requests)
}

// refuse answers a group for which there is no room. A sync needs none: one that is due or
// requested is not left to a later group, as there may be no room for that either.
func (w *writer) refuse(requests []*request, err error) {
	fail(requests, err)
	if w.poisoned() != nil {
		return
	}
	if w.mustSync(requests) {
		if err := w.sync(); err != nil {
			fail(requests, w.poisonWith(err))
			return
		}
	}
	for _, req := range requests {
		if req.flushes() {
			req.err = nil
		}
	}
}

// fail answers all requests of a group with an error, also those that were answered already:
// what a receipt or a refusal was based on may not be durable.
func fail(requests []*request, err error) {
	for _, req := range requests {
		req.receipt, req.err = Receipt{}, err
	}
}

// poisoned returns ErrPoisoned once a write or sync has failed. Any goroutine may call it.
func (w *writer) poisoned() error {
	if w.poison.Load() != nil {
		return ErrPoisoned
	}
	return nil
}

// poisonWith ends the writer's life. After a failed write or sync it is unknown what the disk
// holds: the system may have dropped the pages that it could not write and report the next sync as
// a success. Trying again would therefore acknowledge what is lost, so only recovery, which reads
// the disk and writes once more what it keeps, may continue. Readers keep what was published
// before; those in other processes learn that it is all, for when this writer has ended.
func (w *writer) poisonWith(cause error) error {
	err := fmt.Errorf("%w: %w: %w", ErrPoisoned, ErrOutcomeUnknown, cause)
	if w.poison.CompareAndSwap(nil, &err) {
		w.writeBeacon(Position(w.store.assigned.Load()), true)
	}
	w.store.announce()
	w.store.watchers.ended(ErrPoisoned)
	return err
}

// begin opens a batch. Everything before it is visible by now, or waits for a fence, which the
// index is told, so that it can answer for the state before the events that are added next.
func (w *writer) begin() openBatch {
	w.entities.begin(w.store.rewriter.discards.Load())
	w.erases = nil
	w.active.PublishUpTo(uint32(w.next.Position - w.runs.first))
	buf := w.buf[:0]
	if w.headerPending {
		buf = w.appendHeader(buf)
	}
	b := openBatch{start: len(buf), at: w.next.Offset}
	b.buf = append(buf, make([]byte, wal.BatchHeaderSize)...)
	return b
}

// appendHeader appends the header of the active segment. It proves that the segment before is
// whole, with the checksum of its last batch, and so may be written only after that was synced
// (roll).
func (w *writer) appendHeader(b []byte) []byte {
	return wal.AppendSegmentHeader(b, &wal.SegmentHeader{
		Version:       wal.Version,
		Store:         w.store.origin.Store,
		Segment:       w.next.Segment,
		Last:          w.next.Segment,
		Incarnation:   w.store.origin.Incarnation,
		FirstPosition: w.next.Position,
		FirstSequence: w.next.Sequence,
		LastTime:      w.clock.last,
		Previous:      w.next.Previous,
	})
}

// apply admits one commit against the state that includes all before it, and adds its records to
// the batch.
func (w *writer) apply(b *openBatch, req *request, now time.Time) {
	if req.flushes() {
		return
	}
	if answered := w.admit(req); answered {
		return
	}
	if req.fence != nil && !stepFence(w, b, req) {
		return
	}
	sequence := w.next.Sequence + uint64(b.commits)
	req.receipt = Receipt{Origin: w.store.origin, Sequence: sequence, Sync: w.store.options.Sync, Verdicts: req.verdicts}
	if req.lazy && req.receipt.Sync == SyncAlways {
		req.receipt.Sync = SyncInterval
	}
	first := w.next.Position + uint64(b.events)
	w.applyEvents(b, req, now)
	if req.key != "" {
		req.use.FirstPosition, req.use.Sequence = first, sequence
		b.addKey(w.active, req)
	}
	w.applySides(b, req, sequence)
	b.commits++
	if req.begins != nil {
		req.begins.revision = sequence
		w.erases = append(w.erases, req.begins)
	}
}

// writeBatch finishes the batch and writes it, with the header of its segment where that is due, in
// one call. The batch says how much of the segment is known durable: that mark is what recovery
// tells damage from a torn write by, so it must never be ahead of a sync that succeeded.
func (w *writer) writeBatch(b *openBatch, flags uint16) error {
	if w.store.options.Sync != SyncAlways {
		flags |= wal.FlagWeak
	}
	h := wal.BatchHeader{
		Previous:      w.next.Previous,
		Segment:       w.next.Segment,
		WriterEpoch:   w.next.WriterEpoch,
		Incarnation:   w.store.origin.Incarnation,
		Durable:       uint32(w.durable),
		FirstSequence: w.next.Sequence,
		FirstPosition: w.next.Position,
		Events:        b.events,
		Commits:       b.commits,
		Flags:         flags,
		Offset:        uint32(w.next.Offset),
	}
	if w.unsyncedSince.IsZero() {
		if w.unsyncedSince = w.began; w.began.IsZero() {
			w.unsyncedSince = time.Now()
		}
	}
	batch := wal.FinishBatch(b.buf[b.start:], &h, w.next.Seed)
	w.buf = append(b.buf[:b.start], batch...) // the same bytes unless padding made them move
	if _, err := w.store.writing.WriteAt(w.buf, w.next.Offset-int64(b.start)); err != nil {
		return fmt.Errorf("write segment %d: %w", w.next.Segment, err)
	}
	w.headerPending = false
	w.sideBytes += sideBytes(&h, b.sides)
	w.last = w.next.Offset
	w.next.Advance(&h)
	if b.commits > 0 {
		w.promised = w.next.Offset
	}
	return nil
}

// mustSync reports whether the answers of the group have to wait for a sync. In SyncAlways that
// holds for a refusal too: what it saw may be an earlier, lazy batch that is not synced yet.
func (w *writer) mustSync(requests []*request) bool {
	if w.unsyncedSince.IsZero() {
		return false
	}
	for _, req := range requests {
		if req.flushes() || w.store.options.Sync == SyncAlways && !req.lazy {
			return true
		}
	}
	delay, needed := w.syncDelay()
	return needed && time.Since(w.unsyncedSince) >= delay // a look at the clock, which most groups save
}

// syncDelay reports whether there are bytes to sync that no caller waits for, and how long they may
// stay unsynced.
func (w *writer) syncDelay() (delay time.Duration, needed bool) {
	if w.unsyncedSince.IsZero() || w.poison.Load() != nil {
		return 0, false
	}
	switch w.store.options.Sync {
	case SyncAlways:
		return lazySyncDelay, true
	case SyncInterval:
		return w.store.options.SyncEvery, true
	case SyncNever:
	}
	return 0, false
}

// sync makes the active segment durable up to what was written. An error is for the caller to
// poison the writer with: what a failed sync left on the disk is unknown.
func (w *writer) sync() error {
	began := time.Now()
	if err := w.store.writing.Sync(); err != nil {
		return fmt.Errorf("sync segment %d: %w", w.next.Segment, err)
	}
	w.syncs.add(time.Since(began), 1)
	w.durable = w.next.Offset
	w.unsyncedSince = time.Time{}
	return nil
}

// publish makes what was written visible. The order is what readers rely on: the end of the segment
// first, then the head together with the side values, so that a reader that sees a head finds all
// below it, and one that sees an event or a side value finds what was committed with it. Of an
// erasure it is known before that it is one: see UnlessErased.
func (w *writer) publish() {
	s := w.store
	for _, j := range w.erases {
		s.erasing.add(j)
	}
	w.segment.end.Store(w.next.Offset)
	s.sequence.Store(w.next.Sequence)
	assigned := Position(w.next.Position - 1)
	s.assigned.Store(uint64(assigned))
	w.writeBeacon(assigned, false)
	head := visibleUpTo(w, assigned)
	moves := head != Position(s.head.Load())
	w.pendingSides = s.sides.publish(w.pendingSides, &s.head, head)
	if len(w.erases) > 0 { // and with what was written beside them
		s.erasing.learned.Add(1)
	}
	if moves {
		s.announce()
	}
	if w.runs.due(s.runBytes(), w.next.Offset, w.durable) {
		s.background(cutRun(w))
	}
	w.preallocateAhead()
	flushWritten(w)
	if cap(w.buf) > maxKeptBytes {
		w.buf = nil
	}
}
