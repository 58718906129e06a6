package store

import (
	"slices"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// loadSides collects the side values of all segments, from the newest on: the first record of a key
// that is met counts, and older ones are not read, so damage to a value that was superseded is no
// reason to refuse. A deletion is kept in the map as the zero value until the end, to hide older
// ones.
func (r *recovery) loadSides() error {
	values := make(map[string]SideValue)
	for _, g := range slices.Backward(*r.store.segments.Load()) {
		if g.trailer.Load() == nil {
			if err := r.scanSides(g, values); err != nil {
				return err
			}
			continue
		}
		sides, err := readSides(g)
		if err != nil {
			return err
		}
		for _, side := range sides {
			if _, newer := values[side.Key]; newer {
				continue
			}
			rec, err := g.record(int64(side.Offset))
			if err != nil {
				return err
			}
			parsed, err := wal.ParseSide(rec)
			if err != nil {
				return g.corrupt(int64(side.Offset), "not a side value")
			}
			values[side.Key] = sideValue(side.Key, &parsed)
		}
	}
	_ = r.store.sides.merge(values)
	return nil
}

// scanSides adds the side values of a segment without a footer: the last one, one for whose footer
// the disk has no room, or, for a reader, one that its writer has not sealed yet.
func (r *recovery) scanSides(g *segment, values map[string]SideValue) error {
	sc := r.tail
	if sc == nil || sc.segment != g {
		var err error
		if sc, err = scanSegment(g, g.end.Load()); err != nil {
			return err
		}
	}
	for key, value := range sc.sides {
		if _, newer := values[key]; !newer {
			values[key] = value
		}
	}
	return nil
}

// readSides reads, from the footer of a sealed segment, where the newest record of each of its side
// values lies. A table that is damaged is rebuilt from the batches.
func readSides(g *segment) ([]index.Side, error) {
	t := g.trailer.Load()
	from := int64(t.DataEnd) + int64(t.IndexLen)
	blob, err := g.bytes(from, from+int64(t.SidesLen))
	if err == nil && wal.Checksum(blob) == t.SidesSum {
		if sides, err := index.Sides(blob); err == nil {
			return sides, nil
		}
	}
	scan, err := scanSegment(g, int64(t.DataEnd))
	if err != nil {
		return nil, err
	}
	_, blob = scan.active.Footer()
	return index.Sides(blob)
}
