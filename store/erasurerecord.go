package store

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// An erasure that is not finished is in the log as a side value:
//
//	erasure/0123456789abcdef0123456789abcdef --> 1, time, by, reason, positions, side keys
//	                                             2, the same, positions of causes
//
// As long as it is there, readers are shown the events at its positions as they will be once their
// segments are rewritten: so an erasure is done for them as soon as it is in the log, and files
// follow. It is deleted by the commit that says that all of them did.

var errBadErasure = errors.New("not an erasure")

const (
	erasurePrefix   = "erasure/"
	erasureKeyBytes = len(erasurePrefix) + 2*len(uuid.UUID{})
	erasureVersion  = 1
	// draftsVersion is erasureVersion of one with drafts.
	draftsVersion = 2
	// maxErasureBytes bounds the value: some five million events that do not lie side by side.
	maxErasureBytes = 16 << 20
)

func erasureKey(id uuid.UUID) string { return erasurePrefix + hex.EncodeToString(id[:]) }

// isErasureKey likewise as isFenceKey.
func isErasureKey(key string) bool {
	if len(key) != erasureKeyBytes || !strings.HasPrefix(key, erasurePrefix) {
		return false
	}
	_, err := hex.DecodeString(key[len(erasurePrefix):])
	return err == nil
}

// erasure is one that is in the log. It never changes then. All but resumed is what the log says.
type erasure struct {
	id       uuid.UUID
	at       int64 // milliseconds since 1970
	by       string
	reason   string
	events   ranges   // never empty
	keys     []string // of side values, ascending: what they were before goes
	drafts   ranges   // events after which side values are named that had what is erased
	revision uint64   // of the commit that begins it

	resumed bool // an earlier writer has begun it
}

// encode returns the value. Positions are written as those of a fence.
func (e *erasure) encode() []byte {
	version := byte(erasureVersion)
	if len(e.drafts) > 0 {
		version = draftsVersion
	}
	b := binary.AppendUvarint([]byte{version}, uint64(e.at))
	b = appendText(appendText(b, e.by), e.reason)
	b = e.events.append(b)
	b = binary.AppendUvarint(b, uint64(len(e.keys)))
	for _, key := range e.keys {
		b = appendText(b, key)
	}
	if version == draftsVersion {
		b = e.drafts.append(b)
	}
	return b
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// append appends their number, and each as the distance from the one before, and its length.
func (r ranges) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(r)))
	at := Position(0)
	for _, in := range r {
		b = binary.AppendUvarint(b, uint64(in.From-at))
		b = binary.AppendUvarint(b, uint64(in.To-in.From))
		at = in.To
	}
	return b
}

// ranges is the reverse of append. It is bad where there is none, or more than most.
func (d *identityDecoder) ranges(most uint64) (r ranges) {
	n := d.number()
	d.bad = d.bad || n == 0 || n > most
	at := Position(0)
	for ; n > 0 && !d.bad; n-- {
		gap, length := d.number(), d.number()
		in := Range{From: at + Position(gap), To: at + Position(gap) + Position(length)}
		d.bad = d.bad || gap == 0 || len(r) > 0 && gap == 1 || in.From < at || in.To < in.From
		r, at = append(r, in), in.To
	}
	return r
}

// parseErasure is the reverse of encode. It accepts no value that encode does not make.
func parseErasure(id uuid.UUID, b []byte) (*erasure, error) {
	if len(b) > 0 && b[0] > draftsVersion {
		return nil, ErrNewerFormat
	}
	if len(b) == 0 || b[0] == 0 {
		return nil, errBadErasure
	}
	d := identityDecoder{rest: string(b[1:])}
	e := &erasure{id: id, at: int64(d.number()), by: d.text(), reason: d.text(), events: d.ranges(maxErasureBytes / 2)}
	for n := d.number(); n > 0 && !d.bad; n-- {
		e.keys = append(e.keys, d.text())
	}
	if b[0] == draftsVersion {
		e.drafts = d.ranges(maxErasureBytes / 2)
	}
	if d.bad || d.rest != "" || !slices.Equal(e.encode(), b) { // a number that was written in another way
		return nil, errBadErasure
	}
	return e, nil
}

// Names in the note of an erased event.
const (
	noteAt      = "at" // milliseconds since 1970
	noteBy      = "by"
	noteErasure = "erasure" // id
	noteReason  = "why"
)

