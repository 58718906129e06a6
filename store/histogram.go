package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets of a [Histogram]: four between a power of two, in nanoseconds, and the next, from a
// microsecond to 8.6 s, and one for what takes longer.
const (
	shortestBits     = 10
	longestBits      = 33
	bucketsPerDouble = 4
	histogramBuckets = (longestBits-shortestBits)*bucketsPerDouble + 2
)

// Histogram counts how long something took, in fixed buckets whose bounds grow by a quarter of a
// power of two. It is a value, and costs some 760 bytes to copy. The zero value is empty.
type Histogram struct {
	counts [histogramBuckets]uint64
	sum    time.Duration
}

// Count returns how many there are.
func (h Histogram) Count() (n uint64) {
	for _, c := range h.counts {
		n += c
	}
	return n
}

// Sum returns how long they took together.
func (h Histogram) Sum() time.Duration { return h.sum }

// Quantile returns the time within which a part q of them was done: half of them for 0.5, all for
// 1. It is estimated within the bucket where that falls, and so is wrong by a quarter at most; what
// took longer than 8.6 s counts as that. 0 when there are none.
func (h Histogram) Quantile(q float64) time.Duration {
	rest := min(max(q, 0), 1) * float64(h.Count())
	for i, c := range h.counts {
		if n := float64(c); c > 0 && rest <= n {
			from, to := bucketBound(i-1), bucketBound(min(i, histogramBuckets-2))
			return from + time.Duration(float64(max(0, to-from))*rest/n)
		}
		rest -= float64(c)
	}
	return 0
}

// Buckets iterates over all buckets, shortest times first: up to which time, inclusive, and how
// many are in the bucket. The last one has no bound: it is given as the longest Duration.
func (h Histogram) Buckets() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		for i, c := range h.counts {
			if !yield(bucketBound(i), c) {
				return
			}
		}
	}
}

// Since returns what was counted after an earlier value of the same histogram was taken: what the
// last minute was like, for example, and not all the time since the store was opened.
func (h Histogram) Since(earlier Histogram) Histogram {
	later := h
	for i := range later.counts {
		later.counts[i] -= earlier.counts[i]
	}
	later.sum -= earlier.sum
	return later
}

// String returns how many there are and three quantiles, as "1204, half of them within 162µs, 90 %
// within 201µs, 99 % within 1.1ms".
func (h Histogram) String() string {
	n := h.Count()
	if n == 0 {
		return "0"
	}
	half, most, nearly := h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99)
	return fmt.Sprintf("%d, half of them within %v, 90 %% within %v, 99 %% within %v",
		n, half.Round(time.Microsecond), most.Round(time.Microsecond), nearly.Round(time.Microsecond))
}

// MarshalJSON returns count and sum, and the quantiles of String as p50, p90 and p99; times are in
// nanoseconds, as those of encoding/json are.
func (h Histogram) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count uint64        `json:"count"`
		Sum   time.Duration `json:"sum"`
		P50   time.Duration `json:"p50"`
		P90   time.Duration `json:"p90"`
		P99   time.Duration `json:"p99"`
	}{h.Count(), h.sum, h.Quantile(0.5), h.Quantile(0.9), h.Quantile(0.99)})
}

// bucketBound is the longest time that belongs into a bucket.
func bucketBound(i int) time.Duration {
	switch {
	case i < 0:
		return 0
	case i == histogramBuckets-1:
		return 1<<63 - 1
	}
	double, quarter := i/bucketsPerDouble, i%bucketsPerDouble
	return time.Duration(bucketsPerDouble+quarter) << (shortestBits + double - 2)
}

// bucketOf is the bucket that a time belongs into.
func bucketOf(d time.Duration) int {
	n := uint64(max(d, 1) - 1) // bounds belong to the bucket before them
	exponent := bits.Len64(n) - 1
	switch {
	case exponent < shortestBits:
		return 0
	case exponent >= longestBits:
		return histogramBuckets - 1
	}
	return 1 + (exponent-shortestBits)*bucketsPerDouble + int(n>>(exponent-2)&(bucketsPerDouble-1))
}

// liveHistogram is a histogram that one goroutine at a time adds to, while others read it. Those
// may find a time counted that is not in the sum yet, or the reverse.
type liveHistogram struct {
	counts [histogramBuckets]atomic.Uint64
	sum    atomic.Int64
}

// add counts a time, as if it had been taken so many times.
func (h *liveHistogram) add(d time.Duration, times uint64) {
	h.counts[bucketOf(d)].Add(times)
	h.sum.Add(int64(d) * int64(times))
}

func (h *liveHistogram) value() (v Histogram) {
	for i := range h.counts {
		v.counts[i] = h.counts[i].Load()
	}
	v.sum = time.Duration(h.sum.Load())
	return v
}
