package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"
)

// erasing is what a store knows of erasures that are not finished, and their work in a writer,
// which the goroutine that has the rewriter does.
//
//	commit      erasure/ID, and the audit event: readers see the events as erased
//	  |
//	again       for what was said of the events until then
//	  |
//	sync        of that, whatever the mode
//	  |
//	roll over   if the active segment has something to erase
//	  |
//	rewrite     one segment after the other: events, the digests of idempotency keys, and without
//	  |         what was superseded (see rewriter): synced, renamed, the directory synced
//	commit      erasure/ID is deleted, and another audit event: no file has it any more
//
// A crash before the first commit is durable leaves nothing of it. After that the next writer finds
// erasure/ID and continues: a segment that was rewritten has nothing to erase, which it finds at
// the first look, and one that was not is as it was.
type erasing struct {
	shown   atomic.Pointer[erasures] // nil where there are none
	learned atomic.Uint64            // see Erasures

	mu   sync.Mutex
	jobs []*erasureJob // in the order in which they were begun
}

// erasureJob is an erasure on its way through the files. Its fields after sides are guarded by
// erasing.mu.
type erasureJob struct {
	*erasure

	sides []SideWrite // that were written with it; of the goroutine that begins it

	tried bool          // since it was begun, or was to be tried again
	tries chan struct{} // closed by the next end of a try
	err   error         // of the last try
	end   ErasureReport // what is known of the files
}

// unwritten returns those of some side writes that were not written with the erasure.
func (j *erasureJob) unwritten(sides []SideWrite) []SideWrite {
	written := make(map[string]*SideWrite, len(j.sides))
	for i := range j.sides {
		written[j.sides[i].Key] = &j.sides[i]
	}
	return slices.DeleteFunc(slices.Clone(sides), func(w SideWrite) bool {
		is := written[w.Key]
		return is != nil && is.Delete == w.Delete && bytes.Equal(is.Value, w.Value)
	})
}

func (e *erasure) job() *erasureJob { return &erasureJob{erasure: e, tries: make(chan struct{})} }

// Erasures returns a number that grows each time the store learns of an erasure, before readers see
// its events as erased, and again once the side values are seen that were written with it. What
// keeps events in memory drops them when it changes.
func Erasures(s *Store) uint64 { return s.erasing.learned.Load() }

// UnlessErased returns a condition by which a commit is refused where an erasure was committed
// after this call: of a batch that says something of events that were looked at after it, such as
// what a handler failed with. What was erased before the call, the look has shown. After a
// [ConflictError] that has the condition it is called again, and the events are looked at once
// more.
func UnlessErased(s *Store) Condition {
	return Condition{
		Region: Region{Entity: erasuresNamespace, Scope: ReservedScope, Kinds: []string{AuditErased}},
		After:  Position(s.assigned.Load()),
	}
}

// pending returns the erasures that readers apply to what they read.
func (x *erasing) pending() erasures {
	if list := x.shown.Load(); list != nil {
		return *list
	}
	return nil
}

// show replaces what readers apply.
func (x *erasing) show(list erasures) {
	x.learned.Add(1)
	if len(list) == 0 {
		x.shown.Store(nil)
		return
	}
	x.shown.Store(&list)
}

// start takes over what an earlier writer has left, before the store is open.
func (x *erasing) start() {
	for _, e := range x.pending() {
		e.resumed = true
		x.jobs = append(x.jobs, e.job())
	}
}

// add begins an erasure that is in the log. The holder of the committer's role calls it.
func (x *erasing) add(j *erasureJob) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.jobs = append(x.jobs, j)
	x.show(append(slices.Clip(x.pending()), j.erasure))
}

// next returns a job that is to be tried, nil for none. With take it counts as tried.
func (x *erasing) next(take bool) *erasureJob {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, j := range x.jobs {
		if !j.tried {
			j.tried = take
			return j
		}
	}
	return nil
}

// ended takes in how a try has ended.
func (x *erasing) ended(j *erasureJob, end ErasureReport, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	end.Segments += j.end.Segments
	j.end, j.err = end, err
	if err == nil {
		x.jobs = slices.DeleteFunc(x.jobs, func(other *erasureJob) bool { return other == j })
		list := slices.Clone(x.pending())
		x.show(slices.DeleteFunc(list, func(e *erasure) bool { return e == j.erasure }))
	}
	close(j.tries)
	j.tries = make(chan struct{})
}

// close has callers that wait for what was not tried wait no longer.
func (x *erasing) close() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, j := range x.jobs {
		j.err = ErrClosed
		close(j.tries)
		j.tries = make(chan struct{})
	}
}

// retry has all that is not finished be tried once more, and returns what tells of the end of that.
func (x *erasing) retry() map[*erasureJob]chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	tries := make(map[*erasureJob]chan struct{})
	for _, j := range x.jobs {
		j.tried = false
		tries[j] = j.tries
	}
	return tries
}

// failed returns why jobs are not finished, nil where they are, or were not tried yet.
func (x *erasing) failed() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var failed error
	for _, j := range x.jobs {
		failed = errors.Join(failed, j.err)
	}
	return failed
}

