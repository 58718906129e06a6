package cursor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// taskRange is the part of a task that a batch of the store takes: events[from:to].
type taskRange struct {
	task     *Task
	from, to int
}

// writeTasks writes what is handled of some tasks, and notes in each how much of it is committed.
// The task whose reactions are refused is returned with the error that says so.
func (o *outbox) writeTasks(ctx context.Context, tasks []*Task) (rejected *Task, err error) {
	defer o.free()
	buffers := o.buffers()
	buffers.ranges = buffers.ranges[:0]
	for _, t := range tasks {
		if t.committed < t.good {
			buffers.ranges = append(buffers.ranges, taskRange{task: t, from: t.committed, to: t.good})
		}
	}
	return o.writeHalved(ctx, buffers.ranges)
}

// writeHalved writes ranges. What the store refuses because of its content is halved until the
// rejected event is alone: batches that are too large get through in pieces, and so does all that
// does not follow the rejected event in its task. An error that is not about an event is returned
// rather than that of a rejected one, which is met again; so is a second rejection.
func (o *outbox) writeHalved(ctx context.Context, ranges []taskRange) (rejected *Task, err error) {
	n := size(ranges)
	if n == 0 {
		return nil, nil
	}
	if err = o.writeRanges(ctx, ranges); err == nil {
		return nil, nil
	}
	if !refused(err) {
		return nil, o.own.failed(ErrCommit, err)
	}
	if n == 1 {
		t := ranges[0].task
		return t, t.refusal(ranges[0].from, err)
	}
	former, latter := halves(ranges, n/2)
	rejected, err = o.writeHalved(ctx, former)
	if err != nil && rejected == nil {
		return nil, err
	}
	follows := func(s taskRange) bool { return s.task.committed < s.from }
	second, later := o.writeHalved(ctx, slices.DeleteFunc(latter, follows))
	if err == nil || later != nil && second == nil {
		return second, later
	}
	return rejected, err
}

func size(ranges []taskRange) (n int) {
	for _, s := range ranges {
		n += s.to - s.from
	}
	return n
}

// halves cuts ranges after n events. It writes to neither list, since the caller's is used again.
func halves(ranges []taskRange, n int) (former, latter []taskRange) {
	for _, s := range ranges {
		middle := min(s.to, s.from+n)
		n -= middle - s.from
		if middle > s.from {
			former = append(former, taskRange{s.task, s.from, middle})
		}
		if middle < s.to {
			latter = append(latter, taskRange{s.task, middle, s.to})
		}
	}
	return former, latter
}

// writeRanges is one commit. Where only a checkpoint is at stake it is lazy: a power cut then
// repeats some handling, never a reaction. That an event is not parked any more is never lazy: a
// worker that keeps more than the checkpoint may forget the event then.
func (o *outbox) writeRanges(ctx context.Context, ranges []taskRange) error {
	if slices.ContainsFunc(ranges, quotes) {
		return o.unlessErased(ctx, func(c store.Condition) error {
			return o.writeOnce(ctx, ranges, store.Batch{Conditions: []store.Condition{c}})
		})
	}
	return o.writeOnce(ctx, ranges, store.Batch{})
}

// quotes reports whether the texts of errors are written with a range, in entries or in an audit
// event, which may quote its events.
func quotes(s taskRange) bool { return s.task.queue.parked || s.task.givesUp() != nil }

// writeOnce is one commit, with what a batch has.
func (o *outbox) writeOnce(ctx context.Context, ranges []taskRange, b store.Batch) error {
	decides := false
	var counts tally
	buffers := o.buffers()
	done := buffers.positions[:0]
	b.Events, b.Sides = buffers.events[:0], buffers.beside[:0]
	for _, s := range ranges {
		b.Events = append(b.Events, s.task.batch.proposals(s.from, s.to)...)
		b.Sides = s.task.batch.staged.sides(b.Sides, s.from, s.to)
		counts = s.task.batch.staged.tally(counts, s.from, s.to)
		decides = decides || quotes(s)
		given := s.task.givesUp()
		if given != nil && isAudited(&s.task.batch.events[0]) && !s.task.passedOver() {
			b.Events = append(b.Events, given.recorded(&o.own, &s.task.batch.events[0]))
		}
		for i := s.from; i < s.to; i++ {
			if s.task.queue.parked {
				o.unpark(&b, &s.task.batch.events[i], given != nil)
			} else {
				done = append(done, s.task.at(i))
			}
		}
	}
	if len(ranges) > 1 {
		slices.Sort(done)
	}
	var err error
	b.Sides, err = counts.write(b.Sides, o.own.st)
	if buffers.positions, buffers.events, buffers.beside = done, b.Events, b.Sides; err != nil {
		return err
	}
	b.Lazy = !decides && o.own.lazy(b)
	if err = o.write(ctx, b, done); err != nil {
		return err
	}
	for _, s := range ranges {
		if s.task.committed = s.to; s.to < s.task.good {
			keptAt(&s.task.batch, o.own.lease, s.from, s.to)
		}
	}
	return nil
}

// unpark adds to a batch that a parked event was handled after all, as were all before it in the
// list. What is held for nothing then is handled again: where the event was probed, and not
// replayed, nothing says so yet. One that was given up has an audit event that says so.
func (o *outbox) unpark(b *store.Batch, e *store.Event, givenUp bool) {
	b.Sides = append(b.Sides, checkpoint.Unpark(o.own.lease.ID(), e.Position))
	entry := o.list.at[e.Position]
	if entry == nil {
		return
	}
	if !entry.Held && !givenUp && isAudited(e) {
		b.Events = append(b.Events, o.own.audited(e, checkpoint.AuditReplayed, checkpoint.Audit{
			Position: e.Position, Key: entry.Key,
		}))
	}
	b.Sides = append(b.Sides, o.list.resumed(o.own.lease.ID(), entry)...)
}

// refused reports whether the store will take no batch with this content, but may take a part of
// it. All other errors are of the store's state, which halving does not change.
func refused(err error) bool {
	return errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrDenied) || errors.Is(err, store.ErrConflict)
}

// refusal names the event whose reactions are refused: invalid ones, and those that a gate denies,
// are a failure of the handler, a lost race is not.
func (t *Task) refusal(at int, err error) error {
	event, given := t.at(at), t.givesUp()
	content := errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrDenied)
	if content && (len(t.batch.proposals(at, at+1)) > 0 || len(t.batch.staged.sides(nil, at, at+1)) > 0) {
		failure := &HandlerError{Worker: t.own.worker.Name, Event: event, First: event, Size: t.Size()}
		failure.Err = t.own.capture(fmt.Errorf("reactions are refused: %w", err))
		given.refused(failure)
		return failure
	}
	if given != nil {
		err = fmt.Errorf("%w; it is given up, since it failed with: %w", err, given.reason)
	}
	return t.own.failedAt(event, ErrCommit, err)
}
