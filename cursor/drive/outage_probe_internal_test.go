package drive

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestAnEventWhoseAttemptsAreUsedUpIsProbedWhereItIsParked(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	require.Equal(t, guilty, o.usedUp(begun, 1), "nothing is known of it")
	o.failed(begun, 1)
	require.Equal(t, guilty, o.usedUp(begun, 1), "it failed once")
	o = newOutages(&noPolicy, nil)
	o.failed(begun, 1)
	o.failed(begun, 1)
	require.Equal(t, doubtful, o.usedUp(begun, 1))
	require.True(t, o.parked(begun, 1))
	require.Equal(t, begun.Add(30*time.Second), o.next())
	require.Nil(t, o.due(begun))
	now := o.next()
	d := o.due(now)
	require.Equal(t, []store.Position{1}, d.candidates())
	d.probing(1)
	require.True(t, o.next().IsZero(), "one at a time")
	require.True(t, o.failed(now, 1), "that is no attempt")
	require.Equal(t, outageSuspect, d.phase)
	require.Equal(t, now.Add(30*time.Second), o.next())
	d.probing(1)
	require.True(t, o.failed(now, 1))
	require.Equal(t, outageOut, d.phase, "the third failure at the end of its attempts")
	require.Empty(t, o.takeBack(), "it is the only one, and stays where it is")
	require.True(t, o.failed(now, 2))
	require.Empty(t, o.takeBack())
	require.Equal(t, []store.Position{2, 1}, d.candidates())
}

func TestWhatIsParkedInSeveralKeysIsTakenBackWhenTheOutageIsKnown(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	for _, event := range []store.Position{2, 1} {
		o.failed(begun, event)
		o.failed(begun, event)
		require.Equal(t, doubtful, o.usedUp(begun, event))
		o.parked(begun, event)
	}
	o.failed(begun, 3)
	require.Empty(t, o.takeBack())
	o.failed(begun, 3)
	require.Equal(t, []store.Position{1, 2}, o.takeBack())
	require.Empty(t, o.takeBack())
}

func TestWhatIsParkedStaysSoOnceSomethingIsHandled(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	for _, event := range []store.Position{1, 1, 2} {
		o.failed(begun, event)
	}
	require.Equal(t, doubtful, o.usedUp(begun, 1))
	o.parked(begun, 1)
	o.success(begun, subject(3))
	d := o.due(begun)
	require.Equal(t, []store.Position{1}, d.candidates(), "it is tried once more")
	d.probing(1)
	require.True(t, o.failed(begun, 1))
	require.Equal(t, []store.Position{1}, o.decided())
	require.True(t, o.watching(), "2 is still failing")
	require.True(t, o.next().IsZero())
	require.Empty(t, d.candidates())
	require.Equal(t, guilty, o.usedUp(begun, 2))
	require.False(t, o.parked(begun, 2))
	require.False(t, o.watching())
}

// doubted has each of some events parked in doubt.
func doubted(t *testing.T, o *outages, events ...store.Position) *dependency {
	for _, event := range events {
		o.failed(begun, event)
		o.failed(begun, event)
		o.usedUp(begun, event)
		require.True(t, o.parked(begun, event))
	}
	return o.of["d"]
}

func TestAProbeThatBeganBeforeSomethingWasHandledIsNotTheLastOne(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	d := doubted(t, o, 1)
	d.probing(1)
	o.success(begun, subject(3))
	require.True(t, o.next().IsZero(), "it is in flight")
	require.True(t, o.failed(begun, 1))
	require.Empty(t, o.decided())
	require.Equal(t, []store.Position{1}, d.candidates())
	require.Equal(t, begun, o.next())
	d.probing(1)
	require.True(t, o.failed(begun, 1))
	require.Equal(t, []store.Position{1}, o.decided())
	require.False(t, o.watching())
}

// onTrial has many events parked in doubt, and another one handled.
func onTrial(t *testing.T, o *outages, many int) *dependency {
	for event := store.Position(1); event <= store.Position(many); event++ {
		o.failed(begun, event)
		o.failed(begun, event)
	}
	d := o.of["d"]
	require.Equal(t, outageOut, d.phase)
	for event := store.Position(1); event <= store.Position(many); event++ {
		require.True(t, o.parked(begun, event), "as when all have been tried often enough")
	}
	o.success(begun, subject(1000))
	o.taken()
	return d
}

