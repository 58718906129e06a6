package cursor

import (
	"context"

	"github.com/penstock-io/penstock/store"
)

// Outcome is what a step did. It is valid beside an error too.
type Outcome struct {
	Handled   int // events given to the handler
	Committed int // events whose reactions and checkpoint are committed
	// Action that the handler returned; Continue when there was nothing to handle.
	Action Action
	// CaughtUp says that there is nothing left up to the position that was given.
	CaughtUp bool
}

// Step reads the next events up to position upTo (0, or more than the head: the head), at most
// BatchSize of them and at most limit if that is positive, has them handled, and commits their
// reactions and the checkpoint in one batch of the store. Only what exceeds the limits of such a
// batch takes several, split between events. Where there is nothing to read it returns at once.
// With lanes, a step handles the events of one key.
//
// After an error the next Step tries again what failed; a batch that failed without naming an event
// is tried in halves. The errors:
//   - [*HandlerError]: the handler failed, or the store refuses its reactions as invalid. The
//     events before the one it names are committed. [Runner.Settle] decides about the event.
//   - [ErrCommit], a [*RunnerError]: the commit failed, and not because of the handler: a lost
//     race, a full disk, a closed store, a newer owner ([checkpoint.ErrFenced]). The events before
//     the one it names are committed. Where it names none, what was handled is not handled again:
//     the next Step tries to write it.
//   - the error of ctx, if that ended before or in the handler. Nothing is committed. A handler
//     that was done nevertheless, without an error, is committed; a commit is never cut short.
//   - [ErrKey], a [*RunnerError] too: nothing can be handled without order.
//   - [ErrParkLimit], likewise: an event has to be held, there is no room for it, and nothing
//     else can be handled.
//   - an error of reading, which wraps that of the store.
func (r *Runner) Step(ctx context.Context, upTo store.Position, limit int) (Outcome, error) {
	upTo = r.own.bounded(upTo)
	if t := r.current; t != nil { // the handler took its goroutine along
		r.current = nil
		return r.finishStep(ctx, t, upTo)
	}
	if err := refresh(ctx, r); err != nil {
		return Outcome{}, err
	}
	for _, q := range r.next.undecided() {
		r.next.release(q)
	}
	if len(r.finished) > 0 {
		if n, err := r.Commit(ctx); err != nil {
			return Outcome{Committed: n}, err
		}
	}
	_, err := r.feed.fill(ctx, upTo, limit)
	full, noRoom := err.(*RunnerError)                                      //nolint:errorlint // of this runner, not of one that its key uses
	if noRoom = noRoom && full.Err == ErrParkLimit; err != nil && !noRoom { //nolint:errorlint // the sentinel itself
		return Outcome{}, err
	}
	t, err := r.Next(ctx, limit)
	if err != nil {
		return Outcome{}, err
	}
	if t == nil { // all that was read is held after what is parked, or left out
		n, err := r.Commit(ctx)
		if err == nil && noRoom {
			err = full
		}
		return Outcome{Committed: n, CaughtUp: r.next.caughtUp(upTo)}, err
	}
	r.current = t
	t.Run(ctx)
	r.current = nil
	return r.finishStep(ctx, t, upTo)
}

func (r *Runner) finishStep(ctx context.Context, t *Task, upTo store.Position) (Outcome, error) {
	out := Outcome{Handled: t.Size(), Action: t.action}
	r.Finish(t)
	if t.cancelled != nil || t.action == StopWithRollback {
		return out, t.cancelled
	}
	var err error
	if out.Committed, err = r.Commit(ctx); err != nil {
		// A failure of the handler after what could not be committed is not returned: it will be
		// met again.
		out.Action = Continue
	} else {
		err = t.Err()
	}
	out.CaughtUp = r.next.caughtUp(upTo)
	return out, err
}

// Fill reads on up to position upTo (0, or more than the head: the head) as far as there is room,
// and puts what it finds where [Runner.Next] takes it from. It reports whether everything up to
// there was read.
func (r *Runner) Fill(ctx context.Context, upTo store.Position) (caughtUp bool, err error) {
	if err := refresh(ctx, r); err != nil {
		return false, err
	}
	return r.feed.fill(ctx, r.own.bounded(upTo), 0)
}

