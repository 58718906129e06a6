package storage

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// bare is the limit: frames in a file. What is appended is written round and round; what is read
// lies in a file of its own, which load fills.
type bare struct {
	zeroed  *machine.Zeroed
	journal *machine.Journal // nil where nothing is synced
	frames  string
	buf     []byte
}

func openLimit(_ context.Context, dir string, s settings) (records, error) {
	b := &bare{frames: filepath.Join(dir, "frames")}
	if s.indexed {
		return b, os.MkdirAll(dir, 0o755)
	}
	var err error
	if b.zeroed, err = machine.NewZeroed(dir); err == nil && s.synced {
		b.journal = machine.NewJournal(b.zeroed)
	}
	return b, err
}

func (b *bare) append(_, i, n int) error {
	if b.journal != nil {
		return b.journal.Append(record(i))
	}
	b.buf = b.buf[:0]
	for k := range n {
		b.buf = machine.AppendFrame(b.buf, record(i+k))
	}
	if b.zeroed != nil {
		return b.zeroed.Write(b.buf)
	}
	file, err := os.OpenFile(b.frames, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b.buf)
	return errors.Join(err, file.Close())
}

// record is the i-th, in memory of its own.
func record(i int) []byte {
	rec := make([]byte, workload.RecordBytes)
	workload.EncodeRecord(rec, i)
	return rec
}

func (b *bare) readAll() (n int, err error) {
	file, err := os.Open(b.frames)
	if err != nil {
		return 0, err
	}
	_, err = machine.ReadFrames(file, func(rec []byte) {
		if i, _ := workload.DecodeRecord(rec); i == n {
			n++
		}
	})
	return n, errors.Join(err, file.Close())
}

// readMatching goes to where the records lie in a mapped file, and checks each.
func (b *bare) readMatching(entity int) (n int, err error) {
	frames, err := machine.MapFile(b.frames)
	if err != nil {
		return 0, err
	}
	const size = machine.FrameBytes + workload.RecordBytes
	for at := entity * size; at < len(frames); at += workload.Entities * size {
		rec, ok, err := machine.Frame(frames[at:])
		if err != nil || !ok {
			return n, err
		}
		if _, e := workload.DecodeRecord(rec); e == entity {
			n++
		}
	}
	return n, nil
}

func (b *bare) close() error {
	switch {
	case b.journal != nil:
		return b.journal.Close()
	case b.zeroed != nil:
		return b.zeroed.Close()
	}
	return nil
}
