package store

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// record checks a record of a good batch.
func (c *segmentCheck) record(h *wal.BatchHeader, rec []byte, offset int64) {
	switch t := wal.Type(rec); {
	case wal.IsEvent(rec):
		position := h.FirstPosition + uint64(len(c.events))
		c.events = append(c.events, rec)
		if _, ok := wal.Measure(rec); !ok || wal.Position(rec) != position {
			c.lose(c.missing(offset, Position(position), Position(position), "not the event that belongs here"))
			return
		}
		c.event(c.segment, rec, offset)
	case t == wal.TypeState:
		c.state(h, rec, offset)
	case !c.first:
	case t == wal.TypeReceipt:
		c.receipt(h, rec, offset)
	case t == wal.TypeKey:
		c.key(h, rec, offset)
	case t == wal.TypeSide, t == wal.TypeSideDelete:
		c.side(h, rec, offset)
	default:
		c.damaged(DamagedBatch, offset, "record of an unknown type")
	}
}

// key compares an idempotency key with the events of its commit, which are before it in the batch.
func (c *segmentCheck) key(h *wal.BatchHeader, rec []byte, offset int64) {
	c.report.Keys++
	k, err := wal.ParseKey(rec)
	from, lost := k.FirstPosition-h.FirstPosition, c.store.losses()
	switch {
	case err != nil:
		c.damaged(DamagedKey, offset, "not the record of a key")
	case !holds(h, k.Sequence):
		c.damaged(DamagedKey, offset, "sequence is not that of its commit")
	case k.FirstPosition < h.FirstPosition || from+uint64(k.Events) > uint64(len(c.events)):
		c.damaged(DamagedKey, offset, "its events are not before it")
	case !ofEvents(&k, c.events[from:][:k.Events]) && !lost.isLostBetween(Position(k.FirstPosition)-1, Position(k.FirstPosition)+Position(k.Events)):
		c.damaged(DamagedKey, offset, "digest is not that of its events")
	}
}

// state takes in what stays of an entity: its next event continues it.
func (c *segmentCheck) state(h *wal.BatchHeader, rec []byte, offset int64) {
	s, err := wal.ParseState(rec)
	switch {
	case err != nil:
		c.damaged(DamagedBatch, offset, "not the record of a state")
	case Position(s.Position) < c.segment.first || s.Position >= h.FirstPosition+uint64(h.Events) || s.Version == 0:
		c.damaged(DamagedBatch, offset, fmt.Sprintf("state of %q is not of an event of the segment", s.Entity))
	default:
		c.chains.begin(&s)
	}
}

// receipt checks what stays of a commit with a key.
func (c *segmentCheck) receipt(h *wal.BatchHeader, rec []byte, offset int64) {
	c.report.Keys++
	r, err := wal.ParseReceipt(rec)
	switch {
	case err != nil:
		c.damaged(DamagedKey, offset, "not the record of a receipt")
	case !holds(h, r.Key.Sequence):
		c.damaged(DamagedKey, offset, "sequence is not that of its commit")
	case Position(r.Key.FirstPosition) < c.segment.first || r.Key.FirstPosition+uint64(len(r.Events)) > h.FirstPosition+uint64(h.Events):
		c.damaged(DamagedKey, offset, "its events are not of the segment")
	}
}

// holds reports whether a batch may have a record of the commit of a sequence. In a log that was
// imported commits are before its beginning.
func holds(h *wal.BatchHeader, sequence uint64) bool {
	return sequence > 0 && sequence < h.FirstSequence+uint64(h.Commits) &&
		(sequence >= h.FirstSequence || h.Flags&wal.FlagRewritten != 0)
}

// ofEvents reports whether the digest of a key is that of events. Of those of which the content is
// gone that cannot be known, nor of a rule that is not.
func ofEvents(k *wal.Key, events [][]byte) bool {
	digest := sha256.New()
	for _, rec := range events {
		var d [32]byte
		switch {
		case wal.Type(rec) == wal.TypeErased || k.Rule >= wal.Rules:
			return true
		case k.Rule == wal.RuleRetry:
			d = wal.Retry(rec)
		default:
			d = wal.Plain(rec)
		}
		digest.Write(d[:])
	}
	return k.Erased || k.Matches([32]byte(digest.Sum(nil)))
}

