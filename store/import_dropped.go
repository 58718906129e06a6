package store

import (
	"fmt"
	"math"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// takeDropped takes in a line of what stays of events that were dropped.
func (m *importing) takeDropped(l *exportedLine) error {
	if m.counts.Sides+m.counts.Events > 0 {
		return m.refuse(&InvalidError{Field: "dropped", Rule: "must be before side values and events"})
	}
	switch {
	case l.Dropped != nil:
		return m.beginDropped(l.Dropped)
	case m.files.first == 0:
		return m.refuse(&InvalidError{Field: "dropped", Rule: "must be before what stays of it"})
	case l.State != nil:
		return m.state(l.State)
	default:
		return m.receipt(l.Receipt)
	}
}

func (m *importing) beginDropped(x *exportedDropped) error {
	if x.Next < m.dropped || x.Next > m.log.First || m.log.First == 1 {
		return m.refuse(&InvalidError{Field: "next", Rule: fmt.Sprintf("must be from %d to %d", m.dropped, m.log.First), Value: x.Next})
	}
	h := wal.SegmentHeader{Dropped: true}
	if x.Last != nil {
		h.LastEvent, m.id = *x.Last, *x.Last
	}
	var err error
	if h.EndTime, err = parseTime(x.Time); err == nil && h.EndTime < m.time {
		err = &InvalidError{Field: "time", Rule: "must not be before that of the file before", Value: x.Time}
	}
	if err != nil {
		return m.refuse(err)
	}
	m.time, m.dropped, m.rest = h.EndTime, x.Next, nil
	return m.files.drop(&h, x.Next)
}

func (m *importing) state(x *exportedState) error {
	rec, err := x.record()
	if err == nil {
		err = checkTerm("entity", x.Entity, MaxEntityBytes)
	}
	if err == nil && (x.Position < m.files.first || x.Position >= m.dropped || x.Version == 0) {
		err = &InvalidError{Field: "position", Rule: "must be of what was dropped, with a version", Value: x.Position}
	}
	if err != nil {
		return m.refuse(err)
	}
	s, _ := wal.ParseState(rec)
	m.chains.begin(&s)
	m.counts.States++
	return m.addRest(rec)
}

func (m *importing) receipt(x *exportedReceipt) error {
	rec, err := x.record()
	if err == nil {
		err = checkTerm("idempotency key", x.Key, MaxIdempotencyKeyBytes)
	}
	switch {
	case err != nil:
	case x.Events == 0 || x.Events > MaxBatchEvents || x.Sequence == 0 || x.Sequence >= m.log.Sequence || x.Rule >= 1<<6:
		err = &InvalidError{Field: "receipt", Rule: "must be of 1 to 65,536 events and of a sequence of the log", Value: x.Key}
	case x.First < m.files.first || x.First >= m.dropped || x.First+uint64(x.Events) > m.dropped:
		err = &InvalidError{Field: "first", Rule: "must be of what was dropped", Value: x.First}
	}
	if err != nil {
		return m.refuse(err)
	}
	m.counts.Receipts++
	return m.addRest(rec)
}

// addRest adds a record, which must be after the one before in the order of what stays.
func (m *importing) addRest(rec []byte) error {
	r, err := restOf(rec)
	if err == nil && m.rest != nil && compareRests(r, m.rest) <= 0 {
		err = &InvalidError{Field: "line", Rule: "must be after the one before: states, then receipts, by name", Value: string(r.name)}
	}
	if size := m.files.scan.next.Offset; err == nil && size > maxRestFile {
		err = &InvalidError{Field: "bytes of what stays", Limit: maxRestFile, Value: size}
	}
	if err != nil {
		return m.refuse(err)
	}
	m.rest = r
	return m.files.add(rec)
}

// maxRestFile is less than offsets in a file can be.
const maxRestFile = math.MaxUint32 - 1<<28

// drop starts a segment of which the events up to next were dropped.
func (f *importedFiles) drop(h *wal.SegmentHeader, next uint64) error {
	if err := f.open(h); err != nil {
		return err
	}
	f.first = h.FirstPosition
	x := &f.scan.next
	for first := true; first || x.Position < next; first = false {
		f.batch = append(f.batch, make([]byte, wal.BatchHeaderSize)...)
		f.events = uint32(min(next-x.Position, math.MaxUint32))
		if err := f.flush(); err != nil {
			return err
		}
	}
	return nil
}

// live starts a segment with events, unless there is one.
func (f *importedFiles) live() error {
	if f.out != nil && !f.scan.header.Dropped {
		return nil
	}
	return f.open(&wal.SegmentHeader{})
}
