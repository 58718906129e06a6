package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// version of the format of a record. It is written with each commit of a worker, so it is short:
//
//	store id (16)  incarnation  flags (1)  epoch  scanned  scanned - delivered
//	region  kinds  trying  tries  key version  pending  former names
//
// Numbers are uvarints; texts are a length and bytes; kinds and former names are a number and so
// many of them, pending is as [appendPositions] writes it. A kind is how many bytes it shares with
// the one before, and then the rest of it as a text: those of one program mostly begin alike. What
// was before this version was never released.
const version = 4

// Flags of a record.
const (
	flagStateful = 1 << iota
	flagPulled
	flagClean
	flagExternal
	flagAnswers
	flagsKnown = flagStateful | flagPulled | flagClean | flagExternal | flagAnswers
)

// bytes returns the encoded record. Equal records have equal bytes.
func (r Record) bytes() []byte {
	return r.encode(make([]byte, 0, 128+len(r.Region)+3*len(r.Pending)))
}

// encode is bytes into an empty buffer.
func (r Record) encode(b []byte) []byte {
	kinds := canonical(r.Kinds)
	b = append(append(b, magic...), version)
	b = append(b, r.Origin.Store[:]...)
	b = binary.AppendUvarint(b, uint64(r.Origin.Incarnation))
	b = append(b, r.flags())
	b = binary.AppendUvarint(b, r.Epoch)
	b = binary.AppendUvarint(b, uint64(r.Scanned))
	b = binary.AppendUvarint(b, uint64(r.Scanned-r.Delivered))
	b = appendShort(b, r.Region)
	b = binary.AppendUvarint(b, uint64(len(kinds)))
	last := ""
	for _, k := range kinds {
		n := shared(last, k)
		b = appendShort(binary.AppendUvarint(b, uint64(n)), k[n:])
		last = k
	}
	b = binary.AppendUvarint(b, uint64(r.Trying))
	b = binary.AppendUvarint(b, uint64(r.Tries))
	b = binary.AppendUvarint(b, uint64(r.KeyVersion))
	b = appendPositions(b, r.Pending)
	b = binary.AppendUvarint(b, uint64(len(r.Formerly)))
	for _, name := range r.Formerly {
		b = appendShort(b, string(name))
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
	if r.Clean {
		flags |= flagClean
	}
	if r.External {
		flags |= flagExternal
	}
	if r.Answers {
		flags |= flagAnswers
	}
	return flags
}

// shared is how many bytes two texts begin with alike.
func shared(a, b string) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// decode is the inverse of bytes. It returns an error that wraps [ErrCorrupt] or [ErrNewerFormat];
// it accepts exactly the bytes that encode returns, and it allocates no more than a small multiple
// of len(b), and for a kind that names most of the one before at most [store.MaxKindBytes].
func decode(b []byte) (Record, error) {
	written, body, err := open(b, magic, version)
	if err != nil {
		return Record{}, err
	}
	if written != version {
		return Record{}, fmt.Errorf("%w: format %d was never released", ErrCorrupt, written)
	}
	in := reader{rest: body}
	var r Record
	copy(r.Origin.Store[:], in.take(len(r.Origin.Store)))
	r.Origin.Incarnation = in.short32()
	flags := in.take(1)[0]
	in.bad = in.bad || flags&^flagsKnown != 0
	r.Stateful, r.Pulled, r.Clean = flags&flagStateful != 0, flags&flagPulled != 0, flags&flagClean != 0
	r.External, r.Answers = flags&flagExternal != 0, flags&flagAnswers != 0
	r.Epoch, r.Scanned = in.number(), store.Position(in.number())
	r.Delivered = r.Scanned - store.Position(in.number())
	r.Region, r.Kinds = in.short(), in.kinds()
	r.Trying, r.Tries, r.KeyVersion = store.Position(in.number()), in.short32(), in.short32()
	r.Pending = in.positions()
	in.bad = in.bad || len(r.Pending) > maxPending || len(r.Pending) > 0 && r.Pending[len(r.Pending)-1] > r.Scanned
	r.Formerly = in.names()
	if err := in.end(); err != nil {
		return Record{}, err
	}
	return r, nil
}

// kinds reads a sorted list. The count in the bytes is not trusted: nothing is allocated for kinds
// that are not there.
func (r *reader) kinds() (kinds []string) {
	last := ""
	for n := r.number(); n > 0 && !r.bad; n-- {
		same := r.number()
		rest := r.short()
		if r.bad = r.bad || same > uint64(len(last)) || same+uint64(len(rest)) > store.MaxKindBytes; r.bad {
			return nil
		}
		kind := last[:same] + rest
		r.bad = len(kinds) > 0 && kind <= last || shared(last, kind) != int(same)
		kinds, last = append(kinds, kind), kind
	}
	return kinds
}

// names reads a list of names, each once.
func (r *reader) names() (names []ID) {
	for n := r.number(); n > 0 && !r.bad; n-- {
		name := ID(r.short())
		r.bad = r.bad || len(names) == MaxFormerNames || slices.Contains(names, name)
		names = append(names, name)
	}
	return names
}
