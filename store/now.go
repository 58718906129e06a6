package store

import (
	"math"
	"sync"
	"time"
)

const (
	// maxJump is the longest jump forwards that a running store believes. Machines sleep for days, and
	// lie in a drawer for years; what is beyond that is a mistake, which would stay in events forever.
	maxJump = 10 * 365 * 24 * time.Hour
	// catchUp is the part of elapsed time by which time that is ahead of the clock is held back, as a
	// divisor: 21 s a day, more than the oscillator of any machine is wrong, and less than 1 s in an
	// hour.
	catchUp = 4096
	// maxElapsed is what two may be apart that are subtracted, 146 years.
	maxElapsed time.Duration = math.MaxInt64 / 2
)

// Times that no clock shows in earnest.
//
//nolint:gochecknoglobals // nothing changes them
var (
	// unsetBefore is older than this program: a machine that starts with such a time has yet to learn
	// the right one.
	unsetBefore = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	// firstMoment and lastMoment bound what fits into hybrid time, and into RFC 3339.
	firstMoment = time.Unix(0, 0).UTC()
	lastMoment  = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// clock makes of a clock that may be set to any time one that never goes back. It is the clock that
// was read, except where that is behind what was said before: then it continues from there with
// elapsed time, a little slower, until the clock has caught up. Forwards it follows the clock at
// once, since elapsed time may stand still while the machine sleeps, but not over maxJump.
type clock struct {
	source func() time.Time // its monotonic reading, where it has one, is elapsed time

	mu    sync.Mutex    // held over a call of source, so that readings are used in their order
	first time.Time     // reading of source; elapsed time counts from it
	said  time.Time     // the latest result, never before an event of the log
	base  time.Time     // what was said when it was not held back last, or elapsed time went back
	at    time.Duration // elapsed time then
	ahead time.Duration // of said before the clock; negative where that is not believed
}

// start begins with the time that the clock shows.
func (c *clock) start(source func() time.Time) {
	if source == nil {
		source = time.Now
	}
	c.source, c.first = source, source()
	c.said = plausible(c.first)
	c.base = c.said
}

// now returns the time, and how far it is ahead of the clock.
func (c *clock) now() (t time.Time, ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read(c.look())
	return c.said, c.ahead
}

// read takes in what the clock shows after some elapsed time. Called with mu held.
func (c *clock) read(wall time.Time, elapsed time.Duration) {
	passed := elapsed - c.at
	if passed < 0 { // a source without a monotonic reading was set back
		c.base, c.at, passed = c.said, elapsed, 0
	}
	next := c.base.Add(passed - passed/catchUp)
	if !wall.Before(next) {
		next = c.base.Add(passed)
		if jump := wall.Sub(next); jump <= maxJump || c.base.Before(unsetBefore) {
			next = wall
		}
		c.base, c.at = next, elapsed
	}
	if next.Before(c.said) { // such a source was set back while time was ahead of it already
		next, c.base, c.at = c.said, c.said, elapsed
	}
	c.said, c.ahead = next, next.Sub(wall)
}

// observe takes in the time of an event: what is said from then on is not before it.
func (c *clock) observe(event uint64) {
	t := Timestamp(event).Time()
	c.mu.Lock()
	defer c.mu.Unlock()
	wall, elapsed := c.look()
	c.read(wall, elapsed)
	if t.After(c.said) {
		c.said, c.base, c.at, c.ahead = t, t, elapsed, t.Sub(wall)
	}
}

// look reads the source: the time that it shows, and how much has elapsed. That cannot be told of a
// reading which is centuries away, as the zero time is; it is counted from there then.
func (c *clock) look() (wall time.Time, elapsed time.Duration) {
	reading := c.source()
	if elapsed = reading.Sub(c.first); elapsed.Abs() > maxElapsed {
		c.first, c.base, c.at, elapsed = reading, c.said, 0, 0
	}
	return plausible(reading), elapsed
}

// plausible is a reading without its monotonic part, in UTC.
func plausible(reading time.Time) time.Time {
	switch {
	case reading.Before(firstMoment):
		return firstMoment
	case reading.After(lastMoment):
		return lastMoment
	}
	return reading.Round(0).UTC()
}

// Now is the time in the store, in UTC: that of the events which are written at this moment, and
// the one by which workers wait, pause and measure lag.
//
// It never goes back while the store is open, and is never before an event of the log. It is the
// time of the machine, or of Options.Clock; where this was set back, or is behind the log, Now
// moves on with elapsed time, by one part in 4,096 slower, until the two meet: Stats.ClockAhead
// says how far that is. Where the clock is set forwards Now follows, as it must after the machine
// has slept, but not by more than ten years at once until the store is opened again. (One that
// showed a time before 2020 was not set yet, and is followed.)
func (s *Store) Now() time.Time {
	t, _ := s.clock.now()
	return t
}
