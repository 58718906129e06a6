package store

import (
	"bytes"
	"errors"
	"io"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// repairReader is a file that may be damaged. What the disk cannot read of it are zeros, in blocks,
// and so is what lies after its end.
type repairReader struct{ file vfs.File }

const unreadableBlock = 4 << 10

func (r *repairing) read(f *repairFile) (*repairReader, error) {
	file, err := r.src.Open(f.name, true)
	return &repairReader{file}, err
}

func (r *repairReader) close() { _ = r.file.Close() }

// Size of the file.
func (r *repairReader) Size() (int64, error) { return r.file.Size() }

// ReadAt fills b.
func (r *repairReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.file.ReadAt(b, off)
	if n == len(b) || err == nil {
		return n, nil
	}
	if vfs.IsOutOfFiles(err) {
		return n, err
	}
	for n < len(b) {
		block := b[n:min(len(b), n+unreadableBlock)]
		got, err := r.file.ReadAt(block, off+int64(n))
		clear(block[got:])
		n += len(block)
		if errors.Is(err, io.EOF) {
			clear(b[n:])
			break
		}
	}
	return len(b), nil
}

// foot is what the footer of a file knows of its records, as far as it is whole.
type foot struct {
	indexed bool          // the index is whole
	index   *index.Sealed // nil where it is not, or is of a version before
	sides   []index.Side  // newest of each key, without those of which the revision is not known
	tabled  bool          // the table that they are of is whole
}

func footOf(f *repairFile, in *repairReader) (x foot) {
	if f.trailer == nil {
		return x
	}
	t := f.trailer
	b := make([]byte, t.IndexLen)
	_, _ = in.ReadAt(b, int64(t.DataEnd)) // zeros do not pass
	if x.indexed = sealedAs(t, b); x.indexed && t.Version == wal.Version {
		x.index, _ = index.OpenSealed(b)
	}
	b = make([]byte, t.SidesLen)
	_, _ = in.ReadAt(b, int64(t.DataEnd)+int64(t.IndexLen))
	if wal.Checksum(b) != t.SidesSum {
		return x
	}
	x.tabled = true
	for side, err := range index.Sides(bytes.NewReader(b), int64(len(b))) {
		if err != nil {
			x.tabled = false
			return x
		}
		if side.Revision > 0 {
			x.sides = append(x.sides, side)
		}
	}
	return x
}
