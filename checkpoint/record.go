package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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
	// History that the positions belong to.
	History store.History
	// Region is the identity ([store.Region.Identity]) of the region it is bound to.
	Region string
	// Kinds that the reader handles, sorted, each once. Empty means all kinds of the region.
	Kinds []string
	// Epoch counts the owners and the operator calls; each gets the next number.
	Epoch uint64
	// Scanned is the position up to which there is nothing more to deliver: all that matches was delivered and
	// handled. Reading goes on behind it.
	Scanned store.Position
	// Delivered is the position of the last event that was delivered; where the reader started, when there is none
	// yet. Never more than Scanned.
	Delivered store.Position
}

const (
	magic         = "PSCP"
	formatVersion = 1
	// fixedBytes precede the region: magic, version, store, incarnation, epoch, scanned, delivered.
	fixedBytes = len(magic) + 1 + 16 + 4 + 8 + 8 + 8
	crcBytes   = 4
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Encode gives the bytes of the record. Equal records have equal bytes.
func (r Record) Encode() []byte {
	kinds := canonical(r.Kinds)
	size := fixedBytes + 4 + len(r.Region) + 4 + crcBytes
	for _, k := range kinds {
		size += 4 + len(k)
	}
	b := make([]byte, 0, size)
	b = append(b, magic...)
	b = append(b, formatVersion)
	b = append(b, r.History.Store[:]...)
	b = binary.LittleEndian.AppendUint32(b, r.History.Incarnation)
	b = binary.LittleEndian.AppendUint64(b, r.Epoch)
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Scanned))
	b = binary.LittleEndian.AppendUint64(b, uint64(r.Delivered))
	b = appendText(b, r.Region)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(kinds)))
	for _, k := range kinds {
		b = appendText(b, k)
	}
	return binary.LittleEndian.AppendUint32(b, checksum(b))
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// Decode is the inverse of [Record.Encode]. It returns an error that wraps [ErrCorrupt] or [ErrNewerFormat]; it accepts
// exactly the bytes that Encode gives, and allocates no more than a small multiple of len(b).
func Decode(b []byte) (Record, error) {
	if len(b) < len(magic)+1+crcBytes {
		return Record{}, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(b))
	}
	// Every version begins with magic and version and ends with the checksum, so that a damaged version number is
	// told from a newer one.
	body, sum := b[:len(b)-crcBytes], binary.LittleEndian.Uint32(b[len(b)-crcBytes:])
	if checksum(body) != sum {
		return Record{}, fmt.Errorf("%w: checksum does not fit", ErrCorrupt)
	}
	if string(body[:len(magic)]) != magic {
		return Record{}, fmt.Errorf("%w: it does not begin with %q", ErrCorrupt, magic)
	}
	switch version := body[len(magic)]; {
	case version > formatVersion:
		return Record{}, fmt.Errorf("%w: format %d, known is %d", ErrNewerFormat, version, formatVersion)
	case version < formatVersion:
		return Record{}, fmt.Errorf("%w: format %d does not exist", ErrCorrupt, version)
	}
	return decodeBody(body)
}

func decodeBody(body []byte) (Record, error) {
	if len(body) < fixedBytes {
		return Record{}, fmt.Errorf("%w: it ends in the fixed part", ErrCorrupt)
	}
	var r Record
	b := body[len(magic)+1:]
	b = b[copy(r.History.Store[:], b):]
	r.History.Incarnation = binary.LittleEndian.Uint32(b)
	r.Epoch = binary.LittleEndian.Uint64(b[4:])
	r.Scanned = store.Position(binary.LittleEndian.Uint64(b[12:]))
	r.Delivered = store.Position(binary.LittleEndian.Uint64(b[20:]))
	var ok bool
	if r.Region, b, ok = cutText(b[28:]); !ok {
		return Record{}, fmt.Errorf("%w: it ends in the region", ErrCorrupt)
	}
	var err error
	r.Kinds, err = decodeKinds(b)
	return r, err
}

// decodeKinds wants the list to be the rest of the record.
func decodeKinds(b []byte) ([]string, error) {
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: it ends before the kinds", ErrCorrupt)
	}
	n, b := binary.LittleEndian.Uint32(b), b[4:]
	// The count is not believed: nothing is allocated for kinds that are not there.
	var kinds []string
	for range n {
		kind, rest, ok := cutText(b)
		if !ok {
			return nil, fmt.Errorf("%w: it ends in the kinds", ErrCorrupt)
		}
		if len(kinds) > 0 && kinds[len(kinds)-1] >= kind {
			return nil, fmt.Errorf("%w: kinds are not in order", ErrCorrupt)
		}
		kinds, b = append(kinds, kind), rest
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrCorrupt, len(b))
	}
	return kinds, nil
}

func cutText(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 4 {
		return "", nil, false
	}
	n, b := binary.LittleEndian.Uint32(b), b[4:]
	if uint64(n) > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
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
