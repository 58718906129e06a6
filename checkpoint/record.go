package checkpoint

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/penstock-io/penstock/store"
)

var (
	// ErrCorrupt says that the bytes are not a record that was written here.
	ErrCorrupt = errors.New("checkpoint: corrupt record")
	// ErrNewerFormat says that a newer version of Penstock wrote the record.
	ErrNewerFormat = errors.New("checkpoint: record written by a newer version")
)

// Record is what a checkpoint says.
type Record struct {
	// Origin that the positions belong to.
	Origin store.Origin
	// Region is the identity ([store.Region.Identity]) of the region it is bound to.
	Region string
	// Kinds that the reader handles, sorted, each once. Empty means all kinds of the region.
	Kinds []string
	// Epoch counts the owners and the operator calls; each gets the next number.
	Epoch uint64
	// Scanned is the position up to which there is nothing more to deliver: all that matches was delivered and
	// handled, but for Pending. Reading goes on behind it.
	Scanned store.Position
	// Delivered is the position of the last event that was delivered; where the reader started, when there is none
	// yet. Never more than Scanned.
	Delivered store.Position
	// Pending are the positions of events up to Scanned that were delivered and are not done, ascending, at most
	// [MaxPending]: with lanes, or behind one that was set aside, other events behind them may be done.
	Pending []store.Position
	// Clean says that the owner ended in good order: no event was in the hands of a handler.
	Clean bool
	// Trying is the event that an owner was about to handle alone, because the one before had died at an unknown event;
	// Tries is how often that was begun and no end of it recorded. 0: none.
	Trying store.Position
	Tries  uint32
	// KeyVersion of the function that gives events their keys.
	KeyVersion uint32
}

const (
	magic         = "PSCP"
	formatVersion = 2
)

// MaxPending is the most positions in Record.Pending: as many as the longest batch has, of which any may be done first. So
// a record is well below the limit of a side value.
const MaxPending = 1 << 16

// Floor is the position up to which everything that matches is done.
func (r Record) Floor() store.Position {
	if len(r.Pending) > 0 {
		return r.Pending[0] - 1
	}
	return r.Scanned
}

// Done reports whether the event at a position, if it matches, is done.
func (r Record) Done(p store.Position) bool { return p <= r.Scanned && !contains(r.Pending, p) }

// Encode gives the bytes of the record. Equal records have equal bytes.
func (r Record) Encode() []byte {
	kinds := canonical(r.Kinds)
	b := make([]byte, 0, 128+len(r.Region)+3*len(r.Pending))
	b = append(append(b, magic...), formatVersion)
	b = append(b, r.Origin.Store[:]...)
	b = binary.LittleEndian.AppendUint32(b, r.Origin.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, r.Epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Scanned))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Delivered))
	b = appendText(b, r.Region)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(kinds)))
	for _, k := range kinds {
		b = appendText(b, k)
	}
	b = appendFlag(b, r.Clean)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Trying))
	b = binary.LittleEndian.AppendUint32(b, r.Tries)
	b = binary.LittleEndian.AppendUint32(b, r.KeyVersion)
	return seal(appendPositions(b, r.Pending))
}

// Decode is the inverse of [Record.Encode]. It returns an error that wraps [ErrCorrupt] or [ErrNewerFormat]; of the present
// format it accepts exactly the bytes that Encode gives, and it allocates no more than a small multiple of len(b). Records
// of the first format, which ended behind the kinds, count as left in good order.
func Decode(b []byte) (Record, error) {
	version, body, err := open(b, magic, formatVersion)
	if err != nil {
		return Record{}, err
	}
	in := reader{rest: body}
	r := Record{Clean: true}
	copy(r.Origin.Store[:], in.take(len(r.Origin.Store)))
	r.Origin.Incarnation = in.u32()
	r.Epoch = in.u64()
	r.Scanned, r.Delivered = store.Position(in.u64()), store.Position(in.u64())
	r.Region, r.Kinds = in.text(), in.kinds()
	if version > 1 {
		r.Clean, r.Trying, r.Tries, r.KeyVersion = in.flag(), store.Position(in.u64()), in.u32(), in.u32()
		r.Pending = in.positions()
		in.bad = in.bad || len(r.Pending) > MaxPending || len(r.Pending) > 0 && r.Pending[len(r.Pending)-1] > r.Scanned
	}
	if err := in.end(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// kinds reads a sorted list. The count is not believed: nothing is allocated for kinds that are not there.
func (r *reader) kinds() (kinds []string) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		kind := r.text()
		if len(kinds) > 0 && kinds[len(kinds)-1] >= kind {
			r.bad = true
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

// canonical gives kinds sorted and without repetition, nil when there are none; kinds itself where it is so already.
func canonical(kinds []string) []string {
	if len(kinds) == 0 {
		return nil
	}
	for i := 1; i < len(kinds); i++ {
		if kinds[i-1] >= kinds[i] {
			return slices.Compact(slices.Sorted(slices.Values(kinds)))
		}
	}
	return kinds
}
