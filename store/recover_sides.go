package store

import (
	"io"
	"maps"
	"slices"

	"github.com/tidwall/btree"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// sidesBufferBytes of a table of side values are read at a time.
const sidesBufferBytes = 256 << 10

// loadSides collects where the side values of all segments lie, from the oldest segment on: a later
// record of a key replaces an earlier one. No value is read, so damage to one is the error of the
// read that meets it.
//
// Footers of version 1 do not say enough. What is known by such a one alone is looked up at the
// end, when it is clear that no later segment has the key: damage to a value that was superseded is
// no reason to refuse.
func (r *recovery) loadSides() error {
	t, vague := &r.store.sides, false
	for _, g := range *r.store.segments.Load() {
		if g.trailer.Load() == nil {
			if err := r.scanSides(g); err != nil {
				return err
			}
			continue
		}
		some, err := t.load(g)
		if err != nil {
			return err
		}
		vague = vague || some
	}
	if vague {
		if err := t.complete(); err != nil {
			return err
		}
	}
	t.pack()
	return nil
}

// pack gives back the room that nodes have for more keys, before the store is open: half of it
// where keys came in their order, as each node that was split then keeps the room of what went to
// the next one.
func (t *sideTable) pack() {
	t.tree = t.tree.Copy()
	t.tree.ScanMut(func(index.Side) bool { return true }) // copies each node, as large as it must be
}

// scanSides adds the side values of a segment without a footer: the last one, one for whose footer
// the disk has no room, or, for a reader, one that its writer has not sealed yet.
func (r *recovery) scanSides(g *segment) error {
	sc := r.scanOf(g)
	if sc == nil {
		var err error
		if sc, err = scanSegment(g, g.end.Load()); err != nil {
			return err
		}
	}
	r.store.sides.loadScan(sc)
	return nil
}

// scanOf returns what is kept of the scan of a segment: nil where it has to be done again.
func (r *recovery) scanOf(g *segment) *scan {
	for _, sc := range append(slices.Clip(r.covered), r.tail) {
		if sc != nil && sc.segment == g {
			return sc
		}
	}
	return nil
}

// loadScan takes in what a scan found, by ascending keys: in the order of the map each would cost a
// search of the whole tree.
func (t *sideTable) loadScan(sc *scan) {
	var hint btree.PathHint
	for i := range sc.runs {
		for _, side := range sc.runs[i].sides {
			t.put(side, &hint)
		}
		sc.runs[i].sides = nil // a reader keeps the scan
	}
	for _, key := range slices.Sorted(maps.Keys(sc.sides)) {
		t.put(sc.sides[key], &hint)
	}
}

// load takes in the table in the footer of a sealed segment, before the store is open. One that is
// damaged is rebuilt from the batches. It reports whether the table has entries of version 1.
func (t *sideTable) load(g *segment) (vague bool, err error) {
	vague, err = t.loadTable(g)
	if err == nil {
		return vague, nil
	}
	sc, err := scanSegment(g, int64(g.trailer.Load().DataEnd))
	if err != nil {
		return false, err
	}
	t.loadScan(sc)
	return false, nil
}

func (t *sideTable) loadTable(g *segment) (vague bool, err error) {
	var hint btree.PathHint
	err = g.eachSide(func(side index.Side) {
		t.put(side, &hint)
		vague = vague || side.Revision == 0
	})
	return vague, err
}

// eachSide calls take with the entries of the table in the footer. It reads the table twice,
// through a buffer: nothing of it is taken in before its checksum is known to be right, and all
// tables at once may be more than there is memory for.
func (g *segment) eachSide(take func(index.Side)) error {
	file, err := g.hold()
	if err != nil {
		return err
	}
	defer file.drop()
	trailer := g.trailer.Load()
	from, size := int64(trailer.DataEnd)+int64(trailer.IndexLen), int64(trailer.SidesLen)
	sum, err := checksumOf(io.NewSectionReader(file, from, size), make([]byte, min(size, sidesBufferBytes)))
	if err != nil {
		return err
	}
	if sum != trailer.SidesSum {
		return g.corrupt(from, "table of side values does not match its checksum")
	}
	for side, err := range index.Sides(io.NewSectionReader(file, from, size), size) {
		if err != nil {
			return err
		}
		side.Segment = g.number
		take(side)
	}
	return nil
}

func checksumOf(r io.Reader, buf []byte) (sum uint32, err error) {
	for {
		n, err := r.Read(buf)
		sum = wal.ChecksumOn(sum, buf[:n])
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// complete looks up what tables of version 1 do not say, before the store is open.
func (t *sideTable) complete() error {
	var vague []index.Side
	t.tree.Scan(func(side index.Side) bool {
		if side.Revision == 0 {
			vague = append(vague, side)
		}
		return true
	})
	for i := range vague {
		g, offset := t.segment(vague[i].Segment), vague[i].Offset
		rec, err := g.record(int64(offset))
		if err != nil {
			return err
		}
		side, err := wal.ParseSide(rec)
		if err != nil || string(side.Key) != vague[i].Key() {
			return g.corrupt(int64(offset), "not the side value that is looked for")
		}
		t.put(g.place(&side, offset), nil)
	}
	return nil
}
