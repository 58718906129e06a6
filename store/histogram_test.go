package store

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestEachTimeIsInTheBucketWhoseBoundsAreAroundIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, 1<<35).Draw(t, "time"))
		if i := rapid.IntRange(0, histogramBuckets-2).Draw(t, "bucket"); rapid.Bool().Draw(t, "at a bound") {
			d = bucketBound(i) + time.Duration(rapid.IntRange(0, 1).Draw(t, "after it"))
		}
		i := bucketOf(d)
		require.LessOrEqual(t, d, bucketBound(i))
		if i > 0 {
			require.Greater(t, d, bucketBound(i-1))
		}
		if i > 0 && i < histogramBuckets-1 {
			require.LessOrEqual(t, bucketBound(i)-bucketBound(i-1), bucketBound(i-1)/4)
		}
	})
}

func TestAQuantileIsWrongByAQuarterAtMost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h liveHistogram
		times := rapid.SliceOfN(rapid.Int64Range(2000, 1<<33), 1, 100).Draw(t, "times")
		var sum time.Duration
		for _, d := range times {
			h.add(time.Duration(d), 1)
			sum += time.Duration(d)
		}
		slices.Sort(times)
		v := h.value()
		require.EqualValues(t, len(times), v.Count())
		require.Equal(t, sum, v.Sum())
		q := rapid.Float64Range(0.01, 1).Draw(t, "q")
		exact := float64(times[int(math.Ceil(q*float64(len(times))))-1])
		require.InEpsilon(t, exact, float64(v.Quantile(q)), 0.26)
	})
}

func TestAHistogramOfNothing(t *testing.T) {
	var h Histogram
	require.Zero(t, h.Count())
	require.Zero(t, h.Sum())
	require.Zero(t, h.Quantile(0.99))
}

func TestAHistogramSinceAnEarlierOneHasWhatCameAfterIt(t *testing.T) {
	var h liveHistogram
	h.add(time.Millisecond, 3)
	earlier := h.value()
	h.add(time.Hour, 1)
	h.add(time.Millisecond, 16)
	v := h.value()
	since := v.Since(earlier)
	require.EqualValues(t, 17, since.Count())
	require.Equal(t, time.Hour+16*time.Millisecond, since.Sum())
	require.InEpsilon(t, time.Millisecond, since.Quantile(0.5), 0.25)
	require.Equal(t, bucketBound(histogramBuckets-2), since.Quantile(1), "the longest that is told apart")

	buckets := maps.Collect(since.Buckets())
	require.Len(t, buckets, histogramBuckets)
	require.EqualValues(t, 1, buckets[math.MaxInt64])
	require.EqualValues(t, 16, buckets[bucketBound(bucketOf(time.Millisecond))])
}

func TestAHistogramCanBeReadByPeopleAndPrograms(t *testing.T) {
	var none, some liveHistogram
	for range 98 {
		some.add(time.Millisecond, 1)
	}
	some.add(time.Second, 2)
	stats := struct{ Syncs, Writes Histogram }{some.value(), none.value()}
	require.Regexp(t, `^\{100, half of them within 9\d\dµs, 90 % within 1\.\d+ms, 99 % within [\d.]+m?s 0\}$`, fmt.Sprint(stats))
	text, err := json.Marshal(stats)
	require.NoError(t, err)
	var got map[string]map[string]int64
	require.NoError(t, json.Unmarshal(text, &got))
	require.EqualValues(t, 100, got["Syncs"]["count"])
	require.EqualValues(t, 98*time.Millisecond+2*time.Second, got["Syncs"]["sum"])
	require.Greater(t, got["Syncs"]["p99"], int64(500*time.Millisecond))
	require.Equal(t, map[string]int64{"count": 0, "sum": 0, "p50": 0, "p90": 0, "p99": 0}, got["Writes"])
}
