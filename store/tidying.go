package store

import (
	"bytes"
	"context"
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// restSamples are so many states and receipts of a file that are looked at to find out how many of
// all count.
const restSamples = 64

// tidy writes those files of what stays again of which half does not count any more, as it is said
// again in newer ones, superseded, or discarded; and takes in those before them that have become
// small. So what stays is in proportion to what counts of it, however often the same entities and
// side values are dropped. The oldest comes first: what is discarded goes where no older file has
// it.
func (r *retention) tidy(ctx context.Context) error {
	s := r.store
	for after := uint32(0); ; {
		if err := s.readable(ctx); err != nil {
			return err
		}
		g := s.segmentAfter(after)
		if g == nil || !g.dropped {
			return nil
		}
		d := r.dropping()
		d.parts, d.bytes = []*segment{g}, batchBytes(g)
		d.widen()
		wasted, err := d.wasted(g)
		if err != nil {
			return err
		}
		if len(d.parts) > 1 || wasted >= rewriteBytes && 2*wasted >= batchBytes(g) {
			if err := r.finish(ctx, d); err != nil {
				return err
			}
		}
		after = g.last
	}
}

// wasted returns how much of one of the parts does not count any more, about.
func (d *dropping) wasted(g *segment) (int64, error) {
	s := d.store
	if _, err := s.indexOf(g); err != nil {
		return 0, err
	}
	bytes := s.superseded(g)
	idx := g.sealed()
	if idx == nil { // it had to leave meanwhile
		return bytes, nil
	}
	d.look()
	offsets, err := idx.Sample(restSamples)
	if isDamage(err) || len(offsets) == 0 {
		return bytes, nil
	}
	gone := 0
	for _, offset := range offsets {
		rec, err := g.record(int64(offset))
		if err != nil {
			return 0, err
		}
		r, err := restOf(rec)
		if err != nil || r == nil {
			return 0, g.corrupt(int64(offset), "not what stays of an event")
		}
		counts, err := d.counts(r)
		if err != nil {
			return 0, err
		}
		if !counts {
			gone++
		}
	}
	rests := batchBytes(g) - int64(g.trailer.Load().SideBytes)
	return bytes + rests*int64(gone)/int64(len(offsets)), nil
}

// look finds the other files of what stays.
func (d *dropping) look() {
	segments := *d.store.segments.Load()
	segments = segments[:droppedOf(segments)]
	first, last := d.parts[0].number, d.parts[len(d.parts)-1].last
	for i, g := range segments {
		if g.number < first {
			d.older = segments[:i+1]
		}
	}
	d.newer = segments[len(segments):]
	for i, g := range slices.Backward(segments) {
		if g.number > last {
			d.newer = segments[i:]
		}
	}
}

// counts reports whether what stays is needed: a newer file does not have it, and it is not
// discarded. That it is not while an older file has it: from there it would come back.
func (d *dropping) counts(r *rest) (bool, error) {
	newer, err := d.store.hasRest(d.newer, r)
	if newer || err != nil {
		return false, err
	}
	retention := d.keys
	if r.kind() == wal.TypeState {
		retention = d.entities
	}
	if !d.ages.over(r.time, retention) {
		return true, nil
	}
	return d.store.hasRest(d.older, r)
}

// hasRest reports whether one of some files of what stays has something of the same name.
func (s *Store) hasRest(in []*segment, r *rest) (bool, error) {
	asked := index.AskKey(string(r.name))
	if r.kind() == wal.TypeState {
		asked = index.AskState(string(r.name))
	}
	for g := range newestWith(in, nil, &asked) {
		idx, err := s.indexOf(g)
		if err != nil {
			return false, err
		}
		find := idx.FindKey
		if r.kind() == wal.TypeState {
			find = idx.FindState
		}
		offset, found, err := find(string(r.name))
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		rec, err := g.record(int64(offset))
		if err != nil {
			return false, err
		}
		other, err := restOf(rec)
		if err != nil || other == nil {
			return false, g.corrupt(int64(offset), "not what stays of an event")
		}
		if bytes.Equal(other.name, r.name) { // else one with the same hash
			return true, nil
		}
	}
	return false, nil
}
