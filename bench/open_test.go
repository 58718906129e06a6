package bench

import (
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkOpen: a log of half of -events events, after a clean close and after a kill; the memory
// that the open store holds, and holds after a query that has asked every index. The limit is to
// checksum one segment of full size.
func BenchmarkOpen(b *testing.B) {
	events := *logEvents / 2
	clean, killed := shelve(b, events)
	f := newRecorder(b)
	for b.Loop() {
		f.openClean(clean, events)
		f.add("killed-ms<=50", f.openKilled(killed))
		f.add("limit-scan-ms", scanSegmentLimit(b, clean))
	}
	f.report()
}

// shelve builds the log, and a copy of what a kill would have left of it.
func shelve(b *testing.B, events int) (clean, killed string) {
	b.Helper()
	dir, _ := newDir(b)
	clean, killed = filepath.Join(dir, "clean"), filepath.Join(dir, "killed")
	st := openStore(b, clean, store.Options{})
	must(b, workload.Load(b.Context(), st, events, workload.Proposal))
	must(b, copyDir(killed, clean))
	must(b, st.Close())
	b.Cleanup(func() { must(b, os.RemoveAll(dir)) })
	return clean, killed
}

func (f *recorder) openClean(dir string, events int) {
	before := machine.HeapInUse()
	began := time.Now()
	st := openStore(f.b, dir, store.Options{})
	f.add("clean-ms<=10", figures.Millis(time.Since(began)))
	f.add("heap-B/event<=16", (machine.HeapInUse()-before)/float64(events))
	_, err := replayPenstock(f.b, st, store.Region{Entity: workload.Coordinates[matchingEntity].Entity})
	must(f.b, err)
	f.add("heap-read-B/event", (machine.HeapInUse()-before)/float64(events))
	must(f.b, st.Close())
}

func (f *recorder) openKilled(template string) float64 {
	dir, remove := newDir(f.b)
	defer remove()
	must(f.b, copyDir(filepath.Join(dir, "log"), template))
	began := time.Now()
	st := openStore(f.b, filepath.Join(dir, "log"), store.Options{})
	took := time.Since(began)
	must(f.b, st.Close())
	return figures.Millis(took)
}

func scanSegmentLimit(b *testing.B, dir string) float64 {
	b.Helper()
	segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	must(b, err)
	largest := make([]byte, 0)
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil && info.Size() > int64(cap(largest)) {
			largest = make([]byte, 0, info.Size())
			must(b, readInto(&largest, name))
		}
	}
	began := time.Now()
	sum := crc32.Checksum(largest, machine.Castagnoli)
	took := time.Since(began)
	runtime.KeepAlive(sum)
	return figures.Millis(took)
}

func readInto(dst *[]byte, name string) error {
	b, err := os.ReadFile(name)
	*dst = b
	return err
}

// copyDir copies the files of a directory to a new one, and syncs them, so that reading them later
// waits for nothing.
func copyDir(to, from string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, e := range entries {
		if err := copyFile(filepath.Join(to, e.Name()), filepath.Join(from, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Sync(), dst.Close())
}
