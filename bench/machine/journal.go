package machine

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// journalBytes is the size of the file that a journal writes round and round: it is filled with
// zeros once, and never grows.
const journalBytes = 64 << 20

// Zeroed is a file filled with zeros ahead, that is written round and round.
type Zeroed struct {
	file *os.File
	end  int64
}

// NewZeroed makes the file in a directory.
func NewZeroed(dir string) (*Zeroed, error) {
	file, err := os.Create(filepath.Join(dir, "journal"))
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for range journalBytes / len(zeros) {
		if _, err := file.Write(zeros); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Zeroed{file: file}, nil
}

// Write writes without a sync.
func (z *Zeroed) Write(buf []byte) error {
	if z.end+int64(len(buf)) > journalBytes {
		z.end = 0
	}
	n, err := z.file.WriteAt(buf, z.end)
	z.end += int64(n)
	return err
}

// Sync waits until what was written is on disk.
func (z *Zeroed) Sync() error { return Datasync(z.file) }

// Close closes the file.
func (z *Zeroed) Close() error { return z.file.Close() }

// Append frames a record, writes it, syncs it on demand, and returns the time that took.
func (z *Zeroed) Append(rec []byte, sync bool) (time.Duration, error) {
	began := time.Now()
	err := z.Write(AppendFrame(nil, rec))
	if err == nil && sync {
		err = z.Sync()
	}
	return time.Since(began), err
}

// Journal is the limit of a durable append. One goroutine takes what waits, frames it, and does one
// write and one fdatasync for the whole group. Before it takes them it lingers as Penstock does:
// writers in a loop would form two cohorts otherwise, and each record wait for two syncs. There is
// no index, no hash, and no reader is notified.
type Journal struct {
	zeroed *Zeroed
	buf    []byte
	gone   chan struct{} // closed when the goroutine has ended

	crowd int           // records of the last group, and those that waited when it was done
	took  time.Duration // by the write and the sync of the last group

	mu      sync.Mutex
	arrival sync.Cond
	group   *group
	closed  bool
}

// group is what is written at once. Its fields but done are guarded by the journal's mu until it is
// taken.
type group struct {
	records [][]byte
	done    chan struct{}
	err     error // valid once done is closed
}

// NewJournal starts the goroutine of a journal.
func NewJournal(z *Zeroed) *Journal {
	j := &Journal{zeroed: z, group: &group{done: make(chan struct{})}, gone: make(chan struct{})}
	j.arrival.L = &j.mu
	go j.run()
	return j
}

// Append returns when the record is on disk.
func (j *Journal) Append(rec []byte) error {
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

func (j *Journal) run() {
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
		began := time.Now()
		g.err = j.commit(g.records)
		j.took = time.Since(began)
		j.crowd = len(g.records) + j.waiting()
		spare = g
		close(g.done)
		j.linger()
	}
}

func (j *Journal) waiting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.group.records)
}

// lingerYields is how often in a row yielding may bring no writer.
const lingerYields = 3

// linger yields to the writers that were answered last, until as many wait as there were then, or
// none comes any more, or it has taken most of the time that their sync took. It never does for a
// single writer.
func (j *Journal) linger() {
	began := time.Now()
	for queued, fruitless := 0, 0; j.crowd > 1 && fruitless < lingerYields; fruitless++ {
		runtime.Gosched()
		now := j.waiting()
		if now >= j.crowd || time.Since(began) > j.took*3/4 {
			return
		}
		if now > queued {
			queued, fruitless = now, -1
		}
	}
}

func (j *Journal) commit(records [][]byte) error {
	j.buf = j.buf[:0]
	for _, rec := range records {
		j.buf = AppendFrame(j.buf, rec)
	}
	return errors.Join(j.zeroed.Write(j.buf), j.zeroed.Sync())
}

// Close ends the goroutine and closes the file.
func (j *Journal) Close() error {
	j.mu.Lock()
	j.closed = true
	j.arrival.Signal()
	j.mu.Unlock()
	<-j.gone
	return j.zeroed.Close()
}
