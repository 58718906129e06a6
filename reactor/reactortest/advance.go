package reactortest

import "time"

// AdvanceNext moves the clock to when something is due next, by most at most, handles what is due
// then, and returns by how much it has moved. It is [Run.Advance] for a scenario that is to end as
// soon as something has happened.
func AdvanceNext(r *Run, most time.Duration) time.Duration {
	r.tb.Helper()
	r.Settle()
	now := r.Now()
	step := min(most, max(0, nextDue(r, now.Add(most)).Sub(now)))
	r.passed.Add(int64(step))
	r.Settle()
	return step
}
