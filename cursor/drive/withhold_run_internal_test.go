package drive

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Nothing tells many bad events in a row from an outage, before one that is good is tried.
func TestARunOfBadEventsIsPassedAndTheyAloneAreParkedInTheEnd(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, bad := range []store.Position{100, 1000} {
			s := newService(t, lanes, bad+20, supervision.Policy{Attempts: 2})
			s.engine.window = 64
			s.down = func(event store.Position) bool { return event <= bad }
			s.advance(time.Duration(bad+20) * time.Minute)
			for event := bad + 1; event <= bad+20; event++ {
				require.True(t, s.engine.done[event], "%d, lanes %d", event, lanes)
			}
			s.advance(time.Duration(bad) * 3 * time.Minute)
			require.Empty(t, s.engine.undone(), "lanes %d", lanes)
			require.Len(t, s.engine.parked, int(bad))
			require.Less(t, s.calls, 10*int(bad)+100)

			for range 4 {
				s.engine.head++
				s.w.Available(s.engine.head)
				s.advance(time.Duration(bad) * time.Minute)
				require.Len(t, s.engine.parked, int(bad))
				require.True(t, s.engine.done[s.engine.head])
			}
			require.Nil(t, s.w.doubts)
			require.Equal(t, Idle, s.w.State())
			require.Empty(t, s.judge.Failing())
		}
	}
}

func TestAnOutageOfAnyLengthParksNothingForGood(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 500, supervision.Policy{Attempts: 2, Backoff: supervision.Backoff{Initial: time.Second, Max: 4 * time.Second}})
		s.engine.window = 64
		down := true
		s.down = func(store.Position) bool { return down }
		s.advance(6 * time.Hour)
		require.Equal(t, Outage, s.w.State())
		require.Empty(t, s.engine.parked, "nothing speaks against them")
		down = false
		s.advance(time.Minute)
		require.Empty(t, s.engine.parked, "lanes %d", lanes)
		require.Len(t, s.engine.done, 500)
		require.Equal(t, 1, s.count(UpdateOutageOver))
	}
}

// One call goes through now and then, and those that follow do not.
func TestAnOutageThatIsInterruptedParksNothingForGood(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 60, supervision.Policy{})
		s.engine.window = 64
		luck := 0
		s.down = func(store.Position) bool {
			luck--
			return luck != 0
		}
		for range 4 {
			luck = 1
			s.advance(8 * time.Hour)
		}
		require.NotEmpty(t, s.engine.parked)
		for _, event := range s.engine.parked {
			require.True(t, s.engine.doubtful[event])
		}
		s.down = func(store.Position) bool { return false }
		s.advance(time.Hour)
		require.Empty(t, s.engine.parked, "lanes %d", lanes)
		require.Len(t, s.engine.done, 60)
	}
}

func TestWhereNothingElseCanBeTriedAPolicyThatSkipsDoesSo(t *testing.T) {
	s := newService(t, 1, 12, supervision.Policy{Exhausted: supervision.ActionSkip})
	s.engine.volatile = true
	s.down = func(event store.Position) bool { return event <= 10 }
	s.advance(5 * time.Minute)
	require.Empty(t, s.engine.done, "nor does it before others had some minutes to come back")
	s.advance(70 * time.Minute)
	require.Len(t, s.engine.done, 12)
	require.Equal(t, Idle, s.w.State())
	require.Empty(t, s.judge.Failing())
	require.Nil(t, s.w.doubts)
}

func TestAWorkerThatCanNeitherParkNorSkipWaitsForTheEndOfAnOutage(t *testing.T) {
	for _, policy := range []supervision.Policy{{}, {Exhausted: supervision.ActionHalt}} {
		s := newService(t, 4, 12, policy)
		s.engine.volatile = policy.Exhausted == 0
		down := true
		s.down = func(store.Position) bool { return down }
		s.advance(10 * time.Hour)
		require.Equal(t, Outage, s.w.State())
		require.Zero(t, s.count(UpdateDecided))
		down = false
		s.advance(time.Minute)
		require.Len(t, s.engine.done, 12)
	}
}

func TestAnEventForWhichThereIsNoRoomToParkWaitsForTheEndOfAnOutage(t *testing.T) {
	s := newService(t, 4, 12, supervision.Policy{})
	s.engine.parkErr = &cursor.RunnerError{Worker: "w", Err: cursor.ErrParkLimit}
	down := true
	s.down = func(store.Position) bool { return down }
	s.advance(10 * time.Hour)
	require.Equal(t, Outage, s.w.State())
	down = false
	s.advance(time.Minute)
	require.Len(t, s.engine.done, 12)
}

