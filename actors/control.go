package actors

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// The calls in this file change what a worker does, between two batches: with lanes, when all have given back what they
// have in hand. Each is one commit with an audit event in the reserved scope, so it survives a restart, and a crash leaves
// it whole or not at all. ctx bounds the wait for the worker: a change that has not begun when it ends never comes; if one
// has, the error wraps store.ErrOutcomeUnknown, too.
//
// They return [ErrUnknownWorker], [ErrStopped], a [HaltedError], [ErrEnded], [ErrInsideHandler] when called from a
// handler of the same worker, cursor.ErrNoCheckpoint for a volatile worker, and what each of them says.

// errAgain tells who waits for a control that the incarnation it was sent to is gone.
var errAgain = errors.New("actors: worker was restarted")

// Pause lets a worker finish the batch in hand and then rest until a time, or with the zero time until [System.Resume].
// Nothing is lost: its events wait. The reason, at most checkpoint.MaxReasonBytes, is shown in its status.
func (s *System) Pause(ctx context.Context, name string, until time.Time, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.runner.Pause(ctx, until, reason); err != nil {
			return err
		}
		return w.loadPause()
	})
}

// Resume ends the pause of a worker. One that is halted is started again, with a fresh count of attempts and restarts.
func (s *System) Resume(ctx context.Context, name string, reason string) error {
	if p := s.byName[name]; p != nil && p.cell.view().state == Halted {
		return s.enable(ctx, p)
	}
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.runner.Resume(ctx, reason); err != nil {
			return err
		}
		return w.loadPause()
	})
}

// Rewind goes back to where to says: everything that matches after it is handled again. Handlers see that an event was
// handled before; the reactions to it are dropped, unless emit is set. What was parked behind it comes in its place in the
// log, for the first time. Errors: checkpoint.RewindError for what lies ahead of the worker, cursor.ErrOwnPosition.
func (s *System) Rewind(ctx context.Context, name string, to store.Start, emit bool, reason string) error {
	return s.move(ctx, name, to, func(ctx context.Context, w *worker, p store.Position) error {
		return w.sentBack(w.runner.Rewind(ctx, p, emit, reason))
	})
}

// SkipTo goes forward: what lies before and was not handled yet never is. Errors: checkpoint.SkipError for what lies
// behind the worker, cursor.ErrOwnPosition.
func (s *System) SkipTo(ctx context.Context, name string, to store.Start, reason string) error {
	return s.move(ctx, name, to, func(ctx context.Context, w *worker, p store.Position) error {
		return w.runner.SkipTo(ctx, p, reason)
	})
}

func (s *System) move(
	ctx context.Context, name string, to store.Start, do func(context.Context, *worker, store.Position) error,
) error {
	position, err := s.store.Resolve(ctx, to)
	if err != nil {
		return fmt.Errorf("actors: worker %q: find the position: %w", name, err)
	}
	return s.control(ctx, name, func(ctx context.Context, w *worker) error { return do(ctx, w, position) })
}

// Reset begins anew at the beginning of the log as if the worker had never run: everything is handled, and emitted, again.
func (s *System) Reset(ctx context.Context, name, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		return w.sentBack(w.runner.Reset(ctx, reason))
	})
}

// sentBack notes that the worker begins anew somewhere, unless that failed.
func (w *worker) sentBack(err error) error {
	if err == nil {
		w.anew, w.trouble = true, nil
	}
	return err
}

// Widen makes the worker read a region that contains the present one: more kinds, a wider scope, a shorter entity prefix.
// What matches only now is handled first, from the beginning of the log, in order, each event once. It outlasts this system:
// the program must declare the wider region when it starts the worker again. What does not contain the present region is a
// checkpoint.RebuildError.
func (s *System) Widen(ctx context.Context, name string, region store.Region, kinds []string, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error {
		if err := w.sentBack(w.runner.Widen(ctx, region, kinds, reason)); err != nil {
			return err
		}
		w.plan.worker.Region, w.plan.worker.Kinds = region, kinds
		w.publish() // first: what is new is not done, and then it belongs to the worker
		w.plan.cell.acquired(w.runner.Position(), w.runner.Region())
		return nil
	})
}

