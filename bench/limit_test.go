package bench

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameBytes precede a record in a file: its length and its CRC-32C.
const frameBytes = 8

// journalBytes is the size of the file that a journal writes round and round: it is filled with zeros once, and never grows.
const journalBytes = 64 << 20

func appendFrame(dst, rec []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(rec)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(rec, castagnoli))
	return append(dst, rec...)
}

// zeroed is a file filled with zeros ahead, that is written round and round.
type zeroed struct {
	file *os.File
	end  int64
}

func newZeroed(b *testing.B, dir string) *zeroed {
	b.Helper()
	file, err := os.Create(filepath.Join(dir, "journal"))
	must(b, err)
	zeros := make([]byte, 1<<20)
	for range journalBytes / len(zeros) {
		_, err = file.Write(zeros)
		must(b, err)
	}
	must(b, file.Sync())
	return &zeroed{file: file}
}

func (z *zeroed) write(buf []byte) error {
	if z.end+int64(len(buf)) > journalBytes {
		z.end = 0
	}
	n, err := z.file.WriteAt(buf, z.end)
	z.end += int64(n)
	return err
}

// journal is the limit of a durable append. One goroutine takes what waits, frames it, and does one write and one
// fdatasync for the whole group. There is no index, no hash, and nobody is told but the writers.
type journal struct {
	zeroed *zeroed
	buf    []byte
	gone   chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	arrival sync.Cond
	group   *group
	closed  bool
}

// group is what is written at once. Its fields but done are guarded by the journal's mu until it is taken.
type group struct {
	records [][]byte
	done    chan struct{}
	err     error // valid once done is closed
}

func newJournal(z *zeroed) *journal {
	j := &journal{zeroed: z, group: &group{done: make(chan struct{})}, gone: make(chan struct{})}
	j.arrival.L = &j.mu
	go j.run()
	return j
}

func (j *journal) append(rec []byte) error {
	j.mu.Lock()
	g := j.group
	g.records = append(g.records, rec)
	if len(g.records) == 1 {
		j.arrival.Signal()
	}
	j.mu.Unlock()
	<-g.done
	return g.err
}

func (j *journal) run() {
	defer close(j.gone)
	spare := &group{}
	for {
		j.mu.Lock()
		for len(j.group.records) == 0 && !j.closed {
			j.arrival.Wait()
		}
		g := j.group
		j.group = &group{records: spare.records[:0], done: make(chan struct{})}
		j.mu.Unlock()
		if len(g.records) == 0 {
			return
		}
		g.err = j.commit(g.records)
		spare = g
		close(g.done)
	}
}

func (j *journal) commit(records [][]byte) error {
	j.buf = j.buf[:0]
	for _, rec := range records {
		j.buf = appendFrame(j.buf, rec)
	}
	return errors.Join(j.zeroed.write(j.buf), datasync(j.zeroed.file))
}

func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.arrival.Signal()
	j.mu.Unlock()
	<-j.gone
	return j.zeroed.file.Close()
}

// durableLimit appends records of the given size to a journal.
func durableLimit(writers, size int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		j := newJournal(newZeroed(b, dir))
		records := make([][]byte, writers)
		for w := range records {
			records[w] = make([]byte, recordBytes)
		}
		return contestant{close: j.close, op: func(w, i int) error {
			encodeRecord(records[w], i)
			return j.append(records[w][:size])
		}}
	}
}

// unsyncedLimit frames a batch of records and writes it, for a single writer.
func unsyncedLimit(batch int) opener {
	return func(b *testing.B, dir string) contestant {
		b.Helper()
		z := newZeroed(b, dir)
		var buf []byte
		return contestant{close: z.file.Close, op: func(_, i int) error {
			buf = buf[:0]
			for k := range batch {
				rec := make([]byte, recordBytes) // the caller's own
				encodeRecord(rec, i*batch+k)
				buf = appendFrame(buf, rec)
			}
			return z.write(buf)
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
		used += frameBytes + len(rec)
		events++
	}
}

// frame gives the record at the start of buf, if it is there as a whole.
func frame(buf []byte) (rec []byte, ok bool, err error) {
	if len(buf) < frameBytes {
		return nil, false, nil
	}
	n := int(binary.LittleEndian.Uint32(buf))
	if len(buf) < frameBytes+n {
		return nil, false, nil
	}
	rec = buf[frameBytes:][:n]
	if binary.LittleEndian.Uint32(buf[4:]) != crc32.Checksum(rec, castagnoli) {
		return nil, false, errFrame
	}
	return rec, true, nil
}

// append writes a record, syncs it on demand, and gives the time that took.
func (z *zeroed) append(i int, sync bool) (time.Duration, error) {
	rec := make([]byte, recordBytes)
	began := time.Now()
	encodeRecord(rec, i)
	err := z.write(appendFrame(nil, rec))
	if err == nil && sync {
		err = datasync(z.file)
	}
	return time.Since(began), err
}
