package cursor

import (
	"math"

	"golang.org/x/time/rate"

	"github.com/penstock-io/penstock/store"
)

const (
	// minRate is one event in 11 days, and maxRate more than a log can read.
	minRate = 1e-6
	maxRate = 1e6
	// rateSlices is into how many slices of a second a rate is divided: so much is handled at once.
	rateSlices = 10
)

func (w Worker) checkRate() error {
	if w.Rate == 0 || w.Rate >= minRate && w.Rate <= maxRate {
		return nil
	}
	return &store.InvalidError{Field: "Rate", Rule: "must be 0, or from 0.000001 to 1,000,000", Value: w.Rate}
}

// slice is how many events may be handled at once because of the rate.
func (w Worker) slice() int {
	if w.Rate == 0 {
		return math.MaxInt
	}
	return max(1, int(w.Rate/rateSlices))
}

// Limiter returns a new limiter for Rate, nil where there is none. Like [Runner] it is machinery
// for packages that run workers: no batch has more events than its bucket.
func (w Worker) Limiter() *rate.Limiter {
	if w.Rate == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(w.Rate), w.slice())
}
