package store

import (
	"context"
	"fmt"
	"time"
)

// RetainOptions say what [Retain] keeps. What exceeds one of the first three is dropped; the zero
// value drops nothing, and reports who holds what.
type RetainOptions struct {
	// MaxAge is how old the last event of a segment may be, by [Store.Now]; 0 means any.
	MaxAge time.Duration
	// MaxBytes is how much the files of segments with events may take together, the active one
	// included; 0 means any.
	MaxBytes int64
	// Before drops segments all of whose events lie before this position; 0 means none.
	Before Position
	// Ignore names holds that do not count: named ones, and those of other holders. What they need may
	// be dropped, and their readers are told [ErrDropped]. Open fences always count.
	Ignore []string
	// KeyRetention is how long an idempotency key is known after its commit, at least; 0 means for as
	// long as the store lives. Of events that are not dropped keys are always known.
	KeyRetention time.Duration
	// EntityRetention is how long the version of an entity, and the hash of its last event, are known
	// after that event, at least; 0 means for as long as the store lives. Once they are discarded, the
	// entity is [Absent], and its next event has version 1.
	EntityRetention time.Duration
	// DryRun reports what would be dropped, and changes nothing.
	DryRun bool
}

// Holders returns what readers need that the store knows nothing of, but for those that are
// ignored: checkpoint.Holds is one. An error ends [Retain].
type Holders = func(st *Store, ignore []string) ([]Hold, error)

// RetainReport says what [Retain] has dropped, or would drop.
type RetainReport struct {
	// Segments that are gone, the events in them, and what their files took. Carried has what takes
	// their place.
	Segments int
	Events   uint64
	Bytes    int64
	// First is the position of the first event that the log has after it: the one after the head where
	// it has none.
	First Position
	// Holds are those that keep something which else would be dropped, by position: the first one
	// has to be moved or released before more can be.
	Holds []Hold
	// Carried is what the files take that have what stays of all events that were ever dropped. Of a
	// dry run it is what they take now.
	Carried int64
}

// Retain drops the oldest events, by whole segments: those that exceed one of the options, up to
// the first that a reader needs. That is known by named holds ([SetHold]), by open fences, and by
// what others returns: programs with checkpoints pass checkpoint.Holds, others nil. The active
// segment is never dropped.
//
//	o := store.RetainOptions{MaxAge: 90 * 24 * time.Hour}
//	report, err := store.Retain(ctx, st, checkpoint.Holds, o)
//
// The events are gone for good, with their place on the disk. What stays is in small files, sorted,
// and found by filters like all else: the version of each entity and the hash of its last event, so
// that [Absent] is refused as before and chains go on; idempotency keys with their receipts; and
// all side values. RetainReport.Carried is what they take. The id of the last event that was
// dropped is known, too: so an [Anchor] at that position still proves a common past. Whatever asks
// for a position before the first event gets a [DroppedError] from then on: a reader, a row, a
// file, a token, a [Condition]. A reader that starts at the beginning starts at the first event.
//
// It runs beside commits and readers, and alone: a second call waits. Readers in other processes
// notice it as they notice rewriting. A backup is the log as it is, so the next one drops the same;
// one that ends before the first event of the log cannot be continued: the error is ErrDropped.
//
// It costs the reading of what is dropped, a record of some hundred bytes for each entity and key
// in it, and at times a merge with those of before: in all some log2 times. A crash, an error and
// the end of ctx leave the log without the segments that were dropped by then, the oldest ones,
// each with what stays of it, and nothing else changed. Errors: [CorruptError] for damage in what
// is to be dropped, which stays; [ErrDiskFull], as what stays is written before room is given back;
// that of others; [InvalidError], [ErrReadOnly], [ErrClosed], [ErrPoisoned], ctx's.
//
// Programs of versions that do not know retention get [ErrNewerFormat] for the log from then on.
func Retain(ctx context.Context, st *Store, others Holders, o RetainOptions) (RetainReport, error) {
	report, err := st.retain(ctx, others, o)
	if err != nil {
		return report, fmt.Errorf("retain %s: %w", st.path, shortage(st.readError(err)))
	}
	return report, nil
}

