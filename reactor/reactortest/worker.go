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

// worker is one worker over all its incarnations: what the actor of a worker does about messages, in the same order, but called
// by the run.
type worker struct {
	run    *Run
	leaf   int // its number in the tree
	spec   supervision.Spec
	worker cursor.Worker

	gen      uint64       // of the incarnation, 0 if there is none
	spawned  *drive.Spawn // the order to start it, until it has acquired its checkpoint
	begun    bool         // it may handle events
	later    bool         // another incarnation was before
	shown    State        // what the tree says
	reason   error        // of that
	attempt  int
	restarts int
	reached  progress

	runner     *cursor.Runner // nil while it waits to be started
	began      int            // the limit of its first batch
	recovering bool           // the judge has not heard yet that this incarnation gets on
	ending     bool           // its handler wants it to end
	hand       []*cursor.Task // taken, and not handled yet
	tasks      []*cursor.Task // handled, and not all committed
	waits      map[store.Position]wait
	trouble    map[store.Position]int // events that failed and are not done, with their lost races
}

// wait is for another try at an event, or at position 0 for what keeps all events from being handled.
type wait struct {
	due     time.Time
	attempt int
	reason  error
}

func (w *worker) name() string { return w.spec.Name }

func (w *worker) id() checkpoint.ID { return checkpoint.ID(w.name()) }

// forget drops what one incarnation knows. Tasks that are in flight were not handled: they are as good as never taken.
func (w *worker) forget() {
	w.progress()
	w.runner, w.hand, w.tasks, w.ending = nil, nil, nil, false
	w.waits, w.trouble = make(map[store.Position]wait), make(map[store.Position]int)
}

// acquire makes the incarnation that was ordered.
func (w *worker) acquire() error {
	if err := w.open(); err != nil {
		return err
	}
	if w.spawned.Later {
		w.runner.ClearCrashGuard()
	}
	for _, event := range w.spawned.Failing { // before this incarnation
		w.trouble[store.Position(event)] = 0
	}
	w.runner.Limit(w.spawned.Limit)
	w.began, w.recovering, w.later = w.spawned.Limit, w.spawned.Later, true
	w.spawned = nil
	return nil
}

// open acquires the checkpoint.
func (w *worker) open() error {
	w.forget()
	runner, err := cursor.NewRunner(w.run.ctx(), w.run.st, w.resumed())
	if wider, ok := w.run.wider[w.name()]; ok && unbound(err) {
		w.worker.Region, w.worker.Kinds = wider.Region, wider.Kinds
		runner, err = cursor.NewRunner(w.run.ctx(), w.run.st, w.resumed())
	}
	w.runner = runner
	return err
}

// resumed is the worker to run. One without a checkpoint goes on where the incarnation before it came to.
func (w *worker) resumed() cursor.Worker {
	again := w.worker
	again.Policy = w.spec.Policy // with what it inherits
	if again.Volatile && w.later {
		again.Start = store.After(w.reached.position)
	}
	return again
}

// unbound reports whether a checkpoint was made for other events than those that the worker declares.
func unbound(err error) bool {
	var (
		region *checkpoint.RegionError
		kinds  *checkpoint.KindsError
	)
	return errors.As(err, &region) || errors.As(err, &kinds)
}

// pause returns the pause that an operator ordered, nil if there is none.
func (w *worker) pause() (*checkpoint.Pause, error) {
	if w.worker.Volatile {
		return nil, nil
	}
	p, paused, err := checkpoint.PauseOf(w.run.st, w.id())
	if !paused || err != nil {
		return nil, err
	}
	return &p, nil
}

// next is when the worker has something to do that it waits for, zero if it waits for nothing.
func (w *worker) next(pause *checkpoint.Pause) time.Time {
	switch {
	case w.over():
		return time.Time{}
	case pause != nil:
		return pause.Until
	case w.runner == nil:
		return w.restartDue()
	}
	_, wait := w.firstWait()
	return wait.due
}

// firstWait is what is waited for before all others: that at position 0, which keeps these waiting, or the one that ends first.
func (w *worker) firstWait() (first store.Position, next wait) {
	if rest, ok := w.waits[0]; ok {
		return 0, rest
	}
	for event, wait := range w.waits {
		if next.due.IsZero() || wait.due.Before(next.due) || wait.due.Equal(next.due) && event < first {
			first, next = event, wait
		}
	}
	return first, next
}

// due reports whether a step may do something now.
func (w *worker) due(pause *checkpoint.Pause) bool {
	now := w.run.now
	switch {
	case w.over():
		return false
	case pause != nil:
		return !pause.Until.IsZero() && !pause.Until.After(now)
	}
	return w.runner != nil && w.begun && !w.waits[0].due.After(now)
}

// control does something between two batches.
func (w *worker) control(do func(context.Context, *cursor.Runner) error) error {
	for len(w.hand) > 0 {
		if _, err := w.handle(w.hand); err != nil {
			return err
		}
	}
	if w.shown == Halted {
		return w.reason
	}
	if w.over() {
		return errEnded
	}
	waiting := w.runner == nil
	if waiting { // the worker that comes next would do it: this one continues to wait
		if err := w.open(); err != nil {
			return err
		}
	}
	head := w.run.st.Head()
	err := do(w.run.ctx(), w.runner)
	if err == nil {
		err = w.sentBack(head)
	}
	for event := range w.waits { // the worker may have been moved away from what it waited for
		if event > 0 && !w.runner.IsFailed(event) {
			delete(w.waits, event)
		}
	}
	if waiting {
		w.forget()
	}
	return err
}

// sentBack lets the judge forget what came before where the log says behind a position that the worker was sent back.
func (w *worker) sentBack(head store.Position) error {
	moved, err := audited(w.run, w.name(), head, checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditWidened)
	if moved {
		w.run.decides.Rewound(w.leaf)
	}
	return err
}

var errEnded = errors.New("reactortest: the handler has ended the worker")

// resume starts a halted worker again, with a fresh judge, or ends a pause.
func (w *worker) resume() error {
	if w.shown == Halted {
		return w.enable()
	}
	return w.control(func(ctx context.Context, r *cursor.Runner) error { return r.Resume(ctx, request()) })
}