// Replay lets parked events be handled again: the parked event of each key that is selected, then what is held behind it. It
// gives what it concerns, by position, and returns when that is durably marked, before it is handled; a crash in between
// does not stop it. A dry run changes nothing. Errors: cursor.ErrNotParked.
func (s *System) Replay(
	ctx context.Context, name string, which cursor.Which, dryRun bool, reason string,
) (chosen []checkpoint.Parked, err error) {
	err = s.control(ctx, name, func(ctx context.Context, w *worker) (err error) {
		chosen, err = w.runner.Replay(ctx, which, dryRun, reason)
		return err
	})
	if err != nil {
		return nil, err
	}
	return chosen, nil
}

// Discard gives up a parked event for good; what is held behind it is handled. Errors: cursor.ErrNotParked.
func (s *System) Discard(ctx context.Context, name string, event store.Position, reason string) error {
	return s.control(ctx, name, func(ctx context.Context, w *worker) error { return w.runner.Discard(ctx, event, reason) })
}

// Parked iterates over the events that a worker has set aside, by position, with those held behind them.
func (s *System) Parked(name string) iter.Seq2[checkpoint.Parked, error] {
	return func(yield func(checkpoint.Parked, error) bool) {
		p := s.byName[name]
		if p == nil {
			yield(checkpoint.Parked{}, fmt.Errorf("%w: %q", ErrUnknownWorker, name))
			return
		}
		if p.worker.Volatile {
			return
		}
		for parked, err := range checkpoint.ParkedEvents(s.store, checkpoint.ID(name)) {
			if !yield(parked, err) {
				return
			}
		}
	}
}

// TakeGaps gives the gaps that a worker with cursor.Worker.Gaps observed since the last call, oldest first, and how many
// were dropped since it was started to make room.
func (s *System) TakeGaps(ctx context.Context, name string) (gaps []cursor.Gap, dropped uint64, err error) {
	err = s.control(ctx, name, func(_ context.Context, w *worker) error {
		gaps, dropped = w.runner.TakeGaps()
		return nil
	})
	return gaps, dropped, err
}

// seat says which actor runs a worker or a group now.
type seat struct {
	mu    sync.Mutex
	pid   *actor.PID
	gen   uint64
	taken chan struct{} // closed when another one takes it; nil while nobody waits
}

func (s *seat) take(pid *actor.PID, gen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pid, s.gen = pid, gen
	if s.taken != nil {
		close(s.taken)
		s.taken = nil
	}
}

// actor gives the actor with its generation.
func (s *seat) actor() (*actor.PID, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid, s.gen
}

// await is actor for who waits for the next one.
func (s *seat) await() (*actor.PID, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken == nil {
		s.taken = make(chan struct{})
	}
	return s.pid, s.taken
}

func newControl(do func(context.Context, *worker) error) *control {
	return &control{do: do, reply: make(chan error, 1)}
}

// claim decides between the worker that is about to begin and the caller that gives it up: the first one has it.
func (m *control) claim() bool { return m.claimed.CompareAndSwap(false, true) }

// control has the worker's actor do something, and waits for its answer. An incarnation that is gone before it began is
// asked again as the next one.
func (s *System) control(ctx context.Context, name string, do func(context.Context, *worker) error) error {
	p := s.byName[name]
	if p == nil {
		return fmt.Errorf("%w: %q", ErrUnknownWorker, name)
	}
	if s.waitsForItself(ctx, name) {
		return ErrInsideHandler
	}
	for {
		v := p.cell.await()
		if never := s.never(v, name); never != nil {
			return never
		}
		m := newControl(do)
		pid, generation := p.seat.actor()
		s.actors.Root.Send(pid, m)
		err := s.answer(ctx, p, v, generation, m)
		if !errors.Is(err, errAgain) {
			return err
		}
	}
}

// answer waits for the answer of one incarnation, errAgain when it is gone without having begun.
func (s *System) answer(ctx context.Context, p *plan, v view, generation uint64, m *control) error {
	for {
		if _, now := p.seat.actor(); now != generation && m.claim() {
			return errAgain
		}
		select {
		case err := <-m.reply:
			return err
		case <-v.changed:
			v = p.cell.await()
			if never := s.never(v, p.worker.Name); never != nil && m.claim() {
				return never
			}
		case <-s.done:
			return fmt.Errorf("actors: worker %q: %w", p.worker.Name, errors.Join(ErrStopped, s.failed()))
		case <-ctx.Done():
			err := ctx.Err()
			if !m.claim() {
				err = errors.Join(err, store.ErrOutcomeUnknown)
			}
			return fmt.Errorf("actors: worker %q: %w", p.worker.Name, err)
		}
	}
}

