package wal

// What stays of events that retention has dropped. The records stand in batches with [FlagDropped],
// each after the batch that passes over the positions of those events.

// State is what the next event of an entity continues: its last event, without the content.
type State struct {
	Entity   []byte
	Position uint64
	Version  uint64
	Time     uint64
	Hash     [digestSize]byte
}

// AppendState appends the sealed record of a state.
func AppendState(dst []byte, s *State) []byte {
	start := len(dst)
	var fixed [stateFixedSize]byte
	fixed[8] = TypeState
	le.PutUint32(fixed[0:], uint32(stateFixedSize+len(s.Entity)))
	le.PutUint16(fixed[10:], uint16(len(s.Entity)))
	le.PutUint64(fixed[16:], s.Position)
	le.PutUint64(fixed[24:], s.Version)
	le.PutUint64(fixed[32:], s.Time)
	copy(fixed[40:], s.Hash[:])
	dst = append(append(dst, fixed[:]...), s.Entity...)
	SealRecord(dst[start:], true)
	return dst
}

// StateSize is the length of the record of a state.
func StateSize(entity int) int { return stateFixedSize + entity }

// ParseState reads a state from its checked record, into which its entity points.
func ParseState(rec []byte) (s State, err error) {
	if len(rec) < stateFixedSize || rec[8] != TypeState || stateFixedSize+int(le.Uint16(rec[10:])) != len(rec) {
		return s, ErrBad
	}
	s = State{
		Entity: rec[stateFixedSize:], Position: le.Uint64(rec[16:]), Version: le.Uint64(rec[24:]), Time: le.Uint64(rec[32:]),
	}
	copy(s.Hash[:], rec[40:])
	return s, nil
}

// Receipt is an idempotency key with what the receipt of its commit says of the events.
type Receipt struct {
	Key    Key    // its Events is the length of Events
	Time   uint64 // of the last of them, or of the event before where it has none
	Events []Recorded
}

// Recorded is what a receipt says of an event; its position follows from that of the first.
type Recorded struct {
	ID      [16]byte
	Version uint64
}

const recordedSize = 24

// AppendReceipt appends the sealed record of a receipt. The number of its events is that of the
// list.
func AppendReceipt(dst []byte, r *Receipt) []byte {
	start := len(dst)
	key := r.Key
	key.Events = uint32(len(r.Events))
	dst = AppendKey(dst, string(r.Key.Key), &key)
	dst = le.AppendUint64(dst, r.Time)
	for i := range r.Events {
		dst = append(dst, r.Events[i].ID[:]...)
		dst = le.AppendUint64(dst, r.Events[i].Version)
	}
	rec := dst[start:]
	rec[8] = TypeReceipt
	le.PutUint32(rec, uint32(len(rec)))
	SealRecord(rec, true)
	return dst
}

// ParseReceipt reads a receipt from its checked record, into which its key points.
func ParseReceipt(rec []byte) (r Receipt, err error) {
	key, rest, err := parseKey(rec, TypeReceipt)
	if err != nil || len(rest) != 8+recordedSize*int(key.Events) {
		return r, ErrBad
	}
	r = Receipt{Key: key, Time: le.Uint64(rest)}
	for rest = rest[8:]; len(rest) > 0; rest = rest[recordedSize:] {
		e := Recorded{Version: le.Uint64(rest[16:])}
		copy(e.ID[:], rest)
		r.Events = append(r.Events, e)
	}
	return r, nil
}
