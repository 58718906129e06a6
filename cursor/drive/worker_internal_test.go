package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// play drives a worker by hand. Its clock moves only where a test moves it.
type play struct {
	*Worker
	t      *testing.T
	engine *fakeEngine
	now    time.Time
	serial map[store.Position]uint64 // of the latest report about an event
}

// beginPlay plays a worker that has begun over a log with some events.
func beginPlay(t *testing.T, of Incarnation, events store.Position) *play {
	p := &play{
		Worker: NewWorker(of), t: t, engine: newFake(t, of.Lanes, events), now: begun,
		serial: make(map[store.Position]uint64),
	}
	p.Acquired(p.engine, nil)
	p.expect(UpdateAcquired)
	p.Begin()
	return p
}

func (p *play) next() Step { return p.Next(context.Background(), p.now, Take) }

// step wants the next step to be of a kind.
func (p *play) step(kind StepKind) Step {
	p.t.Helper()
	step := p.next()
	require.Equal(p.t, kind.String(), step.Kind.String(), "%+v in %s", step.Update, p.phase)
	return step
}

// expect wants the next step to be an update of a kind.
func (p *play) expect(kind UpdateKind) *Update {
	p.t.Helper()
	update := p.step(StepReport).Update
	require.Equal(p.t, kind, update.Kind)
	p.serial[update.First] = update.Serial
	return update
}

// decide answers the latest report about an event.
func (p *play) decide(d Decision) {
	d.Serial = p.serial[d.First]
	p.Decide(p.now, d)
}

// run wants the next step to be a batch with an event.
func (p *play) run(event store.Position) *fakeTask {
	p.t.Helper()
	task := p.step(StepRun).Task.(*fakeTask)
	require.Equal(p.t, event, task.event)
	return task
}

// finish has a task end with an error, or none.
func (p *play) finish(task *fakeTask, err error) {
	task.err = err
	p.Finished(task)
}

// commit wants the next step to be a commit, and does it.
func (p *play) commit() {
	p.t.Helper()
	p.step(StepCommit)
	p.Commit(context.Background(), p.now)
}

func (p *play) operated(o Operation) { p.Operated(context.Background(), p.now, o) }

// full lets commits fail for want of room, until the function that is returned is called.
func (p *play) full() (room func()) {
	p.engine.commitErr = store.ErrDiskFull
	return func() { p.engine.commitErr = nil }
}

// waitsForRoom has the worker's next commit refused, and a delay of a minute decided.
func (p *play) waitsForRoom() {
	p.t.Helper()
	p.commit()
	require.True(p.t, p.expect(UpdateFailed).Failure.NoAttempt)
	p.decide(Decision{Action: supervision.ActionRetry, Delay: time.Minute, Reason: store.ErrDiskFull})
}

func TestAWorkerHandlesOneBatchAfterTheOtherAndThenPulls(t *testing.T) {
	p := beginPlay(t, Incarnation{Later: true}, 2)
	p.finish(p.run(1), nil)
	require.Equal(t, Running, p.State())
	p.commit()
	p.expect(UpdateRecovered)
	p.finish(p.run(2), nil)
	p.commit()
	p.step(StepPull)
	require.Equal(t, Idle, p.State())
	p.step(StepWait)
	p.engine.head = 3
	p.Available(3)
	p.run(3)
	p.step(StepWait)
}

func TestLanesAreFilledWhileOthersAreInFlightAndShareACommit(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 3)
	one, two := p.run(1), p.run(2)
	require.Equal(t, StepPull, p.Next(t.Context(), p.now, ReadAhead).Kind)
	p.finish(one, nil)
	p.step(StepCommit)
	three := p.run(3) // before the commit that was ordered
	p.finish(two, nil)
	require.Equal(t, 2, p.Commit(t.Context(), p.now))
	p.step(StepWait)
	require.Equal(t, Running, p.State())
	p.finish(three, nil)
	p.commit()
	p.step(StepWait)
	require.Equal(t, Idle, p.State())
}

func TestAFinishedTurnTakesNoBatchAndReadsNothing(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	p.finish(p.run(1), nil)
	p.commit()
	require.Equal(t, StepWait, p.Next(t.Context(), p.now, Finish).Kind)
	p.run(2)
}

