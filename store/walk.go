package store

import (
	"bytes"
	"fmt"
	"sort"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// walk reads the events of a region, one after another, through the window of a decoder.
//
//	index ----> ordinals, offsets     of the events that the region's terms select, some hundred at
//	  |                               a time
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
	scanned Position // everything up to here was looked at
	budget  int64    // bytes of records that are still to be looked at
	lends   bool     // events point into the buffer and are valid until the next one
	onward  bool     // all events up to upTo are wanted, so reading beyond the present ones is no waste

	// take gets each event, and returns whether the reader wants more. The error is always nil: so
	// the function of a range loop can be called without another one in between.
	take func(Event, error) bool
}

// walk begins a walk over the events of r in (after, upTo]. It must be ended.
func (s *Store) walk(r Region, after, upTo Position) *walk {
	d := s.decoders.get()
	d.window.seed = wal.Seed(s.origin.Store)
	return &walk{store: s, decoder: d, filter: newFilter(r), upTo: upTo, scanned: after}
}

func (w *walk) end() { w.store.decoders.put(w.decoder) }

// step is look, again where the segment was rewritten meanwhile.
func (w *walk) step(limit int) (more bool, err error) {
	for {
		more, err = w.look(limit)
		if !w.store.again(&err) {
			return more, err
		}
	}
}

// look reads events of one segment, up to limit of them, and returns whether the reader wants more.
// The head is fixed by upTo and the segments are loaded after it, so that what is appended
// meanwhile changes nothing. After an error scanned is the position before the event that cannot be
// read.
func (w *walk) look(limit int) (more bool, err error) {
	g, idx, from, to, err := w.store.segmentRange(w.scanned, w.upTo)
	if err != nil {
		return false, err
	}
	d := w.decoder
	next, err := d.find(idx, w.filter.query, from, to, limit)
	if err != nil {
		return false, err
	}
	d.window.enter(g, idx)
	for i := range d.ords {
		if more, err := w.event(i); !more || err != nil {
			return false, err
		}
		if w.budget <= 0 {
			return true, nil
		}
	}
	w.scanned = g.first + Position(next) - 1
	return true, nil
}

// find leaves in d the ordinals and extents of the next events that match, and returns the place to
// continue from.
func (d *decoder) find(idx index.Index, q index.Query, from, to uint32, limit int) (next uint32, err error) {
	d.keptUpTo = 0
	if d.ords, next, err = idx.Select(q, from, to, limit, d.ords[:0]); err != nil {
		return from, err
	}
	d.extents, err = idx.Extents(d.ords, d.extents[:0])
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
	n, emitter, ok := d.parse(rec)
	if !ok || Position(d.fields.Position) != g.first+Position(ord) {
		return false, g.corrupt(offset, "not the event that the index names")
	}
	w.scanned++
	w.budget -= int64(len(rec))
	if !w.filter.admits(n.coordinate, n.kind, d.fields.Version) {
		return true, nil
	}
	if !w.lends {
		rec = w.keep(i, rec)
	}
	return w.take(n.event(&d.fields, rec, emitter), nil), nil
}

// prepare has the window show the beginning of the i-th record, and with it, in one go, as many of
// those after it as lie close together: reading over a small gap is cheaper than another call to
// the system. It returns up to where the segment is worth reading.
func (w *walk) prepare(i int) (limit int64, err error) {
	v, x := &w.decoder.window, w.decoder.extents
	end := v.segment.end.Load()
	if limit = end; !w.onward {
		limit = extentEnd(x[len(x)-1], end)
	}
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
		if w.onward {
			to = max(to, min(from+windowBytes, end))
		}
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

// keep returns the bytes of the i-th record in memory of their own.
func (w *walk) keep(i int, rec []byte) []byte {
	d := w.decoder
	offset := int64(d.extents[i].Start)
	if i >= d.keptUpTo {
		d.kept, d.keptUpTo = w.run(i, int64(len(rec)))
		d.keptFrom = offset
	}
	start := offset - d.keptFrom
	return d.kept[start:][:len(rec):len(rec)]
}

// run copies the records from the i-th on, of n bytes, that lie side by side, and returns the
// number of the first one that is not among them. So what a reader keeps alive with an event are
// neighbours that the region selects too, and at most as much again. Where the index alone does not
// tell which they are, each is copied by itself.
func (w *walk) run(i int, n int64) (own []byte, upTo int) {
	v, x := &w.decoder.window, w.decoder.extents
	start := int64(x[i].Start)
	end := start + n
	for upTo = i + 1; upTo < len(x) && w.filter.indexed; upTo++ {
		at := int64(x[upTo].Start)
		n := v.claim(at)
		if n == 0 || at-end > n || at+n-start > keepBytes {
			break
		}
		end = at + n
	}
	return bytes.Clone(v.at(start)[:end-start]), upTo
}

// segmentRange finds the segment that holds the position after after, and the ordinals [from, to)
// of (after, upTo] in it. Where a segment ends follows from where the next one begins: the last one
// may be growing, and of it only what lies up to upTo, which is visible, is asked for.
func (s *Store) segmentRange(after, upTo Position) (g *segment, idx index.Index, from, to uint32, err error) {
	segments := *s.segments.Load()
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 }) - 1
	if i < 0 {
		return nil, nil, 0, 0, fmt.Errorf("position %d: %w", after+1, ErrNotFound)
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
