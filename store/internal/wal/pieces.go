package wal

import (
	"bytes"
	"io"
)

// Pieces shows the bytes of a segment in pieces, through one buffer: so a segment takes the same
// memory whatever its size, and more only where a batch is larger than a piece. What a method
// returns is valid until the next call. A Pieces belongs to one goroutine.
//
// An error is one of reading and says nothing of the segment. A file that is shorter than the size
// is one too: a reader beside a writer may meet a file that has just been cut.
type Pieces struct {
	file  io.ReaderAt
	size  int64  // bytes that may be looked at
	at    int64  // offset of buf
	buf   []byte // the piece that was read last
	ahead int    // bytes to read at a time
}

// The first piece is small: often all that is asked for is one batch that is not there.
const (
	firstPiece = 4 << 10
	maxPiece   = 256 << 10

	zeroBlock = 4 << 10 // compared with zeros at a time; a multiple of 8, as magics lie in one block
)

//nolint:gochecknoglobals // zeros to compare with; they are never written.
var zeros [zeroBlock]byte

// NewPieces shows the first size bytes of a file.
func NewPieces(file io.ReaderAt, size int64) *Pieces {
	return &Pieces{file: file, size: size, ahead: firstPiece}
}

// View returns the n bytes from an offset on, fewer where the segment ends.
func (p *Pieces) View(off int64, n int) ([]byte, error) {
	if n = int(min(int64(n), p.size-off)); n <= 0 {
		return nil, nil
	}
	if off < p.at || off+int64(n) > p.at+int64(len(p.buf)) {
		if err := p.read(off, n); err != nil {
			return nil, err
		}
	}
	from := int(off - p.at)
	return p.buf[from : from+n : from+n], nil
}

// read fills the buffer from an offset on with at least n bytes, which the segment has.
func (p *Pieces) read(off int64, n int) error {
	n = int(min(int64(max(n, p.ahead)), p.size-off))
	p.ahead = maxPiece
	if cap(p.buf) < n {
		p.buf = make([]byte, n)
	}
	p.at, p.buf = off, p.buf[:n]
	if got, err := p.file.ReadAt(p.buf, off); got < n {
		p.buf = p.buf[:0]
		return err
	}
	return nil
}

// Next returns the batch that continues the log at x.Offset, nil when there is none.
func (p *Pieces) Next(x *Expected) (h BatchHeader, batch []byte, err error) {
	h, batch, err = p.Batch(x.Seed, x.Segment, x.Offset)
	if batch == nil || !x.Follows(&h) {
		return h, nil, err
	}
	return h, batch, nil
}

// Batch returns the valid batch at an offset, nil when there is none. A length is believed, as far
// as the segment has as many bytes, only of a header that names its place.
func (p *Pieces) Batch(seed, segment uint32, off int64) (h BatchHeader, batch []byte, err error) {
	h, ok, err := p.header(segment, off)
	if !ok {
		return h, nil, err
	}
	b, err := p.View(off, int(h.Length))
	if err != nil {
		return h, nil, err
	}
	if h, batch, err = ParseBatch(b, seed, segment, off); err != nil {
		return h, nil, nil //nolint:nilerr // bad bytes are no batch
	}
	return h, batch, nil
}

// header returns the header at an offset that may be one of a batch there, without looking at the
// checksum.
func (p *Pieces) header(segment uint32, off int64) (h BatchHeader, ok bool, err error) {
	b, err := p.View(off, BatchHeaderSize)
	if err != nil {
		return h, false, err
	}
	h, ok = parseBatchHeader(b, segment, off)
	return h, ok && int64(h.Length) <= p.size-off, nil
}

// Run returns valid batches that follow each other from an offset on, as many as lie before end and
// in one piece, and at least one. [ErrBad] when there is none.
func (p *Pieces) Run(seed, segment uint32, off, end int64) ([]byte, error) {
	_, batch, err := p.Batch(seed, segment, off)
	if err != nil {
		return nil, err
	}
	if batch == nil {
		return nil, ErrBad
	}
	n, piece := len(batch), p.buf[off-p.at:]
	for off+int64(n) < end {
		h, _, err := ParseBatch(piece[n:], seed, segment, off+int64(n))
		if err != nil {
			return piece[:n:n], nil //nolint:nilerr // the next call meets it, or finds it whole
		}
		n += int(h.Length)
	}
	return piece[:n:n], nil
}

// Rest is what lies after the end of the log in a segment.
type Rest struct {
	Durable int64 // highest "known durable" mark of a valid batch, 0 when there is none
	Used    int64 // there are only zeros from here on
}

// Rest looks for valid batches at or after offset from, whether or not they continue the log. A
// mark above from says that the bytes at from were durable once: whatever is bad there is damage
// and not a torn write.
func (p *Pieces) Rest(seed, segment uint32, from int64) (r Rest, err error) {
	r.Used = from
	for off := from; off < p.size; {
		b, err := p.View(off, int(zeroBlock-off%zeroBlock))
		if err != nil {
			return r, err
		}
		if bytes.Equal(b, zeros[:len(b)]) {
			off += int64(len(b))
			continue
		}
		i := findMagic(b, off)
		off += int64(i)
		if i < len(b) {
			h, batch, err := p.Batch(seed, segment, off)
			if err != nil {
				return r, err
			}
			if batch != nil {
				r.Durable = max(r.Durable, int64(h.Durable))
			}
			off += int64(max(len(batch), 8))
		}
		r.Used = off
	}
	return r, nil
}

// Find returns the offset of the first valid batch at or after an offset, whether or not it
// continues the log; where there is none, the end of what is shown.
func (p *Pieces) Find(seed, segment uint32, from int64) (int64, error) {
	for off := from + -from&7; off < p.size; {
		b, err := p.View(off, int(zeroBlock-off%zeroBlock))
		if err != nil {
			return 0, err
		}
		i := findMagic(b, off)
		if off += int64(i); i == len(b) {
			continue
		}
		_, batch, err := p.Batch(seed, segment, off)
		if batch != nil || err != nil {
			return off, err
		}
		off += 8
	}
	return p.size, nil
}

// findMagic returns where in b, which lies at the given offset, a batch may begin, its length if
// nowhere.
func findMagic(b []byte, off int64) int {
	for from := 0; ; {
		i := bytes.Index(b[from:], []byte(batchMagic))
		if i < 0 {
			return len(b)
		}
		if from += i; (off+int64(from))%8 == 0 {
			return from
		}
		from++
	}
}

// Marked reports whether a segment whose header cannot be read was durable once: it follows the
// headers of the batches from the first on, without their checksums, and looks for a "known
// durable" mark. So it needs no seed, which stands in the header that is gone, and does not see
// what lies inside of a batch.
func (p *Pieces) Marked(segment uint32) (bool, error) {
	for off := int64(SegmentHeaderSize); ; {
		h, ok, err := p.header(segment, off)
		if !ok {
			return false, err
		}
		if h.Durable > 0 {
			return true, nil
		}
		off += int64(h.Length)
	}
}