func TestAFailureIsReportedWhenWhatWasHandledBeforeItIsWritten(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, nil)
	p.finish(two, failure(2))
	room := p.full()
	p.commit()
	require.Equal(t, store.Position(0), p.expect(UpdateFailed).First)
	p.step(StepWait)
	p.decide(Decision{Action: supervision.ActionRetry, Delay: time.Minute, Reason: store.ErrDiskFull})
	require.Equal(t, p.now.Add(time.Minute), p.step(StepWait).Until)
	require.Equal(t, Retrying, p.State())
	room()
	p.now = p.now.Add(time.Minute)
	p.commit()
	p.expect(UpdatePassed)
	update := p.expect(UpdateFailed)
	require.Equal(t, store.Position(2), update.First)
	require.Equal(t, uint64(2), update.Failure.Event)
}

// Whatever causes a commit while there is no room, the failure that waits for it is reported.
func TestNothingThatCommitsLosesAFailureThatWaits(t *testing.T) {
	causes := map[string]func(p *play){
		"an operator": func(p *play) {
			p.Operate()
			p.commit()
			p.expect(UpdatePassed)
			p.expect(UpdateFailed)
			p.step(StepForget)
			require.NoError(p.t, p.step(StepOperate).Err)
		},
		"a new segment": func(p *play) {
			p.Persist()
			p.step(StepWait) // until there is room
			p.now = p.now.Add(time.Minute)
			p.commit()
			p.expect(UpdatePassed)
			p.expect(UpdateFailed)
		},
		"an order to drain": func(p *play) {
			p.Drain(false)
			p.commit()
			p.expect(UpdatePassed)
			p.expect(UpdateFailed)
			p.step(StepFlush)
		},
		"the end of the system": func(p *play) {
			p.CloseIntake()
			p.step(StepWait)
			p.Drain(true)
			p.commit()
			p.expect(UpdatePassed)
			p.expect(UpdateFailed)
			p.step(StepFlush)
		},
	}
	for name, cause := range causes {
		t.Run(name, func(t *testing.T) {
			p := beginPlay(t, Incarnation{Lanes: 2}, 2)
			one, two := p.run(1), p.run(2)
			p.step(StepPull)
			p.finish(one, nil)
			p.finish(two, failure(2))
			room := p.full()
			p.waitsForRoom()
			p.step(StepWait)
			room()
			cause(p)
			require.True(t, p.engine.done[1])
		})
	}
}

func TestALostRaceThatACommitForAnOperatorMeetsIsHandledAgain(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.finish(p.run(1), nil)
	room := p.full()
	p.waitsForRoom()
	room()
	p.engine.raced[1] = true
	p.Operate()
	p.commit()
	p.step(StepOperate)
	p.operated(Operation{Pause: &checkpoint.Pause{}})
	p.step(StepWait)
	require.Equal(t, Paused, p.State())
	p.Operate()
	p.step(StepOperate)
	p.operated(Operation{})
	require.Equal(t, workerWaiting, p.phase)
	p.now = p.now.Add(time.Minute)
	p.finish(p.run(1), nil)
	p.commit()
	p.expect(UpdatePassed)
}

func TestAnOperatorIsAnsweredWithTheReasonWhyNothingCanBeWritten(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.finish(p.run(1), nil)
	p.full()
	p.waitsForRoom()
	p.Operate()
	p.commit()
	require.ErrorIs(t, p.step(StepOperate).Err, store.ErrDiskFull)
	p.operated(Operation{})
	p.step(StepWait)
	require.Equal(t, workerWaiting, p.phase)
}

func TestAPauseThatIsOverEndsAlsoWhenThatCannotBeWritten(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.Operate()
	p.step(StepOperate)
	p.operated(Operation{Pause: &checkpoint.Pause{Until: p.now.Add(time.Hour)}})
	require.Equal(t, p.now.Add(time.Hour), p.step(StepWait).Until)
	p.now = p.now.Add(time.Hour)
	require.NoError(t, p.step(StepUnpause).Err)
	p.operated(Operation{})
	p.run(1)
}

func TestAPauseIsOrderedBeforeACrashIsReported(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, panicAt(1))
	p.Operate()
	p.step(StepCommit)
	p.step(StepWait) // for the other lane
	p.finish(two, nil)
	p.Commit(t.Context(), p.now)
	p.step(StepOperate)
	p.operated(Operation{Pause: &checkpoint.Pause{}})
	require.True(t, p.expect(UpdateFailed).Failure.Panic)
	require.Equal(t, workerLeaving, p.phase)
	p.Drain(false)
	p.step(StepFlush)
	require.NoError(t, p.Flush(t.Context(), p.now, 0))
	p.step(StepDrained)
	p.step(StepWait)
}