// side compares the revision of a side value with the commits of its batch.
func (c *segmentCheck) side(h *wal.BatchHeader, rec []byte, offset int64) {
	c.report.Sides++
	switch s, err := wal.ParseSide(rec); {
	case err != nil:
		c.damaged(DamagedSide, offset, "not the record of a side value")
	case !holds(h, s.Revision):
		c.damage(Damage{
			Kind: DamagedSide, Segment: c.segment.number, Offset: offset, SideKey: string(s.Key),
			Reason: "revision is not the sequence of its commit",
		})
	}
}

// salvage looks for the events up to next, and the present side values, in bytes that are no good
// batch: as a reader does it, who goes by the index and by the checksum of each record.
func (c *segmentCheck) salvage(from, to int64, next Position) error {
	idx, err := c.index()
	if err != nil {
		return err
	}
	first := Position(c.scan.next.Position)
	whole, missing := true, c.missing(from, 0, 0, "")
	for p := first; p < next; p++ {
		rec, offset, reason := c.found(idx, p)
		if rec == nil {
			whole = false
			if missing.First == 0 {
				missing = c.missing(max(from, offset), p, 0, reason)
			}
			continue
		}
		c.loseUpTo(&missing, p-1)
		c.event(c.segment, rec, offset)
	}
	c.loseUpTo(&missing, next-1)
	if lost := c.loseSides(from, to); whole && !lost {
		c.damaged(DamagedBatch, from, "batch does not match its checksum or place")
	}
	return nil
}

// loseUpTo reports events that are missing up to here, if there are any.
func (c *segmentCheck) loseUpTo(missing *Damage, last Position) {
	if missing.First > 0 {
		missing.Last = last
		c.lose(*missing)
		missing.First = 0
	}
}

// index is that of the segment, nil where it has none. One that can be read no more, nor made, is
// none.
func (c *segmentCheck) index() (index.Index, error) {
	if c.trailer == nil && c.segment.index.Load() == nil {
		return nil, nil //nolint:nilnil // there is none
	}
	idx, err := c.store.indexOf(c.segment)
	if isReplaced(err) {
		return nil, err
	}
	if err != nil {
		return nil, nil //nolint:nilerr,nilnil // what it would lead to is lost
	}
	return idx, nil
}

// found returns the record of an event that the index leads to, and its offset; nil and why where
// it is not to be had.
func (c *segmentCheck) found(idx index.Index, p Position) (rec []byte, offset int64, reason string) {
	ord := uint64(p) - c.scan.header.FirstPosition
	if idx == nil || ord >= uint64(idx.Len()) {
		return nil, 0, "batch does not match its checksum or place"
	}
	at, err := idx.Offset(uint32(ord))
	if err != nil {
		return nil, 0, "batch does not match its checksum or place, nor can the index be used"
	}
	rec, err = c.segment.record(int64(at))
	if err != nil {
		var damage *CorruptError
		if errors.As(err, &damage) {
			return nil, int64(at), damage.Reason
		}
		return nil, int64(at), err.Error()
	}
	if _, ok := wal.Measure(rec); !ok || Position(wal.Position(rec)) != p {
		return nil, int64(at), "not the event that the index names"
	}
	return rec, int64(at), ""
}

// loseSides reports the present side values of which the records are damaged, and whether there are
// any. A short one is not lost: the memory has it, from a footer or a run.
func (c *segmentCheck) loseSides(from, to int64) (lost bool) {
	if c.cold || !c.first {
		return false
	}
	c.store.sides.snapshot().Scan(func(place index.Side) bool {
		at := int64(place.Offset)
		if place.Segment != c.segment.number || at < from || at >= to || place.Inline {
			return true
		}
		if _, err := c.segment.record(at); err != nil {
			lost = true
			c.damage(Damage{
				Kind: DamagedSide, Segment: c.segment.number, Offset: at, SideKey: place.Key(),
				Reason: "record does not match its checksum",
			})
		}
		return true
	})
	return lost
}
