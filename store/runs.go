package store

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// A run is the index of a part of the active segment, on disk before the segment is sealed, so that
// opening need not read that part: all runs of a segment are in the file N.idx beside it, each
// appended and synced when another maxRunBytes of the segment are durable, and at a clean close.
//
//	N.seg   header | batches            | batches            | batches   | zeros
//	                \ run 1: up to here  \ run 2: up to here  \ scanned by Open
//	N.idx   run 1, index, side values | run 2, index, side values
//
// Nothing depends on the file: what is missing in it, torn, damaged, or not of this segment is
// scanned. One that could not be written, as on a full disk, is left as it is, and the rest of the
// segment has no runs. It is removed when the segment is sealed.
//
// A run is believed if the segment has the very batch that it ends with: files may be copied in any
// order, and a power cut keeps the segment at least up to there, as it was durable before the run
// was written. So a run also says what a "known durable" mark says. Damage before its end is found
// by the read that meets it, as in a sealed segment.

// writerRuns is what the writer knows of the runs of its active segment. It belongs to the holder
// of the committer's role.
type writerRuns struct {
	file    *runFile
	from    int64           // offset in the segment where the next run begins
	first   uint64          // position of the first event of the growing index
	frozen  []*index.Active // of the runs since the opening or the beginning of the segment
	resumed bool            // there are runs before those, of which only the bytes are left
	writing chan struct{}   // closed when the last run is written, or cannot be; nil before the first
}

// runFile is the end of a file of runs. The task that writes a run owns it until its channel is
// closed.
type runFile struct {
	end    int64 // where the next run goes; 0 when there is no file, or none worth keeping
	failed bool  // a run is missing, so that none may follow
}

// runBytes is how much of the active segment gets a run of its own: a quarter of a small one.
func (s *Store) runBytes() int64 { return min(maxRunBytes, s.options.SegmentBytes/4) }

// due reports whether a log that ends at end has so many bytes since the last run, all durable.
func (r *writerRuns) due(bytes, end, durable int64) bool {
	if durable != end || end-r.from < bytes {
		return false
	}
	if r.writing != nil {
		select {
		case <-r.writing:
		default:
			return false // one at a time: they follow each other in the file
		}
	}
	return !r.file.failed
}

// cutRun ends a run where the log ends now, with all of it visible, and returns what writes it.
func cutRun(w *writer) (write func()) {
	g, file, active, done := w.segment, w.runs.file, w.active, make(chan struct{})
	active.PublishUpTo(active.Len())
	run := idxRun{
		segment: g.number, store: w.store.origin.Store,
		ordinal: uint32(w.runs.first - uint64(g.first)), start: uint64(w.runs.from), end: uint64(w.next.Offset),
		last: uint64(w.last), lastSum: w.next.Previous, promised: uint32(w.promised), lastTime: w.clock.last,
		sideBytes: w.sideBytes,
	}
	w.active = index.NewActive()
	g.addRun(w.active)
	w.runs.from, w.runs.first, w.runs.writing = w.next.Offset, w.next.Position, done
	w.runs.frozen = append(w.runs.frozen, active)
	return func() {
		defer close(done)
		w.store.writeRun(g, file, &run, active)
	}
}

// addRun lets the index of the segment go on in a.
func (g *segment) addRun(a *index.Active) {
	now := g.index.Load().Index
	runs, ok := now.(*index.Runs)
	if !ok {
		runs = index.NewRuns(now)
	}
	g.index.Store(&loadedIndex{Index: runs.With(a)})
}

// writeRun appends a run to the file of its segment, unless that is sealed by now.
func (s *Store) writeRun(g *segment, f *runFile, run *idxRun, active *index.Active) {
	if f.failed || g.trailer.Load() != nil {
		return
	}
	idx, sides := active.Footer()
	b := run.append(nil, idx, sides)
	if err := s.appendTo(idxName(g.number), f.end, b); err != nil {
		f.failed = true
		return
	}
	f.end += int64(len(b))
}