func TestEachPanicIsChargedToItsOwnEventAndOneEndsTheIncarnation(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 3}, 3)
	one, two, three := p.run(1), p.run(2), p.run(3)
	p.finish(two, panicAt(2))
	p.finish(one, panicAt(1))
	p.finish(three, nil)
	p.commit()
	first := p.expect(UpdateFailed)
	require.Equal(t, uint64(1), first.Failure.Event)
	require.False(t, first.Failure.Panic)
	crash := p.expect(UpdateFailed)
	require.Equal(t, uint64(2), crash.Failure.Event)
	require.True(t, crash.Failure.Panic)
	p.decide(Decision{First: 2, Action: supervision.ActionPark, Reason: errBroken, Restart: true})
	p.commit()
	require.Equal(t, store.Position(2), p.expect(UpdateDecided).First)
	p.expect(UpdateRestart)
	require.Equal(t, []store.Position{2}, p.engine.parked)
}

func TestAnEndIsReportedOnceAndOutlastsAnOrderToDrain(t *testing.T) {
	for _, when := range []string{"alone", "drained before", "drained after", "drained for good"} {
		t.Run(when, func(t *testing.T) {
			p := beginPlay(t, Incarnation{}, 2)
			task := p.run(1)
			task.action = cursor.Stop
			if when == "drained before" {
				p.Drain(false)
			}
			p.Finished(task)
			if when == "drained after" || when == "drained for good" {
				p.Drain(when == "drained for good")
			}
			p.commit()
			if when != "drained for good" {
				p.expect(UpdateEnded)
			}
			if when == "alone" {
				p.step(StepWait)
				p.Drain(false)
			}
			p.step(StepFlush)
			require.NoError(t, p.Flush(t.Context(), p.now, 0))
			p.step(StepDrained)
			p.step(StepWait)
			require.True(t, p.engine.done[1])
		})
	}
}

func TestLanesThatEndAtTheSameTimeEndTheWorkerOnce(t *testing.T) {
	for _, drained := range []bool{false, true} {
		p := beginPlay(t, Incarnation{Lanes: 3}, 3)
		tasks := []*fakeTask{p.run(1), p.run(2), p.run(3)}
		for i, task := range tasks {
			task.action = cursor.Stop
			if drained && i == 1 {
				p.Drain(false)
			}
			p.Finished(task)
		}
		p.commit()
		p.expect(UpdateEnded)
		if !drained {
			p.step(StepWait)
			p.Drain(false)
		}
		p.step(StepFlush)
		require.NoError(t, p.Flush(t.Context(), p.now, 0))
		p.step(StepDrained)
		p.step(StepWait)
	}
}

func TestAnEndWaitsForTheCommitOfItsBatch(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	task := p.run(1)
	task.action = cursor.Stop
	p.Finished(task)
	room := p.full()
	p.waitsForRoom()
	p.step(StepWait)
	room()
	p.now = p.now.Add(time.Minute)
	p.commit()
	p.expect(UpdatePassed)
	p.expect(UpdateEnded)
	require.True(t, p.engine.done[1])
}

func TestWithoutRoomAWorkerDrainsAllTheSame(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.finish(p.run(1), nil)
	p.full()
	p.Drain(false)
	p.commit()
	p.expect(UpdateFailed)
	p.step(StepFlush)
	require.ErrorIs(t, p.Flush(t.Context(), p.now, 0), store.ErrDiskFull)
	p.step(StepDrained)
	require.Empty(t, p.engine.calls, "a commit of another hand")
}

func TestALackOfRoomIsReportedOnceHoweverManyLanesMeetIt(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, nil)
	room := p.full()
	p.commit()
	p.expect(UpdateFailed)
	p.finish(two, nil)
	p.step(StepWait)
	p.decide(Decision{Action: supervision.ActionRetry, Delay: time.Minute, Reason: store.ErrDiskFull})
	room()
	p.now = p.now.Add(time.Minute)
	p.commit()
	p.expect(UpdatePassed)
	p.step(StepPull)
	require.Empty(t, p.engine.undone())
}

