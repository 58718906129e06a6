package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// extra is what has no task and rides the next commit: events that were set aside or held.
type extra struct {
	sides  map[string]store.SideWrite // the last write of a key counts
	audits []store.Proposal
	done   []store.Position
	lived  bool // the process outlived an event that was marked, and the checkpoint does not say so
}

func (x *extra) empty() bool {
	return len(x.sides) == 0 && len(x.audits) == 0 && len(x.done) == 0 && !x.lived
}

func (x *extra) write(w store.SideWrite) {
	if x.sides == nil {
		x.sides = make(map[string]store.SideWrite)
	}
	x.sides[w.Key] = w
}

func (x *extra) batch() store.Batch {
	b := store.Batch{Events: x.audits}
	for _, w := range x.sides {
		b.Sides = append(b.Sides, w)
	}
	slices.SortFunc(b.Sides, func(a, b store.SideWrite) int { return compareText(a.Key, b.Key) })
	return b
}

// span is the part of a task that a batch of the store takes: events[from:to].
type span struct {
	task     *Task
	from, to int
}

// Commit writes everything that was handled and set aside: the reactions and the checkpoint in one batch of the store,
// several only where the limits of a batch are exceeded, split between events. It says how many handled events are
// committed, also beside an error. A commit is never cut short by ctx.
//
// A [*CommitError] or [*HandlerError] that names an event means that its reactions are refused: a lost race, or content
// that the store does not take. The event and what follows it wait for [Runner.Retry], [Runner.Park] or [Runner.Skip], and
// all others are committed. After any other error what was handled stays, and the next Commit tries to write it.
func (r *Runner) Commit(ctx context.Context) (int, error) {
	if err := r.commitExtra(ctx); err != nil {
		return 0, err
	}
	spans := make([]span, 0, len(r.finished))
	for _, t := range r.finished {
		spans = append(spans, span{task: t, from: t.committed, to: t.good})
	}
	before := committed(r.finished)
	culprit, err := r.commit(ctx, spans)
	n := committed(r.finished) - before
	r.finished = slices.DeleteFunc(r.finished, func(t *Task) bool {
		if t.committed < t.good && t != culprit {
			return false // it is written another time, or refused then
		}
		if t == culprit {
			t.queue.blocked = true
		}
		r.done(t)
		return true
	})
	r.expireGuard()
	return n, err
}

// commitExtra writes what has no task.
func (r *Runner) commitExtra(ctx context.Context) error {
	if r.extra.empty() {
		return nil
	}
	b := r.extra.batch()
	b.Lazy = len(b.Sides) == 0 && len(r.extra.done) == 0 && r.lazy(b)
	if err := r.write(ctx, nil, b, r.extra.done); err != nil {
		return &CommitError{Worker: r.worker.Name, Err: err}
	}
	r.extra = extra{}
	return nil
}

func committed(tasks []*Task) (n int) {
	for _, t := range tasks {
		n += t.committed
	}
	return n
}

// done gives the queue of a task that is committed, as far as it can be, back.
func (r *Runner) done(t *Task) {
	q := t.queue
	if q.limit > 0 && t.committed == len(t.events) { // what failed is behind: grow again
		if q.limit *= 2; q.limit >= MaxBatchSize {
			q.limit = 0
		}
	}
	q.busy = false
	if q.parked {
		r.replayed(q, t.committed)
		return
	}
	r.suspect = max(0, r.suspect-t.committed)
	if t.committed > 0 {
		r.passed = t.events[t.committed-1].Position
	}
	r.pop(q, t.committed)
	r.list(q)
}

// commit writes the spans. What the store refuses because of its content is halved until the culprit is alone: batches
// that are too large get through in pieces, and all that does not stand behind the culprit too. An error that is nobody's
// fault is told before that of a culprit, which is met again; so is a second culprit.
func (r *Runner) commit(ctx context.Context, spans []span) (culprit *Task, err error) {
	n := size(spans)
	if n == 0 {
		return nil, nil
	}
	if err = r.writeSpans(ctx, spans); err == nil {
		return nil, nil
	}
	if !refused(err) {
		return nil, &CommitError{Worker: r.worker.Name, Err: err}
	}
	if n == 1 {
		t := spans[0].task
		return t, r.commitError(t, spans[0].from, err)
	}
	former, latter := halves(spans, n/2)
	culprit, err = r.commit(ctx, former)
	if err != nil && culprit == nil {
		return nil, err
	}
	latter = slices.DeleteFunc(latter, func(s span) bool { return s.task.committed < s.from }) // stands behind the culprit
	second, later := r.commit(ctx, latter)
	if err == nil || later != nil && second == nil {
		return second, later
	}
	return culprit, err
}

func size(spans []span) (n int) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

// halves cuts spans after n events.
func halves(spans []span, n int) (former, latter []span) {
	for _, s := range spans {
		middle := min(s.to, s.from+n)
		n -= middle - s.from
		if middle > s.from {
			former = append(former, span{s.task, s.from, middle})
		}
		if middle < s.to {
			latter = append(latter, span{s.task, middle, s.to})
		}
	}
	return former, latter
}

