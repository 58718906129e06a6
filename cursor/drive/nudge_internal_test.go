package drive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestANudgeHasAnEventTriedAtOnceWhichCountsForNothing(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 1, supervision.Policy{
			Attempts: 3, Backoff: supervision.Backoff{Initial: time.Hour, Max: time.Hour}, Outage: supervision.OutagePolicy{Off: true},
		})
		down := true
		s.down = func(store.Position) bool { return down }
		s.settle()
		for i := range 10 {
			Nudge(s.w, s.now, "another")
			s.settle()
			require.Equal(t, 1+i, s.calls)
			Nudge(s.w, s.now, "1")
			Nudge(s.w, s.now, "1")
			s.settle()
			require.Equal(t, 2+i, s.calls)
		}
		s.advance(59 * time.Minute)
		require.Equal(t, 11, s.calls)
		s.advance(2 * time.Minute)
		require.Equal(t, 12, s.calls, "the delay is what it was")
		down = false
		Nudge(s.w, s.now, "1")
		s.settle()
		require.Equal(t, 13, s.calls)
		require.Len(t, s.engine.done, 1)
		require.Empty(t, s.engine.parked)
		Nudge(s.w, s.now, "1")
		s.settle()
		require.Equal(t, 13, s.calls)
	}
}

func TestWhatAHandlerSaysWhenItIsNudgedIsObeyed(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(f *cursor.HandlerError)
		kind  UpdateKind
	}{
		"parks":  {func(f *cursor.HandlerError) { f.Err = supervision.Park(errBroken) }, UpdateFailed},
		"panics": {func(f *cursor.HandlerError) { f.Panic = true }, UpdateFailed},
	} {
		t.Run(name, func(t *testing.T) {
			p := beginPlay(t, Incarnation{Lanes: 1}, 1)
			p.finish(p.step(StepRun).Task.(*fakeTask), failure(1))
			p.step(StepCommit)
			p.Commit(t.Context(), p.now)
			p.expect(UpdateFailed)
			p.decide(Decision{First: 1, Action: supervision.ActionRetry, Delay: time.Hour, Reason: errBroken})
			Nudge(p.Worker, p.now, "1")
			f := failure(1)
			c.fails(f)
			p.finish(p.step(StepRun).Task.(*fakeTask), f)
			p.step(StepCommit)
			p.Commit(t.Context(), p.now)
			p.expect(c.kind)
		})
	}
}
