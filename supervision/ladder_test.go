package supervision_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

var errLadder = errors.New("ladder")

func judge(s supervision.Spec) *supervision.Judge {
	s.Policy.Backoff = supervision.Backoff{Initial: time.Second}
	return supervision.NewJudge(s, nil)
}

func at(event uint64) supervision.Failure { return supervision.Failure{Event: event, Err: errLadder} }

func panicky(event uint64) supervision.Failure {
	return supervision.Failure{Event: event, Err: errLadder, Panic: true}
}

func TestAnEventWhoseAttemptsAreUsedUpIsParkedSkippedOrHaltsAsThePolicySays(t *testing.T) {
	now := time.Unix(0, 0)
	for exhausted, final := range map[supervision.Action]bool{
		0: false, supervision.ActionPark: false, supervision.ActionSkip: false, supervision.ActionHalt: true,
	} {
		j := judge(supervision.Spec{Policy: supervision.Policy{Attempts: 2, Exhausted: exhausted}})
		require.Equal(t, supervision.ActionRetry, j.Failed(now, at(1)).Action)
		v := j.Failed(now, at(1))
		want := exhausted
		if want == 0 {
			want = supervision.ActionPark
		}
		require.Equal(t, want, v.Action)
		var used *supervision.ExhaustedError
		require.ErrorAs(t, v.Reason, &used)
		require.Equal(t, 2, used.Attempts)
		next := j.Failed(now, at(2))
		if final {
			require.Equal(t, v, next)
		} else {
			require.Equal(t, supervision.ActionRetry, next.Action, "the child lives on")
			require.Equal(t, 1, j.Failed(now, at(1)).Attempt, "the count of the event is forgotten")
		}
	}
}

func TestDirectivesParkAndSkipAtOnceButOnlyAtAnEvent(t *testing.T) {
	now := time.Unix(0, 0)
	for want, err := range map[supervision.Action]error{
		supervision.ActionPark: supervision.Park(errLadder), supervision.ActionSkip: supervision.Skip(errLadder),
	} {
		j := judge(supervision.Spec{})
		v := j.Failed(now, supervision.Failure{Event: 7, Err: err})
		require.Equal(t, want, v.Action)
		require.ErrorIs(t, v.Reason, errLadder)
		require.Equal(t, supervision.ActionRestart, j.Failed(now, supervision.Failure{Err: err}).Action)
	}
}

func TestTheBudgetOfRestartsHaltsOrEscalates(t *testing.T) {
	now := time.Unix(0, 0)
	for want, policy := range map[supervision.Action]supervision.Policy{
		supervision.ActionHalt:     {Intensity: 1},
		supervision.ActionEscalate: {Intensity: 1, OverBudget: supervision.ActionEscalate},
	} {
		j := judge(supervision.Spec{Policy: policy})
		require.Equal(t, supervision.ActionRestart, j.Failed(now, supervision.Failure{Err: errLadder}).Action)
		v := j.Failed(now, supervision.Failure{Err: errLadder})
		require.Equal(t, want, v.Action)
		require.Equal(t, v, j.Failed(now, at(1)), "it is final")
	}
}

func TestPanicsAtManyEventsCountAgainstTheChildEvenIfEachIsParked(t *testing.T) {
	now := time.Unix(0, 0)
	j := judge(supervision.Spec{Policy: supervision.Policy{Attempts: 1, Intensity: 2}})
	for event := uint64(1); event <= 5; event++ {
		require.Equal(t, supervision.ActionPark, j.Failed(now, panicky(event)).Action, "event %d", event)
	}
	require.Equal(t, supervision.ActionHalt, j.Failed(now, panicky(6)).Action)
}

