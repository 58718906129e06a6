package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// writer turns groups of commits into batches of the log. All of it belongs to the holder of the
// committer's role, except poison, which anybody may read.
type writer struct {
	store *Store

	segment       *segment
	active        *index.Active // of segment
	capacity      int64         // of the segment's file, filled with zeros from next.Offset on
	next          wal.Expected  // where the next batch goes and what it must say
	headerPending bool          // the segment's header goes out with the first batch
	durable       int64         // offset in the segment known durable
	unsyncedSince time.Time     // when the first byte behind durable was written; zero: there is none
	lastTime      uint64        // hybrid time of the last event
	entities      map[string]entityState
	preallocated  chan preallocated // the file of the next segment, once it is being made
	random        *rand.ChaCha8
	buf           []byte
	pendingSides  map[string]SideValue // of the group in hand; a nil Value with revision 0 means deleted
	poison        atomic.Pointer[error]
}

// entityState is what the next event of an entity continues.
type entityState struct {
	version uint64
	hash    [32]byte
}

// openBatch is a batch under construction.
type openBatch struct {
	start   int // of the batch in writer.buf
	events  uint32
	commits uint32
}

// commit judges, writes and publishes a group and fills in the answers. No answer leaves it before
// everything that the answer observed is durable under the mode.
func (w *writer) commit(requests []*request) {
	if err := w.poisoned(); err != nil {
		fail(requests, err)
		return
	}
	size := 0
	for _, req := range requests {
		size += req.size
	}
	if size > 0 {
		if err := w.reserve(size); err != nil {
			fail(requests, err)
			return
		}
	}
	now := time.Now()
	g := w.begin()
	for _, req := range requests {
		w.apply(&g, req, now)
	}
	err := w.write(&g, now)
	if err == nil && w.mustSync(requests, now) {
		err = w.sync()
	}
	if err != nil {
		fail(requests, w.poisonWith(err))
		return
	}
	w.publish()
}

func fail(requests []*request, err error) {
	for _, req := range requests {
		req.receipt, req.err = Receipt{}, err
	}
}

func (w *writer) poisoned() error {
	if w.poison.Load() != nil {
		return ErrPoisoned
	}
	return nil
}

// poisonWith ends the writer's life: after a failed write or sync nobody knows what the disk holds,
// and a second sync may succeed without the bytes being there. Only reopening reads the truth.
func (w *writer) poisonWith(cause error) error {
	err := fmt.Errorf("%w: %w: %w", ErrPoisoned, ErrOutcomeUnknown, cause)
	w.poison.CompareAndSwap(nil, &err)
	w.store.announce()
	return err
}

// begin reserves the headers in the buffer. Everything before the group is visible.
func (w *writer) begin() openBatch {
	w.active.PublishUpTo(uint32(w.next.Position - uint64(w.segment.first)))
	w.buf = w.buf[:0]
	if w.headerPending {
		w.buf = w.appendHeader(w.buf)
	}
	g := openBatch{start: len(w.buf)}
	w.buf = append(w.buf, make([]byte, wal.BatchHeaderSize)...)
	return g
}

func (w *writer) appendHeader(b []byte) []byte {
	return wal.AppendSegmentHeader(b, &wal.SegmentHeader{
		Store:         w.store.origin.Store,
		Segment:       w.next.Segment,
		Incarnation:   w.store.origin.Incarnation,
		FirstPosition: w.next.Position,
		FirstSequence: w.next.Sequence,
		LastTime:      w.lastTime,
		Previous:      w.next.Previous,
	})
}

// apply judges one commit against the state that includes all before it, and adds its records to
// the group.
func (w *writer) apply(g *openBatch, req *request, now time.Time) {
	if len(req.events) == 0 && len(req.sides) == 0 {
		return // asks for nothing but a sync
	}
	if answered := w.admit(req); answered {
		return
	}
	sequence := w.next.Sequence + uint64(g.commits)
	req.receipt = Receipt{Origin: w.store.origin, Sequence: sequence, Sync: w.store.options.Sync}
	if req.lazy && req.receipt.Sync == SyncAlways {
		req.receipt.Sync = SyncInterval
	}
	first := w.next.Position + uint64(g.events)
	w.applyEvents(g, req, now)
	if req.key != "" {
		w.applyKey(g, req, &wal.Key{
			Events: uint32(len(req.events)), FirstPosition: first, Sequence: sequence, Digest: req.content,
		})
	}
	w.applySides(g, req, sequence)
	g.commits++
}

