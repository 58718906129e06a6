package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// CopyProgress is how far a [Backup] or a [Restore] has come. What there is to do grows where
// segments are rewritten meanwhile.
type CopyProgress struct {
	Segments, OfSegments int   // that were copied, of those that have to be
	Bytes, OfBytes       int64 // of them
}

// CopyReport says what a [Backup] or a [Restore] has made.
type CopyReport struct {
	// Origin is that of the log: of a backup as it was when it was made, of a restored store the new
	// one.
	Origin Origin
	// Anchor names the last event that the copy has, and what is hidden unless a fence before it may
	// have been open. It tells which copies have what some receipt, row or file speaks of: those whose
	// anchor is not before its position.
	Anchor Anchor
	// Fenced is, of a restored store, the first position of the fences that were open when the backup
	// was made, 0 for none. What was staged in them is hidden in the restored store.
	Fenced Position
	// Sequence is that of the last commit.
	Sequence uint64
	// Segments and Bytes are all that the copy has, Copied and CopiedBytes what this call has copied;
	// the rest was there.
	Segments    int
	Bytes       int64
	Copied      int
	CopiedBytes int64
}

// copier copies files of segments into a directory. It belongs to one goroutine.
type copier struct {
	dir      vfs.Dir
	tell     func(CopyProgress) // may be nil
	progress CopyProgress
}

// face is what tells the file of a segment from others: those of one log with the same face have
// the same batches, as each checksum continues the one before. Values are compared by all fields.
type face struct {
	number  uint32
	sealed  bool
	size    int64 // of the file, or of the part of it that is copied
	end     int64 // of its batches
	header  [wal.SegmentHeaderSize]byte
	trailer [wal.TrailerSize]byte // zero unless it is sealed
}

// faceOf reads the face of a file of so many bytes. One that is not sealed ends where its batches
// do.
func faceOf(number uint32, file io.ReaderAt, size int64, sealed bool) (f face, err error) {
	f = face{number: number, sealed: sealed, size: size, end: size}
	if n, err := file.ReadAt(f.header[:], 0); n < len(f.header) {
		return f, fmt.Errorf("store: read segment %d: %w", number, err)
	}
	if !sealed {
		return f, nil
	}
	if n, err := file.ReadAt(f.trailer[:], max(0, size-wal.TrailerSize)); n < len(f.trailer) {
		return f, fmt.Errorf("store: read segment %d: %w", number, err)
	}
	t, err := wal.ParseTrailer(f.trailer[:], size)
	if err != nil {
		return f, f.corrupt(size, "footer does not match its checksum, or the size of the file")
	}
	f.end = int64(t.DataEnd)
	return f, nil
}

func (f *face) corrupt(offset int64, reason string) error {
	return &CorruptError{Segment: f.number, Offset: offset, Reason: reason}
}

// begin returns what the header says, and what the first batch must continue.
func (f *face) begin() (h wal.SegmentHeader, x wal.Expected, err error) {
	h, err = wal.ParseSegmentHeader(f.header[:])
	if errors.Is(err, wal.ErrNewer) {
		return h, x, fmt.Errorf("segment %d: %w", f.number, ErrNewerFormat)
	}
	if err != nil || h.Segment != f.number {
		return h, x, f.corrupt(0, "segment header does not match its checksum, or the name of the file")
	}
	return h, wal.Expected{
		Seed: wal.Seed(h.Store), Segment: h.Segment, Offset: wal.SegmentHeaderSize,
		Previous: h.Previous, Sequence: h.FirstSequence, Position: h.FirstPosition,
	}, nil
}

// copy copies a segment to a new file and returns where its batches end. The content is durable
// then, not yet the name. Every batch is checked on the way, so that damage is found while there
// may be another copy without it, and none is handed on.
func (c *copier) copy(ctx context.Context, in io.ReaderAt, f *face, name string) (end wal.Expected, err error) {
	if err := c.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return end, err
	}
	file, err := c.dir.Create(name)
	if err != nil {
		return end, err
	}
	end, err = f.copyTo(ctx, in, &copyWriter{file: file, copier: c})
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		_ = c.dir.Remove(name)
		return end, err
	}
	c.progress.Segments++
	c.report(0)
	return end, nil
}

func (c *copier) report(written int) {
	c.progress.Bytes += int64(written)
	c.progress.OfBytes = max(c.progress.OfBytes, c.progress.Bytes)
	c.progress.OfSegments = max(c.progress.OfSegments, c.progress.Segments)
	if c.tell != nil {
		c.tell(c.progress)
	}
}

// copyTo writes all of a file, see copyFrom.
func (f *face) copyTo(ctx context.Context, in io.ReaderAt, out io.Writer) (end wal.Expected, err error) {
	_, x, err := f.begin()
	if err != nil {
		return x, err
	}
	return f.copyFrom(ctx, in, out, x)
}

// copyFrom writes header, batches and footer, from a batch on; the header belongs to the first one.
// The footer is taken as it is: indexes and tables that do not match their checksums are made again
// from the batches wherever they are needed.
func (f *face) copyFrom(ctx context.Context, in io.ReaderAt, out io.Writer, x wal.Expected) (wal.Expected, error) {
	w := bufio.NewWriterSize(out, windowBytes)
	if x.Offset == wal.SegmentHeaderSize {
		_, _ = w.Write(f.header[:]) // it keeps its first error
	}
	for p := wal.NewPieces(in, f.end); x.Offset < f.end; {
		if err := ctx.Err(); err != nil {
			return x, err
		}
		h, batch, err := p.Next(&x)
		if err != nil {
			return x, fmt.Errorf("store: read segment %d at %d: %w", f.number, x.Offset, err)
		}
		if batch == nil {
			return x, f.corrupt(x.Offset, "batch does not match its checksum or place")
		}
		if _, err := w.Write(batch); err != nil {
			return x, err
		}
		x.Advance(&h)
	}
	if _, err := io.Copy(w, io.NewSectionReader(in, f.end, f.size-f.end)); err != nil {
		return x, err
	}
	return x, w.Flush()
}

// next returns what the segment after one must continue, x being the end of its batches where it
// has no footer.
func (f *face) next(h *wal.SegmentHeader, x wal.Expected) (wal.Expected, error) {
	x.Segment = h.Last
	if !f.sealed {
		if h.Generation > 0 {
			x.Previous = h.LastChecksum
		}
		return x, nil
	}
	t, err := wal.ParseTrailer(f.trailer[:], f.size)
	if err != nil {
		return x, f.corrupt(f.size, "footer does not match its checksum")
	}
	if x.Offset > 0 && (x.Position != t.NextPosition || x.Sequence != t.NextSequence) {
		return x, f.corrupt(f.end, fmt.Sprintf("segment ends at event %d, its footer says %d", x.Position, t.NextPosition))
	}
	x.Position, x.Sequence, x.Previous = t.NextPosition, t.NextSequence, t.LastChecksum
	return x, nil
}

// copyWriter writes a new file from its beginning on, in pieces that are synced one by one: on a
// disk that takes commits, too, their syncs wait for one piece at most.
type copyWriter struct {
	file   vfs.File
	copier *copier
	at     int64 // written up to here
	synced int64
}

func (w *copyWriter) Write(b []byte) (int, error) {
	n, err := w.file.WriteAt(b, w.at)
	w.at += int64(n)
	if err == nil && w.at-w.synced >= fillPiece {
		err = w.file.Sync()
		w.synced = w.at
	}
	w.copier.report(n)
	return n, err
}