func TestAFewThatFailOnceMoreAreBadOnes(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	d := onTrial(t, o, 5)
	for range 5 {
		require.Empty(t, o.decided())
		require.Equal(t, begun, o.next(), "at once")
		d.probing(d.candidates()[0])
		require.True(t, o.failed(begun, d.probe))
	}
	require.ElementsMatch(t, []store.Position{1, 2, 3, 4, 5}, o.decided())
	require.False(t, o.watching())
}

func TestManyThatFailOnceMoreHaveAsManyChancesAsAttempts(t *testing.T) {
	o := newOutages(&supervision.Policy{Attempts: 3}, nil)
	d := onTrial(t, o, 6)
	for n := 1; n <= 3; n++ {
		for range 5 {
			require.Equal(t, begun, o.next(), "a few at once")
			d.probing(d.candidates()[0])
			require.True(t, o.failed(begun, d.probe))
		}
		require.Equal(t, begun.Add(30*time.Second), o.next())
		require.Len(t, d.candidates(), 1)
		d.probing(d.candidates()[0])
		require.True(t, o.failed(begun, d.probe))
		require.Len(t, d.candidates(), 6)
		require.Equal(t, outageSuspect, d.phase, "they are no evidence")
		require.Empty(t, o.decided())
		o.success(begun, subject(1000))
	}
	require.Len(t, o.decided(), 6)
	require.False(t, o.watching())
}

func TestWhatIsOnTrialIsNotJudgedByWhatFailsForItsOwnReasons(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	d := onTrial(t, o, 6)
	for range 2 {
		for event := store.Position(11); event <= 13; event++ {
			o.failed(begun, event)
		}
	}
	require.Equal(t, outageOut, d.phase, "another outage")
	require.Empty(t, o.takeBack(), "what is on trial stays parked")
	require.Len(t, d.candidates(), 9)
	o.success(begun, subject(11))
	require.Empty(t, o.decided())
	require.Len(t, d.candidates(), 6)
}

func TestWhatIsOnTrialAndWaitsIsNotConvicted(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	d := onTrial(t, o, 3)
	for range 3 {
		d.probing(d.candidates()[0])
		require.Equal(t, withheld, o.failure(begun, subject(d.probe), supervision.Wait(errBroken)))
		require.Equal(t, begun.Add(30*time.Second), o.next())
	}
	require.Empty(t, o.decided())
}

func TestProbesHaveGrowingDelaysAndTakeTurns(t *testing.T) {
	o := newOutages(&supervision.Policy{Backoff: supervision.Backoff{Initial: time.Second, Max: 5 * time.Second}}, nil)
	for range 2 {
		for event := store.Position(1); event <= 3; event++ {
			o.failed(begun, event)
		}
	}
	now := begun
	for _, delay := range []time.Duration{2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second} {
		require.Equal(t, now.Add(delay), o.next())
		now = o.next()
		d := o.due(now)
		d.probing(3)
		require.Nil(t, o.due(now.Add(time.Hour)))
		require.True(t, o.failed(now, 1), "it was in flight when the outage began")
		require.True(t, o.next().IsZero())
		require.True(t, o.failed(now, 3))
	}
	d := o.due(o.next())
	require.Equal(t, []store.Position{1, 2, 3}, d.candidates())
	d.probing(1)
	require.Equal(t, []store.Position{2, 3, 1}, d.candidates())
	require.True(t, d.returned(1))
	o.unanswered(now, d)
	require.Equal(t, now.Add(5*time.Second), o.next(), "that probe said nothing")
}

func TestProbesSlowDownAlsoWhereTheySayNothing(t *testing.T) {
	o := newOutages(&noPolicy, nil)
	for range 2 {
		for event := store.Position(1); event <= 3; event++ {
			o.failed(begun, event)
		}
	}
	now, delay := begun, time.Duration(0)
	for range 5 {
		require.Greater(t, o.next().Sub(now), delay)
		now, delay = o.next(), o.next().Sub(now)
		o.unanswered(now, o.due(now))
	}
}

func TestParkedEventsAreProbedInTurn(t *testing.T) {
	o := newOutages(&supervision.Policy{Outage: supervision.OutagePolicy{Keys: 100, UsedUp: 100}}, nil)
	d := doubted(t, o, 9, 4, 6)
	var turns []store.Position
	for range 4 {
		turns = append(turns, d.candidates()[0])
		d.probing(d.candidates()[0])
	}
	require.Equal(t, []store.Position{4, 6, 9, 4}, turns)
}

// out returns an outage of three events of three keys.
func out(t *testing.T, p supervision.Policy) (*outages, *dependency) {
	o := newOutages(&p, nil)
	for range 2 {
		for event := store.Position(1); event <= 3; event++ {
			o.failed(begun, event)
		}
	}
	require.Equal(t, outageOut, o.of["d"].phase)
	o.taken()
	return o, o.of["d"]
}

