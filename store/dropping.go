package store

import (
	"errors"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// dropping is the work on one file that takes the place of some segments and has none of their
// events: what stays of them, and all side values that are present.
//
//	gather     the oldest segments with events, one after the other: the last state of each
//	  |        entity, the receipt of each commit with a key, in memory, up to some number
//	widen      by the files before that a drop has made, while they are not much larger
//	  |
//	write      side values; states and receipts of all parts, merged in the order of their names:
//	  |        where several have one, that of the newest counts
//	replace    as any file that stands for several segments, see rewriter
//
// So a byte of what stays is written again some log2 times, as files grow to the size of a segment;
// from there on there are as many as it takes. What newer ones say again, or is discarded, takes no
// more than half of each for long, see tidy. It belongs to the goroutine that has the rewriter.
type dropping struct {
	rewriting
	hidden   ranges
	ages     *ages
	keys     time.Duration // receipts of commits that are older are discarded; 0 for none
	entities time.Duration // states as of events that are older are discarded; 0 for none

	states    map[string]wal.State // without the entity
	receipts  map[string]rest
	older     []*segment // without events, before the parts
	newer     []*segment // and after
	discarded bool       // some state that is not in the file any more
	bytes     int64      // of the records of both, and of side values
	last      uuid.UUID  // the last event that was gathered
	report    RetainReport
	recorded  []wal.Recorded // of the events of the batch that is read
}

// Bounds of what is dropped at a time.
const (
	// maxGathered states and receipts are in memory, and those of one segment more.
	maxGathered = 1 << 17
)

func newDropping(s *Store) *dropping {
	return &dropping{
		rewriting: rewriting{store: s}, hidden: s.cancelled(),
		states: make(map[string]wal.State), receipts: make(map[string]rest),
	}
}

// full reports whether what was gathered is to be written before more is.
func (d *dropping) full() bool { return len(d.states)+len(d.receipts) >= maxGathered }

// gather takes in a segment with events.
func (d *dropping) gather(g *segment) error {
	d.from = g
	if err := d.each(g, d.batchOf); err != nil {
		return err
	}
	d.parts = append(d.parts, g)
	d.bytes += d.store.sides.liveBytes(g.number)
	d.report.Segments++
	d.report.Events += uint64(g.after() - g.first)
	d.report.Bytes += g.fileBytes()
	return nil
}

// batchOf takes in a batch. The key of a commit is after its events.
func (d *dropping) batchOf(h *wal.BatchHeader, batch []byte) error {
	d.recorded = d.recorded[:0]
	return wal.Records(h, batch, func(rec []byte, offset int) error {
		switch {
		case wal.IsEvent(rec):
			if _, ok := wal.Measure(rec); !ok || wal.Position(rec) != h.FirstPosition+uint64(len(d.recorded)) {
				return d.from.corrupt(int64(h.Offset)+int64(offset), "not the event that belongs here")
			}
			d.event(rec)
		case wal.Type(rec) == wal.TypeKey:
			k, err := wal.ParseKey(rec)
			from := k.FirstPosition - h.FirstPosition
			if err != nil || from > uint64(len(d.recorded)) || uint64(k.Events) > uint64(len(d.recorded))-from {
				return d.from.corrupt(int64(h.Offset)+int64(offset), "idempotency key is not that of events before it")
			}
			d.key(&k, d.recorded[from:][:k.Events])
		}
		return nil
	})
}

func (d *dropping) event(rec []byte) {
	p, id := wal.Position(rec), wal.ID(rec)
	d.recorded = append(d.recorded, wal.Recorded{ID: id, Version: wal.EntityVersion(rec)})
	d.last = id
	if d.hidden.has(Position(p)) { // the entity continues as if it had never been
		return
	}
	entity := string(wal.Entity(rec))
	if _, known := d.states[entity]; !known {
		d.bytes += int64(wal.StateSize(len(entity)))
	}
	d.states[entity] = wal.State{Position: p, Version: wal.EntityVersion(rec), Time: wal.Time(rec), Hash: wal.Hash(rec)}
}

func (d *dropping) key(k *wal.Key, events []wal.Recorded) {
	if d.store.withdrawn(Position(k.FirstPosition)) {
		return
	}
	k = d.store.erasing.pending().known(k) // this file may not have been rewritten yet
	r := rest{time: d.from.trailer.Load().LastTime}
	if n := len(events); n > 0 {
		r.time = timeOf(events[n-1].ID)
	}
	r.record = wal.AppendReceipt(nil, &wal.Receipt{Key: *k, Time: r.time, Events: events})
	d.receipts[string(k.Key)] = r
	d.bytes += int64(len(r.record))
}

// timeOf returns the hybrid time at which the millisecond of an id begins.
func timeOf(id uuid.UUID) uint64 {
	var ms uint64
	for _, b := range id[:6] {
		ms = ms<<8 | uint64(b)
	}
	return ms << 16
}

// widen takes in the files before that are without events, the newest first, as long as they are
// worth it.
func (d *dropping) widen() {
	segments := *d.store.segments.Load()
	most := max(d.store.options.SegmentBytes, minRestBytes)
	for at := slices.Index(segments, d.parts[0]); at > 0; at-- {
		g := segments[at-1]
		size := batchBytes(g)
		if !g.dropped || size > 2*d.bytes || size+d.bytes > most {
			return
		}
		d.parts, d.bytes = slices.Insert(d.parts, 0, g), d.bytes+size
	}
}

// end is the position after all that the file stands for.
func (d *dropping) end() Position { return d.parts[len(d.parts)-1].after() }

// make writes the file and syncs it.
func (d *dropping) make(name string) (err error) {
	d.look()
	if err := d.begin(name); err != nil {
		return err
	}
	h := &d.scan.header
	h.Version, h.Dropped, h.LastEvent, h.EndTime = wal.VersionDropped, true, d.lastEvent(), d.trailer.LastTime
	if err = d.write(); err == nil {
		err = d.finish()
	}
	return errors.Join(err, d.out.Close())
}

// lastEvent returns the id of the last event of all parts.
func (d *dropping) lastEvent() uuid.UUID {
	for _, g := range slices.Backward(d.parts) {
		if !g.dropped && d.last != uuid.Nil {
			return d.last
		}
		if g.dropped && g.lastEvent != uuid.Nil {
			return g.lastEvent
		}
	}
	return uuid.Nil
}

// write writes the batches. The first ones pass over all that is gone: what stays is of before.
func (d *dropping) write() error {
	if err := d.pass(); err != nil {
		return err
	}
	for _, d.from = range d.parts {
		if err := d.writeSides(); err != nil {
			return err
		}
	}
	if err := d.merge(); err != nil {
		return err
	}
	return d.flush()
}

// pass writes as many batches as it takes to pass over the positions and the sequences.
func (d *dropping) pass() error {
	x, t := &d.scan.next, &d.trailer
	d.head = wal.BatchHeader{
		Segment: x.Segment, WriterEpoch: t.WriterEpoch, Incarnation: t.Incarnation, FirstSequence: t.NextSequence,
		Flags: wal.FlagOpened | wal.FlagRewritten | wal.FlagDropped,
	}
	if t.Weak {
		d.head.Flags |= wal.FlagWeak
	}
	for first := true; first || x.Position < t.NextPosition; first = false {
		d.head.FirstPosition, d.head.Events = x.Position, uint32(min(t.NextPosition-x.Position, math.MaxUint32))
		d.batch = append(d.batch[:0], make([]byte, wal.BatchHeaderSize)...)
		if err := d.flush(); err != nil {
			return err
		}
	}
	d.head.FirstPosition, d.head.Events = t.NextPosition, 0
	d.head.Flags &^= wal.FlagOpened
	return nil
}

// append adds a record to the batch that is made.
func (d *dropping) append(rec []byte) error {
	if len(d.batch) > rewrittenBatchBytes {
		if err := d.flush(); err != nil {
			return err
		}
	}
	if len(d.batch) == 0 {
		d.batch = append(d.batch, make([]byte, wal.BatchHeaderSize)...)
	}
	d.batch = append(d.batch, rec...)
	return nil
}

// writeSides takes over the side values of a part that are present, and deletions that hide others.
func (d *dropping) writeSides() error {
	var stay []uint32
	err := d.from.eachSide(func(side index.Side) {
		if d.keeps(&side) {
			stay = append(stay, side.Offset)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(stay)
	for _, offset := range stay {
		rec, err := d.from.record(int64(offset))
		if err != nil {
			return err
		}
		if stays, err := d.stays(rec, offset); err != nil || !stays { // superseded meanwhile
			continue
		}
		if err := d.append(rec); err != nil {
			return err
		}
	}
	return nil
}

func (d *dropping) keeps(side *index.Side) bool {
	at, found := d.hides[side.Key()]
	if !side.Deleted {
		at, found = d.store.sides.get(side.Key())
	}
	return found && at.Segment == d.from.number && at.Offset == side.Offset
}

// merge writes the states and receipts of all parts in order.
func (d *dropping) merge() error {
	var m merging
	defer m.end()
	for _, g := range d.parts {
		if g.dropped {
			m.add(d.restsIn(g))
		}
	}
	m.add(d.gathered())
	for {
		r, err := m.next()
		if r == nil || err != nil {
			return err
		}
		if d.store.rewriter.stop.Load() {
			return ErrClosed
		}
		counts, err := d.counts(r)
		switch {
		case err != nil:
		case counts:
			err = d.append(r.record)
		default:
			d.discarded = d.discarded || r.kind() == wal.TypeState
		}
		if err != nil {
			return err
		}
	}
}

// gathered yields what was gathered, in order.
func (d *dropping) gathered() iter.Seq2[*rest, error] {
	return func(yield func(*rest, error) bool) {
		var record []byte
		for _, entity := range slices.Sorted(maps.Keys(d.states)) {
			s := d.states[entity]
			s.Entity = []byte(entity)
			record = wal.AppendState(record[:0], &s)
			if !yield(&rest{record, s.Entity, s.Time}, nil) {
				return
			}
		}
		for _, key := range slices.Sorted(maps.Keys(d.receipts)) {
			r := d.receipts[key]
			r.name = []byte(key)
			if !yield(&r, nil) {
				return
			}
		}
	}
}

// restsIn yields what stays of events in a segment without them, as it is there: in order.
func (d *dropping) restsIn(g *segment) iter.Seq2[*rest, error] {
	return func(yield func(*rest, error) bool) {
		err := d.each(g, func(h *wal.BatchHeader, batch []byte) error {
			return wal.Records(h, batch, func(rec []byte, _ int) error {
				r, err := restOf(rec)
				if r != nil && err == nil && !yield(r, nil) {
					err = errEnough
				}
				return err
			})
		})
		if err != nil && !errors.Is(err, errEnough) {
			yield(nil, err)
		}
	}
}

// errEnough is that no more is wanted.
var errEnough = errors.New("store: enough")
