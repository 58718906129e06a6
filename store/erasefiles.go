package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// eraseFiles removes what is erased from all files of the log, and returns which segments it has
// rewritten. The caller has the rewriter. What is erased already is found to be so, and left.
func (s *Store) eraseFiles(e *erasure) (rewritten map[uint32]bool, err error) {
	if err := s.sealErased(e); err != nil {
		return nil, err
	}
	rewritten = make(map[uint32]bool)
	for done := uint32(0); ; {
		g := s.segmentAfter(done)
		if g == nil {
			break
		}
		holds, err := s.holdsErased(g, e)
		if err == nil && holds {
			err = s.rewriteErased(g, e)
			rewritten[g.number] = true
		}
		if err != nil {
			return rewritten, err
		}
		done = g.last
	}
	return rewritten, s.sweepErased()
}

// segmentAfter returns the first segment with a higher number, nil for none.
func (s *Store) segmentAfter(number uint32) *segment {
	segments := *s.segments.Load()
	i := slices.IndexFunc(segments, func(g *segment) bool { return g.number > number })
	if i < 0 {
		return nil
	}
	return segments[i]
}

// sealErased makes the erasure durable, and seals the active segment if that has something of it.
func (s *Store) sealErased(e *erasure) error {
	segments := *s.segments.Load()
	active := segments[len(segments)-1]
	holds, err := s.holdsErased(active, e)
	if err != nil {
		return err
	}
	return s.settleSegments(holds && active.trailer.Load() == nil)
}

// settleSegments makes all that was committed durable, and waits until the segment before the
// active one is sealed, or cannot be. With roll that is what was the active one.
func (s *Store) settleSegments(roll bool) error {
	req := newRequest()
	req.settles = &settling{roll: roll}
	if err := s.committer.submit(context.Background(), req); err != nil {
		return err
	}
	if sealed := req.settles.sealed; sealed != nil && req.err == nil {
		<-sealed
	}
	return req.err
}

// holdsErased reports whether the file of a segment has something that is to be erased.
func (s *Store) holdsErased(g *segment, e *erasure) (bool, error) {
	t := g.trailer.Load()
	next := Position(s.assigned.Load()) + 1
	if after := s.segmentAfter(g.last); after != nil {
		next = after.first
	}
	within := e.events.clip(g.first, next-1)
	if g.dropped && len(within) > 0 { // they were dropped since they were found
		if holds, err := g.holdsReceipt(e); holds || err != nil {
			return holds, err
		}
	}
	for _, in := range within {
		for p := in.From; p <= in.To && !g.dropped; p++ {
			if whole, err := s.isWhole(g, p); whole || err != nil {
				return whole, err
			}
		}
	}
	if t == nil {
		return s.activeHolds(g, e)
	}
	if t.Version > 1 && int64(t.SideBytes) <= s.sides.liveBytes(g.number) { // all of them are present
		return false, nil
	}
	holds := false
	look := func(side index.Side) { holds = holds || e.names(side.Key()) }
	err := g.eachSide(look)
	if err != nil { // the table is damaged
		var sc *scan
		if sc, err = scanSegment(g, int64(t.DataEnd)); err == nil {
			for _, side := range sc.sides {
				look(side)
			}
		}
	}
	return holds, err
}

// isWhole reports whether the record of the event at a position of a segment has what it says.
func (s *Store) isWhole(g *segment, p Position) (bool, error) {
	idx, err := s.indexOf(g)
	if err != nil {
		return false, err
	}
	offset, err := idx.Offset(uint32(p - g.first))
	if err != nil {
		return false, err
	}
	rec, err := g.record(int64(offset))
	if err != nil {
		return false, err
	}
	if !wal.IsEvent(rec) || Position(wal.Position(rec)) != p {
		return false, g.corrupt(int64(offset), "not the event that the index names")
	}
	return wal.Type(rec) == wal.TypeEvent, nil
}

