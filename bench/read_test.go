package bench

import (
	"fmt"
	"iter"
	"os"
	"testing"
	"time"

	"github.com/penstock-io/penstock/store"

	"github.com/penstock-io/penstock/bench/figures"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// BenchmarkReadAll: the whole log from the page cache, checksums verified, metadata decoded.
func BenchmarkReadAll(b *testing.B) {
	l := openLibrary(b)
	frames, err := os.Open(l.frames)
	must(b, err)
	defer frames.Close()
	f := newRecorder(b)
	for b.Loop() {
		db, st := l.reopened(b)
		limit := rate(b, *logEvents, func() (int, error) { return replayLimit(frames) })
		peer := rate(b, *logEvents, func() (int, error) { return replayPebble(db) })
		ours := rate(b, *logEvents, func() (int, error) { return replayPenstock(b, st, store.Region{}) })
		lent := rate(b, *logEvents, func() (int, error) { return scanPenstock(b, st, store.Region{}) })
		f.compare("ev/s", limit, peer, ours, "x-pebble>=2.5")
		f.add("penstock-scan-ev/s", lent)
		f.add("x-pebble-scan>=5.5", lent/peer)
		must(b, db.Close())
		must(b, st.Close())
	}
	f.report()
}

// BenchmarkReadMatching: the events of one entity of a hundred, in a store that was just opened,
// and once more.
func BenchmarkReadMatching(b *testing.B) {
	l := openLibrary(b)
	frames, err := machine.MapFile(l.frames)
	must(b, err)
	offsets := entityOffsets(matchingEntity)
	f := newRecorder(b)
	for b.Loop() {
		db, st := l.reopened(b)
		limit := rate(b, len(offsets), func() (int, error) { return matchLimit(frames, offsets) })
		region := store.Region{Entity: workload.Coordinates[matchingEntity].Entity}
		peer := func() (int, error) { return matchPebble(db, matchingEntity) }
		ours := func() (int, error) { return replayPenstock(b, st, region) }
		lent := func() (int, error) { return scanPenstock(b, st, region) }
		firstPeer, firstOurs := rate(b, len(offsets), peer), rate(b, len(offsets), ours)
		f.add("pebble-first-ev/s", firstPeer)
		f.add("penstock-first-ev/s", firstOurs)
		f.add("x-pebble-first>=3", firstOurs/firstPeer)
		again := rate(b, len(offsets), peer)
		f.compare("ev/s", limit, again, rate(b, len(offsets), ours), "x-pebble>=3")
		scan := rate(b, len(offsets), lent)
		f.add("penstock-scan-ev/s", scan)
		f.add("x-pebble-scan>=8", scan/again)
		must(b, db.Close())
		must(b, st.Close())
	}
	f.report()
}

const matchingEntity = 42

// rate times a reader that must find the given number of events.
func rate(b *testing.B, events int, read func() (int, error)) float64 {
	b.Helper()
	began := time.Now()
	n, err := read()
	took := time.Since(began)
	must(b, err)
	if n != events {
		must(b, fmt.Errorf("read %d events, want %d", n, events))
	}
	return figures.PerSecond(n, took)
}

func replayPenstock(b *testing.B, st *store.Store, r store.Region) (events int, err error) {
	b.Helper()
	return countPayloads(st.Read(b.Context(), r, store.Beginning()))
}

func scanPenstock(b *testing.B, st *store.Store, r store.Region) (events int, err error) {
	b.Helper()
	return countPayloads(st.Scan(b.Context(), r, store.Beginning()))
}

func countPayloads(list iter.Seq2[store.Event, error]) (events int, err error) {
	for e, err := range list {
		if err != nil {
			return events, err
		}
		if len(e.Payload) == workload.PayloadBytes {
			events++
		}
	}
	return events, nil
}

func entityOffsets(entity int) []int64 {
	var offsets []int64
	for i := entity; i < *logEvents; i += workload.Entities {
		offsets = append(offsets, int64(i)*(machine.FrameBytes+workload.RecordBytes))
	}
	return offsets
}

// matchLimit checks and decodes the records at known offsets of a mapped file.
func matchLimit(frames []byte, offsets []int64) (events int, err error) {
	for _, at := range offsets {
		rec, ok, err := machine.Frame(frames[at:])
		if err != nil || !ok {
			return events, err
		}
		if _, e := workload.DecodeRecord(rec); e == matchingEntity {
			events++
		}
	}
	return events, nil
}
