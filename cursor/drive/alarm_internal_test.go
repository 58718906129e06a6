package drive

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func TestWhatIsDueIsWrittenInTurnsWithBatches(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 2)
	p.engine.alarms = []time.Time{p.now, p.now, p.now, p.now.Add(time.Minute)}
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	p.finish(p.run(1), nil)
	p.commit()
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	p.finish(p.run(2), nil)
	p.commit()
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	p.step(StepPull)
	require.Equal(t, p.now.Add(time.Minute), p.step(StepWait).Until)
	p.now = p.now.Add(time.Minute)
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	require.Zero(t, p.step(StepWait).Until)
}

func TestAWorkerThatIsPausedOrAboutToEndWritesNothingThatIsDue(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 0)
	p.engine.alarms = []time.Time{p.now.Add(time.Second)}
	p.step(StepPull)
	p.step(StepWait)
	p.now = p.now.Add(time.Second)
	p.Operate()
	p.step(StepForget)
	p.step(StepOperate)
	p.Operated(t.Context(), p.now, Operation{Pause: &checkpoint.Pause{Until: p.now.Add(time.Hour)}})
	require.Equal(t, p.now.Add(time.Hour), p.step(StepWait).Until)
	p.Drain(true)
	p.step(StepFlush)
}

func TestWhatCannotBeWrittenWhenItIsDueIsTriedAgainLikeACommit(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 0)
	p.engine.alarms = []time.Time{p.now}
	p.engine.ringErr = errors.Join(store.ErrDiskFull)
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	u := p.expect(UpdateFailed)
	require.True(t, u.Failure.NoAttempt)
	p.step(StepWait)
	p.engine.ringErr = nil
	p.Decide(p.now, Decision{Serial: u.Serial, Delay: time.Second})
	require.Equal(t, p.now.Add(time.Second), p.step(StepWait).Until)
	p.now = p.now.Add(time.Second)
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	p.expect(UpdatePassed)
	p.step(StepPull)
}

func TestAWorkerThatWasFencedHaltsWhenSomethingIsDue(t *testing.T) {
	p := beginPlay(t, Incarnation{}, 0)
	p.engine.alarms = []time.Time{p.now}
	p.engine.ringErr = checkpoint.ErrFenced
	p.step(StepRing)
	Ring(t.Context(), p.Worker, p.now)
	require.ErrorIs(t, p.expect(UpdateFailed).Failure.Err, checkpoint.ErrFenced)
}