// With lanes others are handled beside a probe.
func TestAProbeThatFailsBesideASuccessIsRepeated(t *testing.T) {
	s := newService(t, 4, 2, supervision.Policy{Attempts: 3})
	s.engine.depends = func(store.Position) string { return "d" }
	down := true
	s.down = func(event store.Position) bool { return down && event == 1 }
	s.engine.head = 1
	s.advance(time.Second)
	require.Equal(t, []store.Position{1}, s.engine.parked)

	s.now = s.w.Due()
	step := s.w.Next(t.Context(), s.now, Take)
	require.Equal(t, StepRun, step.Kind)
	probe := step.Task.(*fakeTask)
	require.Equal(t, store.Position(1), probe.event)
	s.engine.head = 2
	s.w.Available(2)
	s.settle()
	require.True(t, s.engine.done[2])
	probe.err = ownFailure(1)
	s.w.Finished(probe)
	down = false
	s.advance(0)
	require.Empty(t, s.engine.parked, "it was tried again at once")
	require.Nil(t, s.w.doubts)
}

// asking returns an error that says when to call again.
func asking(event store.Position, err error) *cursor.HandlerError {
	f := failure(event)
	f.Err, f.Evidence = err, supervision.Evidence(err)
	return f
}

func TestInAnOutageAHandlerSaysWhenItIsCalledAgain(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 20, supervision.Policy{})
		s.down = func(store.Position) bool { return true }
		s.advance(5 * time.Minute)
		require.Equal(t, Outage, s.w.State())
		s.fails = func(event store.Position) *cursor.HandlerError {
			return asking(event, supervision.RetryAfter(time.Hour, errBroken))
		}
		calls, reports := s.calls, s.count(UpdateFailed)
		s.advance(10*time.Hour + time.Minute)
		require.InDelta(t, calls+11, s.calls, 1, "lanes %d", lanes)
		require.Equal(t, reports, s.count(UpdateFailed), "these are no attempts")
		require.Equal(t, Outage, s.w.State())
		s.fails, s.down = nil, func(store.Position) bool { return false }
		s.advance(2 * time.Hour)
		require.Len(t, s.engine.done, 20)
	}
}

func TestManyThatWaitAreAnOutageWithoutAnAttempt(t *testing.T) {
	for _, lanes := range []int{1, 8} {
		s := newService(t, lanes, 300, supervision.Policy{Attempts: 2})
		down := true
		s.down = func(store.Position) bool { return down }
		s.fails = func(event store.Position) *cursor.HandlerError { return asking(event, supervision.Wait(errBroken)) }
		s.advance(10 * time.Hour)
		require.Less(t, s.calls, 10*3600/20, "lanes %d", lanes)
		require.Empty(t, s.engine.parked)
		if lanes > 1 {
			require.Equal(t, Outage, s.w.State())
		}
		down = false
		s.advance(time.Minute)
		require.Len(t, s.engine.done, 300)
		require.Zero(t, s.count(UpdateCharged))
	}
}

// What is the event's own fault is judged as ever, also where it is probed.
func TestInAnOutageTheFaultOfAnEventIsStillItsOwn(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		s := newService(t, lanes, 20, supervision.Policy{Attempts: 3})
		down := true
		s.down = func(event store.Position) bool { return down || event == 12 }
		s.fails = func(event store.Position) *cursor.HandlerError {
			if event == 12 {
				return failure(event)
			}
			return ownFailure(event)
		}
		s.advance(10 * time.Minute)
		require.Equal(t, []store.Position{12}, s.engine.parked, "lanes %d", lanes)
		require.False(t, s.engine.doubtful[12])
		require.Equal(t, Outage, s.w.State())
		down = false
		s.advance(time.Minute)
		require.Len(t, s.engine.done, 20)
		require.Equal(t, []store.Position{12}, s.engine.parked)
	}
}

func TestAnOutageEndsWithTheLastOfItsEvents(t *testing.T) {
	s := newService(t, 4, 4, supervision.Policy{})
	s.down = func(store.Position) bool { return true }
	s.advance(time.Minute)
	require.Equal(t, Outage, s.w.State())
	for event := range s.engine.head { // as when their kind is not read any more
		s.engine.done[event+1] = true
	}
	s.engine.ready, s.engine.deferred = nil, nil
	clear(s.engine.failed)
	s.operate(Operation{})
	require.Empty(t, s.engine.suspended)
	require.Nil(t, s.w.doubts.reason())
	s.advance(time.Minute)
	require.Equal(t, Idle, s.w.State())
	require.False(t, slices.Contains(s.seen, UpdateDecided))
}

// One after the other, as after a crash, the probe of one must not be in the way of another's.
func TestSeveralOutagesOfAWorkerThatHandlesSinglyAllEnd(t *testing.T) {
	s := newService(t, 4, 12, supervision.Policy{})
	s.engine.guarded = true
	s.engine.depends = func(event store.Position) string { return fmt.Sprint(event % 2) }
	s.down = func(store.Position) bool { return true }
	s.advance(10 * time.Minute)
	require.Equal(t, 2, s.count(UpdateOutage))
	s.down = func(event store.Position) bool { return event%2 == 0 }
	s.advance(time.Minute)
	require.Equal(t, 1, s.count(UpdateOutageOver))
	for event := store.Position(1); event <= 12; event += 2 {
		require.True(t, s.engine.done[event])
	}
}
