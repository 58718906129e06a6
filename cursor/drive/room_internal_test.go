package drive

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errFull = &cursor.RunnerError{Worker: "w", Err: cursor.ErrParkLimit, Event: 3, Reason: errBroken}

func TestAWorkerThatHasNoRoomHandlesWhatWasReadAndReadsOnOnceThereIs(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 3)
	p.engine.ready, p.engine.scanned, p.engine.fillErr = []store.Position{1, 2}, 2, errFull
	one := p.run(1)
	require.Equal(t, error(errFull), p.expect(UpdateFull).Err)
	p.finish(one, nil)
	p.commit()
	p.finish(p.run(2), nil)
	p.commit()
	p.step(StepWait)
	require.Equal(t, Full, p.State())
	require.Equal(t, error(errFull), p.Trouble())
	require.True(t, p.Due().IsZero(), "only what is replayed or discarded makes room")
	p.Operate()
	p.step(StepOperate)
	p.operated(Operation{})
	p.step(StepWait)
	require.Equal(t, Full, p.State(), "and this order did not")
	p.Operate()
	p.step(StepOperate)
	p.engine.fillErr = nil
	p.operated(Operation{})
	p.finish(p.run(3), nil)
	p.commit()
	p.step(StepPull)
	require.Equal(t, Idle, p.State())
}

func TestAVerdictThatCannotBeCarriedOutForWantOfRoomIsPutOff(t *testing.T) {
	for _, panics := range []bool{false, true} {
		p := beginPlay(t, Incarnation{Policy: &supervision.Policy{Backoff: supervision.Backoff{Max: time.Minute}}}, 1)
		p.engine.parkErr = errFull
		p.finish(p.run(1), failure(1))
		p.commit()
		p.Decide(p.now, Decision{
			First: 1, Serial: p.expect(UpdateFailed).Serial, Action: supervision.ActionPark, Reason: errBroken, Attempt: 3,
			Restart: panics,
		})
		update := p.expect(UpdatePutOff)
		require.Equal(t, store.Position(1), update.Event)
		require.Equal(t, []any{time.Minute, 3}, []any{update.Decision.Delay, update.Decision.Attempt})
		require.ErrorIs(t, update.Decision.Reason, cursor.ErrParkLimit)
		require.ErrorIs(t, update.Decision.Reason, errBroken)
		if panics {
			require.Equal(t, time.Minute, p.expect(UpdateRestart).Decision.Delay)
			continue
		}
		p.step(StepPull)
		require.Equal(t, p.now.Add(time.Minute), p.step(StepWait).Until)
		require.Equal(t, Retrying, p.State())
		p.now = p.now.Add(time.Minute)
		p.finish(p.run(1), nil)
		p.commit()
		p.expect(UpdatePassed)
	}
}

func TestAnEventWhoseVerdictWasPutOffGetsTheSameOneAtItsNextFailure(t *testing.T) {
	w := running(t, "t(a)")
	failed := Update{Kind: UpdateFailed, Failure: supervision.Failure{Err: errBroken, Event: 3}, First: 3}
	for range 3 {
		w.report(0, failed)
	}
	for n := range 3 {
		d := w.asked[0][len(w.asked[0])-1]
		require.Equal(t, []any{supervision.ActionPark, 3}, []any{d.Action, d.Attempt}, n)
		w.report(0, Update{Kind: UpdatePutOff, Event: 3, Decision: d})
		w.report(0, failed)
	}
	parked := func(e Effect) bool { return e.Note == NoteVerdict && e.Decision.Action == supervision.ActionPark }
	require.False(t, slices.ContainsFunc(w.notes, parked), "it is not parked")
	w.report(0, Update{Kind: UpdateDecided, Decision: Decision{First: 3, Action: supervision.ActionPark, Reason: errors.New("x")}})
	require.True(t, slices.ContainsFunc(w.notes, parked))
}

func TestAWorkerThatCannotParkAfterAPanicComesBackLater(t *testing.T) {
	w := running(t, "t(a)")
	w.report(0, Update{Kind: UpdateRestart, Decision: Decision{Delay: time.Minute, Reason: errFull}})
	w.settle()
	require.Equal(t, begun.Add(time.Minute), w.now)
	require.Equal(t, 2, w.actors[0].starts)
}
