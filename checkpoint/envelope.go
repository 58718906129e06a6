package checkpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/penstock-io/penstock/store"
)

// Everything that is kept begins with a magic of four bytes and a version, and ends with a
// checksum, in every version: so a damaged version number is not mistaken for a newer one.
const (
	magicBytes = 4
	crcBytes   = 4
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// seal completes bytes that begin with magic and version.
func seal(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, checksum(b)) }

// open checks the envelope and returns the version, at most newest, with what lies inside.
func open(b []byte, magic string, newest byte) (version byte, body []byte, err error) {
	if len(b) < magicBytes+1+crcBytes {
		return 0, nil, fmt.Errorf("%w: %d bytes are too few", ErrCorrupt, len(b))
	}
	body, sum := b[:len(b)-crcBytes], binary.LittleEndian.Uint32(b[len(b)-crcBytes:])
	if checksum(body) != sum {
		return 0, nil, fmt.Errorf("%w: checksum does not fit", ErrCorrupt)
	}
	if string(body[:magicBytes]) != magic {
		return 0, nil, fmt.Errorf("%w: it does not begin with %q", ErrCorrupt, magic)
	}
	switch version = body[magicBytes]; {
	case version > newest:
		return 0, nil, fmt.Errorf("%w: format %d, known is %d", ErrNewerFormat, version, newest)
	case version == 0:
		return 0, nil, fmt.Errorf("%w: format 0 does not exist", ErrCorrupt)
	}
	return version, body[magicBytes+1:], nil
}

// read returns the bytes of a side value, and whether there is one. An error wraps [ErrCorrupt]
// where the store finds them damaged.
func read(st *store.Store, key string) (b []byte, found bool, err error) {
	side, found, err := st.Side(key)
	return side.Value, found, unread(err)
}

// unread is why the store could not read a side value. Damage that it finds is as good as damage
// that is found here.
func unread(err error) error {
	if errors.Is(err, store.ErrCorrupt) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// senseless reports whether an error is that of bytes that make no sense: it stays, and a change
// may be what removes them. Any other may be gone the next time.
func senseless(err error) bool { return errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNewerFormat) }

// reader reads fields one after the other. After the first that is not there it is bad and returns
// zeros.
type reader struct {
	rest []byte
	bad  bool
}

// end returns the error of what was read, which must be all there is.
func (r *reader) end() error {
	switch {
	case r.bad:
		return fmt.Errorf("%w: it ends too early", ErrCorrupt)
	case len(r.rest) > 0:
		return fmt.Errorf("%w: %d bytes too many", ErrCorrupt, len(r.rest))
	}
	return nil
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.rest) {
		r.rest, r.bad = nil, true
		return make([]byte, min(max(n, 0), 16))
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) flag() bool {
	v := r.take(1)[0]
	r.bad = r.bad || v > 1
	return v == 1
}

func (r *reader) u16() uint16 { return binary.LittleEndian.Uint16(r.take(2)) }

func (r *reader) u32() uint32 { return binary.LittleEndian.Uint32(r.take(4)) }

func (r *reader) u64() uint64 { return binary.LittleEndian.Uint64(r.take(8)) }

// number reads a uvarint in its shortest form.
func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || n > 1 && r.rest[n-1] == 0 {
		r.rest, r.bad = nil, true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// short32 is a number of four bytes at most, in its shortest form.
func (r *reader) short32() uint32 {
	v := r.number()
	r.bad = r.bad || v > math.MaxUint32
	return uint32(v)
}

// short reads a text whose length is a number.
func (r *reader) short() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return ""
	}
	return string(r.take(int(n)))
}

// appendShort is the reverse.
func appendShort(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func (r *reader) text() string {
	n := r.u32()
	if uint64(n) > uint64(len(r.rest)) {
		r.rest, r.bad = nil, true
		return ""
	}
	return string(r.take(int(n)))
}

func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func appendFlag(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}