func TestAnAcquisitionIsTriedAgainAfterTheDelayThatIsDecided(t *testing.T) {
	w := NewWorker(Incarnation{})
	now := time.Now()
	require.Equal(t, StepAcquire, w.Next(t.Context(), now, Take).Kind)
	w.Refused(store.ErrDiskFull)
	update := w.Next(t.Context(), now, Take).Update
	require.ErrorIs(t, update.Err, store.ErrDiskFull)
	require.Equal(t, StepWait, w.Next(t.Context(), now, Take).Kind)
	w.Decide(now, Decision{Serial: update.Serial, Action: supervision.ActionRetry, Delay: time.Second, Reason: store.ErrDiskFull})
	require.Equal(t, now.Add(time.Second), w.Next(t.Context(), now, Take).Until)
	require.Equal(t, Retrying, w.State())
	require.Equal(t, StepAcquire, w.Next(t.Context(), now.Add(time.Second), Take).Kind)
	w.Refused(store.ErrDiskFull)
	w.Drain(false)
	require.Equal(t, StepReport, w.Next(t.Context(), now, Take).Kind)
	require.Equal(t, StepDrained, w.Next(t.Context(), now, Take).Kind)
	require.Equal(t, StepWait, w.Next(t.Context(), now, Take).Kind)
}

func TestAnAcquisitionThatAStopCutsShortIsNoFailure(t *testing.T) {
	w := NewWorker(Incarnation{})
	require.Equal(t, StepAcquire, w.Next(t.Context(), time.Now(), Take).Kind)
	w.Refused(nil)
	require.Equal(t, StepWait, w.Next(t.Context(), time.Now(), Take).Kind, "nothing is reported, or tried again")
	w.Drain(true)
	require.Equal(t, StepDrained, w.Next(t.Context(), time.Now(), Take).Kind)
}

func TestAPausedWorkerBeginsWithItsPause(t *testing.T) {
	w := NewWorker(Incarnation{})
	w.Acquired(newFake(t, 1, 1), &checkpoint.Pause{})
	require.Equal(t, StepReport, w.Next(t.Context(), time.Now(), Take).Kind)
	require.Equal(t, StepWait, w.Next(t.Context(), time.Now(), Take).Kind)
	require.Equal(t, Starting, w.State())
	w.Begin()
	require.Equal(t, StepWait, w.Next(t.Context(), time.Now(), Take).Kind)
	require.Equal(t, Paused, w.State())
}

func TestADecisionAboutAnEventThatNoLongerWaitsIsNotCarriedOut(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.finish(p.run(1), failure(1))
	p.commit()
	p.expect(UpdateFailed)
	p.Operate()
	p.step(StepOperate)
	p.engine.failed, p.engine.ready = make(map[store.Position]bool), []store.Position{1} // it was sent back
	p.operated(Operation{Moved: true})
	p.expect(UpdateMoved)
	p.decide(Decision{First: 1, Action: supervision.ActionPark, Reason: errBroken, Restart: true})
	p.expect(UpdateRestart)
	require.Empty(t, p.engine.parked)
	p.run(1)
}

func TestABatchWithoutANamedEventIsHalvedInPlaceAndAfterAPanicByAnother(t *testing.T) {
	p := beginPlay(t, Incarnation{Limit: 7}, 1)
	whole := failure(1)
	whole.Event, whole.Size = 0, 9
	p.finish(p.run(1), whole)
	p.commit()
	require.Equal(t, 4, p.expect(UpdateHalved).Limit)
	whole.Err = supervision.RetryAfter(time.Minute, errBroken)
	p.finish(p.run(1), whole)
	p.commit()
	p.expect(UpdateHalved)
	p.step(StepPull)
	require.Equal(t, Retrying, p.State())
	p.now = p.now.Add(time.Minute)
	whole.Panic = true
	p.finish(p.run(1), whole)
	p.commit()
	require.Equal(t, 4, p.expect(UpdateHalve).Limit)
	require.Equal(t, workerLeaving, p.phase)
}

func TestFreeRacesAreNoAttempt(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	for range freeRaces {
		p.finish(p.run(1), nil)
		p.engine.raced[1] = true
		p.commit()
	}
	p.finish(p.run(1), nil)
	p.engine.raced[1] = true
	p.commit()
	require.Equal(t, uint64(1), p.expect(UpdateFailed).Failure.Event)
}

