package reactortest

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// worker is one worker over all its incarnations: the same decisions as those of its actor, carried
// out step by step.
type worker struct {
	run    *Run
	leaf   int // its number in the tree
	spec   supervision.Spec
	worker cursor.Worker

	gen      uint64      // of the incarnation, 0 if there is none
	begun    bool        // it may handle events
	later    bool        // another incarnation was before
	limit    int         // of the first batch of the incarnation
	epoch    uint64      // of the checkpoint, as acquired last; 0: it may be taken over
	shown    drive.State // as the tree reported it last
	reason   error       // of that
	attempt  int
	restarts int
	reached  progress

	core   *drive.Worker  // nil if there is no incarnation
	runner *cursor.Runner // nil until it has acquired its checkpoint
	taken  []*cursor.Task // in flight, and not handled yet
	pulls  bool           // it has read everything, and checks for more with each step
	order  *order         // of an operator
	failed error          // of the last use of the store
}

// order is what an operator does, and its result.
type order struct {
	do   func(context.Context, *cursor.Runner) error
	done bool
	err  error
}

func (w *worker) name() string { return w.spec.Name }

func (w *worker) id() checkpoint.ID { return checkpoint.ID(w.name()) }

// spawn starts the incarnation that the tree ordered. It acquires its checkpoint with the next
// step.
func (w *worker) spawn(e drive.Spawn) {
	w.gen, w.limit = e.Gen, e.Limit
	w.core = drive.NewWorker(drive.Incarnation{Lanes: w.worker.Lanes, Limit: e.Limit, Later: e.Later, Failing: e.Failing})
	if e.Cause != drive.Restart {
		w.epoch = 0
	}
	if e.Later {
		w.restarts++
	}
}

// forget drops the state of one incarnation. Tasks that are in flight were not handled: that they
// were taken has no effect.
func (w *worker) forget() {
	w.progress()
	w.core, w.runner, w.taken, w.pulls = nil, nil, nil, false
}

// acquire acquires the checkpoint for the incarnation.
func (w *worker) acquire() error {
	if err := w.open(); err != nil {
		return err
	}
	pause, err := w.pause()
	if err != nil {
		return err
	}
	w.later = true
	w.core.Acquired(watched{drive.EngineOf(w.runner), w}, pause)
	return nil
}

// open acquires the checkpoint.
func (w *worker) open() error {
	w.progress()
	former := cursor.Former{Epoch: &w.epoch, Limit: w.limit, Seen: w.later}
	runner, err := cursor.RestartRunner(w.run.ctx(), w.run.st, w.resumed(), former)
	if wider, ok := w.run.wider[w.name()]; ok && unbound(err) {
		w.worker.Region, w.worker.Kinds = wider.Region, wider.Kinds
		runner, err = cursor.RestartRunner(w.run.ctx(), w.run.st, w.resumed(), former)
	}
	w.runner = runner
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

func (e watched) Flush(ctx context.Context) error { return e.kept(e.Engine.Flush(ctx)) }
func (e watched) Close(ctx context.Context) error { return e.kept(e.Engine.Close(ctx)) }

// resumed returns the worker to run. One without a checkpoint resumes at the position of the
// incarnation before it.
func (w *worker) resumed() *cursor.Worker {
	again := w.worker
	again.Policy = w.spec.Policy // with what it inherits
	if again.Volatile && w.later {
		again.Start = store.After(w.reached.position)
	}
	return &again
}

// unbound reports whether a checkpoint was made for other events than those that the worker
// declares.
func unbound(err error) bool {
	return errors.Is(err, checkpoint.ErrRegion) || errors.Is(err, checkpoint.ErrKindsChanged)
}

// pause returns the pause that an operator ordered, nil if there is none.
func (w *worker) pause() (*checkpoint.Pause, error) {
	if w.worker.Volatile {
		return nil, nil
	}
	info, err := checkpoint.Inspect(w.run.st, w.id())
	if info.Record.Epoch == 0 { // there is none that can be read, and so no worker that it could keep from work
		return nil, nil
	}
	return info.Pause, err
}

// next returns when the wait of the worker ends, zero if it does not wait for a time.
func (w *worker) next(pause *checkpoint.Pause) time.Time {
	switch {
	case w.over():
		return time.Time{}
	case pause != nil && (pause.Until.IsZero() || pause.Until.After(w.run.now)):
		return pause.Until
	case w.core == nil:
		return w.run.decides.Due(w.leaf)
	case w.runner == nil && w.core.Due().IsZero():
		return w.run.now
	}
	return w.core.Due()
}

// over reports whether at most an operator starts the worker again.
func (w *worker) over() bool { return w.shown == drive.Halted || w.shown == drive.Ended }

// control calls do between two batches.
func (w *worker) control(do func(context.Context, *cursor.Runner) error) error {
	for len(w.taken) > 0 {
		var out Outcome
		if err := w.handle(&out, w.taken); err != nil {
			return err
		}
		if _, err := w.turn(drive.Finish); err != nil {
			return err
		}
	}
	for o := (&order{do: do}); ; {
		switch {
		case w.shown == drive.Halted:
			return w.reason
		case w.over():
			return errEnded
		case w.runner == nil:
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

// controlNext calls do with the checkpoint as the next incarnation will acquire it. The wait for
// that incarnation continues.
func (w *worker) controlNext(do func(context.Context, *cursor.Runner) error) error {
	w.epoch = 0
	if err := w.open(); err != nil {
		return err
	}
	head := w.run.st.Head()
	err := do(w.run.ctx(), w.runner)
	w.progress()
	w.runner = nil
	if err != nil {
		return err
	}
	moved, err := w.moved(head)
	if moved {
		w.run.decides.Rewound(w.leaf)
	}
	return err
}

// endPause is the operation that ends a pause.
func endPause(ctx context.Context, r *cursor.Runner) error { return r.Resume(ctx, request()) }

// moved reports whether an operator has moved the worker since the head was at a position: then
// earlier failures do not count.
func (w *worker) moved(since store.Position) (bool, error) {
	return audited(w.run, w.name(), since, checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditWidened)
}

var errEnded = errors.New("reactortest: the handler has ended the worker")

// resume starts a halted worker again, with a fresh judge, or ends a pause.
func (w *worker) resume() error {
	if w.shown == drive.Halted {
		return w.enable()
	}
	return w.control(endPause)
}
