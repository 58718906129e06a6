package actors

import (
	"time"

	"go.uber.org/zap"

	"github.com/penstock-io/penstock/store"
)

// maxTimer is how long a timer runs before the clock of the store is looked at again. Timers stand
// still while the machine sleeps, and do not know that the clock was set: a pause must end at its
// time all the same, at most this much late.
const maxTimer = time.Minute

// timerFor is how long a timer runs that waits for a time of the store's clock.
func timerFor(st *store.Store, at time.Time) time.Duration { return min(at.Sub(st.Now()), maxTimer) }

// clockTolerance is how far two clocks may be apart before that is logged.
const clockTolerance = time.Minute

// clockWatch logs when the clock of the store and that of the machine come apart, and when they
// meet again. It is used by one goroutine at a time.
type clockWatch struct{ apart bool }

func (w *clockWatch) look(s *System) {
	ahead := s.store.Stats().ClockAhead
	apart := ahead.Abs() >= clockTolerance
	if apart == w.apart {
		return
	}
	w.apart = apart
	switch by := zap.Duration("by", ahead.Abs()); {
	case !apart:
		s.log.Info("the clock of the store is within a minute of that of the machine again")
	case ahead > 0:
		s.log.Warn("the clock of the store is ahead of that of the machine, which was set back, or an event was written "+
			"while it was ahead: times of events continue from there", by)
	default:
		s.log.Warn("the clock of the machine jumped forwards, further than is believed: if it is right, open the store "+
			"again; times of events continue from before", by)
	}
}
