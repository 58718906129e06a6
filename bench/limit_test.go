package bench

import (
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

// replayLimit reads a file of frames, and decodes their metadata.
func replayLimit(file *os.File) (events int, err error) {
	frames, err := machine.ReadFrames(file, func(rec []byte) {
		if i, _ := workload.DecodeRecord(rec); i == events {
			events++
		}
	})
	return min(events, frames), err
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
