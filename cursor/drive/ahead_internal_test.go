package drive

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// submit wants the next step to be a commit, and begins it.
func (p *play) submit() Submission {
	p.t.Helper()
	p.step(StepCommit)
	return Submit(p.Worker, true)
}

// answer wants the next step to be the end of a commit that was begun.
func (p *play) answer() int {
	p.t.Helper()
	p.step(StepAnswer)
	return Answered(context.Background(), p.Worker, p.now)
}

// handlesAhead is a worker that writes event 1 and has been given event 2.
func handlesAhead(t *testing.T, events store.Position) (*play, *fakeTask) {
	p := beginPlay(t, Incarnation{}, events)
	p.finish(p.run(1), nil)
	require.NotNil(t, p.submit())
	return p, p.run(2)
}

func TestABatchIsHandledWhileTheOneBeforeIsWritten(t *testing.T) {
	p, task := handlesAhead(t, 3)
	p.step(StepWait) // no third one
	p.finish(task, nil)
	require.Empty(t, p.engine.done, "nothing of it is finished before the answer")
	require.Equal(t, 1, p.answer())
	require.NotNil(t, p.submit())
	p.finish(p.run(3), nil)
	p.answer()
	p.submit()
	p.answer() // there is no more to handle
	require.Len(t, p.engine.done, 3)
	p.step(StepPull)
}

// The turn of an actor is over after a batch: its mailbox is served while the commit is under way.
func TestATurnMayEndWhileACommitIsUnderWay(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	p.finish(p.run(1), nil)
	p.submit()
	require.Equal(t, StepWait, p.Next(t.Context(), p.now, Finish).Kind)
	p.run(2)
}

func TestNothingIsHandledBesideACommitThatIsAlone(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	p.finish(p.run(1), nil)
	p.step(StepCommit)
	require.NotNil(t, Submit(p.Worker, false))
	for _, intake := range []Intake{Take, Finish, Take} { // until the answer
		require.Equal(t, StepAnswer, p.Next(t.Context(), p.now, intake).Kind)
	}
	p.Operate()
	p.Persist()
	require.Equal(t, 1, p.answer())
	p.step(StepOperate)
}

func TestWhatIsHandledAheadIsDroppedWhereTheCommitBeforeIsRefusedAndIsNoAttempt(t *testing.T) {
	for name, end := range map[string]func(*fakeTask){
		"fine":     func(*fakeTask) {},
		"failure":  func(task *fakeTask) { task.err = failure(2) },
		"stop":     func(task *fakeTask) { task.action = cursor.Stop },
		"rollback": func(task *fakeTask) { task.action = cursor.StopWithRollback },
	} {
		t.Run(name, func(t *testing.T) {
			p, task := handlesAhead(t, 2)
			end(task)
			p.Finished(task)
			room := p.full()
			require.Zero(t, p.answer())
			require.True(t, p.expect(UpdateFailed).Failure.NoAttempt, "there is no room")
			require.Equal(t, 1, p.engine.dropped)
			require.Equal(t, workerWaiting, p.phase)
			room()
			p.decide(Decision{Action: supervision.ActionRetry})
			p.commit()
			p.expect(UpdatePassed)
			require.True(t, p.engine.done[1])
			p.finish(p.run(2), nil)
			p.step(StepCommit)
			require.True(t, Submit(p.Worker, true).Alone(), "for a while it handles one after the other")
		})
	}
}

// panicsAhead is a worker whose handler has panicked at event 2, while event 1 is written.
func panicsAhead(t *testing.T) *play {
	p, task := handlesAhead(t, 3)
	p.finish(task, panicAt(2))
	return p
}

// crashes wants the panic of a batch that was dropped to be reported, and nothing to be handled
// after it.
func (p *play) crashes() {
	p.t.Helper()
	u := p.expect(UpdateFailed)
	require.True(p.t, u.Failure.Panic)
	require.Zero(p.t, u.Failure.Event, "no attempt at an event")
	require.Zero(p.t, u.First)
	require.ErrorIs(p.t, u.Failure.Err, errBroken)
	require.ErrorContains(p.t, u.Failure.Err, "at event 2")
	require.Equal(p.t, workerLeaving, p.phase)
	p.step(StepWait)
	p.Drain(false)
	p.step(StepFlush)
	require.NoError(p.t, p.Flush(p.t.Context(), p.now, 0))
	p.step(StepDrained)
	require.Equal(p.t, 1, p.engine.dropped)
}

