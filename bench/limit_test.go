package bench

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// durableLimit appends records of the given size to a journal.
func durableLimit(writers, size int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		j := machine.NewJournal(newZeroed(b, dir))
		records := make([][]byte, writers)
		for w := range records {
			records[w] = make([]byte, workload.RecordBytes)
		}
		return contestant{close: j.Close, op: func(w, i int) error {
			workload.EncodeRecord(records[w], i)
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
				rec := make([]byte, workload.RecordBytes) // the caller's own
				workload.EncodeRecord(rec, i*batch+k)
				buf = machine.AppendFrame(buf, rec)
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

func scanFrames(buf []byte) (used, events int, err error) {
	for {
		rec, ok, err := machine.Frame(buf[used:])
		if err != nil || !ok {
			return used, events, err
		}
		if i, _ := workload.DecodeRecord(rec); i < 0 {
			return used, events, machine.ErrFrame
		}
		used += machine.FrameBytes + len(rec)
		events++
	}
}

func newZeroed(b *testing.B, dir string) *machine.Zeroed {
	b.Helper()
	z, err := machine.NewZeroed(dir)
	must(b, err)
	return z
}

// appendRecord writes a record, syncs it on demand, and returns the time that took.
func appendRecord(z *machine.Zeroed, i int, sync bool) (time.Duration, error) {
	rec := make([]byte, workload.RecordBytes)
	workload.EncodeRecord(rec, i)
	return z.Append(rec, sync)
}
