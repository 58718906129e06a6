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

const magic = "PSCP"

// Versions of the format of a record. Each has what the one before has, and more after it.
const (
	versionPlain   = 1 // up to the kinds
	versionPending = 2 // and what is pending, of a crash, and of keys
	versionNamed   = 3 // and flags and former names; written only where there are any
)

// Flags of a record of versionNamed.
const (
	flagStateful = 1 << iota
	flagPulled
	flagsKnown = flagStateful | flagPulled
)

// bytes returns the encoded record. Equal records have equal bytes.
//
// A program that does not know former names would repeat effects under the new one. So a record
// that has some is of a format that such a program refuses to read; all others are as they were
// before there were names.
func (r Record) bytes() []byte {
	return r.encode(make([]byte, 0, 128+len(r.Region)+3*len(r.Pending)))
}

// encode is bytes into an empty buffer.
func (r Record) encode(b []byte) []byte {
	kinds, flags := canonical(r.Kinds), r.flags()
	version := byte(versionPending)
	if flags != 0 || len(r.Formerly) > 0 {
		version = versionNamed
	}
	b = append(append(b, magic...), version)
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
	b = appendPositions(b, r.Pending)
	if version < versionNamed {
		return seal(b)
	}
	b = binary.AppendUvarint(append(b, flags), uint64(len(r.Formerly)))
	for _, name := range r.Formerly {
		b = appendText(b, string(name))
	}
	return seal(b)
}

func (r Record) flags() (flags byte) {
	if r.Stateful {
		flags |= flagStateful
	}
	if r.Pulled {
		flags |= flagPulled
	}
	return flags
}

// decode is the inverse of bytes. It returns an error that wraps [ErrCorrupt] or [ErrNewerFormat];
// of all formats but the first it accepts exactly the bytes that encode returns, and it allocates
// no more than a small multiple of len(b). Records of the first format, which ended after the
// kinds, count as left in good order.
func decode(b []byte) (Record, error) {
	version, body, err := open(b, magic, versionNamed)
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
	if version >= versionPending {
		r.Clean, r.Trying, r.Tries, r.KeyVersion = in.flag(), store.Position(in.u64()), in.u32(), in.u32()
		r.Pending = in.positions()
		in.bad = in.bad || len(r.Pending) > maxPending || len(r.Pending) > 0 && r.Pending[len(r.Pending)-1] > r.Scanned
	}
	if version >= versionNamed {
		flags := in.take(1)[0]
		r.Stateful, r.Pulled = flags&flagStateful != 0, flags&flagPulled != 0
		r.Formerly = in.names()
		in.bad = in.bad || flags&^flagsKnown != 0 || flags == 0 && len(r.Formerly) == 0 // is not written
	}
	if err := in.end(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// kinds reads a sorted list. The count in the bytes is not trusted: nothing is allocated for kinds
// that are not there.
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

// names reads a list of names, each once.
func (r *reader) names() (names []ID) {
	for n := r.number(); n > 0 && !r.bad; n-- {
		name := ID(r.text())
		r.bad = r.bad || len(names) == MaxFormerNames || slices.Contains(names, name)
		names = append(names, name)
	}
	return names
}
