package store

import (
	"fmt"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// scan walks over the batches of one segment and collects what an index and a writer need to know
// of them. It is the one way in which bytes of a log become state, for recovery, for a follower and
// for rebuilding an index alike, so that they cannot disagree about what a log holds.
//
// It belongs to one goroutine at a time. What it collects may be ahead of what is visible: active
// is shared with readers, who look below the head only, while sides are handed over when the scan's
// owner publishes them.
type scan struct {
	segment     *segment
	header      wal.SegmentHeader
	next        wal.Expected
	runs        []loadedRun // what was not scanned
	active      *index.Active
	first       uint64                // position of the first event of active
	sides       map[string]index.Side // newest of this segment
	fenced      bool                  // some are of fences
	erases      bool                  // some are of erasures
	lastTime    uint64
	sideBytes   uint64 // that side values take, see sideBytes
	records     int    // bytes of those of side values in the batch that is taken in
	durable     int64  // highest "known durable" mark seen
	promised    int64  // end of the last batch that holds a commit
	flags       uint16 // of the last batch
	incarnation uint32 // of the last batch
}

// newScan starts after the header of a segment. The epoch of the writer before it is not known
// here: 0.
func newScan(g *segment, h *wal.SegmentHeader) *scan {
	return &scan{
		segment:     g,
		header:      *h,
		active:      index.NewActive(),
		first:       h.FirstPosition,
		sides:       make(map[string]index.Side),
		lastTime:    max(h.LastTime, h.EndTime),
		incarnation: h.Incarnation,
		next: wal.Expected{
			Seed:     wal.Seed(h.Store),
			Segment:  h.Segment,
			Offset:   wal.SegmentHeaderSize,
			Previous: h.Previous,
			Sequence: h.FirstSequence,
			Position: h.FirstPosition,
		},
	}
}

// scanSegment scans a sealed segment whose batches end at dataEnd; anything else there is damage.
func scanSegment(g *segment, dataEnd int64) (*scan, error) {
	p := g.pieces(dataEnd)
	b, err := p.View(0, wal.SegmentHeaderSize)
	if err != nil {
		return nil, err
	}
	h, err := wal.ParseSegmentHeader(b)
	if err != nil {
		return nil, g.corrupt(0, "segment header: "+err.Error())
	}
	sc := newScan(g, &h)
	if err := sc.run(p); err != nil {
		return nil, err
	}
	if sc.next.Offset != dataEnd {
		return nil, g.corrupt(sc.next.Offset, "batch does not match its checksum or place")
	}
	sc.active.PublishUpTo(sc.active.Len()) // what is sealed is visible
	return sc, nil
}

// chain is what the next segment must continue. Of a segment that was rewritten that is the last
// batch as first written, of the last segment that it stands for; that the scan is whole is then
// told by position and sequence.
func (sc *scan) chain() wal.Expected {
	x := sc.next
	if sc.header.Generation > 0 {
		x.Previous, x.Segment = sc.header.LastChecksum, sc.header.Last
	}
	return x
}

// publish says that the events before a position are visible.
func (sc *scan) publish(next Position) { sc.active.PublishUpTo(uint32(uint64(next) - sc.first)) }

// run takes in the batches from sc.next on, up to the first that does not continue the log. What it
// means that the log does not continue there, end or damage, is for the caller to say.
func (sc *scan) run(p *wal.Pieces) error {
	for {
		h, batch, err := p.Next(&sc.next)
		if batch == nil {
			return err
		}
		if err := sc.add(&h, batch); err != nil {
			return err
		}
	}
}

// add takes in one batch that continues the log. A batch whose checksum is right holds what a
// writer wrote, so records in it that make no sense are damage of another kind: reported, never
// skipped.
func (sc *scan) add(h *wal.BatchHeader, batch []byte) error {
	at := sc.next.Offset
	sc.records = 0
	err := wal.Records(h, batch, func(rec []byte, offset int) error {
		return sc.record(rec, uint32(at)+uint32(offset))
	})
	if err != nil {
		return sc.segment.corrupt(at, fmt.Sprintf("batch with a good checksum and bad records: %v", err))
	}
	sc.sideBytes += sideBytes(h, sc.records)
	sc.durable = max(sc.durable, int64(h.Durable))
	sc.flags, sc.incarnation = h.Flags, h.Incarnation
	sc.next.Advance(h)
	if h.Commits > 0 {
		sc.promised = sc.next.Offset
	}
	return nil
}

// sideBytes is what side values take in a batch, given the bytes of their records: all of it, if
// there is nothing else. Most checkpoints are shorter than the header of a batch, so a log of such
// would not seem to have much to save.
func sideBytes(h *wal.BatchHeader, records int) uint64 {
	if records > 0 && wal.Align(wal.BatchHeaderSize+records) == int(h.Length) {
		return uint64(h.Length)
	}
	return uint64(records)
}

// record takes in one record. The later record of a side key replaces the earlier one, as the scan
// goes in the order of the log. The strings are copies: rec lies in memory that
// holds a whole batch or segment.
func (sc *scan) record(rec []byte, offset uint32) error {
	switch wal.Type(rec) {
	case wal.TypeEvent, wal.TypeErased:
		var e wal.Event
		if err := wal.ParseEvent(rec, &e); err != nil {
			return err
		}
		t := index.Terms{Entity: string(e.Entity()), Scope: string(e.Scope()), Kind: string(e.Kind())}
		sc.active.Add(entryOf(rec, offset, t))
		sc.lastTime = e.Time
	case wal.TypeKey:
		k, err := wal.ParseKey(rec)
		if err != nil {
			return err
		}
		sc.active.AddKey(string(k.Key), offset)
	case wal.TypeState, wal.TypeReceipt:
		return sc.rest(rec, offset)
	case wal.TypeSide, wal.TypeSideDelete:
		side, err := wal.ParseSide(rec)
		if err != nil {
			return err
		}
		place := sc.segment.place(&side, offset)
		sc.active.SetSide(place)
		sc.records += len(rec)
		sc.sides[place.Key()] = place
		sc.fenced = sc.fenced || isFenceKey(place.Key())
		sc.erases = sc.erases || isErasureKey(place.Key())
	}
	return nil
}

// rest takes in what stays of events that were dropped.
func (sc *scan) rest(rec []byte, offset uint32) error {
	if wal.Type(rec) == wal.TypeState {
		state, err := wal.ParseState(rec)
		if err == nil {
			sc.active.AddState(string(state.Entity), offset)
		}
		return err
	}
	r, err := wal.ParseReceipt(rec)
	if err == nil {
		sc.active.AddKey(string(r.Key.Key), offset)
	}
	return err
}

// entryOf is what an index learns of the event in rec.
func entryOf(rec []byte, offset uint32, t index.Terms) index.Entry {
	entry := index.Entry{Offset: offset, Terms: t}
	if wal.Linked(rec) {
		if l, ok := wal.Measure(rec); ok {
			l.Links(rec, &entry.Cause, &entry.Correlation)
		}
	}
	return entry
}

// place is that of a side value in the segment. It has copies: a parsed record lies in memory that
// holds a whole batch or segment.
func (g *segment) place(side *wal.Side, offset uint32) index.Side {
	place := index.SideOf(side.Key, side.Value, side.Deleted)
	place.Revision, place.Segment, place.Offset = side.Revision, g.number, offset
	return place
}
