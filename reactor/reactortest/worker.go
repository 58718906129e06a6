package reactortest

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// worker is one worker over all its incarnations: the same decisions as those of its actor, carried
// out step by step. All of it belongs to the goroutine of the test.
type worker struct {
	run   *Run
	leaf  int // its number in the tree
	baton drive.Baton

	// What the tree has ordered and shown. These outlast an incarnation, and are lost by a crash.
	gen      uint64          // of the incarnation, 0 if there is none
	begun    bool            // it may handle events
	shown    drive.State     // as the tree reported it last
	reason   error           // of that
	attempt  int             // of that, until something is committed
	restarts int             // since the last crash
	reached  cursor.Progress // of the runner when it was looked at last, for the time without one

	// The incarnation; core is compared to see whether it was replaced by what a step has led to.
	core   *drive.Worker    // nil if there is none
	taken  []*cursor.Task   // in flight, and not handled yet
	midway bool             // a handler of it has begun, and the outcome is not known
	pulls  bool             // it has read everything, and checks for more with each step
	sent   drive.Submission // under way, and not written yet; nil for none
	order  *order           // of an operator
	failed error            // of the last use of the store
}

// order is what an operator does, and its result.
type order struct {
	do   func(context.Context, cursor.Operator) error
	done bool
	err  error
}

func (w *worker) name() string { return w.baton.Worker.Name }

// spawn starts the incarnation that the tree ordered. It acquires its checkpoint with the next
// step.
func (w *worker) spawn(e drive.Effect) {
	w.gen, w.core = e.Gen, w.baton.Spawn(e)
	if e.Later {
		w.restarts++
	}
}

// forget drops the state of one incarnation. Tasks that are in flight were not handled: that they
// were taken has no effect.
func (w *worker) forget() {
	w.write() // a commit is never cut short
	w.progress()
	w.baton.Leave()
	w.core, w.taken, w.pulls = nil, nil, false
}

// acquire acquires the checkpoint for the incarnation.
func (w *worker) acquire() error {
	if err := w.open(); err != nil {
		return err
	}
	w.core.Acquired(watched{drive.EngineOf(w.baton.Runner), w}, w.baton.Paused())
	return nil
}

// open acquires the checkpoint. A worker that was widened before a crash stays so.
func (w *worker) open() error {
	err := w.baton.Acquire(w.run.ctx())
	if wider, ok := w.run.wider[w.name()]; ok && unbound(err) {
		w.baton.Rebind(wider.Region, wider.Kinds)
		err = w.baton.Acquire(w.run.ctx())
	}
	return err
}

// watched is an engine that records the error of each use of the store, so that a crash ends
// everything before the error is judged.
type watched struct {
	drive.Engine
	w *worker
}

func (e watched) kept(err error) error {
	if err != nil {
		e.w.failed = err
	}
	return err
}

func (e watched) Fill(ctx context.Context, upTo store.Position) (bool, error) {
	whole, err := e.Engine.Fill(ctx, upTo)
	return whole, e.kept(err)
}

func (e watched) Take(ctx context.Context) (drive.Task, error) {
	t, err := e.Engine.Take(ctx)
	return t, e.kept(err)
}

func (e watched) Commit(ctx context.Context) (int, error) {
	n, err := e.Engine.Commit(ctx)
	return n, e.kept(err)
}

func (e watched) Answered(s drive.Submission) (int, error) {
	n, err := e.Engine.Answered(s)
	return n, e.kept(err)
}

func (e watched) Probe(ctx context.Context, dependency string) (drive.Task, store.Position, error) {
	t, event, err := e.Engine.Probe(ctx, dependency)
	return t, event, e.kept(err)
}

func (e watched) ProbeAt(ctx context.Context, event store.Position) (drive.Task, error) {
	t, err := e.Engine.ProbeAt(ctx, event)
	return t, e.kept(err)
}

func (e watched) Ring(ctx context.Context, now time.Time) (int, error) {
	n, err := e.Engine.Ring(ctx, now)
	return n, e.kept(err)
}

func (e watched) Flush(ctx context.Context) error { return e.kept(e.Engine.Flush(ctx)) }
func (e watched) Close(ctx context.Context) error { return e.kept(e.Engine.Close(ctx)) }

// unbound reports whether a checkpoint was made for other events than those that the worker
// declares.
func unbound(err error) bool {
	return errors.Is(err, checkpoint.ErrRegion) || errors.Is(err, checkpoint.ErrKindsChanged)
}

// next returns when the wait of the worker ends, zero if it does not wait for a time.
func (w *worker) next() time.Time {
	switch pause := w.baton.Paused(); {
	case w.over():
		return time.Time{}
	case pause != nil && (pause.Until.IsZero() || pause.Until.After(w.run.Now())):
		return pause.Until
	case w.core == nil:
		return w.run.decides.Due(w.leaf)
	case w.baton.Runner == nil && w.core.Due().IsZero():
		return w.run.Now()
	}
	return w.core.Due()
}

// over reports whether at most an operator starts the worker again.
func (w *worker) over() bool { return w.shown == drive.Halted || w.shown == drive.Ended }

// control calls do between two batches.
func (w *worker) control(do func(context.Context, cursor.Operator) error) error {
	if err := finish(w); err != nil {
		return err
	}
	for o := (&order{do: do}); ; {
		switch {
		case w.shown == drive.Halted:
			return w.reason
		case w.over():
			return errEnded
		case w.baton.Runner == nil:
			return w.controlNext(do)
		}
		w.order = o
		w.core.Operate()
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
		if o.done {
			return o.err
		}
	}
}

// finish handles what is in flight.
func finish(w *worker) error {
	for len(w.taken) > 0 {
		var out Outcome
		if err := w.handle(&out, w.taken); err != nil {
			return err
		}
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	return nil
}

// controlNext calls do with the checkpoint as the next incarnation will acquire it. The wait for
// that incarnation continues.
func (w *worker) controlNext(do func(context.Context, cursor.Operator) error) error {
	if err := w.open(); err != nil {
		return err
	}
	err := do(w.run.ctx(), operator{&w.baton, w})
	if o := w.baton.Operation(err); o.Moved {
		w.run.decides.Rewound(w.leaf)
	}
	w.progress()
	w.baton.Leave()
	return err
}

var errEnded = errors.New("reactortest: the handler has ended the worker")

// resume starts a halted worker again, with a fresh judge, or ends a pause.
func (w *worker) resume() error {
	if w.shown != drive.Halted {
		return w.control(func(ctx context.Context, o cursor.Operator) error { return o.Resume(ctx, request()) })
	}
	effects, err := w.run.decides.Resume(w.run.Now(), w.leaf)
	if err == nil {
		err = w.run.do(effects)
	}
	if err == nil {
		err = drive.Record(w.run.ctx(), w.run.st, w.name(), checkpoint.AuditResumed, request())
	}
	return err
}
