package supervision_test

import (
	"fmt"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

// strict is a policy whose numbers are easy to follow: delays 1 s, 2 s, 4 s, ... without jitter.
var strict = supervision.Policy{
	Intensity: 2,
	Period:    time.Minute,
	Backoff:   supervision.Backoff{Initial: time.Second, Max: time.Hour},
	Attempts:  3,
}

// bench is a judge with a clock that the test moves.
type bench struct {
	*supervision.Judge
	now time.Time
}

// start is when the clocks of these tests begin.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func always(r float64) func() float64 { return func() float64 { return r } }

func newBench(p supervision.Policy) *bench {
	return &bench{Judge: supervision.NewJudge(supervision.Spec{Policy: halting(p)}, nil), now: start}
}

// fail fails at the bench's time and moves it past the delay.
func (b *bench) fail(f supervision.Failure) supervision.Verdict {
	v := b.Failed(b.now, f)
	b.now = b.now.Add(v.Delay)
	return v
}

func errorAt(event uint64) supervision.Failure {
	return supervision.Failure{Event: event, Err: errStock}
}

func panicAt(event uint64) supervision.Failure {
	return supervision.Failure{Event: event, Err: errStock, Panic: true}
}

var (
	noEvent   = supervision.Failure{Err: errStock}
	noAttempt = supervision.Failure{Event: 42, Err: errStock, NoAttempt: true}
)

// requireVerdict checks everything but the reason, which must wrap the failure's error in any case.
func requireVerdict(t *testing.T, v supervision.Verdict, action supervision.Action, delay time.Duration, attempt int) {
	t.Helper()
	require.Equal(t,
		fmt.Sprintf("%v after %v, number %d", action, delay, attempt),
		fmt.Sprintf("%v after %v, number %d", v.Action, v.Delay, v.Attempt))
	require.ErrorIs(t, v.Reason, errStock)
}

func TestAnErrorIsRetriedInPlaceUntilTheAttemptsAreUsedUp(t *testing.T) {
	b := newBench(strict)
	requireVerdict(t, b.fail(errorAt(42)), supervision.ActionRetry, time.Second, 1)
	requireVerdict(t, b.fail(errorAt(42)), supervision.ActionRetry, 2*time.Second, 2)

	v := b.fail(errorAt(42))
	requireVerdict(t, v, supervision.ActionHalt, 0, 3)
	var exhausted *supervision.ExhaustedError
	require.ErrorAs(t, v.Reason, &exhausted)
	require.Equal(t, supervision.ExhaustedError{Event: 42, Attempts: 3, Err: errStock}, *exhausted)
}

func TestOneAttemptMeansNoRetry(t *testing.T) {
	p := strict
	p.Attempts = 1
	requireVerdict(t, newBench(p).fail(errorAt(42)), supervision.ActionHalt, 0, 1)
	requireVerdict(t, newBench(p).fail(panicAt(42)), supervision.ActionHalt, 0, 1)
}

func TestErrorsAndPanicsOfOneEventShareItsAttempts(t *testing.T) {
	b := newBench(strict)
	requireVerdict(t, b.fail(panicAt(42)), supervision.ActionRestart, time.Second, 1)
	requireVerdict(t, b.fail(errorAt(42)), supervision.ActionRetry, 2*time.Second, 2)

	v := b.fail(panicAt(42))
	requireVerdict(t, v, supervision.ActionHalt, 0, 3)
	require.ErrorAs(t, v.Reason, new(*supervision.ExhaustedError))
}

func TestPanicsAtOneEventDoNotTouchTheIntensity(t *testing.T) {
	p := strict
	p.Attempts = 100
	b := newBench(p)
	for range 10 { // many more than Intensity
		require.Equal(t, supervision.ActionRestart, b.Failed(b.now, panicAt(42)).Action)
	}
	requireVerdict(t, b.fail(noEvent), supervision.ActionRestart, time.Second, 1)
}

func TestPanicsAtMoreThanThreeEventsCountAgainstTheIntensity(t *testing.T) {
	b := newBench(strict)
	for event := uint64(1); event <= 3; event++ {
		requireVerdict(t, b.fail(panicAt(event)), supervision.ActionRestart, time.Second, 1)
	}
	requireVerdict(t, b.fail(panicAt(4)), supervision.ActionRestart, time.Second, 1)
	requireVerdict(t, b.fail(panicAt(5)), supervision.ActionRestart, 2*time.Second, 1) // the delay of the second restart

	v := b.fail(panicAt(6))
	requireVerdict(t, v, supervision.ActionHalt, 0, 1)
	require.ErrorIs(t, v.Reason, supervision.ErrIntensity)
	require.EqualError(t, v.Reason, "restarts within 1m0s used up (2), last error: event 6, attempt 1: panic: no stock")
}

// One key whose provider is unavailable must not delay another that has only begun to wait.
func TestAWaitAtOneEventDoesNotLengthenThatAtAnother(t *testing.T) {
	b := newBench(strict)
	waitAt := func(event uint64) supervision.Failure {
		return supervision.Failure{Err: supervision.Wait(errStock), Event: event}
	}
	for n := 1; n <= 5; n++ {
		requireVerdict(t, b.fail(waitAt(1)), supervision.ActionRetry, time.Second<<(n-1), n)
	}
	requireVerdict(t, b.fail(waitAt(2)), supervision.ActionRetry, time.Second, 1)
	require.Equal(t, []uint64{1, 2}, b.Failing())
	b.Passed(b.now, 2)
	requireVerdict(t, b.fail(waitAt(1)), supervision.ActionRetry, 32*time.Second, 6)
	requireVerdict(t, b.fail(waitAt(2)), supervision.ActionRetry, time.Second, 1)
	b.Passed(b.now, 1)
	requireVerdict(t, b.fail(waitAt(1)), supervision.ActionRetry, time.Second, 1)
}

func TestACountedPanicWaitsForTheLongerOfItsTwoDelays(t *testing.T) {
	b := newBench(strict)
	for event := uint64(1); event <= 3; event++ {
		b.fail(panicAt(event))
	}
	b.fail(errorAt(4))
	requireVerdict(t, b.fail(panicAt(4)), supervision.ActionRestart, 2*time.Second, 2) // second attempt, first restart
	requireVerdict(t, b.fail(panicAt(5)), supervision.ActionRestart, 2*time.Second, 1) // first attempt, second restart
}

func TestTheLatestPanicsAreTheOnesRemembered(t *testing.T) {
	b := newBench(supervision.Policy{Intensity: 2, Period: time.Minute, Attempts: 100})
	b.Failed(start, panicAt(1))
	for event := uint64(2); event <= 5; event++ { // at 4 and 5, two restarts are used up
		require.Equal(t, supervision.ActionRestart, b.Failed(start.Add(30*time.Second), panicAt(event)).Action)
	}
	v := b.Failed(start.Add(65*time.Second), panicAt(3))
	require.ErrorIs(t, v.Reason, supervision.ErrIntensity, "still four events: 2, 4, 5 and 3")
}

func TestPanicsAtOldEventsAreForgottenAfterAPeriod(t *testing.T) {
	b := newBench(strict)
	for event := uint64(1); event <= 20; event++ { // never four of them within a minute
		requireVerdict(t, b.fail(panicAt(event)), supervision.ActionRestart, time.Second, 1)
		b.now = b.now.Add(19 * time.Second) // every 20 s, with the delay: the fourth last is a period old
	}
}

func TestAPanicAtAnEventSeenBeforeIsNoFurtherEvent(t *testing.T) {
	p := strict
	p.Attempts = 100
	b := newBench(p)
	for range 5 {
		for event := uint64(1); event <= 3; event++ {
			require.Equal(t, supervision.ActionRestart, b.Failed(b.now, panicAt(event)).Action)
		}
	}
}

func TestAFailureWithoutAnEventRestartsWithinTheIntensity(t *testing.T) {
	for what, f := range map[string]supervision.Failure{"error": noEvent, "panic": panicAt(0)} {
		t.Run(what, func(t *testing.T) {
			b := newBench(strict)
			requireVerdict(t, b.fail(f), supervision.ActionRestart, time.Second, 1)
			requireVerdict(t, b.fail(f), supervision.ActionRestart, 2*time.Second, 2)

			v := b.fail(f)
			requireVerdict(t, v, supervision.ActionHalt, 0, 3)
			require.ErrorIs(t, v.Reason, supervision.ErrIntensity)
			require.ErrorContains(t, v.Reason, "restarts within 1m0s used up (2), last error: ")
		})
	}
}

func TestASuccessDoesNotHealTheIntensity(t *testing.T) {
	b := newBench(strict)
	b.fail(noEvent)
	b.Passed(b.now, 1)
	b.fail(noEvent)
	b.Passed(b.now, 2)
	requireVerdict(t, b.fail(noEvent), supervision.ActionHalt, 0, 3)
}

func TestNegativeIntensityNeverRestarts(t *testing.T) {
	p := strict
	p.Intensity = -1
	for _, f := range []supervision.Failure{noEvent, panicAt(42)} {
		v := newBench(p).fail(f)
		requireVerdict(t, v, supervision.ActionHalt, 0, 1)
		require.ErrorIs(t, v.Reason, supervision.ErrIntensity)
		require.ErrorContains(t, v.Reason, "no restart allowed, error: ")
	}
	requireVerdict(t, newBench(p).fail(errorAt(42)), supervision.ActionRetry, time.Second, 1)
}

func TestTheDelayStartsOverAfterAQuietPeriod(t *testing.T) {
	for _, c := range []struct {
		ran   time.Duration // after the restart, before the next failure
		delay time.Duration
	}{
		{time.Minute - 1, 2 * time.Second},
		{time.Minute, time.Second},
	} {
		b := newBench(strict)
		b.fail(noEvent)
		b.now = b.now.Add(c.ran)
		require.Equal(t, c.delay, b.fail(noEvent).Delay, "ran for %v", c.ran)
	}
}

func TestWaitingForARestartIsNotQuiet(t *testing.T) {
	p := strict
	p.Backoff.Initial = 2 * time.Minute // longer than the period
	b := newBench(p)
	require.Equal(t, 2*time.Minute, b.fail(noEvent).Delay)
	require.Equal(t, 4*time.Minute, b.fail(noEvent).Delay)
}

func TestAClockSetBackIsNotQuietAndForgetsNothing(t *testing.T) {
	b := newBench(strict)
	b.fail(noEvent)
	b.now = b.now.Add(-24 * time.Hour)
	requireVerdict(t, b.fail(noEvent), supervision.ActionRestart, 2*time.Second, 2)
	b.now = b.now.Add(-24 * time.Hour)
	requireVerdict(t, b.fail(noEvent), supervision.ActionHalt, 0, 3)
}

func TestAClockSetBackDoesNotHoldUpTheQuietPeriod(t *testing.T) {
	b := newBench(strict)
	b.fail(noEvent)
	b.now = b.now.Add(-24 * time.Hour)
	b.Passed(b.now, 1)
	b.now = b.now.Add(time.Minute + time.Second) // the delay passed unseen while the clock was set
	require.Equal(t, time.Second, b.fail(noEvent).Delay)
}

func TestAnEventThatIsPassedForgetsItsOwnAttemptsOnly(t *testing.T) {
	for _, c := range []struct {
		passed  uint64
		attempt int
	}{
		{0, 2},
		{41, 2}, // the event itself is still to come: a restart repeats those before it
		{42, 1},
		{43, 2}, // of another key: it has overtaken
	} {
		b := newBench(strict)
		b.fail(errorAt(42))
		b.Passed(b.now, c.passed)
		require.Equal(t, c.attempt, b.fail(errorAt(42)).Attempt, "after %d was passed", c.passed)
	}
}

func TestAttemptsSurviveFailuresAtOtherEventsAndTime(t *testing.T) {
	b := newBench(strict)
	b.fail(errorAt(42))
	b.fail(errorAt(41))
	b.now = b.now.Add(24 * time.Hour)
	require.Equal(t, 2, b.fail(errorAt(42)).Attempt, "else a long RetryAfter would never come to an end")
	requireVerdict(t, b.fail(errorAt(42)), supervision.ActionHalt, 0, 3)
}

func TestFailuresThatAreNoAttemptAreRetriedForever(t *testing.T) {
	b := newBench(strict)
	for i := range 12 {
		requireVerdict(t, b.fail(noAttempt), supervision.ActionRetry, min(time.Second<<i, time.Hour), i+1)
	}
	for range 1000 {
		require.Equal(t, time.Hour, b.fail(noAttempt).Delay)
	}
	requireVerdict(t, b.fail(errorAt(42)), supervision.ActionRetry, time.Second, 1)

	b.Passed(b.now, 42)
	requireVerdict(t, b.fail(noAttempt), supervision.ActionRetry, time.Second, 1)
}

func TestWaitingWithoutAnEventCountsNoRestart(t *testing.T) {
	b := newBench(strict)
	for i := range 10 {
		f := noEvent
		f.NoAttempt = true
		requireVerdict(t, b.fail(f), supervision.ActionRetry, time.Second<<i, i+1)
	}
	requireVerdict(t, b.fail(noEvent), supervision.ActionRestart, time.Second, 1)
}

func TestAPanicIsAlwaysAnAttempt(t *testing.T) {
	f := panicAt(42)
	f.NoAttempt = true
	requireVerdict(t, newBench(strict).fail(f), supervision.ActionRestart, time.Second, 1)
}

func TestRetryAfterSetsTheDelayAndIsStillCounted(t *testing.T) {
	err := fmt.Errorf("handler: %w", supervision.RetryAfter(7*time.Hour, errStock))
	for _, c := range []struct {
		what    string
		failure supervision.Failure
		action  supervision.Action
	}{
		{"error", supervision.Failure{Event: 42, Err: err}, supervision.ActionRetry},
		{"panic", supervision.Failure{Event: 42, Err: err, Panic: true}, supervision.ActionRestart},
		{"no event", supervision.Failure{Err: err}, supervision.ActionRestart},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := strict
			p.Period = 24 * time.Hour
			b := newBench(p)
			requireVerdict(t, b.fail(c.failure), c.action, 7*time.Hour, 1)
			requireVerdict(t, b.fail(c.failure), c.action, 7*time.Hour, 2)
			requireVerdict(t, b.fail(c.failure), supervision.ActionHalt, 0, 3)
		})
	}
	t.Run("no attempt", func(t *testing.T) {
		b := newBench(strict)
		for i := range 20 {
			requireVerdict(t, b.fail(supervision.Failure{Event: 42, Err: err, NoAttempt: true}), supervision.ActionRetry, 7*time.Hour, i+1)
		}
	})
}