// note is what an event keeps of its erasure; the short one leaves to the audit event who and why.
func (e *erasure) note(short bool) (b []byte) {
	b = wal.AppendPair(b, noteAt, strconv.FormatInt(e.at, 10))
	if !short {
		b = wal.AppendPair(b, noteBy, e.by)
	}
	b = wal.AppendPair(b, noteErasure, string(e.id[:]))
	if !short {
		b = wal.AppendPair(b, noteReason, e.reason)
	}
	return b
}

// Erased says who erased an event, when and why.
type Erased struct {
	// At is the time of the erasure, to the millisecond.
	At time.Time
	// By and Reason are those of the [Erasure]. Both are "" where they would have made a segment of
	// small events much larger: then the audit event of the erasure has them.
	By, Reason string
	// Erasure is its id, which is in the entity of its audit events, see [AuditErased].
	Erasure uuid.UUID
}

// Erased reports whether the content of the event was erased, and by whom. Its payload and headers
// are gone then, and [Event.Decode] is an [ErrErased]; all else is as it was.
func (e Event) Erased() (by Erased, ok bool) {
	if len(e.record) == 0 || wal.Type(e.record) != wal.TypeErased {
		return by, false
	}
	var parsed wal.Event
	_ = wal.ParseEvent(e.record, &parsed) // it was parsed before
	for name, value := range wal.Pairs(parsed.Note) {
		switch string(name) {
		case noteAt:
			ms, _ := strconv.ParseInt(string(value), 10, 64)
			by.At = time.UnixMilli(ms).UTC()
		case noteBy:
			by.By = string(value)
		case noteErasure:
			by.Erasure, _ = uuid.FromBytes(value)
		case noteReason:
			by.Reason = string(value)
		}
	}
	return by, true
}

// erasures are those that are not finished. nil where there are none, as nearly always.
type erasures []*erasure

// show returns the record of an event as its reader is to see it.
func (x erasures) show(rec []byte) []byte {
	for _, e := range x {
		if wal.Type(rec) == wal.TypeEvent && e.events.has(Position(wal.Position(rec))) {
			return appendErased(nil, rec, e.note(false))
		}
	}
	return rec
}

// appendErased appends what is left of the record of an event.
func appendErased(dst, rec, note []byte) []byte {
	start := len(dst)
	dst = wal.AppendErased(dst, rec, note)
	wal.SealRecord(dst[start:], wal.IsLast(rec))
	return dst
}

// names reports whether a side value is named after an event that is erased, as those of parked
// events are, or after the cause of one, as those of scheduled events are: its key ends with a
// slash and the position, in 16 hexadecimal digits. Or it is one that was given. What it was before
// goes from disk.
func (e *erasure) names(key string) bool {
	if _, found := slices.BinarySearch(e.keys, key); found {
		return true
	}
	const digits = 16
	at := len(key) - digits
	if at < 1 || key[at-1] != '/' {
		return false
	}
	p, err := strconv.ParseUint(key[at:], 16, 64)
	return err == nil && (e.events.has(Position(p)) || e.drafts.has(Position(p)))
}

// loadErasures reads which erasures are not finished. It is called by the one that advances the
// log, and before the store is open.
func (s *Store) loadErasures() (err error) {
	var list erasures
	s.sides.snapshot().Ascend(sidePivot(erasurePrefix), func(place index.Side) bool {
		key := place.Key()
		if !strings.HasPrefix(key, erasurePrefix) {
			return false
		}
		if !isErasureKey(key) {
			return true
		}
		var e *erasure
		if e, err = s.erasureAt(&place); e != nil {
			list = append(list, e)
		}
		return err == nil
	})
	if err == nil {
		s.erasing.show(list)
	}
	return err
}

// erasureAt reads one, nil where the value is none: that of a program which was written before the
// prefix was reserved.
func (s *Store) erasureAt(place *index.Side) (*erasure, error) {
	value, err := s.sides.valueAt(place)
	if err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(place.Key()[len(erasurePrefix):])
	if err != nil {
		return nil, err
	}
	e, err := parseErasure(uuid.UUID(id), value.Value)
	if errors.Is(err, errBadErasure) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("erasure %x: %w", id, err)
	}
	e.revision = place.Revision
	return e, nil
}
