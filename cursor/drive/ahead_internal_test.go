package drive

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// submit wants the next step to be a commit, and begins it.
func (p *play) submit() Submission {
	p.t.Helper()
	p.step(StepCommit)
	return Submit(p.Worker)
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

func TestWhatIsHandledAheadIsDroppedWhereTheCommitBeforeIsRefusedAndIsNoAttempt(t *testing.T) {
	for name, end := range map[string]func(*fakeTask){
		"fine":    func(*fakeTask) {},
		"failure": func(task *fakeTask) { task.err = failure(2) },
		"panic":   func(task *fakeTask) { task.err = panicAt(2) },
		"stop":    func(task *fakeTask) { task.action = cursor.Stop },
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
			require.Nil(t, Submit(p.Worker), "for a while it handles one after the other")
		})
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
