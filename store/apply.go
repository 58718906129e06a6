package store

import (
	"time"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// applyEvents adds the records that the caller's goroutine encoded, and completes them where they
// are written from: the request's memory, which that goroutine has in its caches, is only read.
func (w *writer) applyEvents(b *openBatch, req *request, now time.Time) {
	if len(req.events) == 0 {
		return
	}
	req.receipt.Events = req.recorded
	records := req.records
	for i := range req.events {
		e := &req.events[i]
		rec := records[:e.size]
		records = records[e.size:]
		entry := entryOf(rec, b.offset(), e.terms)
		start := len(b.buf)
		b.buf = append(b.buf, rec...)
		rec = b.buf[start:]
		state, at := e.state, w.clock.next(now)
		stamp := wal.Stamp{
			Position: w.next.Position + uint64(b.events),
			Version:  state.version + 1,
			Time:     at,
			ID:       w.clock.mint(at),
		}
		stamp.Hash = wal.Chain(state.hash, e.content, rec, &stamp)
		wal.StampEvent(rec, &stamp)
		wal.SealRecord(rec, i == len(req.events)-1 && req.key == "" && len(req.sides) == 0)

		w.entries = append(w.entries, entry)
		state.version, state.hash = stamp.Version, stamp.Hash
		req.receipt.Events = append(req.receipt.Events,
			Recorded{ID: stamp.ID, Position: Position(stamp.Position), Version: stamp.Version})
		b.events++
	}
}

// indexEvents tells the index of the events of the open batch, all at once: only a condition asks
// for them before, as the states of their entities are in the cache. Readers look only up to the
// head.
func indexEvents(w *writer) {
	if len(w.entries) == 0 {
		return
	}
	w.active.Add(w.entries...)
	clear(w.entries) // it must not pin names
	if w.entries = w.entries[:0]; cap(w.entries) > maxPooledItems {
		w.entries = nil
	}
}

// addKey adds the record that makes a later commit with the key a duplicate. It lies in the batch
// of its events: both are found after a crash, or neither.
func (b *openBatch) addKey(active *index.Active, req *request) {
	active.AddKey(req.key, b.offset())
	start := len(b.buf)
	b.buf = wal.AppendKey(b.buf, req.key, &req.use)
	wal.SealRecord(b.buf[start:], len(req.sides) == 0)
}

// applySides adds the side values, which follow the events in the records of the request. Of what
// goes into pendingSides, and from there into the table that readers use, nothing belongs to the
// request: it was copied when the request was encoded (addSide), so the memory of the records may
// be used again.
func (w *writer) applySides(b *openBatch, req *request, revision uint64) {
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
		place := side.place
		place.Revision, place.Segment, place.Offset = revision, w.segment.number, b.offset()
		w.active.SetSide(place)
		w.pendingSides[place.Key()] = place
		b.buf = append(b.buf, rec...)
		b.sides += len(rec)
	}
}