func (r *Runner) writeSpans(ctx context.Context, spans []span) error {
	var b store.Batch
	var done []store.Position
	for _, s := range spans {
		if reactions := s.task.batch.proposals(s.from, s.to); b.Events == nil {
			b.Events = reactions
		} else {
			b.Events = append(b.Events, reactions...)
		}
		for i := s.from; i < s.to; i++ {
			if s.task.queue.parked {
				r.unpark(&b, &s.task.events[i])
			} else {
				done = append(done, s.task.events[i].Position)
			}
		}
	}
	if len(spans) > 1 {
		slices.Sort(done)
	}
	if err := r.write(ctx, spans, b, done); err != nil {
		return err
	}
	for _, s := range spans {
		s.task.committed = s.to
	}
	return nil
}

// write is one commit: what is in the batch, and the checkpoint behind the positions that are done by it. Where only a
// checkpoint is at stake it is lazy: a power cut then repeats some handling, never a reaction.
func (r *Runner) write(ctx context.Context, spans []span, b store.Batch, done []store.Position) error {
	next := r.after(done)
	b.Lazy = len(spans) > 0 && !unparks(spans) && r.lazy(b) || b.Lazy
	var err error
	switch {
	case r.lease != nil:
		err = commitWith(ctx, r.st, r.lease, b, r.move(next))
	case len(b.Events) > 0:
		_, err = r.st.Commit(context.WithoutCancel(ctx), b)
	}
	if err == nil {
		r.frontier = next
	}
	return err
}

// unparks reports whether spans have events that were set aside. That they are no more is never lazy: who keeps more than the
// checkpoint may forget them then.
func unparks(spans []span) bool {
	return slices.ContainsFunc(spans, func(s span) bool { return s.task.queue.parked })
}

// lazy reports whether a batch need not wait for its sync.
func (r *Runner) lazy(b store.Batch) bool { return len(b.Events) == 0 && !r.worker.SyncCheckpoints }

// move is the checkpoint that says what a frontier does.
func (r *Runner) move(f frontier) checkpoint.Move {
	kept, pending := f.checkpoint(r.at)
	m := checkpoint.Move{Scanned: kept.scanned, Delivered: kept.delivered, Pending: pending, Clean: r.clean}
	if r.suspect > 0 && r.trying > 0 {
		entry := r.parked.at[r.trying]
		if r.trying > r.at.scanned || f.has(r.trying) || entry != nil && entry.Replaying {
			m.Trying, m.Tries = r.trying, r.tries
		}
	}
	return m
}

// commitWith commits the batch together with the checkpoint. The context cannot end the wait: who does not know what became
// of its commit cannot know the revision either, and would take itself for fenced.
func commitWith(ctx context.Context, st *store.Store, lease *checkpoint.Lease, b store.Batch, m checkpoint.Move) error {
	lease.Stage(&b, m)
	return commitStaged(ctx, st, lease, b)
}

// commitStaged is commitWith for a batch that has its checkpoint.
func commitStaged(ctx context.Context, st *store.Store, lease *checkpoint.Lease, b store.Batch) error {
	receipt, err := st.Commit(context.WithoutCancel(ctx), b)
	if err != nil {
		return lease.Refused(err)
	}
	lease.Committed(receipt)
	return nil
}

// refused reports whether the store will take no batch with this content, but may take a part of it.
func refused(err error) bool {
	return errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrConflict)
}

// commitError names the event to blame: invalid reactions are a fault of the handler, a lost race is not.
func (r *Runner) commitError(t *Task, at int, err error) error {
	event := t.events[at].Position
	if errors.Is(err, store.ErrInvalid) && len(t.batch.proposals(at, at+1)) > 0 {
		err = fmt.Errorf("reactions are refused: %w", err)
		return &HandlerError{Worker: r.worker.Name, Event: event, First: event, Size: len(t.events), Err: err}
	}
	return &CommitError{Worker: r.worker.Name, Event: event, Err: err}
}

// slot finds the queue whose first event is at a position.
func (r *Runner) slot(first store.Position) *queue {
	for _, q := range r.stuck() {
		if len(q.events) > 0 && q.events[0].Position == first {
			return q
		}
	}
	return nil
}

// stuck gives the queues that wait for a decision.
func (r *Runner) stuck() (stuck []*queue) {
	for _, q := range r.queues {
		if q.blocked && !q.busy {
			stuck = append(stuck, q)
		}
	}
	for _, k := range r.parked.keys {
		if k.queue.blocked && !k.queue.busy {
			stuck = append(stuck, &k.queue)
		}
	}
	return stuck
}

// Retry lets an event that failed, the HandlerError.First or CommitError.Event of the failure, be handled again.
func (r *Runner) Retry(first store.Position) {
	if q := r.slot(first); q != nil {
		r.release(q)
	}
}

func (r *Runner) release(q *queue) {
	q.blocked = false
	if !q.parked {
		r.list(q)
	}
}

// IsFailed reports whether the event at a position failed and waits for [Runner.Retry], [Runner.Park] or [Runner.Skip].
func (r *Runner) IsFailed(first store.Position) bool { return r.slot(first) != nil }

// IsDone reports whether an event that was read is done, or set aside.
func (r *Runner) IsDone(p store.Position) bool {
	entry := r.parked.at[p]
	return p <= r.at.scanned && !r.has(p) && (entry == nil || !entry.Replaying)
}
