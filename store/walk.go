package store

import (
	"sort"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// walk reads the events of a region, one after another, through the window of a decoder.
//
//	index ----> ordinals, offsets     of the events that the region's terms select, some hundred at
//	  |                               a time; none where it selects all, in good batches
//	window ---> records               checked, in the buffer
//	  |
//	decode ---> event ---> filter     what no index knows
//	  |
//	keep                              copied out of the buffer, unless it is lent
//	  |
//	 take                             by the reader, who says when it is enough
//
// A walk belongs to one goroutine, and its decoder with it.
type walk struct {
	store   *Store
	decoder *decoder
	filter  filter
	upTo    Position // visible: the head, or before it
	hidden  ranges   // loaded after upTo
	erased  erasures // that are in the log and not yet in all files
	scanned Position // everything up to here was looked at
	start   Position // as scanned was when it began
	whole   bool     // it began before the first event, wherever that is
	budget  int64    // bytes of records that are still to be looked at
	onward  bool     // all events up to upTo are wanted, so reading beyond the present ones is no waste
	leap    *leap    // nil in the first segment

	// One of them gets each event, and returns whether the reader wants more. The error is always
	// nil: so the function of a range loop can be called without another one in between.
	take func(Event, error) bool
	lend func(*Event, error) bool // where events point into the buffer, valid until the next one
}

// walk begins a walk over the events of r in (after, upTo]. It must be ended.
func (s *Store) walk(r Region, after, upTo Position) *walk {
	d := s.decoders.get()
	d.window.seed = wal.Seed(s.origin.Store)
	return &walk{
		store: s, decoder: d, filter: newFilter(r), upTo: upTo, hidden: s.cancelled(), erased: s.erasing.pending(),
		scanned: after, start: after, whole: after == 0,
	}
}

func (w *walk) end() { w.store.decoders.put(w.decoder) }

// step is look, again where the segment was rewritten meanwhile.
func (w *walk) step(limit int) (more bool, err error) {
	for {
		more, err = w.look(limit)
		if err == nil || !w.store.again(&err) && (!w.whole || !w.store.beginsLater(err, &w.scanned, &w.start)) {
			return more, err
		}
		switch {
		case w.scanned > w.upTo: // it asks for what was dropped alone
			w.scanned = 0
			return false, w.store.droppedError(1)
		case w.scanned == w.upTo:
			return true, nil
		}
	}
}

// look reads events of one segment, up to limit of them, and returns whether the reader wants more.
// The head is fixed by upTo and the segments are loaded after it, so that what is appended
// meanwhile changes nothing. After an error scanned is the position before the event that cannot be
// read.
func (w *walk) look(limit int) (more bool, err error) {
	if w.scanned = w.leap.from(w.store, w.scanned, w.upTo); w.scanned == w.upTo {
		return true, nil
	}
	g, idx, from, to, err := w.store.segmentRange(w.scanned, w.upTo)
	if err != nil {
		return false, err
	}
	d := w.decoder
	d.window.enter(g, idx)
	if w.onward {
		if more, found := w.along(from, min(to, from+uint32(limit))); found {
			return more, nil
		}
	}
	next, err := d.find(idx, w.filter.query, from, to, limit)
	if err != nil {
		return false, err
	}
	for i := range d.ords {
		if more, err := w.event(i); !more || err != nil {
			return false, err
		}
		if w.budget <= 0 {
			return true, nil
		}
	}
	w.scanned = g.first + Position(next) - 1
	if next == to && w.leap == nil {
		w.leap = over(w.filter.query.Entity)
	}
	return true, nil
}

// along reads events in [from, to) without asking the index where they are: as long as they follow
// the one that was read last, in batches that are good as a whole. Where there is none like that,
// found is false.
func (w *walk) along(from, to uint32) (more, found bool) {
	v := &w.decoder.window
	if v.ordinal != from {
		return true, false
	}
	end := v.segment.end.Load()
	for v.ordinal < to && w.budget > 0 {
		rec := v.following(end)
		if rec == nil {
			break
		}
		l, ok := wal.Measure(rec)
		if !ok || Position(wal.Position(rec)) != v.segment.first+Position(v.ordinal) {
			v.trusted = 0 // the index says which event belongs here
			break
		}
		found = true
		v.pass(rec)
		if !w.hand(byItself, rec, l) {
			return false, true
		}
	}
	return true, found
}

// find leaves in d the ordinals and extents of the next events that match, and returns the place to
// continue from.
func (d *decoder) find(idx index.Index, q index.Query, from, to uint32, limit int) (next uint32, err error) {
	if d.ords, next, err = idx.Select(q, from, to, limit, d.ords[:0]); err != nil {
		return from, err
	}
	d.extents, err = idx.Extents(d.ords, d.extents[:0])
	d.fetched = 0
	return next, err
}

// event reads the event with the i-th of the ordinals and hands it over, if the filter admits it.
// That its record carries the position which the index led to is checked, so that an index that is
// wrong yields no event that is not there.
func (w *walk) event(i int) (more bool, err error) {
	d, g := w.decoder, w.decoder.window.segment
	ord, offset := d.ords[i], int64(d.extents[i].Start)
	w.scanned = g.first + Position(ord) - 1
	limit, err := w.prepare(i)
	if err != nil {
		return false, err
	}
	rec, err := d.window.record(ord, offset, limit)
	if err != nil {
		return false, err
	}
	l, ok := wal.Measure(rec)
	if !ok || Position(wal.Position(rec)) != g.first+Position(ord) {
		return false, g.corrupt(offset, "not the event that the index names")
	}
	return w.hand(i, rec, l), nil
}

// prepare has the window show the beginning of the i-th record, and with it, in one go, as many of
// those after it as lie close together: reading over a small gap is cheaper than another call to
// the system. It returns up to where the segment is worth reading.
func (w *walk) prepare(i int) (limit int64, err error) {
	v, x := &w.decoder.window, w.decoder.extents
	end := v.segment.end.Load()
	limit = extentEnd(x[len(x)-1], end)
	from := int64(x[i].Start)
	if v.shows(from, min(from+wal.RecordHeaderSize, end)) {
		return limit, nil
	}
	if from >= end {
		return 0, v.segment.corrupt(from, "no record here")
	}
	to := extentEnd(x[i], end)
	for _, x := range x[i+1:] {
		if int64(x.Start)-to > spanGap || int64(x.Start)-from > windowBytes {
			break
		}
		to = extentEnd(x, end)
	}
	if w.decoder.ords[i] == v.ordinal && from-v.next <= spanGap {
		from = v.next // or a batch that begins here would not be seen
	}
	if m := v.segment.mapping.Load(); m != nil && i >= w.decoder.fetched && to-from <= sparseBytes {
		w.decoder.fetched = i + m.fetch(x[i:])
	}
	return limit, v.show(from, to)
}

// extentEnd is the end of what is read of a record before its length is known: side values may
// follow, more than are worth reading.
func extentEnd(x index.Extent, end int64) int64 {
	end = min(end, int64(x.Start)+spanBytes)
	if x.Next != 0 {
		end = min(end, int64(x.Next))
	}
	return end
}

// hand hands over the event in a record, the i-th or [byItself], if the filter admits it.
func (w *walk) hand(i int, rec []byte, l wal.Layout) (more bool) {
	d := w.decoder
	w.scanned++
	w.budget -= int64(len(rec))
	if len(w.hidden) > 0 && w.hidden.has(w.scanned) {
		return true
	}
	n := d.lookup(rec, l)
	if !w.filter.admits(n.coordinate, n.kind, wal.EntityVersion(rec)) {
		return true
	}
	if len(w.erased) > 0 {
		if shown := w.erased.show(rec); &shown[0] != &rec[0] {
			return w.give(shown, n)
		}
	}
	if w.lend != nil {
		numbers(&d.lent, rec, l)
		pointers(&d.lent, n, l.Payload(rec), rec, d.emitter(rec))
		return w.lend(&d.lent, nil)
	}
	rec = w.keep(i, rec)
	var e Event
	numbers(&e, rec, l)
	pointers(&e, n, l.Payload(rec), rec, d.emitter(rec))
	return w.take(e, nil)
}

// give hands over an event whose record lies in memory of its own.
func (w *walk) give(rec []byte, n *names) (more bool) {
	l, _ := wal.Measure(rec) // it was made of one that is good
	var e Event
	numbers(&e, rec, l)
	pointers(&e, n, l.Payload(rec), rec, w.decoder.emitter(rec))
	if w.lend != nil {
		w.decoder.lent = e
		return w.lend(&w.decoder.lent, nil)
	}
	return w.take(e, nil)
}

// byItself stands for the number of an event that was found without the index.
const byItself = -1

// keep returns the bytes of a record in memory of their own. The record is the i-th, or [byItself],
// and the one that the window has passed last.
//
// It copies with it those after it that lie side by side. So what a reader keeps alive beside it
// are neighbours that the region selects too, and at most as much again. Where that cannot be told
// without a look at the event, each is copied by itself.
func (w *walk) keep(i int, rec []byte) []byte {
	v := &w.decoder.window
	start := v.next - int64(len(rec))
	if own := v.copied(start); own != nil {
		return own[:len(rec):len(rec)]
	}
	end := v.next
	switch {
	case !w.filter.indexed:
	case i == byItself:
		end = v.stretch(start, end)
	default:
		end = w.run(i, start, end)
	}
	return v.copy(start, end)[:len(rec):len(rec)]
}

// run returns the end of the records from the i-th on, which lies at [start, end), that lie side by
// side.
func (w *walk) run(i int, start, end int64) int64 {
	v := &w.decoder.window
	for _, x := range w.decoder.extents[i+1:] {
		at := int64(x.Start)
		n := v.claim(at)
		if n == 0 || !adjoins(start, end, at, n) {
			break
		}
		end = at + n
	}
	return end
}

// segmentRange finds the segment that holds the position after after, and the ordinals [from, to)
// of (after, upTo] in it. Where a segment ends follows from where the next one begins: the last one
// may be growing, and of it only what lies up to upTo, which is visible, is asked for.
func (s *Store) segmentRange(after, upTo Position) (g *segment, idx index.Index, from, to uint32, err error) {
	segments := *s.segments.Load()
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 }) - 1
	if i < 0 || segments[i].dropped {
		return nil, nil, 0, 0, &DroppedError{Position: after + 1, First: firstOf(segments)}
	}
	g = segments[i]
	if idx, err = s.indexOf(g); err != nil {
		return nil, nil, 0, 0, err
	}
	last := upTo
	if i+1 < len(segments) {
		last = min(last, segments[i+1].first-1)
	}
	return g, idx, uint32(after + 1 - g.first), uint32(last + 1 - g.first), nil
}
