package actors

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// control has a worker call do between two batches, once. reply has room for the one result.
type control struct {
	do      func(context.Context, *drive.Baton) error
	reply   chan error
	claimed atomic.Bool
}

func newControl(do func(context.Context, *drive.Baton) error) *control {
	return &control{do: do, reply: make(chan error, 1)}
}

// claim decides between the worker that is about to begin and the caller that stops waiting: only
// the first call returns true.
func (m *control) claim() bool { return m.claimed.CompareAndSwap(false, true) }

// control has the worker call do between two batches, and waits for the result. If the incarnation
// ends before it began, the next one makes the call, before it handles anything.
func (s *System) control(ctx context.Context, name string, do func(context.Context, *drive.Baton) error) error {
	p := s.byName[name]
	if p == nil {
		return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	if waitsForItself(ctx, s, name) {
		return ErrInsideHandler
	}
	m := newControl(do)
	pid, gen := p.calls.add(m)
	defer p.calls.remove(m)
	if pid != nil {
		s.actors.Root.Send(pid, &called{incarnation{leaf: p.Leaf, gen: gen}})
	}
	return s.answer(ctx, p, m)
}

// answer waits for the result of a call.
func (s *System) answer(ctx context.Context, p *node, m *control) error {
	for {
		v := p.published.await()
		if reason := never(s, v, p.name()); reason != nil && m.claim() {
			return reason
		}
		select {
		case err := <-m.reply:
			return err
		case <-v.changed:
		case <-s.done:
			return unanswered(s, p, m)
		case <-ctx.Done():
			err := ctx.Err()
			if !m.claim() {
				err = errors.Join(err, store.ErrOutcomeUnknown)
			}
			return fmt.Errorf("actors: worker %q: %w", p.name(), err)
		}
	}
}

// unanswered is the result of a call after the end of the system: that of the worker, if it came to
// that.
func unanswered(s *System, p *node, m *control) error {
	err := errors.Join(ErrStopped, s.failed())
	if !m.claim() {
		select {
		case answer := <-m.reply:
			return answer
		default:
			err = errors.Join(err, store.ErrOutcomeUnknown)
		}
	}
	return fmt.Errorf("actors: worker %q: %w", p.name(), err)
}

// resumeHalted has the supervisor start a halted worker again, and records who decided that.
func (s *System) resumeHalted(ctx context.Context, p *node, q checkpoint.Request) error {
	m := &resume{leaf: p.Leaf, reply: make(chan resumed, 1)}
	s.actors.Root.Send(s.supervisor, m)
	select {
	case r := <-m.reply:
		if r.err != nil || !r.changed { // another call was first
			return resumeError(p, r.err)
		}
		s.log.Info("worker resumed", workerField(p), zap.String("by", q.By))
		return drive.RecordResume(context.WithoutCancel(ctx), s.store, p.name(), q)
	case <-s.done:
		return ErrStopped
	case <-ctx.Done():
		return fmt.Errorf("actors: worker %q: %w", p.name(), errors.Join(ctx.Err(), store.ErrOutcomeUnknown))
	}
}

// resumeError translates an error of the tree for the caller of Resume.
func resumeError(p *node, err error) error {
	switch {
	case errors.Is(err, drive.ErrHung):
		return fmt.Errorf("actors: worker %q: %w", p.name(), ErrHung)
	case errors.Is(err, drive.ErrStopping):
		return ErrStopped
	}
	return err
}

// operate carries out the controls, now that nothing is in flight; unwritten, if set, is why
// nothing can be written, and is their result. The callers are answered after the change is
// published, so they find it in Status.
func (w *worker) operate(unwritten error) {
	var (
		answers []func()
		failure error
	)
	for _, m := range w.node.calls.take() {
		if !m.claim() {
			continue
		}
		err := unwritten
		if err == nil {
			err = w.perform(m)
			failure = errors.Join(failure, err)
		}
		answers = append(answers, func() { m.reply <- err })
	}
	w.operated(failure)
	for _, answer := range answers {
		answer()
	}
}

// operated lets core continue after operations. Progress is published before the region: what is
// new in that is not done, and then it belongs to the worker.
func (w *worker) operated(failure error) {
	w.core.Operated(w.ctx, time.Now(), w.baton.Operation(failure))
	w.publish(0)
	w.node.published.acquired(w.baton.Progress())
	w.show()
}

// perform carries out one control. If it panics, which would be a bug of ours, the caller is
// answered all the same.
func (w *worker) perform(m *control) (err error) {
	returned := false
	defer func() {
		if !returned {
			m.reply <- fmt.Errorf("actors: worker %q: %w", w.node.name(), store.ErrOutcomeUnknown)
		}
	}()
	err = m.do(context.WithoutCancel(w.ctx), w.baton)
	returned = true
	return err
}

// unpause ends a pause whose time is over, also if that cannot be written now.
func (w *worker) unpause(unwritten error) {
	err := w.baton.Unpause(context.WithoutCancel(w.ctx), unwritten)
	if err != nil {
		w.sys.log.Warn("end of the pause not written", workerField(w.node), errorField(err))
	}
	w.operated(err)
}
