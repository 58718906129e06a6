package reactortest

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// State of a worker.
type State string

// The states of a worker.
const (
	Idle       State = "idle"       // nothing waits
	Ready      State = "ready"      // it has events to handle
	Retrying   State = "retrying"   // it waits to try an event again, or for the disk
	Restarting State = "restarting" // it waits to be started afresh
	Paused     State = "paused"     // an operator has paused it
	Halted     State = "halted"     // its policy has ended it
	Ended      State = "ended"      // its handler has ended it
)

// Status is how a worker stands.
type Status struct {
	State State
	// Reason of the state, where it is in trouble: as in actors.WorkerStatus. It wraps the last error.
	Reason error
	// Attempt is the number of the failed attempt, Due when the next one is made. Restarts counts fresh starts.
	Attempt  int
	Due      time.Time
	Restarts int
	// Position up to which everything is handled, or set aside; Lag is how many events wait.
	Position store.Position
	Lag      int
	// Parked is how many events are set aside, Held how many of them only wait behind others of their key.
	Parked, Held int
}

// Outcome is what a step did. The zero value means that there was nothing to do.
type Outcome struct {
	Handled, Committed int
	Failed             bool // Status says what is done about it
	Restarted          bool // it was started afresh
}

// freeRaces is how often a lost race is handled again at once: as the actors do.
const freeRaces = 3

// worker is one worker over all its incarnations.
type worker struct {
	run    *Run
	group  *group
	index  int // in the group
	spec   supervision.Spec
	worker cursor.Worker

	runner   *cursor.Runner // nil while it waits to be started
	judge    *supervision.Judge
	later    bool
	limit    int
	final    State // Halted or Ended, or nothing
	reason   error
	attempt  int
	restarts int
	restart  time.Time                    // when it is started afresh
	rest     time.Time                    // when it goes on after a failure without an event
	waits    map[store.Position]time.Time // when events that failed are tried again
	races    map[store.Position]int
	failed   map[store.Position]bool
	tasks    []*cursor.Task // that were run, and not all committed
}

// mark is what changes when a worker has done something.
type mark struct {
	boots, restarts, waiting, parked int
	reached, position                store.Position
	final                            State
}

func (w *worker) mark() mark {
	m := mark{boots: w.run.boots, restarts: w.restarts, final: w.final}
	if w.runner != nil {
		m.waiting, m.reached, m.position = w.runner.Waiting(), w.runner.Reached(), w.runner.Position()
		m.parked, _ = w.runner.Parked()
	}
	return m
}

func (w *worker) name() string { return w.spec.Name }

// afresh forgets what one incarnation knows.
func (w *worker) afresh() {
	w.runner, w.rest, w.tasks = nil, time.Time{}, nil
	w.waits, w.races, w.failed = map[store.Position]time.Time{}, map[store.Position]int{}, map[store.Position]bool{}
}

func (w *worker) acquire() error {
	w.afresh()
	w.restart = time.Time{}
	again := w.worker
	again.Policy = w.spec.Policy
	runner, err := cursor.NewRunner(w.run.ctx(), w.run.st, again)
	if err != nil {
		return err
	}
	if w.later {
		runner.Trust()
		w.judge.Succeeded(w.run.now, 0)
	}
	runner.Limit(w.limit)
	w.runner, w.later = runner, true
	return nil
}

// pause gives the pause that an operator ordered, and whether there is one.
func (w *worker) pause() (checkpoint.Pause, bool) {
	w.run.tb.Helper()
	p, paused, err := checkpoint.PauseOf(w.run.st, checkpoint.ID(w.name()))
	if err != nil {
		w.run.tb.Fatalf("reactortest: %v", err)
	}
	return p, paused
}

// next is when the worker has something to do that it waits for, zero if it waits for nothing.
func (w *worker) next() (next time.Time) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if w.final != "" {
		return next
	}
	if p, paused := w.pause(); paused {
		return p.Until
	}
	if w.runner == nil {
		return w.restart
	}
	if !w.rest.IsZero() {
		return w.rest
	}
	for _, t := range w.waits {
		earlier(t)
	}
	return next
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
	return !w.rest.After(now)
}

// step does what the worker's actor does between two messages. An error is a crash, or a fault of the test.
func (w *worker) step() (Outcome, error) {
	if !w.due() {
		return Outcome{}, nil
	}
	if _, paused := w.pause(); paused { // its time is over
		return Outcome{}, w.resume()
	}
	if w.runner == nil {
		return Outcome{Restarted: true}, w.start()
	}
	w.rest = time.Time{}
	for event, due := range w.waits {
		if !due.After(w.run.now) {
			delete(w.waits, event)
			w.runner.Again(event)
		}
	}
	if w.runner.Dirty() { // what could not be written before
		if out, err := w.commit(Outcome{}); err != nil || out.Failed {
			return out, err
		}
	}
	if _, err := w.runner.Fill(w.run.ctx(), 0); err != nil {
		return w.fail(Outcome{}, err)
	}
	tasks, err := w.take()
	if err != nil {
		return w.fail(Outcome{}, err)
	}
	out := Outcome{}
	for _, t := range tasks {
		out.Handled += t.Size()
		t.Run(w.run.ctx())
		w.runner.Finish(t)
	}
	w.tasks = append(w.tasks, tasks...)
	return w.commit(out)
}