func TestHaltEndsAtOnceWhateverKindOfFailureCarriesIt(t *testing.T) {
	err := fmt.Errorf("handler: %w", supervision.Halt(errStock))
	for _, f := range []supervision.Failure{
		{Event: 42, Err: err},
		{Event: 42, Err: err, Panic: true},
		{Event: 42, Err: err, NoAttempt: true},
		{Err: err},
	} {
		requireVerdict(t, newBench(strict).fail(f), supervision.ActionHalt, 0, 1)
	}
}

func TestAHaltedChildStaysHaltedWithItsFirstReason(t *testing.T) {
	b := newBench(strict)
	final := b.fail(supervision.Failure{Event: 42, Err: supervision.Halt(errStock)})
	b.Passed(b.now.Add(time.Hour), 42)
	b.now = b.now.Add(24 * time.Hour)
	for _, f := range []supervision.Failure{errorAt(1), noEvent, panicAt(2), noAttempt, {Err: io.EOF}} {
		require.Equal(t, final, b.fail(f))
	}
}

func TestTheDefaultsRideOutAMinuteAndEndWithinTwo(t *testing.T) {
	for what, random := range map[string]func() float64{
		"shortest": always(0), "longest": always(math.Nextafter(1, 0)), "no jitter": nil,
	} {
		t.Run(what, func(t *testing.T) {
			judge, now := supervision.NewJudge(supervision.Spec{}, random), start
			for {
				v := judge.Failed(now, noEvent)
				if v.Action == supervision.ActionHalt {
					break
				}
				now = now.Add(v.Delay)
			}
			require.Greater(t, now.Sub(start), time.Minute)
			require.Less(t, now.Sub(start), 2*time.Minute)
		})
	}
}

func TestJitterComesFromThePassedSource(t *testing.T) {
	judge := supervision.NewJudge(supervision.Spec{Policy: strict}, always(0))
	require.Equal(t, 800*time.Millisecond, judge.Failed(start, errorAt(1)).Delay)
}

// halting is the policy with the end of an event's attempts as the end of the child, unless it says
// otherwise.
func halting(p supervision.Policy) supervision.Policy {
	if p.Exhausted == 0 {
		p.Exhausted = supervision.ActionHalt
	}
	return p
}
