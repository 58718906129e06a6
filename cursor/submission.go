package cursor

import (
	"context"
	"sync"

	"github.com/penstock-io/penstock/store"
)

// Submission is a commit that is under way while its owner continues. See [Runner.Submit].
type Submission struct {
	st    *store.Store
	batch store.Batch
	task  *Task
	done  []store.Position
	upTo  store.Position // was read: all of it is done then
	alone bool

	// The store's until the submission is given back to the runner's goroutine, which orders its
	// writes before the reads there.
	receipt store.Receipt
	err     error

	answer func(store.Receipt, error) // its own answered, made once
	end    func(store.Receipt, error) // of the probe; nil where that is not to be told
	tell   func(error)
}

// submissions are those that were answered. There are as many as are under way at once, not as many
// as there are workers.
//
//nolint:gochecknoglobals // shared by all runners of the process, which guard nothing with it
var submissions sync.Pool

func newSubmission() *Submission {
	if s, ok := submissions.Get().(*Submission); ok {
		return s
	}
	s := new(Submission)
	s.answer = s.answered
	return s
}

// free hands over the memory to the next submission.
func (s *Submission) free() {
	sides := s.batch.Sides
	clear(sides)
	if cap(sides) > maxKeptSides || cap(s.done) > MaxBatchSize {
		return
	}
	*s = Submission{batch: store.Batch{Sides: sides[:0]}, done: s.done[:0], answer: s.answer}
	submissions.Put(s)
}

// Send hands it to the store, on any goroutine: see [store.Submit]. tell is called once, with nil
// if it is in the log, and has to do as that demands. Nothing cuts it short.
func (s *Submission) Send(tell func(error)) {
	s.tell = tell
	s.end = probeCommit(s.task.own, &s.batch, len(s.done))
	store.Submit(s.st, s.batch, s.answer)
}

func (s *Submission) answered(r store.Receipt, err error) {
	s.receipt, s.err = r, err
	if s.end != nil {
		probeCommitted(s.task.own, s.end, r, err)
	}
	s.tell(err)
}

// Alone reports that no batch is to be taken before it is answered.
func (s *Submission) Alone() bool { return s.alone }

// Covers returns how many events it writes, and the position up to which everything is done once it
// is in the log.
func (s *Submission) Covers() (events int, upTo store.Position) { return len(s.done), s.upTo }

// Submit begins a commit of the batch that is handled. Its answer is taken in by Answered; until
// then nothing but Fill, Next and Task.Run may be called. Beside it the next batch may be taken,
// unless beside is false or the submission is [Submission.Alone] for another reason:
//
//	Run k    Submit k --- Send k, on any goroutine ---> Answered k    Submit k+1
//	               Fill, Next, Run k+1 ----------------------> Finish k+1
//
// The task of k+1 is finished after the answer, and so what is staged for k+1 rests on what k has
// left; or it is dropped, where k was refused.
//
// It is alone where a batch beside it is against what was asked for, or of no use:
//   - A BatchSize of 1 asks for one event at a time: with what came of the last one in the store,
//     and one effect at most that a crash repeats.
//   - A checkpoint that waits for no sync has nothing worth the while.
//   - What is kept of k is read by the handler of k+1, from the store.
//
// It returns nil where it does not come to the same as [Runner.Commit], which is to be called then.
// These are the cases, and why:
//   - Lanes have one commit for all that is handled by then. A volatile worker has none.
//   - A worker with an ExternalPosition has saved k+1 in its own transaction when k is refused.
//   - A failure, a Stop or a rollback of k, a part of it that is not handled, or a batch that is
//     small because a larger one failed, decide about what k+1 is.
//   - What is parked may be of a key of k+1, or comes first; in a rewind, the end of the pass is
//     written with a commit; where an event may kill the process, one is in flight at a time.
//   - What is staged with an expectation may lose a race, and then it is not k that was meant.
//   - What was erased while the handler was at it is not to be written.
//   - That an event was given up is written with an audit event, which may quote it.
func (r *Runner) Submit(beside bool) *Submission {
	t := submittable(r)
	if t == nil {
		return nil
	}
	counts, err := t.batch.staged.tally(nil, 0, t.good).write(nil, r.own.st)
	if err != nil { // which Commit meets, too
		return nil
	}
	s := newSubmission()
	s.st, s.task, s.upTo = r.own.st, t, r.win.at.scanned
	s.batch.Events = t.batch.proposals(0, t.good)
	s.batch.Lazy = r.own.lazy(s.batch)
	s.alone = !beside || s.batch.Lazy || r.own.worker.BatchSize == 1 || t.batch.staged.puts(0, t.good)
	for i := range t.good {
		s.done = append(s.done, t.at(i))
	}
	r.own.lease.Stage(&s.batch, r.out.move(r.win.after(s.done)))
	s.batch.Sides = append(t.batch.staged.sides(s.batch.Sides, 0, t.good), counts...)
	r.win.sent = len(s.done)
	return s
}