// enable has the group start a halted worker again. A group that is being restarted is asked again when it is back: to ask
// twice does no harm.
func (s *System) enable(ctx context.Context, p *plan) error {
	for {
		owner, next := p.owner.await()
		m := &enable{worker: p.worker.Name, reply: make(chan error, 1)}
		s.actors.Root.Send(owner, m)
		reply := m.reply
	waiting:
		for {
			select {
			case err := <-reply:
				if !errors.Is(err, errAgain) {
					return err
				}
				reply = nil
			case <-next:
				break waiting
			case <-s.done:
				return ErrStopped
			case <-ctx.Done():
				return fmt.Errorf("actors: worker %q: %w", p.worker.Name, ctx.Err())
			}
		}
	}
}

// control does what was asked, now that nothing is in hand. Who asked is told when everybody else can see it, too.
func (w *worker) control(c actor.Context) {
	controls := w.controls
	w.controls = nil
	var answers []func()
	for _, m := range controls {
		if !m.claim() {
			continue
		}
		err := w.perform(m)
		answers = append(answers, func() { m.reply <- err })
		if errors.Is(err, checkpoint.ErrFenced) || storeFailure(err) {
			w.fail(c, err)
		}
	}
	if w.anew {
		w.anew = false
		c.Send(w.parent, &anew{child: w.child, gen: w.gen})
	}
	w.forgetWaits()
	w.publish()
	if w.pulling { // it may be for another region, or from another position
		c.Send(w.sys.storeActor, &forget{worker: c.Self()})
		w.pulling = false
	}
	w.upTo = max(w.upTo, w.sys.store.Head())
	w.rest(c)
	for _, answer := range answers {
		answer()
	}
	c.Send(c.Self(), &step{gen: w.gen})
}

// perform does one thing. Should it panic, which would be a fault of ours, who asked is told all the same.
func (w *worker) perform(m *control) (err error) {
	returned := false
	defer func() {
		if !returned {
			m.reply <- fmt.Errorf("actors: worker %q: %w", w.plan.worker.Name, store.ErrOutcomeUnknown)
		}
	}()
	err = m.do(context.WithoutCancel(w.ctx), w)
	returned = true
	return err
}

// loadPause reads whether the worker is paused.
func (w *worker) loadPause() error {
	if w.plan.worker.Volatile {
		return nil
	}
	p, paused, err := checkpoint.PauseOf(w.sys.store, checkpoint.ID(w.plan.worker.Name))
	if err != nil {
		return err
	}
	w.pause = nil
	if paused {
		w.pause = &p
	}
	return nil
}

// rest shows a pause, and sees to its end.
func (w *worker) rest(c actor.Context) {
	if w.wake != nil {
		w.wake.Stop()
		w.wake = nil
	}
	if w.pause == nil {
		if w.plan.cell.view().state == Paused {
			w.plan.cell.moved(Running, w.runner.Position(), 0)
		}
		return
	}
	w.showPause()
	if until := w.pause.Until; !until.IsZero() && !w.gone {
		root, self, gen := c.ActorSystem().Root, c.Self(), w.gen
		w.wake = time.AfterFunc(time.Until(until), func() { root.Send(self, &unpause{gen: gen}) })
	}
}

// showPause shows that the worker rests.
func (w *worker) showPause() {
	w.plan.cell.set(Paused, &PausedError{Until: w.pause.Until, Reason: w.pause.Reason})
}

// unpause goes on when the time of the pause is over. The clock may have been set back meanwhile. If that cannot be written
// now the worker goes on all the same: whoever reads of the pause sees that its time is over.
func (w *worker) unpause(c actor.Context) {
	if w.pause == nil || w.pause.Until.IsZero() || time.Now().Before(w.pause.Until) {
		w.rest(c)
		return
	}
	w.controls = append(w.controls, newControl(func(ctx context.Context, w *worker) error {
		err := w.runner.Resume(ctx, "its time was over")
		if err != nil {
			w.sys.log.Warn("end of the pause not written", workerField(w.plan), errorField(err))
		}
		w.pause = nil
		return err
	}))
	w.step(c)
}
