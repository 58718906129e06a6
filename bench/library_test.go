package bench

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/limit"
)

// loadBatch is how many events are written at once where writing is not what is measured.
const loadBatch = 1000

// library is the same log in three forms, to be read. It is built when it is first wanted, and used by all benchmarks of
// the run.
type library struct {
	built          bool
	frames         string // a file
	pebble, events string // directories
}

var theLibrary library

// openLibrary gives the library with -events events.
func openLibrary(b *testing.B) *library {
	b.Helper()
	l := &theLibrary
	if l.built {
		return l
	}
	l.frames = filepath.Join(scratch, "frames")
	l.pebble, l.events = filepath.Join(scratch, "pebble"), filepath.Join(scratch, "events")
	must(b, writeFrames(l.frames, *logEvents))
	must(b, loadPebble(b, l.pebble, *logEvents))
	st := openStore(b, l.events, store.Options{Sync: store.SyncNever})
	must(b, loadEvents(b, st, *logEvents))
	must(b, st.Close())
	l.built = true
	return l
}

func (l *library) close() { *l = library{} }

func writeFrames(name string, events int) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, 1<<20)
	rec := make([]byte, recordBytes)
	var buf []byte
	for i := range events {
		encodeRecord(rec, i)
		buf = limit.AppendFrame(buf[:0], rec)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return w.Flush()
}

func loadPebble(b *testing.B, dir string, events int) error {
	b.Helper()
	db := openPebble(b, dir)
	for i := 0; i < events; i += loadBatch {
		if err := pebbleBatch(db, i, min(loadBatch, events-i), true); err != nil {
			return err
		}
	}
	return errors.Join(db.Flush(), db.Close())
}

func loadEvents(b *testing.B, st *store.Store, events int) error {
	b.Helper()
	for i := 0; i < events; i += loadBatch {
		if _, err := st.Commit(b.Context(), store.Batch{Events: proposals(i, min(loadBatch, events-i))}); err != nil {
			return err
		}
	}
	return nil
}

// reopened gives the stores of the library, freshly opened.
func (l *library) reopened(b *testing.B) (db *pebble.DB, st *store.Store) {
	b.Helper()
	return openPebble(b, l.pebble), openStore(b, l.events, store.Options{})
}
