package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// rewriter gives the room back that side values take which were superseded. A sealed segment of
// which that is the greater part is written again without them, and replaces the former one. What
// is left may be next to nothing, and endless checkpointing would leave a file of that for each
// segment: so small ones that follow each other become one, which has the number of the first and
// says up to which it stands for them.
//
//	read 4.seg, 5.seg, batch by batch   events and keys as they are; of side values those that are
//	  |                                 present, and deletions that hide older ones
//	4.seg.new                           written, synced
//	  |
//	a sync of the active segment        or a power cut could take the later value, and the former
//	  |                                 would be gone too
//	rename to 4.seg
//	  |
//	renew                               readers, and the table of side values, see the new file
//	  |
//	directory synced
//	  |
//	remove 5.seg
//
// A crash up to the rename leaves the files as they were, and one that the next opening removes.
// After it 4.seg is one of the two, which say the same: the former one with 5.seg beside it, or the
// new one, which says that 5.seg counts no more, so that the next opening removes it. A deletion
// goes only when no segment before has a value of its key any more, and what was rewritten before
// is durable: so an older value never comes back.
//
// # What is merged
//
// Segments that were rewritten, or are worth it: those full of events alone stay as they are. From
// the newest back, one joins those after it if it is at most twice as large as they are together,
// and all are at most half of Options.SegmentBytes. So each byte is written again some log2 times
// until it is in a file of half the size, and of smaller ones there are as many in a row. And the
// files that become one have at most as much as a segment can have: deletions are not known to stay
// before, and it may be all of them.
//
// # Errors
//
// Nothing depends on it. After an error the segment that it was met in stays as it is, and is tried
// again when one more is sealed, then two, then four: it keeps no other waiting. One that is
// damaged waits for the next opening. A full disk ends the pass: it is one without room for a
// second copy. Stats has the error that was met last.
//
// One goroutine at a time has it (busy), and the fields after discards.
type rewriter struct {
	busy   role
	stop   atomic.Bool // set by Close
	failed atomic.Pointer[error]

	// discards grows when states of entities are not known any more. The committer reads it.
	discards atomic.Uint64

	moved  []*segment          // what a file was put in the place of, as long as that is not finished: see renewMoved
	kept   map[uint32]int64    // bytes that must stay, by segment
	loses  bool                // what moved became does not have all states
	passes uint64              // one for each segment that was sealed
	left   map[uint32]leftover // what could not be rewritten, by segment
}

// role is had by one goroutine at a time, which may wait for it.
type role struct{ taken chan struct{} }

func newRole() role { return role{make(chan struct{}, 1)} }

func (r role) tryTake() bool {
	select {
	case r.taken <- struct{}{}:
		return true
	default:
		return false
	}
}

