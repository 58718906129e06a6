package supervision

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestTheWindowSlides(t *testing.T) {
	w := newWindow(10, time.Minute)
	for _, c := range []struct {
		at   time.Duration
		want int
	}{
		{0, 1},
		{0, 2},
		{59 * time.Second, 3},
		{time.Minute, 2}, // exactly a period old is gone
		{time.Minute + 58*time.Second, 3},
		{time.Minute + 59*time.Second, 3},
		{time.Hour, 1},
	} {
		require.Equal(t, c.want, w.add(start.Add(c.at)), "at %v", c.at)
	}
}

func TestTheWindowCountsToOneMoreThanItsLimit(t *testing.T) {
	w := newWindow(2, time.Minute)
	for i, want := range []int{1, 2, 3, 3, 3} {
		require.Equal(t, want, w.add(start.Add(time.Duration(i)*time.Second)))
	}
	require.Equal(t, 3, w.add(start.Add(62*time.Second)), "at 3 s, at 4 s and now")
	require.Equal(t, 2, w.add(start.Add(64*time.Second)), "at 62 s and now")
	require.Equal(t, 1, newWindow(-5, time.Minute).add(start), "a limit below 0 is 0")
}

func TestAClockSetBackCountsAsNoTime(t *testing.T) {
	w := newWindow(10, time.Minute)
	require.Equal(t, 1, w.add(start))
	require.Equal(t, 2, w.add(start.Add(-time.Hour)), "nothing is forgotten")
	require.Equal(t, 3, w.add(start.Add(-time.Hour+59*time.Second)))
	require.Equal(t, 2, w.add(start.Add(-time.Hour+time.Minute)), "and a period later the first two are gone all the same")
}

func TestAClockThatWasWrongForAMomentDoesNotStopTheWindow(t *testing.T) {
	w := newWindow(10, time.Minute)
	w.add(start)
	require.Equal(t, 1, w.add(start.AddDate(1000, 0, 0)))
	require.Equal(t, 2, w.add(start))
	require.Equal(t, 1, w.add(start.Add(time.Minute)))
}

func TestTheWindowAgreesWithAPlainListForAllTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 5).Draw(t, "limit")
		period := time.Duration(rapid.IntRange(1, 20).Draw(t, "period"))
		w := newWindow(limit, period)

		at, steady := start, time.Duration(0) // the clock, and the time that really passed
		var all []time.Duration
		for range rapid.IntRange(1, 60).Draw(t, "adds") {
			step := time.Duration(rapid.IntRange(-10, 10).Draw(t, "step"))
			at, steady = at.Add(step), steady+max(0, step)
			if len(all) == 0 {
				steady = 0
			}
			all = append(all, steady)

			want := 0
			for _, then := range all {
				if steady-then < period {
					want++
				}
			}
			require.Equal(t, min(want, limit+1), w.add(at))
		}
	})
}
