package cursor

import (
	"context"
	"errors"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// givenUp is an event that is given up: Worker.GiveUp is called for it in place of Handle, until
// what that stages is committed, or the event is parked or skipped after all. Handlers read it on
// their goroutines, so it is never written to.
//
//	failed --GiveUp--> given up --committed--> done
//	   ^                  |  |
//	   |           refused |  | fails, or ends the process each time
//	   |   (it is called   |  v
//	   |      once more)   | failed --Settle--> parked
//	   +------ process or owner ends, or the worker is moved: as if nothing had been said
type givenUp struct {
	reason   error
	attempts int
	skips    bool // else it is parked where it is not given up after all
}

// GiveUp has Worker.GiveUp called for an event that failed and waits for a verdict, in place of
// what v says, which is to park or to skip it: the next task of its queue does that. It returns
// false, and changes nothing, where the worker has no such function, and where that was tried and
// has failed, or has ended the process: then the event is to be parked, by [Runner.Settle].
func GiveUp(r *Runner, first store.Position, v supervision.Verdict) bool {
	q := r.next.failed(first)
	if q == nil || r.own.worker.GiveUp == nil || r.own.emission.given[first] != nil || r.guard.beyond(first) {
		return false
	}
	if entry := r.list.at[first]; entry != nil && !entry.Replaying {
		return false
	}
	r.own.emission.giveUp(first, &givenUp{reason: v.Reason, attempts: v.Attempt, skips: v.Action == supervision.ActionSkip})
	r.next.release(q)
	return true
}

// excludesOthers requires, for a field that is set, the one commit that has both what the worker
// makes of an event and the position.
func (w Worker) excludesOthers(field string, set bool) error {
	switch {
	case !set:
		return nil
	case w.Volatile:
		return &store.InvalidError{Field: field, Rule: "excludes Volatile"}
	case w.ExternalPosition != nil:
		return &store.InvalidError{Field: field, Rule: "excludes ExternalPosition"}
	}
	return nil
}

// givesUp reports why the event of a task is given up, nil where it is handled.
func (t *Task) givesUp() *givenUp {
	if t.batch.again == nil {
		return nil
	}
	return t.batch.again.given
}

// handle calls the function of the worker that a task is for.
func (t *Task) handle(ctx context.Context) (Action, error) {
	if g := t.givesUp(); g != nil {
		return Continue, t.own.worker.GiveUp(ctx, &t.batch, g.reason, g.attempts)
	}
	return t.own.worker.Handle(ctx, &t.batch)
}

// refused completes the failure of Worker.GiveUp, which leads to its event being parked, or to its
// outcome without that. Of Handle there is nothing to complete. The methods of an
// error that was returned may panic once more, as in Task.failedAt.
func (g *givenUp) refused(f *HandlerError) {
	if g == nil {
		return
	}
	v := &supervision.Verdict{Action: supervision.ActionPark, Attempt: g.attempts}
	switch {
	case f.Panic || !errors.Is(f.Err, g.reason):
		f.Err = fmt.Errorf("it cannot be given up: %w; it failed with: %w", f.Err, g.reason)
	case g.skips:
		v.Action = supervision.ActionSkip
	}
	if d, _ := supervision.DirectiveOf(f.Err); d.Action != supervision.ActionHalt {
		v.Reason, f.Verdict = f.Err, v
	}
	if f.Panic {
		f.Err = supervision.Park(f.Err)
	}
}

// recorded returns the audit event of an event that was given up.
func (g *givenUp) recorded(o *owner, e *store.Event) store.Proposal {
	return o.audited(e, checkpoint.AuditGivenUp, checkpoint.Audit{
		Position: e.Position, Error: o.said(e, g.reason), Attempts: g.attempts,
	})
}

// crashLoop is why an event is not handled at which the process has ended so often.
func crashLoop(o *owner, crashes int) error {
	if o.worker.GiveUp != nil && crashes > o.attempts() {
		return fmt.Errorf("%w, and while it was given up", ErrCrashLoop)
	}
	return ErrCrashLoop
}

// beyond reports whether the process ended at an event also after it had ended at it so often that
// it was not handled any more.
func (g *crashGuard) beyond(event store.Position) bool {
	return g.event == event && int(g.crashes) > g.own.attempts()
}

// giveUp notes that an event is given up.
func (e *emission) giveUp(event store.Position, g *givenUp) {
	if e.given == nil {
		e.given = make(map[store.Position]*givenUp)
	}
	e.given[event] = g
}

// alone returns how many of some events are handled together at most, so that one that is given up
// is alone.
func (e *emission) alone(events []store.Event) int {
	if len(e.given) == 0 {
		return len(events)
	}
	for i := range events {
		if e.given[events[i].Position] != nil {
			return max(1, i)
		}
	}
	return len(events)
}