func (s *Store) retain(ctx context.Context, others Holders, o RetainOptions) (report RetainReport, err error) {
	if err := s.retains(ctx, &o); err != nil {
		return report, err
	}
	if err := s.rewriter.busy.take(ctx); err != nil {
		return report, err
	}
	defer s.leaveRewriter()
	r := retention{store: s, others: others, options: o}
	if err := r.plan(ctx); err != nil {
		return report, err
	}
	if !o.DryRun {
		err = r.discard(ctx)
	}
	for more := !o.DryRun; more && err == nil; {
		more, err = r.drop(ctx)
	}
	segments := *s.segments.Load()
	if !o.DryRun {
		r.report.First = firstOf(segments)
	}
	for _, g := range segments[:droppedOf(segments)] {
		r.report.Carried += g.fileBytes()
	}
	return r.report, err
}

// retains returns why nothing can be dropped.
func (s *Store) retains(ctx context.Context, o *RetainOptions) error {
	if err := s.readable(ctx); err != nil {
		return err
	}
	if err := s.commits(ctx); err != nil {
		return err
	}
	for _, is := range []struct {
		field string
		value int64
	}{
		{"max age", int64(o.MaxAge)},
		{"max bytes", o.MaxBytes},
		{"key retention", int64(o.KeyRetention)},
		{"entity retention", int64(o.EntityRetention)},
	} {
		if is.value < 0 {
			return &InvalidError{Field: is.field, Rule: "must not be negative", Value: is.value}
		}
	}
	return s.committer.writer.poisoned()
}

// retention is the work of one call of Retain. It belongs to the goroutine that has the rewriter.
type retention struct {
	store   *Store
	others  Holders
	options RetainOptions
	now     time.Time
	due     []*segment // to be dropped, the oldest first
	report  RetainReport
}

// plan finds out what is to be dropped.
func (r *retention) plan(ctx context.Context) error {
	s := r.store
	if err := s.renewMoved(); err != nil {
		return err
	}
	if err := s.readable(ctx); err != nil {
		return err
	}
	r.now = s.Now()
	var of []Hold
	var err error
	if r.others != nil {
		if of, err = r.others(s, r.options.Ignore); err != nil {
			return err
		}
	}
	holds, err := s.holds(of, r.options.Ignore)
	if err != nil {
		return err
	}
	wanted := r.wanted()
	r.report.First = s.first()
	for _, g := range wanted {
		if len(holds) > 0 && g.after() > holds[0].From {
			r.holds(holds, wanted[len(wanted)-1].after())
			break
		}
		if r.due = append(r.due, g); !r.options.DryRun {
			continue
		}
		r.report.Segments++
		r.report.Events += uint64(g.after() - g.first)
		r.report.Bytes += g.fileBytes()
		r.report.First = g.after()
	}
	return nil
}

// holds notes the holds of something before a position.
func (r *retention) holds(holds []Hold, before Position) {
	r.report.Holds = nil
	for _, h := range holds {
		if h.From < before {
			r.report.Holds = append(r.report.Holds, h)
		}
	}
}

// wanted returns the segments that the options do not keep. One whose footer could not be written
// yet stays, and so does one with an event that is not visible.
func (r *retention) wanted() (wanted []*segment) {
	s := r.store
	head := Position(s.head.Load())
	segments := *s.segments.Load()
	segments = segments[droppedOf(segments):]
	var total int64
	for _, g := range segments {
		total += g.fileBytes()
	}
	for i, g := range segments {
		if i == len(segments)-1 || g.trailer.Load() == nil || g.after() > head+1 || !r.exceeds(g, total) {
			break
		}
		wanted, total = append(wanted, g), total-g.fileBytes()
	}
	return wanted
}