// start makes the next incarnation. What keeps it from its checkpoint is a failure without an event.
func (w *worker) start() error {
	err := w.acquire()
	if err == nil || crashed(err) {
		return err
	}
	return w.judged(supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}, 0, 0)
}

// take takes a task for each lane, in the order in which they are to be handled.
func (w *worker) take() (tasks []*cursor.Task, err error) {
	for len(tasks) < max(1, w.worker.Lanes) {
		t, err := w.runner.Next(w.run.ctx(), 0)
		if t == nil || err != nil {
			return tasks, err
		}
		tasks = append(tasks, t)
	}
	if w.run.random != nil {
		w.run.random.Shuffle(len(tasks), func(i, j int) { tasks[i], tasks[j] = tasks[j], tasks[i] })
	}
	return tasks, nil
}

// commit writes what is handled, and then sees to what failed: not before, since that may lie behind what could not be
// written.
func (w *worker) commit(out Outcome) (Outcome, error) {
	n, err := w.runner.Commit(w.run.ctx())
	out.Committed += n
	w.progress(n)
	if err != nil {
		runner := w.runner
		var commit *cursor.CommitError
		unwritten := errors.As(err, &commit) && commit.Event == 0
		if out, err = w.fail(out, err); err != nil || w.runner != runner || unwritten {
			return out, err
		}
	}
	tasks := w.tasks
	w.tasks = nil
	return w.settle(out, tasks)
}

// settle sees to the tasks that failed or want an end, the panics last: they end the incarnation.
func (w *worker) settle(out Outcome, tasks []*cursor.Task) (Outcome, error) {
	runner := w.runner
	var panicked *cursor.HandlerError
	ends := false
	for _, t := range tasks {
		var failure *cursor.HandlerError
		switch {
		case !errors.As(t.Err(), &failure):
			ends = ends || t.Action() != cursor.Continue
		case failure.Panic:
			panicked, out.Failed = failure, true
		case w.runner.Failed(failure.First):
			out.Failed = true
			if err := w.failHandler(failure); err != nil || w.runner != runner {
				return out, err
			}
		}
	}
	switch {
	case panicked != nil:
		return out, w.failHandler(panicked)
	case ends:
		w.end()
	}
	return out, nil
}

// progress tells the judge what is done.
func (w *worker) progress(n int) {
	if n == 0 {
		return
	}
	w.attempt, w.reason, w.limit = 0, nil, 0
	if w.worker.Lanes <= 1 {
		w.judge.Succeeded(w.run.now, uint64(w.runner.Position()))
	}
	for event := range w.failed {
		if event == 0 || w.runner.Done(event) {
			delete(w.failed, event)
			delete(w.races, event)
			w.judge.Passed(w.run.now, uint64(event))
		}
	}
}

// fail sees to an error of reading or committing.
func (w *worker) fail(out Outcome, err error) (Outcome, error) {
	var (
		handler *cursor.HandlerError
		commit  *cursor.CommitError
		key     *cursor.KeyError
		room    *cursor.ParkLimitError
	)
	out.Failed = true
	switch {
	case crashed(err):
		return out, err
	case errors.As(err, &handler):
		return out, w.failHandler(handler)
	case errors.Is(err, checkpoint.ErrFenced), errors.As(err, &key), errors.As(err, &room):
		err = supervision.Halt(err)
	case errors.As(err, &commit) && commit.Event > 0:
		w.races[commit.Event]++
		if w.races[commit.Event] <= freeRaces {
			w.failed[commit.Event] = true
			w.runner.Again(commit.Event)
			return out, nil
		}
		return out, w.judged(supervision.Failure{Err: commit, Event: uint64(commit.Event)}, commit.Event, 0)
	}
	return out, w.judged(supervision.Failure{Err: err, NoAttempt: errors.Is(err, store.ErrDiskFull)}, 0, 0)
}

// failHandler charges an event that is known, and lets a batch that failed as a whole be handled in halves.
func (w *worker) failHandler(err *cursor.HandlerError) error {
	d, directed := supervision.DirectiveOf(err)
	f := supervision.Failure{Err: err.Cause(), Event: uint64(err.Event), Panic: err.Panic, Stack: err.Stack}
	if err.Event != 0 || directed && (d.Action == supervision.ActionHalt || d.NoAttempt) {
		return w.judged(f, err.First, err.Deaths)
	}
	w.limit = max(1, err.Size/2)
	switch {
	case err.Panic && w.spec.Restart == supervision.Temporary:
		return w.judged(f, err.First, 0)
	case err.Panic:
		w.group.restart(w.index, 0)
	case d.Delay > 0:
		w.waits[err.First], w.reason = w.run.now.Add(d.Delay), err
	default:
		w.runner.Again(err.First)
	}
	return nil
}