// activeHolds reports whether a segment without a footer has side values that are to be erased. Not
// those that were written since the erasure began, and superseded: of a value that is written all
// the time each segment that becomes the active one has some.
func (s *Store) activeHolds(g *segment, e *erasure) (holds bool, err error) {
	if g.end.Load() == wal.SegmentHeaderSize { // its header goes out with its first batch
		return false, nil
	}
	h, err := g.header()
	if err != nil {
		return false, err
	}
	for x, p := newScan(g, &h).next, g.pieces(g.end.Load()); ; {
		h, batch, err := p.Batch(x.Seed, g.number, x.Offset)
		if batch == nil || err != nil {
			return holds, err
		}
		err = wal.Records(&h, batch, func(rec []byte, offset int) error {
			side, err := wal.ParseSide(rec)
			if err == nil && !side.Deleted && side.Revision < e.revision && e.names(string(side.Key)) {
				place, present := s.sides.get(string(side.Key))
				holds = holds || !present || place.Segment != g.number || place.Offset != h.Offset+uint32(offset)
			}
			return nil // other records are no side values
		})
		if holds || err != nil {
			return holds, err
		}
		x.Advance(&h)
	}
}

// rewriteErased rewrites a segment without what is to be erased.
func (s *Store) rewriteErased(g *segment, e *erasure) error {
	if g.trailer.Load() == nil {
		return fmt.Errorf("%w: segment %d could not be sealed, which the next opening tries again", ErrBusy, g.number)
	}
	if err := s.renewMoved(); err != nil {
		return err
	}
	x := &eraser{erasure: e}
	x.begin(g)
	_, err := s.rewrite([]*segment{g}, x)
	return err
}

// sweepErased removes files that count no more and may have been left: of runs, and of segments
// that others stand for. Then no crash brings one back.
func (s *Store) sweepErased() error {
	names, err := s.dir.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if !s.isLeft(name) {
			continue
		}
		if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.dir.Sync()
}

// isLeft reports whether a file counts no more.
func (s *Store) isLeft(name string) bool {
	base, isRun := strings.CutSuffix(name, idxSuffix)
	if isRun {
		name = base + segmentSuffix
	}
	number, ok := segmentNumber(name)
	g := s.numbered(number)
	if !ok || g == nil {
		return false
	}
	t := g.trailer.Load()
	return g.number != number || isRun && t != nil && t.Version > 1
}

// eraser is what a rewriting erases.
type eraser struct {
	*erasure

	text []byte // the note of each event
}

// begin finds out how long a note the segment bears: a file of small events is not to become much
// larger, as it has a limit.
func (x *eraser) begin(g *segment) {
	events := 0
	for _, in := range x.events.clip(g.first, Position(g.trailer.Load().NextPosition)-1) {
		events += int(in.To - in.From + 1)
	}
	x.text = x.note(false)
	if int64(events*len(x.text)) > max(batchBytes(g)/2, 1<<20) {
		x.text = x.note(true)
	}
}

// left returns what will be left of a record of any type.
func (x erasures) left(rec []byte) []byte {
	for _, e := range x {
		rec = (&eraser{erasure: e, text: e.note(false)}).append(nil, rec)
	}
	return rec
}

// append appends what is left of a record. A key follows the events of its commit, in their batch.
// What is stored with it covers all of them: were it kept, it would confirm a guess at one.
func (x *eraser) append(dst, rec []byte) []byte {
	switch wal.Type(rec) {
	case wal.TypeEvent:
		if p := Position(wal.Position(rec)); x.events.has(p) {
			return appendErased(dst, rec, x.text)
		}
	case wal.TypeKey:
		if k, err := wal.ParseKey(rec); err == nil && x.knows(&k) {
			start := len(dst)
			dst = wal.AppendKey(dst, string(k.Key), forgotten(&k))
			wal.SealRecord(dst[start:], wal.IsLast(rec))
			return dst
		}
	case wal.TypeReceipt:
		if r, err := wal.ParseReceipt(rec); err == nil && x.knows(&r.Key) {
			start := len(dst)
			r.Key = *forgotten(&r.Key)
			dst = wal.AppendReceipt(dst, &r)
			wal.SealRecord(dst[start:], wal.IsLast(rec))
			return dst
		}
	}
	return append(dst, rec...)
}
