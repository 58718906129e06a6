package supervision

import (
	"fmt"
	"math"
	"time"
)

// The defaults of a [Backoff].
const (
	// defaultInitial outlasts a hiccup of the scheduler or a dropped connection, and is too short
	// to be noticed.
	defaultInitial = 100 * time.Millisecond

	// defaultMax keeps a recovery from going unnoticed for longer than a person would wait.
	defaultMax = 30 * time.Second

	// defaultJitter spreads children that failed together, so that they do not come back together.
	defaultJitter = 0.2
)

// A Backoff is a delay that doubles with each attempt up to a cap, with random jitter. The zero
// Backoff works: each zero field has a default.
type Backoff struct {
	// Initial is the delay after the first failure. Zero means 100 ms, or Max where that
	// is shorter.
	Initial time.Duration

	// Max is the longest delay, jitter included. Zero means 30 s, or Initial where that is
	// longer.
	Max time.Duration

	// Jitter is the fraction of the delay, 0 to 1, by which it varies in both directions. Zero
	// means 0.2. For delays without jitter pass no random source.
	Jitter float64
}

// withDefaults returns b with every zero field set to its default.
func (b Backoff) withDefaults() Backoff {
	switch {
	case b.Initial <= 0 && b.Max <= 0:
		b.Initial, b.Max = defaultInitial, defaultMax
	case b.Initial <= 0:
		b.Initial = min(defaultInitial, b.Max)
	case b.Max <= 0:
		b.Max = max(defaultMax, b.Initial)
	}
	if b.Jitter <= 0 {
		b.Jitter = defaultJitter
	}
	return b
}

// Delay returns how long to wait after failure number attempt, counted from 1: Initial, twice that,
// and so on up to Max. The delay is drawn evenly from the jitter interval around that value, cut
// off at Max: it is never longer than Max, and delays at the cap stay spread instead of piling up
// on Max itself. random returns numbers in [0, 1), as rand.Float64 does; without one (nil) there is
// no jitter.
func (b Backoff) Delay(attempt int, random func() float64) time.Duration {
	b = b.withDefaults()
	middle := b.doubled(attempt)
	if random == nil {
		return middle
	}
	swing := fraction(middle, b.Jitter)
	low, high := middle-swing, middle+min(swing, b.Max-middle)
	return low + fraction(high-low, random())
}

// doubled is the delay without jitter. It stops at Max, after at most 63 doublings, and compares
// before it doubles, so that it cannot overflow.
func (b Backoff) doubled(attempt int) time.Duration {
	d := min(b.Initial, b.Max)
	for n := 1; n < attempt && d < b.Max; n++ {
		if d > b.Max/2 {
			return b.Max
		}
		d *= 2
	}
	return d
}

// fraction is d times f. The whole is not left to float64, which rounds the longest durations up
// beyond what fits.
func fraction(d time.Duration, f float64) time.Duration {
	if f >= 1 {
		return d
	}
	return time.Duration(float64(d) * f)
}

func (b Backoff) violations(field string) []error {
	var order, jitter error
	if b.Max > 0 && b.Initial > b.Max {
		order = &SettingError{Field: field + ".Initial", Rule: fmt.Sprintf("must be at most Max, %v", b.Max), Value: b.Initial}
	}
	if b.Jitter < 0 || b.Jitter > 1 || math.IsNaN(b.Jitter) {
		jitter = &SettingError{Field: field + ".Jitter", Rule: "must be 0 to 1", Value: b.Jitter}
	}
	return []error{
		atLeastZero(field+".Initial", b.Initial),
		atLeastZero(field+".Max", b.Max),
		order,
		jitter,
	}
}
