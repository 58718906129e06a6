package reactortest

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// worker is one worker over all its incarnations: what the actor of a worker does about messages and its group about failures,
// in the same order, but called by the run.
type worker struct {
	run    *Run
	group  *group
	index  int // in the group
	spec   supervision.Spec
	worker cursor.Worker

	judge    *supervision.Judge
	later    bool // another incarnation was before
	limit    int  // of the first batch of the next incarnation
	final    State
	reason   error // of the final state, or of the restart
	attempt  int
	restarts int
	restart  time.Time // when it is started afresh
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

// afresh forgets what one incarnation knows. Tasks that are in hand were not handled: they are as good as never taken.
func (w *worker) afresh() {
	w.progress()
	w.runner, w.hand, w.tasks, w.ending = nil, nil, nil, false
	w.waits, w.trouble = make(map[store.Position]wait), make(map[store.Position]int)
}

func (w *worker) acquire() error {
	w.afresh()
	runner, err := cursor.NewRunner(w.run.ctx(), w.run.st, w.resumed())
	if wider, ok := w.run.wider[w.name()]; ok && unbound(err) {
		w.worker.Region, w.worker.Kinds = wider.Region, wider.Kinds
		runner, err = cursor.NewRunner(w.run.ctx(), w.run.st, w.resumed())
	}
	if err != nil {
		return err
	}
	if w.later {
		runner.ClearCrashGuard()
		w.judge.Succeeded(w.run.now, 0)
	}
	for _, event := range w.judge.Failing() { // before this incarnation
		w.trouble[store.Position(event)] = 0
	}
	runner.Limit(w.limit)
	w.runner, w.began, w.recovering, w.later = runner, w.limit, w.later, true
	return nil
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

// start makes the next incarnation. What keeps it from its checkpoint is a failure without an event.
func (w *worker) start() error {
	w.restart = time.Time{}
	w.restarts++
	err := w.acquire()
	if err == nil || crashed(err) {
		return err
	}
	return w.judged(supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}, 0, 0)
}

// pause gives the pause that an operator ordered, and whether there is one.
func (w *worker) pause() (checkpoint.Pause, bool) {
	w.run.tb.Helper()
	if w.worker.Volatile {
		return checkpoint.Pause{}, false
	}
	p, paused, err := checkpoint.PauseOf(w.run.st, w.id())
	if err != nil {
		w.run.tb.Fatalf("reactortest: %v", err)
	}
	return p, paused
}

// next is when the worker has something to do that it waits for, zero if it waits for nothing.
func (w *worker) next() time.Time {
	if w.final != "" {
		return time.Time{}
	}
	if p, paused := w.pause(); paused {
		return p.Until
	}
	if w.runner == nil {
		return w.restart
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
func (w *worker) due() bool {
	now := w.run.now
	if w.final != "" {
		return false
	}
	if p, paused := w.pause(); paused {
		return !p.Until.IsZero() && !p.Until.After(now)
	}
	if w.runner == nil {
		return !w.restart.After(now)
	}
	return !w.waits[0].due.After(now)
}

// control does something between two batches.
func (w *worker) control(do func(context.Context, *cursor.Runner) error) error {
	for len(w.hand) > 0 {
		if _, err := w.handle(w.hand); err != nil {
			return err
		}
	}
	if w.final == Halted {
		return w.reason
	}
	if w.final != "" {
		return errEnded
	}
	waiting := w.runner == nil
	if waiting { // the worker that comes next would do it: this one goes on waiting
		if err := w.acquire(); err != nil {
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
		w.afresh()
	}
	return err
}

// sentBack lets the judge forget what came before where the log says behind a position that the worker was sent back.
func (w *worker) sentBack(head store.Position) error {
	moved, err := audited(w.run, w.name(), head, checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditWidened)
	if moved {
		w.judgeAnew()
	}
	return err
}

// judgeAnew forgets the failures of the worker, and what the groups above know of them.
func (w *worker) judgeAnew() {
	w.judge, w.limit = supervision.NewJudge(w.spec, nil), 0
	for g := w.group; g != nil; g = g.above {
		g.judge = supervision.NewJudge(g.spec, nil)
	}
}

var errEnded = errors.New("reactortest: the handler has ended the worker")

// resume starts a halted worker again, with a fresh judge, or ends a pause.
func (w *worker) resume() error {
	if w.final != Halted {
		return w.control(func(ctx context.Context, r *cursor.Runner) error { return r.Resume(ctx, request()) })
	}
	w.final, w.reason, w.attempt = "", nil, 0
	w.judgeAnew()
	w.restart = w.run.now
	return nil
}
