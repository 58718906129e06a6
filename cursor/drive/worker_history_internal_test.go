package drive

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// history is a worker with everything that may happen to it, drawn from a seed.
type history struct {
	t      *testing.T
	dice   *rand.Rand
	w      *Worker
	engine *fakeEngine
	now    time.Time
	seen   map[[2]workerPhase]bool
	tasks  []*fakeTask // in flight
	asked  []Decision  // by the worker, and not answered yet
	commit bool        // ordered
	over   bool        // it has reported an end or a crash, so that events may be left
	ended  int
	down   int
	calm   bool // nothing fails any more
	ahead  bool // it handles ahead where it may, and what is written then is refused more often
	beside int  // panics beside a commit that was refused
	broken bool // a handler has panicked: it is not called again
	fails  int
}

func newHistory(t *testing.T, seed uint64) *history {
	dice := rand.New(rand.NewPCG(seed, 0))
	lanes := 1 + dice.IntN(3)
	w := &history{
		t: t, dice: dice, engine: newFake(t, lanes, store.Position(dice.IntN(6))),
		w:   NewWorker(Incarnation{Lanes: lanes, Later: dice.IntN(2) == 0}),
		now: begun,
	}
	if w.ahead = lanes == 1 && dice.IntN(4) > 0; w.ahead {
		w.engine.head += 4
	}
	w.engine.strict = true
	w.engine.takes = func() { require.True(t, w.w.open(), w.w.phase) }
	return w
}

func (w *history) run() {
	for range 80 {
		what := w.dice.IntN(12)
		if w.ahead && what > 6 && w.dice.IntN(4) > 0 { // else it comes to few batches
			what = w.dice.IntN(5)
		}
		w.watch(func() { w.happen(what) })
	}
	w.settle()
}

// watch keeps the moves that something causes.
func (w *history) watch(do func()) {
	from := w.w.phase
	do()
	if w.seen != nil {
		w.seen[[2]workerPhase{from, w.w.phase}] = true
	}
}

func (w *history) happen(what int) {
	switch what {
	case 0, 1, 2:
		w.turn()
	case 3, 4:
		w.finish()
	case 5:
		w.answer()
	case 6:
		if w.commit {
			w.write()
		}
	case 7:
		w.now = w.now.Add(time.Duration(w.dice.IntN(3)) * time.Minute)
	case 8:
		w.breakSomething()
	case 9:
		if w.w.engine != nil {
			w.w.Persist()
		}
	case 10:
		w.w.Operate()
	case 11:
		w.end()
	}
}

// breakSomething lets commits fail for want of room, or work again, or lose a race; or more events
// come.
func (w *history) breakSomething() {
	switch w.dice.IntN(6) {
	case 0:
		w.engine.commitErr = store.ErrDiskFull
	case 5:
		w.engine.refuseOnce = true
	case 1, 2:
		w.engine.commitErr = nil
	case 3:
		w.engine.raced[store.Position(1+w.dice.IntN(6))] = true
	case 4:
		w.engine.head++
	}
}

// end is an order of the supervisor, or of the system: rarely.
func (w *history) end() {
	switch w.dice.IntN(16) {
	case 0:
		w.w.Drain(false)
	case 1:
		w.w.Drain(true)
	case 2:
		w.w.CloseIntake()
	case 3:
		w.w.Begin()
	}
}

// turn does what the worker says until it waits, or for a while.
func (w *history) turn() {
	for range 1 + w.dice.IntN(8) {
		kind := stepNone
		w.watch(func() { kind = w.step() })
		if kind == StepWait {
			return
		}
	}
}

func (w *history) intake() Intake {
	switch {
	case len(w.tasks) >= w.engine.lanes:
		return ReadAhead
	case !w.calm && w.dice.IntN(4) == 0:
		return Finish
	}
	return Take
}

func (w *history) step() StepKind {
	s := w.w.Next(context.Background(), w.now, w.intake())
	if w.down > 0 {
		require.Equal(w.t, StepWait, s.Kind, "after it was drained")
	}
	switch s.Kind {
	case StepAcquire:
		if w.calm || w.dice.IntN(2) == 0 {
			w.w.Acquired(w.engine, nil)
		} else {
			w.w.Refused(store.ErrDiskFull)
		}
	case StepReport:
		w.hear(s.Update)
	case StepRun:
		require.False(w.t, w.broken, "a batch after a panic")
		w.tasks = append(w.tasks, s.Task.(*fakeTask))
	case StepAnswer:
		w.answered()
	case StepCommit:
		if (w.ahead || w.dice.IntN(2) == 0) && Submit(w.w, w.ahead || w.dice.IntN(2) == 0) != nil {
			w.engine.refuseOnce = w.engine.refuseOnce || w.ahead && w.dice.IntN(2) == 0
			break
		}
		w.commit = true
		if w.calm || w.dice.IntN(2) == 0 {
			w.write()
		}
	case StepFlush:
		require.Zero(w.t, w.engine.inFlight)
		_ = w.w.Flush(context.Background(), w.now, 0)
	case StepOperate, StepUnpause:
		w.operate(s)
	case StepPull:
		if w.calm || w.dice.IntN(3) > 0 {
			w.w.Available(w.engine.head)
			if w.engine.scanned >= w.engine.head {
				return StepWait
			}
		}
	case StepDrained:
		w.down++
		require.Zero(w.t, w.engine.inFlight)
	default:
	}
	return s.Kind
}