// sideRaces is how often an erasure is tried whose side values others write meanwhile.
const sideRaces = 10

// beginErasure makes an erasure part of the log, unless it is a dry run, or there is nothing left:
// nil then. What readers see is taken from the log that way alone, so it needs no expectation.
func (s *Store) beginErasure(ctx context.Context, what *Erasure, erases bool, at, drafts ranges) (*erasureJob, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return nil, err
	}
	e := &erasure{id: id, at: s.Now().UnixMilli(), by: what.By, reason: what.Reason, events: at, drafts: drafts}
	for try := 1; ; try++ {
		sides, err := what.sides(ctx, at)
		if err != nil || what.DryRun || !erases && len(sides) == 0 {
			return nil, err
		}
		e.keys = nil
		for i := range sides {
			e.keys = append(e.keys, sides[i].Key)
		}
		slices.Sort(e.keys)
		value := e.encode()
		if err := checkMax("erasure bytes", len(value), maxErasureBytes); err != nil {
			return nil, err
		}
		audit, j := e.audit(AuditErased), e.job()
		audit.Entity = what.Entity
		_, err = s.commitErasure(context.WithoutCancel(ctx), &audit, sides, &SideWrite{Key: erasureKey(id), Value: value}, j)
		if err == nil {
			j.sides = sides
			return j, nil
		}
		if !errors.Is(err, ErrConflict) || try == sideRaces {
			return nil, err
		}
	}
}

func (e *erasure) audit(kind string) ErasureAudit {
	span := e.events.span()
	a := ErasureAudit{Erasure: e.id, First: span.From, Last: span.To, Reason: e.reason, By: e.by, kind: kind}
	for _, in := range e.events {
		a.Events += int(in.To - in.From + 1)
	}
	return a
}

// commitErasure commits an audit event and side values, one of them with a reserved key. No gate is
// asked: what an erasure says of itself is no proposal of a caller. With a job readers see the
// events as erased once the commit is visible.
func (s *Store) commitErasure(
	ctx context.Context, a *ErasureAudit, sides []SideWrite, own *SideWrite, begins *erasureJob,
) (Receipt, error) {
	b := Batch{Events: []Proposal{Audit(erasureEntity+a.Erasure.String(), *a)}, Sides: sides}
	req := s.requests.get()
	req.begins = begins
	err := req.encode(&b, &s.emitters)
	if err == nil {
		req.addSide(own)
		req.size = len(req.records)
		err = checkMax("batch bytes", req.size, MaxBatchBytes)
	}
	return s.commit(ctx, req, err)
}

// awaitErasures has what is not finished be tried, and waits for that: for its own jobs, and those
// of former calls. report is that of its own.
func (s *Store) awaitErasures(ctx context.Context, own []*erasureJob, report *ErasureReport) error {
	tries := s.erasing.retry()
	if err := s.beginErasing(); err != nil {
		return err
	}
	for _, tried := range tries {
		select {
		case <-tried:
		case <-ctx.Done():
			return fmt.Errorf("it has begun, and continues: %w", ctx.Err())
		}
	}
	if len(own) == 0 {
		return s.erasing.failed()
	}
	s.erasing.mu.Lock()
	defer s.erasing.mu.Unlock()
	var failed error
	for _, j := range own {
		report.Segments, report.Files = report.Segments+j.end.Segments, append(report.Files, j.end.Files...)
		report.Sequence, failed = j.end.Sequence, cmp.Or(failed, j.err)
	}
	return failed
}

// beginErasing is eraseAhead, unless Close has begun, which waits for it.
func (s *Store) beginErasing() error {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	s.eraseAhead()
	return nil
}

// eraseAhead has the goroutine that has the rewriter try what is to be tried, or begins one.
func (s *Store) eraseAhead() {
	r := &s.rewriter
	if s.erasing.next(false) == nil || !r.busy.tryTake() {
		return
	}
	if s.inline {
		defer r.busy.leave()
		s.eraseAll()
		return
	}
	s.tasks.Go(s.rewriteTask)
}

// eraseAll tries each job that is to be tried. The caller has the rewriter.
func (s *Store) eraseAll() {
	for j := s.erasing.next(true); j != nil; j = s.erasing.next(true) {
		rewritten, err := s.eraseFiles(j.erasure)
		end := ErasureReport{Segments: len(rewritten)}
		if err == nil {
			end.Files = s.filesOf(j.erasure, rewritten)
			end.Sequence, err = s.endErasure(j.erasure, end.Files)
		}
		s.erasing.ended(j, end, err)
	}
}

// endErasure says in the log that no file has what was erased.
func (s *Store) endErasure(e *erasure, files ErasedFiles) (sequence uint64, err error) {
	audit := e.audit(AuditUnlinked)
	audit.Files = files
	r, err := s.commitErasure(context.Background(), &audit, nil, &SideWrite{Key: erasureKey(e.id), Delete: true}, nil)
	return r.Sequence, err
}