// Next takes the next batch of at most limit events (0 for Worker.BatchSize) that can be handled
// now, or nil: then nothing waits, or everything that waits comes after what is in flight. A worker
// without lanes has one task in flight at a time.
//
// An error is that of the commit by which a worker whose predecessor died notes which event it is
// about to try, or of that by which one that keeps its position itself notes what was parked.
func (r *Runner) Next(ctx context.Context, limit int) (*Task, error) {
	if r.win.sent > 0 {
		return nextSubmitted(ctx, r, limit), nil
	}
	if ready, err := readyToTake(ctx, r); !ready {
		return nil, err
	}
	q, err := r.next.next(ctx)
	if q == nil || err != nil {
		return nil, err
	}
	n := min(len(q.events), r.own.worker.batchSize(limit))
	if q.limit > 0 {
		n = min(n, int(q.limit))
	}
	return taken(ctx, r, q, r.waits.before(q, n))
}

// readyToTake reports whether a task may be taken. For a worker that keeps its position itself the
// log has to know before what that position may pass: what is parked or held.
func readyToTake(ctx context.Context, r *Runner) (bool, error) {
	if err := refresh(ctx, r); err != nil {
		return false, err
	}
	r.guard.expire()
	if (r.guard.on() || r.own.worker.Lanes <= 1) && (r.inFlight > 0 || len(r.finished) > 0) {
		return false, nil
	}
	if r.own.external() {
		if err := r.out.flush(ctx); err != nil {
			return false, err
		}
	}
	return true, nil
}

// taken makes a task of the first n events of a queue; none of no queue.
func taken(ctx context.Context, r *Runner, q *queue, n int) (t *Task, err error) {
	if q == nil {
		return nil, nil
	}
	t = &Task{own: &r.own, queue: q, erasures: uint32(r.park.erasures)}
	first := q.events[0].Position
	given := r.own.emission.given[first]
	if r.guard.on() {
		n = 1
		if t.crashes, t.marked, err = r.out.markAttempt(ctx, first, given != nil); err != nil {
			r.next.back(q)
			return nil, err
		}
	}
	n = r.own.emission.alone(q.events[:n])
	events := r.park.renewed(ctx, q.events[:n:n])
	t.batch = r.park.batch(q, events)
	t.batch.retried = r.park.retried(q, len(events), t.crashes)
	if given != nil {
		rarely(&t.batch).given = given
	}
	tried(&t.batch, first, t.crashes)
	q.begin()
	r.inFlight++
	return t, nil
}

// Finish takes back a task that has run, or has taken its goroutine along. What was handled is
// written by the next [Runner.Commit].
// If the handler failed, what it failed at stays where it is, with all that follows it, until
// [Runner.Settle] decides about it.
func (r *Runner) Finish(t *Task) {
	r.inFlight--
	takeBack(&t.batch)
	q := t.queue
	if t.action == StopWithRollback {
		t.good = 0
	}
	r.own.emission.finished(t)
	if t.marked { // the process lives: whatever became of the event, it was no crash
		r.guard.survived()
		r.out.survived = r.out.survived || t.good == 0
	}
	if t.failed != nil && t.cancelled == nil {
		q.fail()
		if t.failed.err.Event == 0 {
			q.limit = max(1, int32(t.Size()/2))
		}
	}
	if t.good > 0 {
		r.finished = append(r.finished, t) // the queue stays busy until the commit
		return
	}
	q.end()
	if t.action != StopWithRollback {
		r.next.back(q)
	}
}

// Commit writes everything that was handled and parked: the reactions and the checkpoint in one
// batch of the store, several only where the limits of a batch are exceeded, split between events.
// It returns how many handled events are committed, also beside an error. A commit is never cut
// short by ctx.
//
// A [*RunnerError] or [*HandlerError] that names an event means that its reactions are refused: a
// lost race, or content that the store does not take. The event and what follows it wait for
// [Runner.Settle], and all others are committed. After any other error what was handled stays, and
// the next Commit tries to write it.
func (r *Runner) Commit(ctx context.Context) (int, error) {
	if err := refresh(ctx, r); err != nil {
		return 0, err
	}
	if err := r.out.flush(ctx); err != nil {
		return 0, err
	}
	for _, t := range r.finished {
		r.park.withhold(ctx, t)
	}
	before := committed(r.finished)
	rejected, err := r.out.writeTasks(ctx, r.finished)
	n := committed(r.finished) - before
	waiting := r.finished[:0]
	for _, t := range r.finished {
		if t.committed < t.good && t != rejected {
			r.next.unlist(t)
			waiting = append(waiting, t) // it is written another time, or refused then
			continue
		}
		if t == rejected {
			t.queue.fail()
		}
		r.own.emission.committed(t)
		r.alarm.scheduled(t)
		t.batch.unstage()
		r.next.done(t)
	}
	clear(r.finished[len(waiting):])
	r.finished = waiting
	r.guard.expire()
	return n, err
}

func committed(tasks []*Task) (n int) {
	for _, t := range tasks {
		n += t.committed
	}
	return n
}