// answered takes back what was submitted. A panic in what is dropped for it is reported without an
// event.
func (w *history) answered() {
	dropped := w.engine.dropped
	Answered(context.Background(), w.w, w.now)
	if w.engine.dropped > dropped && w.broken {
		w.beside++
	}
}

func (w *history) hear(u *Update) {
	switch u.Kind {
	case UpdateAcquired:
		if u.Err != nil {
			w.asked = append(w.asked, Decision{Serial: u.Serial, Reason: u.Err})
		} else if w.calm || w.dice.IntN(2) == 0 {
			w.w.Begin()
		}
	case UpdateFailed:
		if u.Failure.Panic {
			w.over = true
			require.False(w.t, w.engine.Dirty(), "what was handled before is written first")
			require.Equal(w.t, w.beside == 0, u.First > 0)
		}
		w.asked = append(w.asked, Decision{First: u.First, Serial: u.Serial, Reason: u.Failure.Err, Restart: u.Failure.Panic})
	case UpdateHalve, UpdateRestart:
		w.over = true
		require.Zero(w.t, w.beside)
	case UpdateEnded:
		w.over = true
		w.ended++
		require.Equal(w.t, 1, w.ended)
	default:
	}
}

// operate finds everything written, or is told why it is not.
func (w *history) operate(s Step) {
	require.Zero(w.t, w.engine.inFlight)
	require.False(w.t, w.engine.sent)
	require.True(w.t, s.Err != nil || !w.engine.Dirty())
	o := Operation{Head: w.engine.head}
	if s.Kind == StepOperate && s.Err == nil && !w.calm {
		switch w.dice.IntN(3) {
		case 0:
			o.Pause = &checkpoint.Pause{}
		case 1:
			o.Pause = &checkpoint.Pause{Until: w.now.Add(time.Minute)}
		case 2:
			o.Moved = true
			for _, event := range w.engine.failing() {
				w.engine.Again(event)
			}
		}
	}
	w.w.Operated(context.Background(), w.now, o)
}

// finish ends one of the tasks.
func (w *history) finish() {
	if len(w.tasks) == 0 {
		return
	}
	i := w.dice.IntN(len(w.tasks))
	task := w.tasks[i]
	w.tasks = slices.Delete(w.tasks, i, i+1)
	if !w.calm {
		w.fails++
		at, whole := failure(task.event), failure(task.event)
		at.Err = fmt.Errorf("failure %d: %w", w.fails, errBroken)
		whole.Event, whole.Size = 0, 8
		fates := 12
		if w.ahead && w.engine.sent {
			fates = 7
		}
		switch w.dice.IntN(fates) {
		case 0, 1:
			task.err = at
			if w.dice.IntN(2) == 0 {
				at.Evidence = true
			}
		case 2:
			at.Panic = true
			task.err = at
		case 3:
			task.err = whole
		case 4:
			task.err = errCancelled
		case 5:
			task.action = cursor.Stop
		case 6:
			whole.Panic = true
			task.err = whole
		}
	}
	//nolint:errorlint // it is made above
	if f, failed := task.err.(*cursor.HandlerError); failed {
		w.broken = w.broken || f.Panic
	}
	w.w.Finished(task)
}

func (w *history) write() {
	w.commit = false
	w.w.Commit(context.Background(), w.now)
}

// answer decides about one of the failures.
func (w *history) answer() {
	if len(w.asked) == 0 {
		return
	}
	d := w.asked[0]
	w.asked = w.asked[1:]
	d.Attempt = 1
	d.Action, d.Delay = supervision.ActionRetry, time.Duration(w.dice.IntN(2))*time.Minute
	if d.First > 0 && (d.Restart || w.dice.IntN(3) == 0) {
		d.Action, d.Delay = supervision.ActionPark, 0
		if w.dice.IntN(2) == 0 {
			d.Action = supervision.ActionSkip
		}
	}
	w.w.Decide(w.now, d)
}

// settle lets everything work again, and finds everything handled, or the worker on its way out.
func (w *history) settle() {
	w.calm = true
	w.engine.commitErr = nil
	clear(w.engine.raced)
	w.w.Begin()
	w.w.Operate() // to end a pause
	for range 40 {
		if w.commit {
			w.write()
		}
		w.turn()
		w.finish()
		w.answer()
		w.now = w.now.Add(time.Minute)
	}
	if w.w.phase == workerWorking {
		require.Empty(w.t, w.engine.undone(), "in %s", w.w.phase)
	} else {
		require.True(w.t, w.over || w.down > 0 || w.w.phase == workerClosing, w.w.phase)
	}
	w.w.Drain(false)
	for range 40 {
		w.turn()
		w.finish()
	}
	require.Equal(w.t, 1, w.down)
	require.Equal(w.t, workerDown, w.w.phase)
	if w.w.unsettled.refusal == nil { // else they will be met again, after what could not be written
		require.Empty(w.t, w.w.unsettled.failures)
	}
}