// appendTo makes b the end of a file, durably: what lies after end is of a run that was not
// believed. Its name need not be durable.
func (s *Store) appendTo(name string, end int64, b []byte) error {
	if end == 0 {
		if err := s.dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	open := s.dir.Create
	if end > 0 {
		open = func(name string) (vfs.File, error) { return s.dir.Open(name, false) }
	}
	file, err := open(name)
	if err != nil {
		return err
	}
	if err = file.Truncate(end); err == nil {
		_, err = file.WriteAt(b, end)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// parts are the growing indexes that the active segment's is made of; complete is false when there
// are others, which do not know their texts.
func (r *writerRuns) parts(active *index.Active) (parts []*index.Active, complete bool) {
	return append(slices.Clip(r.frozen), active), !r.resumed
}

// loadedRun is a run that is believed.
type loadedRun struct {
	idxRun
	after wal.Expected    // what the batch after it must say
	batch wal.BatchHeader // its last
	at    int64           // of the run in its file
	index *index.Sealed
	sides []index.Side
}

// size is what the run takes in its file.
func (r *idxRun) size() int64 {
	return int64(wal.Align(idxHeaderSize + int(r.indexLen) + int(r.sidesLen)))
}

// loadRuns reads the runs of a segment that are to be believed: up to the first that is not.
func (r *recovery) loadRuns(g *segment, p *wal.Pieces) (runs []loadedRun) {
	file, err := r.store.dir.Open(idxName(g.number), true)
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	size, err := file.Size()
	run := loadedRun{idxRun: idxRun{end: wal.SegmentHeaderSize}}
	run.after.Position = r.header.FirstPosition
	for at := int64(0); err == nil; at += run.size() {
		next := loadedRun{at: at}
		if !next.parse(file, size) || !r.continues(&next, g, &run) || !next.believe(p, &r.header) || !next.load(file) {
			break
		}
		runs, run = append(runs, next), next
	}
	return runs
}

// parse reads the header of the run.
func (l *loadedRun) parse(file vfs.File, size int64) (ok bool) {
	b := make([]byte, idxHeaderSize)
	if n, _ := file.ReadAt(b, l.at); n < len(b) {
		return false
	}
	l.idxRun, ok = parseIdxRun(b)
	return ok && l.at+l.size() <= size
}

// continues reports whether a run is of the segment and follows another.
func (r *recovery) continues(l *loadedRun, g *segment, before *loadedRun) bool {
	return l.store == r.header.Store && l.segment == g.number && l.generation == r.header.Generation &&
		l.start == before.end && uint64(l.ordinal) == before.after.Position-r.header.FirstPosition
}

// believe reports whether the segment has the batch that the run ends with. A segment that cannot
// be read is no reason to fail here: it is read again.
func (l *loadedRun) believe(p *wal.Pieces, segment *wal.SegmentHeader) bool {
	seed := wal.Seed(segment.Store)
	if l.last < l.start || l.end <= l.last || l.end > math.MaxUint32 {
		return false
	}
	h, batch, err := p.Batch(seed, segment.Segment, int64(l.last))
	if err != nil || batch == nil || h.Checksum != l.lastSum || l.last+uint64(h.Length) != l.end {
		return false
	}
	l.batch = h
	l.after = wal.Expected{Seed: seed, Segment: h.Segment, Offset: int64(l.last), Position: h.FirstPosition}
	l.after.Advance(&h)
	return true
}

// load reads index and side values, and checks them whole: so they need no file, and no second
// source, from then on.
func (l *loadedRun) load(file vfs.File) (ok bool) {
	var err error
	if l.index, err = loadIndex(file, l.at+idxHeaderSize, int(l.indexLen)); err != nil || l.index.Sum() != l.indexSum {
		return false
	}
	if !l.index.HasLinks() { // by an older program
		return false
	}
	table := make([]byte, l.sidesLen)
	if n, _ := file.ReadAt(table, l.at+idxHeaderSize+int64(l.indexLen)); n < len(table) || wal.Checksum(table) != l.sidesSum {
		return false
	}
	for side, err := range index.Sides(bytes.NewReader(table), int64(len(table))) {
		if err != nil {
			return false
		}
		side.Segment = l.segment
		l.sides = append(l.sides, side)
	}
	return true
}

// resume lets the scan of a segment begin after the runs.
func (sc *scan) resume(runs []loadedRun) {
	if len(runs) == 0 {
		return
	}
	last := &runs[len(runs)-1]
	sc.runs, sc.next, sc.first = runs, last.after, last.after.Position
	sc.lastTime, sc.durable, sc.promised = last.lastTime, int64(last.end), int64(last.promised)
	sc.sideBytes, sc.flags, sc.incarnation = last.sideBytes, last.batch.Flags, last.batch.Incarnation
}

// index is the index of the segment: of the runs, and of what was scanned.
func (sc *scan) index() index.Index {
	if len(sc.runs) == 0 {
		return sc.active
	}
	runs := index.NewRuns()
	for i := range sc.runs {
		runs = runs.With(sc.runs[i].index)
	}
	return runs.With(sc.active)
}

// writerRuns is what a writer that continues the scanned segment knows of its runs.
func (sc *scan) writerRuns() writerRuns {
	w := writerRuns{file: &runFile{}, from: wal.SegmentHeaderSize, first: sc.first}
	if n := len(sc.runs); n > 0 {
		last := &sc.runs[n-1]
		w.file.end, w.from, w.resumed = last.at+last.size(), int64(last.end), true
	}
	return w
}

// dropRuns removes what a crash left beside segments that are sealed, or not there at all, and
// indexes that were being written. What is beside a sealed segment of version 1 is no run.
func (r *recovery) dropRuns() {
	names, err := r.store.dir.List()
	if err != nil {
		return
	}
	kept := make(map[string]bool)
	for _, g := range *r.store.segments.Load() {
		t := g.trailer.Load()
		kept[idxName(g.number)] = t == nil || t.Version == 1
	}
	for _, name := range names {
		if strings.HasSuffix(name, idxSuffix+rewrittenSuffix) || strings.HasSuffix(name, idxSuffix) && !kept[name] {
			_ = r.store.dir.Remove(name) // the next opening tries again
		}
	}
}