func TestKindsOfRestartSayWhatAnEndAndAFailureMean(t *testing.T) {
	now := time.Unix(0, 0)
	for kind, want := range map[supervision.Restart][2]supervision.Action{
		supervision.Transient: {supervision.ActionHalt, supervision.ActionRestart},
		supervision.Permanent: {supervision.ActionRestart, supervision.ActionRestart},
		supervision.Temporary: {supervision.ActionHalt, supervision.ActionHalt},
	} {
		require.Equal(t, want[0], judge(supervision.Spec{Restart: kind}).Ended(now).Action, kind)
		require.Equal(t, want[1], judge(supervision.Spec{Restart: kind}).Failed(now, panicky(1)).Action, kind)
		require.Equal(t, want[1], judge(supervision.Spec{Restart: kind}).Failed(now, supervision.Failure{Err: errLadder}).Action, kind)
		require.Equal(t, supervision.ActionRetry, judge(supervision.Spec{Restart: kind}).Failed(now, at(1)).Action, kind)
	}
	j := judge(supervision.Spec{Restart: supervision.Permanent, Policy: supervision.Policy{Intensity: 1}})
	require.Equal(t, supervision.ActionRestart, j.Ended(now).Action)
	require.Equal(t, supervision.ActionHalt, j.Ended(now).Action, "ends count against the budget")
	require.NotNil(t, j.Ended(now).Reason)
}

func TestAttemptsKnownFromBeforeCountAndPassingOneEventForgetsOnlyThatOne(t *testing.T) {
	now := time.Unix(0, 0)
	j := judge(supervision.Spec{Policy: supervision.Policy{Attempts: 4}})
	j.Remember(1, 2)
	j.Remember(1, 1)
	require.Equal(t, 3, j.Failed(now, at(1)).Attempt)
	require.Equal(t, 1, j.Failed(now, at(2)).Attempt)
	require.Equal(t, []uint64{1, 2}, j.Failing())
	j.Passed(now, 2)
	require.Equal(t, []uint64{1}, j.Failing())
	require.Equal(t, 1, j.Failed(now, at(2)).Attempt)
	require.Equal(t, supervision.ActionPark, j.Failed(now, at(1)).Action)
}

func TestAStrategyAffectsOneOrAllOrTheRest(t *testing.T) {
	for strategy, want := range map[supervision.Strategy][2]int{
		supervision.OneForOne: {2, 3}, supervision.OneForAll: {0, 5}, supervision.RestForOne: {2, 5},
	} {
		from, to := strategy.Affected(2, 5)
		require.Equal(t, want, [2]int{from, to}, strategy)
	}
}

func TestIntensityBoundsRestartsWithinAnyPeriodHoweverLong(t *testing.T) {
	now := time.Unix(0, 0)
	once := supervision.NewJudge(supervision.Spec{Policy: supervision.Policy{Intensity: 1, Period: math.MaxInt64}}, nil)
	require.Equal(t, supervision.ActionRestart, once.Failed(now, supervision.Failure{Err: errLadder}).Action)
	require.Equal(t, supervision.ActionHalt, once.Failed(now.AddDate(200, 0, 0), supervision.Failure{Err: errLadder}).Action)

	bounded := supervision.NewJudge(supervision.Spec{Policy: supervision.Policy{Intensity: 2, Period: time.Hour}}, nil)
	for hour := range 5 {
		require.Equal(t, supervision.ActionRestart,
			bounded.Failed(now.Add(time.Duration(hour)*time.Hour), supervision.Failure{Err: errLadder}).Action)
	}
	require.Equal(t, supervision.ActionHalt,
		supervision.NewJudge(supervision.Spec{Policy: supervision.Policy{Intensity: -1, Period: time.Hour}}, nil).Failed(now, panicky(1)).Action)
}

func TestUnknownActionsStrategiesAndKindsAreRefused(t *testing.T) {
	for field, spec := range map[string]supervision.Spec{
		"Policy.Exhausted":  {Name: "w", Policy: supervision.Policy{Exhausted: supervision.ActionRetry}},
		"Policy.OverBudget": {Name: "w", Policy: supervision.Policy{OverBudget: supervision.ActionPark}},
		"Restart":           {Name: "w", Restart: 7},
		"StopTimeout":       {Name: "w", StopTimeout: -1},
	} {
		var limit *supervision.SettingError
		require.ErrorAs(t, spec.Validate(), &limit, field)
		require.Equal(t, field, limit.Field)
	}
	require.ErrorIs(t, supervision.Group{Name: "g", Strategy: 3}.Validate(), supervision.ErrSetting)
}