func (w *writer) applyEvents(g *openBatch, req *request, now time.Time) {
	if len(req.events) == 0 {
		return
	}
	req.receipt.Events = make([]Recorded, 0, len(req.events))
	records := req.records
	for i := range req.events {
		e := &req.events[i]
		rec := records[:e.size]
		records = records[e.size:]

		state := w.entity(e.terms.Entity)
		w.lastTime = max(w.lastTime+1, uint64(max(0, now.UnixMilli()))<<16)
		stamp := wal.Stamp{
			Position: w.next.Position + uint64(g.events),
			Version:  state.version + 1,
			Time:     w.lastTime,
			ID:       w.mint(w.lastTime),
		}
		stamp.Hash = wal.Chain(state.hash, e.content, rec, &stamp)
		wal.StampEvent(rec, &stamp)
		wal.SealRecord(rec, i == len(req.events)-1 && req.key == "" && len(req.sides) == 0)

		w.active.Add(w.offset(g), e.terms)
		w.buf = append(w.buf, rec...)
		w.entities[e.terms.Entity] = entityState{version: stamp.Version, hash: stamp.Hash}
		req.receipt.Events = append(req.receipt.Events,
			Recorded{ID: stamp.ID, Position: Position(stamp.Position), Version: stamp.Version})
		g.events++
	}
}

func (w *writer) applyKey(g *openBatch, req *request, k *wal.Key) {
	w.active.AddKey(req.key, w.offset(g))
	start := len(w.buf)
	w.buf = wal.AppendKey(w.buf, req.key, k)
	wal.SealRecord(w.buf[start:], len(req.sides) == 0)
}

func (w *writer) applySides(g *openBatch, req *request, revision uint64) {
	eventBytes := 0
	for i := range req.events {
		eventBytes += req.events[i].size
	}
	records := req.records[eventBytes:]
	for i := range req.sides {
		side := &req.sides[i]
		rec := records[:side.size]
		records = records[side.size:]
		wal.StampSide(rec, revision)
		wal.SealRecord(rec, i == len(req.sides)-1)
		w.active.SetSide(side.write.Key, w.offset(g))
		w.buf = append(w.buf, rec...)
		value := SideValue{Key: side.write.Key, Value: side.write.Value, Revision: revision}
		if side.write.Delete {
			value = SideValue{}
		}
		w.pendingSides[side.write.Key] = value
	}
}

// offset in the segment of the next byte of the batch.
func (w *writer) offset(g *openBatch) uint32 {
	return uint32(w.next.Offset) + uint32(len(w.buf)-g.start)
}

// entity finds the state of an entity, in memory or, the first time, in the log.
func (w *writer) entity(name string) entityState {
	state, known := w.entities[name]
	if !known {
		w.entities[strings.Clone(name)] = state
	}
	return state
}

// mint makes a UUIDv7 from hybrid time: 48 bits of milliseconds, the 16 bits of the counter around
// the version and variant marks, 58 random bits. As the time grows strictly, so do the ids.
func (w *writer) mint(t uint64) (id uuid.UUID) {
	ms, counter, random := t>>16, t&0xffff, w.random.Uint64()
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = 0x70 | byte(counter>>12)
	id[7] = byte(counter >> 4)
	id[8] = 0x80 | byte(counter&0xf)<<2 | byte(random>>62)
	for i := range 7 {
		id[9+i] = byte(random >> (8 * i))
	}
	return id
}

// write finishes the batch and writes it; a group of which nothing was accepted leaves no trace.
func (w *writer) write(g *openBatch, now time.Time) error {
	if g.commits == 0 {
		return nil
	}
	return w.writeBatch(g, 0, now)
}

func (w *writer) writeBatch(g *openBatch, flags uint16, now time.Time) error {
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
		Events:        g.events,
		Commits:       g.commits,
		Flags:         flags,
		Offset:        uint32(w.next.Offset),
	}
	batch := wal.FinishBatch(w.buf[g.start:], &h, w.next.Seed)
	whole := append(w.buf[:g.start], batch...) // the same bytes unless padding made them move
	w.buf = whole
	if _, err := w.segment.file.WriteAt(whole, w.next.Offset-int64(g.start)); err != nil {
		return fmt.Errorf("write segment %d: %w", w.next.Segment, err)
	}
	w.headerPending = false
	w.next.Advance(&h)
	if w.unsyncedSince.IsZero() {
		w.unsyncedSince = now
	}
	return nil
}

// mustSync reports whether the answers of the group have to wait for a sync.
func (w *writer) mustSync(requests []*request, now time.Time) bool {
	if w.unsyncedSince.IsZero() {
		return false
	}
	if delay, needed := w.syncDelay(); needed && now.Sub(w.unsyncedSince) >= delay {
		return true
	}
	for _, req := range requests {
		flush := len(req.events) == 0 && len(req.sides) == 0
		if flush || (w.store.options.Sync == SyncAlways && !req.lazy) {
			return true
		}
	}
	return false
}

// syncDelay says whether there are bytes to sync that nobody waits for, and how long they may stay.
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

func (w *writer) sync() error {
	if err := w.segment.file.Sync(); err != nil {
		return fmt.Errorf("sync segment %d: %w", w.next.Segment, err)
	}
	w.durable = w.next.Offset
	w.unsyncedSince = time.Time{}
	return nil
}

// publish makes what was written visible.
func (w *writer) publish() {
	s := w.store
	w.segment.end.Store(w.next.Offset)
	s.sides.merge(w.pendingSides)
	s.sequence.Store(w.next.Sequence)
	w.writeBeacon()
	if head := w.next.Position - 1; head != s.head.Load() {
		s.head.Store(head)
		s.announce()
	}
	w.preallocateAhead()
}

// isFull reports whether err says that the disk has no room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
