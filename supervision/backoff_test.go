package supervision

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func always(r float64) func() float64 { return func() float64 { return r } }

// almostOne is the largest number a random source returns.
var almostOne = math.Nextafter(1, 0)

func TestDelaysDoubleFromInitialToMax(t *testing.T) {
	b := Backoff{Initial: time.Second, Max: 10 * time.Second}
	for attempt, want := range map[int]time.Duration{
		-1: time.Second, 0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second,
		5: 10 * time.Second, 6: 10 * time.Second, 63: 10 * time.Second, 64: 10 * time.Second,
		1e9: 10 * time.Second, math.MaxInt: 10 * time.Second,
	} {
		require.Equal(t, want, b.Delay(attempt, nil), "attempt %d", attempt)
	}
}

func TestDelaysNearTheEndOfTimeDoNotOverflow(t *testing.T) {
	b := Backoff{Initial: 1, Max: math.MaxInt64, Jitter: 1}
	for _, attempt := range []int{62, 63, 64, 65, 1e9} {
		for _, r := range []float64{0, 0.5, almostOne} {
			d := b.Delay(attempt, always(r))
			require.GreaterOrEqual(t, d, time.Duration(0), "attempt %d, random %v", attempt, r)
		}
	}
	require.Equal(t, time.Duration(math.MaxInt64), b.Delay(1e9, nil))
	require.Zero(t, b.Delay(1e9, always(0)), "a jitter of 1 reaches down to nothing")
}

func TestJitterVariesTheDelayInBothDirections(t *testing.T) {
	b := Backoff{Initial: time.Second, Max: time.Minute, Jitter: 0.25}
	require.Equal(t, 1500*time.Millisecond, b.Delay(2, always(0)))
	require.Equal(t, 2*time.Second, b.Delay(2, always(0.5)))
	require.InDelta(t, 2500*time.Millisecond, b.Delay(2, always(almostOne)), 1)
}

func TestJitterNeverExceedsMaxAndDoesNotPileUpOnIt(t *testing.T) {
	b := Backoff{Initial: time.Second, Max: 8 * time.Second, Jitter: 0.5}
	require.Equal(t, 4*time.Second, b.Delay(4, always(0)))
	require.Equal(t, 6*time.Second, b.Delay(4, always(0.5)), "evenly between 4 s and 8 s")
	require.InDelta(t, 8*time.Second, b.Delay(4, always(almostOne)), 1)
}

func TestALoneInitialOrMaxMovesTheDefaultOfTheOther(t *testing.T) {
	require.Equal(t, time.Hour, Backoff{Initial: time.Hour}.Delay(5, nil))
	require.Equal(t, time.Millisecond, Backoff{Max: time.Millisecond}.Delay(1, nil))
	require.Equal(t, 100*time.Millisecond, Backoff{}.Delay(1, nil))
	require.Equal(t, 30*time.Second, Backoff{}.Delay(99, nil))
	require.Equal(t, 80*time.Millisecond, Backoff{}.Delay(1, always(0)), "the default jitter is 0.2")
}

func TestDelaysStayInTheirIntervalForAllBackoffs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		longest := rapid.Int64Range(1, math.MaxInt64).Draw(t, "max")
		b := Backoff{
			Initial: time.Duration(rapid.Int64Range(1, longest).Draw(t, "initial")),
			Max:     time.Duration(longest),
			Jitter:  rapid.Float64Range(0.001, 1).Draw(t, "jitter"),
		}
		attempt := rapid.OneOf(rapid.IntRange(1, 70), rapid.IntRange(1, math.MaxInt)).Draw(t, "attempt")
		r := rapid.Float64Range(0, almostOne).Draw(t, "random")

		middle, d := b.Delay(attempt, nil), b.Delay(attempt, always(r))
		require.LessOrEqual(t, d, b.Max)
		require.GreaterOrEqual(t, d, time.Duration(0))

		// The float arithmetic of the test is exact to one part in 2^50, which is what the
		// tolerance allows.
		slack := 2 + float64(middle)/(1<<50)
		require.LessOrEqual(t, math.Abs(float64(d)-float64(middle)), float64(middle)*b.Jitter+slack)

		require.LessOrEqual(t, middle, b.Delay(attempt+min(1, math.MaxInt-attempt), nil), "never shorter than before")
		require.LessOrEqual(t, b.Delay(attempt, always(0)), d, "the smallest random number makes the shortest delay")
	})
}
