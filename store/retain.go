package store

import (
	"context"
	"fmt"
	"time"
)

// RetainOptions say what [Retain] keeps. What exceeds one of the first three is dropped; the zero
// value drops nothing, and reports who holds what.
type RetainOptions struct {
	// MaxAge is how old the last event of a segment may be; 0 means any. Where a clock was wrong,
	// see RetainReport.Doubted, what is kept may be older; what is dropped is not younger.
	MaxAge time.Duration
	// MaxBytes is how much the files of segments with events may take together, the active one
	// included; 0 means any.
	MaxBytes int64
	// Before drops segments all of whose events lie before this position; 0 means none.
	Before Position
	// Ignore names holds that do not count: named ones, and those of other holders. What they need
	// may be dropped, and their readers are told [ErrDropped]. Open fences always count.
	Ignore []string
	// KeyRetention is how long an idempotency key is known after its commit, at least; 0 means for
	// as long as the store lives. Of events that are not dropped keys are always known.
	KeyRetention time.Duration
	// EntityRetention is how long the version of an entity, and the hash of its last event, are
	// known after that event, at least; 0 means for as long as the store lives. Once they are
	// discarded, the entity is [Absent], and its next event has version 1.
	EntityRetention time.Duration
	// DryRun reports what would be dropped, and changes nothing.
	DryRun bool
}

// Holders returns what readers need that the store knows nothing of, but for those that are
// ignored: checkpoint.Holds is one. An error ends [Retain]. It is called before, and again while no
// caller may begin to need anything (see [WithoutDrops]): so it must not set holds, or acquire
// checkpoints.
type Holders = func(st *Store, ignore []string) ([]Hold, error)

// RetainReport says what [Retain] has dropped, or would drop.
type RetainReport struct {
	// Segments that are gone, the events in them, and what their files took. Carried has what takes
	// their place.
	Segments int
	Events   uint64
	Bytes    int64
	// First is the position of the first event that the log has after it: the one after the head
	// where it has none.
	First Position
	// Holds are those that keep something which else would be dropped, by position: the first one
	// has to be moved or released before more can be.
	Holds []Hold
	// Carried is what the files take that have what stays of all events that were ever dropped. Of
	// a dry run it is what they take now.
	Carried int64
	// Doubted is how much younger the oldest segment with events is taken to be than [Store.Now]
	// says, as a clock was wrong, or is: all that it is ahead of the machine's now, and each step
	// of more than ten years from one segment to the next, or to now. Such events grow older from
	// there on. 0 in a log whose clock was right, but for one that was left alone for ten years.
	Doubted time.Duration
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
// file, a token, a [Condition]. A reader that starts at the beginning starts at the first event; so
// does the rule of a [Gate], which must not add up what may be dropped: see [Case.Read].
//
// It runs beside commits and readers. A second call waits, and so does [Erase]; and a reader that
// begins to need events waits while files are replaced, and sees what is left: see [WithoutDrops].
// Readers in other processes notice it as they notice rewriting. A backup is the log as it is, so
// the next one drops the same; one that ends before the first event of the log cannot be continued:
// the error is ErrDropped. So it is with a depot: [SetHold] for each keeps what is not copied yet.
//
// It costs the reading of what is dropped, a record of some hundred bytes for each entity and key
// in it, and at times a merge with those of before: in all some log2 times, until a file has the
// size of a segment. One of which half is said again in newer ones, superseded, or discarded, is
// written again without that: so what stays takes no more than some twice what counts of it, and a
// question passes as many files as that fills, by their filters. A crash, an error and the end of
// ctx leave the log without the segments that were dropped by then, the oldest ones, each with what
// stays of it, and nothing else changed; what was not finished the next call finishes. Errors:
// [CorruptError] for damage in what is to be dropped, which stays; [ErrDiskFull], as what stays is
// written before room is given back; that of others; [InvalidError], [ErrReadOnly], [ErrClosed],
// [ErrPoisoned], ctx's.
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
	for more := !o.DryRun; more && err == nil; {
		more, err = r.drop(ctx)
	}
	if !o.DryRun && err == nil {
		err = r.tidy(ctx)
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
	ages    *ages
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
	r.ages = s.ages()
	holds, err := r.needed()
	if err != nil {
		return err
	}
	wanted := r.wanted()
	r.report.First = s.first()
	segments := *s.segments.Load()
	if t := segments[droppedOf(segments)].trailer.Load(); t != nil {
		r.report.Doubted = r.ages.doubted(t.LastTime)
	}
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
	o := &r.options
	return g.after() <= o.Before || o.MaxBytes > 0 && total > o.MaxBytes || r.ages.over(g.trailer.Load().LastTime, o.MaxAge)
}

// dropping returns the work on a file, without any part.
func (r *retention) dropping() *dropping {
	d := newDropping(r.store)
	d.ages, d.keys, d.entities = r.ages, r.options.KeyRetention, r.options.EntityRetention
	return d
}

// drop drops some of the segments that are due, and reports whether there are more.
func (r *retention) drop(ctx context.Context) (more bool, err error) {
	if len(r.due) == 0 {
		return false, nil
	}
	s, d := r.store, r.dropping()
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
	err := r.store.dir.Sync() // deletions may rest on what was renamed by a process before
	if err == nil {
		err = d.make(name)
	}
	held, err := r.replace(ctx, d, name, err)
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

// replace puts the file that has what stays in the place of what is dropped, unless err says that
// it is not written, or a reader needs it by now.
func (r *retention) replace(ctx context.Context, d *dropping, name string, err error) (held bool, _ error) {
	s := r.store
	excludes := err == nil && d.report.Segments > 0 // else no event goes
	if excludes {
		if err = s.holding.exclude(ctx); err == nil {
			defer s.holding.admit()
			held, err = r.held(ctx, d)
		}
	}
	if err == nil && !held { // what the holds were is durable, and so is what has superseded what goes
		err = s.settle(ctx)
	}
	if held && err == nil {
		return true, s.dir.Remove(name)
	}
	s.rewriter.keep(d.parts, d.kept)
	s.rewriter.loses = d.discarded && err == nil
	if err = s.replace(d.parts, name, err); len(s.rewriter.moved) > 0 && excludes {
		s.holding.unseen.Store(uint64(d.end()))
	}
	if err != nil {
		return false, err
	}
	for _, g := range d.parts {
		_ = s.dir.Remove(idxName(g.number)) // there mostly is none
	}
	return false, nil
}

// held reports whether a reader needs something of what is to go. All that was to be committed
// before is: also what its caller does not wait for any more.
func (r *retention) held(ctx context.Context, d *dropping) (bool, error) {
	if err := r.store.settle(ctx); err != nil {
		return false, err
	}
	holds, err := r.needed()
	if err != nil || len(holds) == 0 || holds[0].From >= d.end() {
		return false, err
	}
	r.holds(holds, d.end())
	return true, nil
}

// needed returns all holds that count, by position.
func (r *retention) needed() ([]Hold, error) {
	var others []Hold
	if r.others != nil {
		var err error
		if others, err = r.others(r.store, r.options.Ignore); err != nil {
			return nil, err
		}
	}
	return r.store.holds(others, r.options.Ignore)
}