// judged does what the judge says about a failure.
func (w *worker) judged(f supervision.Failure, first store.Position, deaths int) error {
	if deaths > 0 {
		w.judge.Remember(f.Event, deaths)
	}
	w.failed[first] = true
	v := w.judge.Failed(w.run.now, f)
	w.reason, w.attempt = v.Reason, v.Attempt
	due := w.run.now.Add(v.Delay)
	switch v.Action {
	case supervision.ActionRetry:
		switch {
		case w.runner == nil:
			w.restart = due
		case first == 0:
			w.rest = due
		default:
			w.waits[first] = due
		}
	case supervision.ActionPark, supervision.ActionSkip:
		return w.setAside(v, first, f.Panic)
	case supervision.ActionRestart:
		w.group.restart(w.index, v.Delay)
	case supervision.ActionHalt:
		w.halt(v.Reason)
	case supervision.ActionEscalate:
		w.group.escalate(w.name(), v.Reason)
	}
	return nil
}

func (w *worker) setAside(v supervision.Verdict, first store.Position, panicked bool) error {
	set := w.runner.Park
	if v.Action == supervision.ActionSkip {
		set = w.runner.Skip
	}
	if err := set(first, v.Reason, v.Attempt); err != nil {
		w.halt(errors.Join(err, v.Reason))
		return nil
	}
	delete(w.failed, first)
	w.reason, w.attempt = nil, 0
	if _, err := w.runner.Commit(w.run.ctx()); err != nil {
		_, err = w.fail(Outcome{}, err)
		return err
	}
	if panicked {
		w.group.restart(w.index, 0)
	}
	return nil
}

// halt ends the worker until it is resumed.
func (w *worker) halt(reason error) {
	if w.final != "" {
		return
	}
	w.final, w.reason = Halted, reason
	if w.runner != nil {
		_ = w.runner.Close(w.run.ctx()) // refused where another owner is the reason
	}
	w.runner = nil
}

// end is what the handler asked for.
func (w *worker) end() {
	_ = w.runner.Close(w.run.ctx())
	v := w.judge.Ended(w.run.now)
	switch {
	case v.Reason == nil:
		w.final, w.runner = Ended, nil
	case v.Action == supervision.ActionRestart:
		w.stop(v.Delay)
	default:
		w.halt(v.Reason)
	}
}

// stop ends the incarnation; the next one is started after a delay.
func (w *worker) stop(delay time.Duration) {
	if w.final != "" {
		return
	}
	w.afresh()
	w.restart = w.run.now.Add(delay)
	w.restarts++
}

// control does something between two batches.
func (w *worker) control(do func(context.Context, *cursor.Runner) error) error {
	switch {
	case w.final == Halted:
		return w.reason
	case w.runner == nil:
		if err := w.acquire(); err != nil { // as the worker does that comes next
			return err
		}
	}
	err := do(w.run.ctx(), w.runner)
	for event := range w.waits { // the worker may have been moved away from what it waited for
		if !w.runner.Failed(event) {
			delete(w.waits, event)
		}
	}
	return err
}

func (w *worker) resume() error {
	if w.final == Halted {
		w.final, w.reason, w.attempt, w.limit = "", nil, 0, 0
		w.judge = supervision.NewJudge(w.spec, nil)
		w.restart = w.run.now
		return nil
	}
	return w.control(func(ctx context.Context, r *cursor.Runner) error { return r.Resume(ctx, "reactortest") })
}

// status describes the worker.
func (w *worker) status() (Status, error) {
	state, err := w.state()
	if err != nil {
		return Status{}, err
	}
	s := Status{State: state, Reason: w.reason, Attempt: w.attempt, Due: w.next(), Restarts: w.restarts}
	if w.runner == nil {
		record, err := checkpoint.Inspect(w.run.st, checkpoint.ID(w.name()))
		s.Position = record.Record.Floor()
		return s, err
	}
	s.Position = w.runner.Position()
	s.Parked, s.Held = w.runner.Parked()
	n, err := w.run.st.Count(w.run.ctx(), w.runner.Region(), w.runner.Reached(), w.run.st.Head(), math.MaxInt)
	s.Lag = n + w.runner.Waiting()
	return s, err
}

func (w *worker) state() (State, error) {
	_, paused := w.pause()
	switch {
	case w.final != "":
		return w.final, nil
	case paused:
		return Paused, nil
	case w.runner == nil:
		return Restarting, nil
	case !w.rest.IsZero() || len(w.waits) > 0:
		return Retrying, nil
	}
	n, err := w.run.st.Count(w.run.ctx(), w.runner.Region(), w.runner.Reached(), w.run.st.Head(), 1)
	if n > 0 || w.runner.Waiting() > 0 || !w.runner.Idle() {
		return Ready, err
	}
	return Idle, err
}