// submittable returns the one task that is all there is to commit, and all that was read; nil where
// there is more, or less.
func submittable(r *Runner) *Task {
	own := &r.own
	if own.laned() || own.external() || own.lease == nil {
		return nil
	}
	if len(r.finished) != 1 || r.inFlight > 0 || r.win.sent > 0 || r.stale || r.guard.on() {
		return nil
	}
	if len(own.emission.given) > 0 || !own.pass().Empty() || !r.list.empty() || !r.out.empty() || !r.waits.empty() {
		return nil
	}
	t := r.finished[0]
	if t.erasures != uint32(store.Erasures(own.st)) {
		return nil
	}
	whole := t.failed == nil && t.good == t.Size() && t.committed == 0 && t.good == len(r.win.done.undone)
	if !whole || t.action != Continue || t.queue.limit > 0 || t.batch.staged.expects() {
		return nil
	}
	return t
}

// nextSubmitted is Next while a submission is under way.
func nextSubmitted(ctx context.Context, r *Runner, limit int) *Task {
	if r.inFlight > 0 || len(r.win.next) == 0 {
		return nil
	}
	takeInErasures(ctx, r)
	following := &queue{events: r.win.next}
	n := min(len(following.events), r.own.worker.batchSize(limit))
	t := &Task{own: &r.own, queue: &r.win.only, erasures: uint32(r.park.erasures)}
	events := r.park.renewed(ctx, following.events[:n:n])
	t.batch = r.park.batch(following, events)
	t.batch.retried = r.park.retried(following, len(events), 0)
	r.inFlight++
	return t
}

// Answered takes back a submission that was answered, and returns how many events are committed by
// it. After an error what was handled waits, as after an error of Commit, which says what follows
// from it; the task that was taken meanwhile is to be dropped.
func (r *Runner) Answered(s *Submission) (committed int, err error) {
	r.win.sent = 0
	defer s.free()
	if err = r.own.lease.Committed(s.receipt, s.err); err != nil {
		r.win.join()
		return 0, r.own.failed(ErrCommit, err)
	}
	r.win.advance(r.win.after(s.done), len(s.done))
	t := s.task
	t.committed = t.good
	clear(r.finished)
	r.finished = r.finished[:0]
	r.own.emission.committed(t)
	r.alarm.scheduled(t)
	t.batch.unstage()
	if r.inFlight == 0 {
		r.next.done(t)
	} else { // the queue stays busy: the next task is of it
		r.win.pop(t.queue, t.committed)
	}
	r.win.join()
	return t.committed, nil
}

// Drop takes back a task that was taken while a submission was under way that was refused. It is
// handled again, and what it failed with says nothing.
func (r *Runner) Drop(t *Task) {
	r.inFlight--
	takeBack(&t.batch)
	t.batch.unstage()
	r.own.emission.lost(t.batch.events[:t.reached()])
}