func TestAPanicAheadEndsTheIncarnationAlsoWhereTheCommitBeforeIsRefused(t *testing.T) {
	t.Run("for want of room", func(t *testing.T) {
		p := panicsAhead(t)
		room := p.full()
		require.Zero(t, p.answer())
		require.True(t, p.expect(UpdateFailed).Failure.NoAttempt, "there is no room")
		p.step(StepWait)
		p.decide(Decision{Action: supervision.ActionRetry, Delay: time.Minute, Reason: store.ErrDiskFull})
		require.Equal(t, p.now.Add(time.Minute), p.step(StepWait).Until)
		require.Equal(t, Retrying, p.State())
		room()
		p.now = p.now.Add(time.Minute)
		p.commit()
		p.expect(UpdatePassed)
		require.True(t, p.engine.done[1], "it is written before")
		p.crashes()
	})
	t.Run("and another try succeeds", func(t *testing.T) {
		p := panicsAhead(t)
		p.engine.refuseOnce = true
		require.Equal(t, 1, p.answer())
		p.crashes()
		require.True(t, p.engine.done[1])
	})
	t.Run("for a race", func(t *testing.T) {
		p := panicsAhead(t)
		p.engine.raced[1] = true
		require.Zero(t, p.answer())
		p.crashes()
		require.Equal(t, []store.Position{1, 2, 3}, p.engine.undone(), "the next incarnation handles both")
	})
	t.Run("and an operator pauses it", func(t *testing.T) {
		p := panicsAhead(t)
		p.engine.raced[1] = true
		p.Operate()
		require.Zero(t, p.answer())
		p.step(StepOperate)
		p.operated(Operation{Pause: &checkpoint.Pause{}})
		p.crashes()
	})
}

func TestAPanicAheadOfARefusedCommitEndsNothingThatEndsAnyway(t *testing.T) {
	t.Run("a newer owner", func(t *testing.T) {
		p := panicsAhead(t)
		p.engine.commitErr = checkpoint.ErrFenced
		require.Zero(t, p.answer())
		d, halts := supervision.DirectiveOf(p.expect(UpdateFailed).Failure.Err)
		require.True(t, halts)
		require.Equal(t, supervision.ActionHalt, d.Action)
		p.step(StepWait)
		p.Drain(false)
		p.commit()
		p.expect(UpdateFailed)
		p.step(StepFlush)
		require.ErrorIs(t, p.Flush(t.Context(), p.now, 0), checkpoint.ErrFenced)
		p.step(StepDrained)
	})
	t.Run("a store that failed", func(t *testing.T) {
		p := panicsAhead(t)
		p.engine.commitErr = errors.Join(store.ErrPoisoned, store.ErrOutcomeUnknown)
		require.Zero(t, p.answer())
		p.expect(UpdateStoreFailed)
		p.step(StepWait)
		require.Equal(t, workerClosing, p.phase)
	})
	for name, order := range map[string]func(*play){
		"close": func(p *play) { p.CloseIntake() }, "drain": func(p *play) { p.Drain(false) }, "drain for good": func(p *play) { p.Drain(true) },
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " late: ", late), func(t *testing.T) {
				p := panicsAhead(t)
				room := p.full()
				if !late {
					order(p)
				}
				require.Zero(t, p.answer())
				require.True(t, p.expect(UpdateFailed).Failure.NoAttempt, "there is no room")
				if late {
					order(p)
				}
				room()
				p.Drain(true)
				p.commit()
				require.True(t, p.engine.done[1])
				p.step(StepFlush)
				require.NoError(t, p.Flush(t.Context(), p.now, 0))
				p.step(StepDrained)
				require.Empty(t, p.unsettled.failures, "no attempt at an event")
			})
		}
	}
}

func TestWhatFailsAheadIsReportedOnceTheCommitBeforeIsAnswered(t *testing.T) {
	p, task := handlesAhead(t, 2)
	p.finish(task, failure(2))
	require.Equal(t, 1, p.answer())
	p.commit()
	require.Equal(t, store.Position(2), p.expect(UpdateFailed).First)
}

func TestACommitUnderWayIsAnsweredBeforeAnythingElseBegins(t *testing.T) {
	for name, order := range map[string]struct {
		give func(*play)
		then StepKind
	}{
		"operate": {func(p *play) { p.Operate() }, StepOperate},
		"drain":   {func(p *play) { p.Drain(false) }, StepFlush},
		"close":   {func(p *play) { p.CloseIntake() }, StepWait},
		"flush":   {func(p *play) { p.flushing = true }, StepFlush},
	} {
		t.Run(name, func(t *testing.T) {
			p := beginPlay(t, Incarnation{}, 2)
			p.finish(p.run(1), nil)
			p.submit()
			order.give(p)
			require.Equal(t, 1, p.answer())
			p.step(order.then)
		})
		t.Run(name+" beside a handler", func(t *testing.T) {
			p, task := handlesAhead(t, 2)
			order.give(p)
			p.step(StepWait)
			p.finish(task, nil)
			require.Equal(t, 1, p.answer())
			p.commit()
			p.step(order.then)
			require.Len(t, p.engine.done, 2, "what was handled is written")
		})
	}
}

func TestNothingIsHandledAheadInTrouble(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 3)
	p.finish(p.run(1), failure(1))
	p.commit()
	p.expect(UpdateFailed)
	p.decide(Decision{First: 1, Action: supervision.ActionRetry})
	p.finish(p.run(1), nil)
	require.Nil(t, p.submit())
	p.Commit(t.Context(), p.now)
	p.expect(UpdatePassed)
	p.finish(p.run(2), nil)
	require.NotNil(t, p.submit())
}

func TestAStopBeforeIsObeyedBeforeTheNextBatch(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	task := p.run(1)
	task.action = cursor.Stop
	p.finish(task, nil)
	require.Nil(t, p.submit())
}
