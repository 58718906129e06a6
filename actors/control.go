package actors

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// control has a worker call do between two batches, once. reply has room for the one answer.
type control struct {
	do      func(context.Context, *drive.Baton) (any, error)
	reply   chan answer
	claimed atomic.Bool

	// Those that it waits among guard them.
	number uint64
	place  *list.Element
}

// answer is the result of a control. It goes through the channel as a whole, so that a caller which
// does not wait any more shares nothing with the worker that is about to answer.
type answer struct {
	result any
	err    error
}

func newControl(do func(context.Context, *drive.Baton) (any, error)) *control {
	return &control{do: do, reply: make(chan answer, 1)}
}

// claim decides between the worker that is about to begin and the caller that stops waiting: only
// the first call returns true.
func (m *control) claim() bool { return m.claimed.CompareAndSwap(false, true) }

// order has the worker call do between two batches, and waits for the answer. If the incarnation
// ends before it began, the next one makes the call, before it handles anything.
func order(ctx context.Context, s *System, name string, do func(context.Context, *drive.Baton) error) error {
	_, err := query(ctx, s, name, func(ctx context.Context, b *drive.Baton) (struct{}, error) { return struct{}{}, do(ctx, b) })
	return err
}

// query is order for a call with a result: the zero value beside an error.
func query[T any](
	ctx context.Context, s *System, name string, do func(context.Context, *drive.Baton) (T, error),
) (result T, err error) {
	p := s.workers.find(name)
	if p == nil {
		return result, fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	if waitsForItself(ctx, s, name) {
		return result, ErrInsideHandler
	}
	m := newControl(func(ctx context.Context, b *drive.Baton) (any, error) { return do(ctx, b) })
	pid, gen := p.calls.add(m)
	defer p.calls.remove(m)
	if pid != nil {
		s.actors.Root.Send(pid, &called{incarnation{leaf: p.Leaf, gen: gen}})
	}
	a := awaitAnswer(ctx, s, p, m)
	if a.err == nil {
		result, _ = a.result.(T)
	}
	return result, a.err
}

// awaitAnswer waits for the answer to a call.
func awaitAnswer(ctx context.Context, s *System, p *node, m *control) answer {
	for {
		v := p.published.await()
		if reason := never(s, v, p.name()); reason != nil && m.claim() {
			return answer{err: reason}
		}
		select {
		case a := <-m.reply:
			return a
		case <-v.changed:
		case <-s.done:
			return unanswered(s, p, m)
		case <-ctx.Done():
			err := ctx.Err()
			if !m.claim() {
				err = errors.Join(err, store.ErrOutcomeUnknown)
			}
			return answer{err: fmt.Errorf("actors: worker %q: %w", p.name(), err)}
		}
	}
}

// unanswered is the answer to a call after the end of the system: that of the worker, if it came to
// that.
func unanswered(s *System, p *node, m *control) answer {
	err := errors.Join(ErrStopped, s.failed())
	if !m.claim() {
		select {
		case a := <-m.reply:
			return a
		default:
			err = errors.Join(err, store.ErrOutcomeUnknown)
		}
	}
	return answer{err: fmt.Errorf("actors: worker %q: %w", p.name(), err)}
}

// resumeHalted has the supervisor start a halted worker again, and records who decided that.
func resumeHalted(ctx context.Context, s *System, p *node, q checkpoint.Request) error {
	m := &resume{leaf: p.Leaf, reply: make(chan resumed, 1)}
	s.actors.Root.Send(s.supervisor, m)
	select {
	case r := <-m.reply:
		if r.err != nil || !r.changed { // another call was first
			return resumeError(p, r.err)
		}
		s.log.Info("worker resumed", workerField(p), zap.String("by", q.By))
		return drive.Record(context.WithoutCancel(ctx), s.store, p.name(), checkpoint.AuditResumed, q)
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("actors: worker %q: %w", p.name(), errors.Join(ctx.Err(), store.ErrOutcomeUnknown))
	}
}

// resumeError translates an error of the tree about a worker.
func resumeError(p *node, err error) error {
	switch {
	case errors.Is(err, drive.ErrHung):
		return fmt.Errorf("actors: worker %q: %w", p.name(), ErrHung)
	case errors.Is(err, drive.ErrStopping):
		return ErrStopped
	case errors.Is(err, drive.ErrRemoved):
		return fmt.Errorf("actors: worker %q: %w", p.name(), ErrRemoved)
	}
	return err
}

// operate carries out one control, now that nothing is in flight; unwritten, if set, is why nothing
// can be written, and is the answer. The caller is answered after the change is published, so it
// finds it in Status. Whatever ends this call, those that wait are carried out: by this incarnation
// where only the goroutine ends, else by the next.
func (w *worker) operate(c actor.Context, unwritten error) {
	returned := false
	defer func() {
		if !returned {
			c.Send(c.Self(), &called{w.id})
		}
	}()
	a := answer{err: unwritten}
	m, more := w.node.calls.next()
	begun := m != nil && m.claim()
	if begun && unwritten == nil {
		a = w.perform(m)
		w.operated(a.err)
	} else {
		w.operated(nil)
	}
	if begun {
		m.reply <- a
	}
	if more {
		w.core.Operate()
	}
	returned = true
}

// operated lets core continue after operations. Progress is published before the region: what is
// new in that is not done, and then it belongs to the worker.
func (w *worker) operated(failure error) {
	w.core.Operated(w.ctx, w.sys.store.Now(), w.baton.Operation(failure))
	w.publish(0)
	w.node.published.acquired(w.baton.Progress())
	w.show()
}

// perform carries out one control. If it panics, which would be a bug of ours, the caller is
// answered all the same.
func (w *worker) perform(m *control) (a answer) {
	returned := false
	defer func() {
		if !returned {
			m.reply <- answer{err: fmt.Errorf("actors: worker %q: %w", w.node.name(), store.ErrOutcomeUnknown)}
		}
	}()
	a.result, a.err = m.do(context.WithoutCancel(w.ctx), w.baton)
	returned = true
	return a
}

// unpause ends a pause whose time is over, also if that cannot be written now.
func (w *worker) unpause(unwritten error) {
	err := w.baton.Unpause(context.WithoutCancel(w.ctx), unwritten)
	if err != nil {
		w.sys.log.Warn("end of the pause not written", workerField(w.node), errorField(err))
	}
	w.operated(err)
}