// exceeds reports whether the options do not keep a segment, total being the size of it and all
// after it.
func (r *retention) exceeds(g *segment, total int64) bool {
	o, last := &r.options, Timestamp(g.trailer.Load().LastTime).Time()
	return g.after() <= o.Before || o.MaxBytes > 0 && total > o.MaxBytes || o.MaxAge > 0 && r.now.Sub(last) > o.MaxAge
}

// begin begins to make a file.
func (r *retention) begin() (*dropping, error) {
	s := r.store
	if err := s.syncNames(); err != nil { // deletions may rest on what was renamed by a process before
		return nil, err
	}
	if s.rewriter.broken {
		return nil, fmt.Errorf("%w: a rename is not known to be durable, open the store again", ErrBusy)
	}
	d := newDropping(s)
	d.keys, d.entities = r.before(r.options.KeyRetention), r.before(r.options.EntityRetention)
	return d, nil
}

// discard makes one file without states and receipts of the oldest ones of which all are discarded:
// no merge may come as far for long.
func (r *retention) discard(ctx context.Context) error {
	d, err := r.begin()
	if err != nil {
		return err
	}
	var bytes int64
	for _, g := range *r.store.segments.Load() {
		if !g.dropped || g.trailer.Load().LastTime >= min(d.keys, d.entities) {
			break
		}
		d.parts = append(d.parts, g)
		bytes += batchBytes(g) - r.store.sides.liveBytes(g.number)
	}
	if bytes < rewriteBytes {
		return nil
	}
	return r.finish(ctx, d)
}

// drop drops some of the segments that are due, and reports whether there are more.
func (r *retention) drop(ctx context.Context) (more bool, err error) {
	if len(r.due) == 0 {
		return false, nil
	}
	s := r.store
	d, err := r.begin()
	if err != nil {
		return false, err
	}
	for ; len(r.due) > 0 && !d.full(); r.due = r.due[1:] {
		if err := s.readable(ctx); err != nil {
			return false, err
		}
		if err := d.gather(r.due[0]); err != nil {
			return false, err
		}
	}
	d.widen()
	if err := r.finish(ctx, d); err != nil {
		return false, err
	}
	return len(r.due) > 0, nil
}

// finish makes the file and puts it in its place. Where its events are held by now nothing more is
// due.
func (r *retention) finish(ctx context.Context, d *dropping) error {
	name := segmentName(d.parts[0].number) + rewrittenSuffix
	err := d.make(name)
	if err == nil {
		err = r.store.settle(ctx)
	}
	held, err := r.replace(d, name, err)
	if held {
		r.due = nil
	}
	if err != nil || held {
		return err
	}
	r.report.Segments += d.report.Segments
	r.report.Events += d.report.Events
	r.report.Bytes += d.report.Bytes
	return nil
}

// before returns the hybrid time so long before now, 0 for 0.
func (r *retention) before(d time.Duration) uint64 {
	ms := r.now.Add(-d).UnixMilli()
	if d == 0 || ms < 0 {
		return 0
	}
	return uint64(ms) << 16
}

// replace puts the file that has what stays in the place of what is dropped, unless a reader needs
// it by now. What the holds were when the segments were chosen is durable.
func (r *retention) replace(d *dropping, name string, err error) (held bool, _ error) {
	s := r.store
	var of []Hold
	if err == nil && r.others != nil {
		of, err = r.others(s, r.options.Ignore)
	}
	s.holding.Lock()
	defer s.holding.Unlock()
	end := d.parts[len(d.parts)-1].after()
	if err == nil {
		var holds []Hold
		if holds, err = s.holds(of, r.options.Ignore); err == nil && d.report.Segments > 0 && len(holds) > 0 && holds[0].From < end {
			r.holds(holds, end)
			return true, s.dir.Remove(name)
		}
	}
	s.rewriter.keep(d.parts, d.kept)
	if err = s.replace(d.parts, name, err); err != nil {
		return false, err
	}
	for _, g := range d.parts {
		_ = s.dir.Remove(idxName(g.number)) // there mostly is none
	}
	return false, nil
}
