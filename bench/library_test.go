package bench

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// library is the same log in three forms, to be read. It is built when it is first wanted, and used
// by all benchmarks of the run.
type library struct {
	built          bool
	frames         string // a file
	pebble, events string // directories
}

var theLibrary library

// openLibrary returns the library with -events events.
func openLibrary(b *testing.B) *library {
	b.Helper()
	l := &theLibrary
	if l.built {
		return l
	}
	l.frames = filepath.Join(scratch, "frames")
	l.pebble, l.events = filepath.Join(scratch, "pebble"), filepath.Join(scratch, "events")
	must(b, machine.WriteFrames(l.frames, *logEvents, workload.RecordBytes, workload.EncodeRecord))
	must(b, loadPebble(b, l.pebble, *logEvents))
	must(b, delivery.PenstockLog(b.Context(), l.events, *logEvents, workload.Proposal))
	l.built = true
	return l
}

func (l *library) close() { *l = library{} }

func loadPebble(b *testing.B, dir string, events int) error {
	b.Helper()
	db := openPebble(b, dir)
	for i := 0; i < events; i += workload.LoadBatch {
		if err := pebbleBatch(db, i, min(workload.LoadBatch, events-i), true); err != nil {
			return err
		}
	}
	return errors.Join(db.Flush(), db.Close())
}

// reopened returns the stores of the library, freshly opened.
func (l *library) reopened(b *testing.B) (db *pebble.DB, st *store.Store) {
	b.Helper()
	return openPebble(b, l.pebble), openStore(b, l.events, store.Options{})
}
