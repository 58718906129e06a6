package bench

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/limit"
)

func newZeroed(b *testing.B, dir string) *limit.Zeroed {
	b.Helper()
	z, err := limit.NewZeroed(dir)
	must(b, err)
	return z
}

// durableLimit appends records of the given size to a journal.
func durableLimit(writers, size int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		j := limit.NewJournal(newZeroed(b, dir))
		records := make([][]byte, writers)
		for w := range records {
			records[w] = make([]byte, recordBytes)
		}
		return contestant{close: j.Close, op: func(w, i int) error {
			encodeRecord(records[w], i)
			return j.Append(records[w][:size])
		}}
	}
}

// unsyncedLimit frames a batch of records and writes it, for a single writer.
func unsyncedLimit(batch int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		z := newZeroed(b, dir)
		var buf []byte
		return contestant{close: z.Close, op: func(_, i int) error {
			buf = buf[:0]
			for k := range batch {
				rec := make([]byte, recordBytes) // the caller's own
				encodeRecord(rec, i*batch+k)
				buf = limit.AppendFrame(buf, rec)
			}
			return z.Write(buf)
		}}
	}
}

// replayLimit reads a file of frames in large pieces, checks each record and decodes its metadata.
func replayLimit(file *os.File) (events int, err error) {
	buf := make([]byte, 1<<20)
	have, at := 0, int64(0)
	for {
		n, err := file.ReadAt(buf[have:], at)
		at += int64(n)
		have += n
		used, count, scanErr := scanFrames(buf[:have])
		events += count
		if scanErr != nil {
			return events, scanErr
		}
		have = copy(buf, buf[used:have])
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
	}
}

var errFrame = errors.New("record does not match its checksum")

func scanFrames(buf []byte) (used, events int, err error) {
	for {
		rec, ok, err := frame(buf[used:])
		if err != nil || !ok {
			return used, events, err
		}
		if i, _ := decodeRecord(rec); i < 0 {
			return used, events, errFrame
		}
		used += limit.FrameBytes + len(rec)
		events++
	}
}

// frame gives the record at the start of buf, if it is there as a whole.
func frame(buf []byte) (rec []byte, ok bool, err error) {
	if len(buf) < limit.FrameBytes {
		return nil, false, nil
	}
	n := int(binary.LittleEndian.Uint32(buf))
	if len(buf) < limit.FrameBytes+n {
		return nil, false, nil
	}
	rec = buf[limit.FrameBytes:][:n]
	if binary.LittleEndian.Uint32(buf[4:]) != crc32.Checksum(rec, limit.Castagnoli) {
		return nil, false, errFrame
	}
	return rec, true, nil
}

// appendRecord writes a record, syncs it on demand, and gives the time that took.
func appendRecord(z *limit.Zeroed, i int, sync bool) (time.Duration, error) {
	rec := make([]byte, recordBytes)
	began := time.Now()
	encodeRecord(rec, i)
	err := z.Write(limit.AppendFrame(nil, rec))
	if err == nil && sync {
		err = z.Sync()
	}
	return time.Since(began), err
}