func TestEachOfSeveralRacesOfOneCommitIsHandledAgain(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, nil)
	p.finish(two, nil)
	p.engine.raced[1], p.engine.raced[2] = true, true
	p.commit()
	p.commit()
	p.run(2)
	p.run(1)
}

func TestACrashIsReportedOnceThereIsRoomForWhatWasHandledBefore(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, nil)
	p.finish(two, panicAt(2))
	room := p.full()
	p.waitsForRoom()
	p.step(StepWait)
	room()
	p.now = p.now.Add(time.Minute)
	p.commit()
	p.expect(UpdatePassed)
	require.True(t, p.expect(UpdateFailed).Failure.Panic)
	require.True(t, p.engine.done[1])
}

func TestAnEventThatAnOperatorSkippedIsNotWaitedFor(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.finish(p.run(1), failure(1))
	p.commit()
	p.expect(UpdateFailed)
	p.decide(Decision{First: 1, Action: supervision.ActionRetry, Delay: time.Hour, Reason: errBroken})
	p.step(StepPull)
	require.Equal(t, Retrying, p.State())
	p.Operate()
	p.step(StepForget)
	p.step(StepOperate)
	require.NoError(t, p.engine.Skip(1, nil, 0))
	p.engine.extra = 0
	p.operated(Operation{})
	p.step(StepPull)
	require.True(t, p.step(StepWait).Until.IsZero())
	require.Equal(t, Idle, p.State())
}

func TestAnOrderThatMeetsANewerOwnerHaltsTheWorker(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	p.Operate()
	p.step(StepOperate)
	p.operated(Operation{Err: checkpoint.ErrFenced})
	d, _ := supervision.DirectiveOf(p.expect(UpdateFailed).Failure.Err)
	require.Equal(t, supervision.ActionHalt, d.Action)
	p.step(StepWait)
}

func TestAFailedStoreClosesTheIntake(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	p.engine.fillErr = store.ErrClosed
	p.expect(UpdateStoreFailed)
	p.step(StepWait)
	require.Equal(t, Stopped, p.State())
}

func TestWhatIsCancelledIsNotRecorded(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.engine.fillErr = ctx.Err()
	require.Equal(t, StepWait, p.Next(ctx, p.now, Take).Kind)
	p.engine.fillErr = nil
	p.finish(p.run(1), ctx.Err())
	p.commit()
	p.run(1)
}

func TestAnIdleWorkerWritesHowFarItHasRead(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 0)
	p.Persist()
	p.step(StepPull)
	p.Persist()
	p.step(StepFlush)
	require.NoError(t, p.Flush(t.Context(), p.now, 0))
	require.Equal(t, []string{"flush"}, p.engine.calls)
	p.step(StepWait)
}

// Random histories: whatever happens in whatever order, nothing is committed but by Commit, nothing
// is taken where nothing may be, no failure is forgotten, and a drain always ends.
func TestNoHistoryOfAWorkerForgetsAnEvent(t *testing.T) {
	for seed := range uint64(5000) {
		if t.Failed() {
			return
		}
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { newHistory(t, seed).run() })
	}
}

// Some moves can only be seen in random histories, and all that are drawn must be.
func TestEachMoveOfAWorkerHappensInSomeHistory(t *testing.T) {
	seen, beside := make(map[[2]workerPhase]bool), 0
	for seed := range uint64(5000) {
		w := newHistory(t, seed)
		w.seen = seen
		w.run()
		beside += w.beside
	}
	require.Greater(t, beside, 20, "panics beside a commit that was refused")
	for from, follows := range workerTable {
		for to := range follows {
			require.True(t, seen[[2]workerPhase{from, to}], "%s to %s", from, to)
		}
	}
}

var errCancelled = errors.New("cancelled")

func TestAPanicThatMeetsADrainIsAnAttempt(t *testing.T) {
	p := beginPlay(t, Incarnation{Lanes: 2}, 2)
	one, two := p.run(1), p.run(2)
	p.finish(one, panicAt(1))
	p.Drain(false)
	p.finish(two, panicAt(2))
	p.commit()
	var events []uint64
	for range 2 {
		update := p.expect(UpdateFailed)
		require.False(t, update.Failure.Panic)
		events = append(events, update.Failure.Event)
	}
	slices.Sort(events)
	require.Equal(t, []uint64{1, 2}, events)
	p.step(StepFlush)
}
