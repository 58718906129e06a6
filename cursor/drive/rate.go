package drive

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// nothing is how much of a token a rounding error may leave missing.
const nothing = 1e-9

// pace keeps the events that are handed to a handler to a rate. The limiter is that of all
// incarnations; it knows no clock but the moments that it is given.
type pace struct {
	limiter *rate.Limiter // nil where there is no rate
	until   time.Time     // when the next event may be handed over, zero where none waits for that
}

// permits reports whether a batch may be handed over now: the bucket has to be full, so that the
// largest one does not exceed it. Else, where something waits, it is known then until when.
func (p *pace) permits(now time.Time, waits bool) bool {
	if p.until = (time.Time{}); p.limiter == nil {
		return true
	}
	missing := float64(p.limiter.Burst()) - p.limiter.TokensAt(now)
	if missing <= nothing {
		return true
	}
	if waits {
		nanos := math.Ceil(missing / float64(p.limiter.Limit()) * float64(time.Second))
		p.until = now.Add(time.Duration(nanos))
	}
	return false
}

// handed records that events were handed over.
func (p *pace) handed(now time.Time, events int) {
	if p.limiter != nil {
		p.limiter.ReserveN(now, events)
	}
}