func TestAnEventIsGivenUpInAnOutageOnceItWasTriedInVainSoOften(t *testing.T) {
	o, d := out(t, supervision.Policy{Attempts: 4})
	for n := 1; n <= 4; n++ {
		for event := store.Position(1); event <= 2; event++ {
			d.probing(event)
			want := withheld
			if n == 4 {
				want = spent
			}
			require.Equal(t, want, o.failure(begun, subject(event), errBroken), n)
		}
	}
	require.True(t, o.parked(begun, 1))
	require.True(t, o.parked(begun, 2))
	require.Equal(t, []store.Position{3, 1, 2}, d.candidates(), "3 was not probed yet; all take turns")
	require.Empty(t, o.takeBack(), "they stay parked while it lasts")
	d.probing(1)
	require.Equal(t, withheld, o.failure(begun, subject(1), errBroken))
	o.success(begun, subject(9))
	require.Equal(t, []store.Position{3}, o.taken()[0].charged)
	require.Equal(t, []store.Position{2, 1}, d.candidates(), "and are tried once more when it is over")
}

func TestTheFirstProbeOfAnEventIsNoTryOfItAlone(t *testing.T) {
	o, d := out(t, supervision.Policy{Attempts: 1})
	d.probing(7)
	require.Equal(t, withheld, o.failure(begun, subject(7), errBroken))
	d.probing(7)
	require.Equal(t, spent, o.failure(begun, subject(7), errBroken))
}

func TestWhatWaitsIsEvidenceButNoAttempt(t *testing.T) {
	wait := supervision.Wait(errBroken)
	o := newOutages(&supervision.Policy{Attempts: 1}, nil)
	for range 2 {
		for event := store.Position(1); event <= 3; event++ {
			o.failure(begun, subject(event), wait)
		}
	}
	d := o.of["d"]
	require.Equal(t, outageOut, d.phase)
	for range 5 {
		d.probing(1)
		require.Equal(t, withheld, o.failure(begun, subject(1), wait))
	}
	o.taken()
	o.success(begun, subject(9))
	require.Empty(t, o.taken()[0].charged)
}

func TestTheNextProbeIsNotBeforeAHandlerSaysSo(t *testing.T) {
	o, d := out(t, supervision.Policy{})
	later := func(delay time.Duration) error { return supervision.RetryAfter(delay, errBroken) }
	d.probing(1)
	require.Equal(t, withheld, o.failure(begun, subject(1), later(time.Hour)))
	require.Equal(t, begun.Add(time.Hour), o.next())
	d.probing(9)
	require.Equal(t, withheld, o.failure(begun.Add(time.Hour), subject(9), later(time.Millisecond)))
	require.NotNil(t, o.events[9])
	require.Greater(t, o.next(), begun.Add(time.Hour+time.Millisecond), "nor before it would be due anyway")
	o.success(begun, subject(3))
	require.Equal(t, attempt, o.failure(begun, subject(2), later(time.Hour)), "there is no outage")

	o = newOutages(&noPolicy, nil)
	d = doubted(t, o, 1)
	require.Equal(t, attempt, o.failure(begun, subject(2), later(time.Hour)))
	d.probing(1)
	require.Equal(t, withheld, o.failure(begun, subject(1), later(time.Hour)), "where it is parked")
	require.Equal(t, begun.Add(time.Hour), o.next())
	d.probing(1)
	require.Equal(t, withheld, o.failure(begun, subject(1), later(time.Second)))
	require.Equal(t, outageOut, d.phase, "it is evidence as any other failure")
}

// A worker's function may say something else each time.
func TestAnOutcomeIsThatOfTheDependencyThatWasProbed(t *testing.T) {
	o, d := out(t, supervision.Policy{})
	other := func(event store.Position) cursor.Subject {
		return cursor.Subject{Event: event, Key: fmt.Sprint(event), Dependency: "other"}
	}
	d.probing(1)
	require.Equal(t, withheld, o.failure(begun, other(1), errBroken))
	d.probing(9)
	require.Equal(t, withheld, o.failure(begun, other(9), errBroken))
	require.Nil(t, o.of["other"])
	d.probing(10)
	o.success(begun, other(10))
	require.Equal(t, outageCalm, d.phase)
	require.Len(t, d.events, 4)
	o.success(begun, other(1))
	require.Len(t, d.events, 3)
}