func (r role) take(ctx context.Context) error {
	select {
	case r.taken <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r role) leave() { <-r.taken }

// leftover is a segment that is not tried before a pass.
type leftover struct {
	until uint64
	tries int
}

const (
	rewrittenSuffix = ".new"
	maxTries        = 6 // that the time between them doubles
)

// rewriteAhead rewrites, beside the commits, what is worth it.
func (s *Store) rewriteAhead() {
	r := &s.rewriter
	if s.options.ReadOnly || !r.busy.tryTake() {
		return
	}
	r.passes++
	s.erasing.retry()
	switch {
	case len(r.moved) == 0 && s.nextRewriting() == nil && s.erasing.next(false) == nil:
		s.leaveRewriter()
	case s.inline:
		defer r.busy.leave()
		s.rewriteAll()
	default:
		s.tasks.Go(s.rewriteTask)
	}
}

// rewriteTask is rewriteAll in a goroutine that was given the role.
func (s *Store) rewriteTask() {
	defer s.leaveRewriter()
	s.rewriteAll()
}

// leaveRewriter gives the role back, and has what was begun after the last look be erased.
func (s *Store) leaveRewriter() {
	s.rewriter.busy.leave()
	if !s.inline {
		s.eraseAhead()
	}
}

// rewriteAll is called by the one that has the role.
func (s *Store) rewriteAll() {
	r := &s.rewriter
	if !s.inline { // else it may be in the committer's place, which erasing waits for
		s.eraseAll()
	}
	if s.renewMoved() != nil {
		return
	}
	for !r.stop.Load() {
		parts := s.nextRewriting()
		if parts == nil {
			return
		}
		at, err := s.rewrite(parts, nil)
		r.note(parts, at, err)
		if err != nil && (len(r.moved) > 0 || endsRewriting(err)) {
			return
		}
	}
}

// endsRewriting reports whether an error is that of no segment.
func endsRewriting(err error) bool {
	return errors.Is(err, ErrClosed) || errors.Is(err, ErrPoisoned) || vfs.IsFull(err) || vfs.IsOutOfFiles(err)
}

// note takes in how the rewriting of some segments has ended, with an error that was met in one.
func (r *rewriter) note(parts []*segment, at *segment, err error) {
	if errors.Is(err, ErrClosed) {
		return
	}
	if err == nil {
		for _, g := range parts {
			delete(r.left, g.number)
		}
		if len(r.left) == 0 {
			r.failed.Store(nil)
		}
		return
	}
	r.failed.Store(&err)
	if endsRewriting(err) {
		return
	}
	if r.left == nil {
		r.left = make(map[uint32]leftover)
	}
	l := r.left[at.number]
	l.until, l.tries = r.passes+1<<l.tries, min(l.tries+1, maxTries)
	if errors.Is(err, ErrCorrupt) {
		l.until = math.MaxUint64
	}
	r.left[at.number] = l
}

// nextRewriting returns the segments that are worth being rewritten as one, the oldest first; nil
// where there are none.
func (s *Store) nextRewriting() []*segment {
	segments := *s.segments.Load()
	for to, last := range slices.Backward(segments) {
		bytes, movable := s.movable(last)
		if !movable {
			continue
		}
		from, most := to, batchBytes(segments[to])
		for ; from > 0; from-- {
			g := segments[from-1]
			more, movable := s.movable(g)
			if !movable || more > 2*bytes || more+bytes > s.options.SegmentBytes/2 || most+batchBytes(g) > maxSegmentBytes {
				break
			}
			bytes, most = bytes+more, most+batchBytes(g)
		}
		if from < to || s.worthRewriting(last) {
			return segments[from : to+1]
		}
	}
	return nil
}

// movable reports whether a segment may be merged with others, and how much it would add.
func (s *Store) movable(g *segment) (bytes int64, ok bool) {
	t := g.trailer.Load()
	if t == nil || s.rewriter.left[g.number].until > s.rewriter.passes {
		return 0, false
	}
	return batchBytes(g) - s.superseded(g), !g.dropped && (g.generation > 0 || s.worthRewriting(g))
}

// batchBytes is what the batches of a sealed segment take.
func batchBytes(g *segment) int64 { return int64(g.trailer.Load().DataEnd) }

// worthRewriting reports whether half of a sealed segment and more can be saved.
func (s *Store) worthRewriting(g *segment) bool {
	bytes := s.superseded(g)
	return bytes >= rewriteBytes && 2*bytes >= batchBytes(g)
}

// superseded returns how much of a sealed segment are side values that are present no more, but for
// what is known to have to stay.
func (s *Store) superseded(g *segment) int64 {
	bytes := int64(g.trailer.Load().SideBytes) - s.sides.liveBytes(g.number)
	return max(0, bytes-s.rewriter.kept[g.number])
}

// rewrite replaces the files of some segments by one. Where there was less to save than it seemed,
// because of deletions that must stay, it changes nothing and remembers that. With an eraser it
// erases. It returns in which segment an error was met.
func (s *Store) rewrite(parts []*segment, erases *eraser) (at *segment, err error) {
	first := parts[0]
	if err := s.dir.Sync(); err != nil { // deletions may rest on what was renamed by a process before
		return first, err
	}
	name := segmentName(first.number) + rewrittenSuffix
	r, seemed := &rewriting{store: s, parts: parts, from: first, erases: erases}, s.superseded(first)
	if err = r.begin(name); err == nil {
		err = errors.Join(r.write(), r.out.Close())
	}
	if err == nil {
		if saved := int64(r.trailer.DataEnd) - r.scan.next.Offset; len(parts) == 1 && saved < rewriteBytes && erases == nil {
			s.rewriter.keep(parts, s.rewriter.kept[first.number]+seemed)
			return first, s.dir.Remove(name)
		}
		s.rewriter.keep(parts, r.kept)
		if !s.inline { // there the segment before is synced, and in the active one nothing is visible
			err = s.settle(context.Background())
		}
	}
	return r.from, s.replace(parts, name, err)
}

// replace puts a file that is written in the place of those of some segments, unless err says that
// it is not. What has superseded what goes is durable.
func (s *Store) replace(parts []*segment, name string, err error) error {
	if err == nil && s.rewriter.stop.Load() {
		err = ErrClosed
	}
	if err == nil {
		for _, g := range parts {
			s.files.forget(g) // a system may refuse to replace a file that is open
		}
		s.rewriter.moved = parts
		err = s.dir.Rename(name, segmentName(parts[0].number))
	}
	if err != nil {
		_ = s.dir.Remove(name)
	}
	return errors.Join(err, s.renewMoved())
}

// keep remembers how much of what some segments became seems superseded, and must stay.
func (r *rewriter) keep(parts []*segment, bytes int64) {
	if r.kept == nil {
		r.kept = make(map[uint32]int64)
	}
	for _, g := range parts {
		delete(r.kept, g.number)
	}
	r.kept[parts[0].number] = bytes
}

// renewMoved opens the segment that was rewritten last, unless that was done, makes its name
// durable, and removes the files that it stands for. Until all that is done nothing else is
// rewritten: headers say how often segments were, and readers that find another number refuse the
// log; and what else is renamed, or removed, rests on it.
//
// After an error it is done again at the next call. Unlike the content of a file, which a system
// may forget after it could not write it, so that another sync means nothing, names are in the
// journal of a file system: in order, so that a later sync that succeeds is one of all before; and
// one whose journal could not be written takes no more. The next opening could not do more than
// that.
func (s *Store) renewMoved() error {
	moved := s.rewriter.moved
	if len(moved) == 0 {
		return nil
	}
	if err := s.renew(moved[0]); err != nil {
		return err
	}
	s.holding.unseen.Store(0)
	if s.rewriter.loses {
		s.rewriter.loses = false
		s.rewriter.discards.Add(1)
	}
	if err := s.dir.Sync(); err != nil {
		return err
	}
	last := s.numbered(moved[0].number).last // its own, where the rename has failed
	for _, g := range moved {
		if g.number > moved[0].number && g.number <= last {
			_ = s.dir.Remove(segmentName(g.number)) // what is left is removed by the next opening
		}
	}
	s.rewriter.moved = nil
	return nil
}

// settle makes durable what has superseded the values that go: all that was committed before.
func (s *Store) settle(ctx context.Context) error {
	req := newRequest() // empty: it only syncs
	if err := s.committer.submit(ctx, req); err != nil {
		return err
	}
	return req.err
}

// removeRewritten removes what a crash has left of a rewriting.
func (s *Store) removeRewritten() error {
	names, err := s.dir.List()
	if err == nil {
		err = s.makeOwn(names)
	}
	for _, name := range names {
		segment, ok := strings.CutSuffix(name, rewrittenSuffix)
		if _, isSegment := segmentNumber(segment); ok && isSegment {
			err = errors.Join(err, s.dir.Remove(name))
		}
	}
	return err
}

// removeMerged removes the files that others stand for, once it is durable that they do. One that
// cannot be removed, as a reader has it open, is left to the next opening.
func (r *recovery) removeMerged() error {
	if len(r.merged) == 0 {
		return nil
	}
	if err := r.store.dir.Sync(); err != nil {
		return err
	}
	for _, number := range r.merged {
		_ = r.store.dir.Remove(segmentName(number))
	}
	return nil
}
