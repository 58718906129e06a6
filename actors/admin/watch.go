package admin

import (
	"context"
	"iter"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/store"
)

// Transition says that a worker came into a state, or parked or skipped an event.
type Transition struct {
	Number   uint64         `json:"number"` // from 1 with each start of the system, without a hole
	Time     time.Time      `json:"time"`
	Worker   string         `json:"worker"`
	Path     string         `json:"path"`
	From     string         `json:"from"`
	To       string         `json:"to"`
	Reason   *actors.Reason `json:"reason,omitempty"`
	Stack    string         `json:"stack,omitempty"`
	Attempt  int            `json:"attempt,omitempty"`
	Position store.Position `json:"position"`
	Missed   int            `json:"missed,omitempty"` // left out before this one
}

// WatchQuery says from where on to watch.
type WatchQuery struct {
	// After is the number of the last transition that was seen, 0 for all that are kept.
	After uint64 `json:"after,omitempty"`
}

// Watch yields the transitions of a running system, until ctx ends or the system has stopped.
// Refused where none runs.
func (s *Surface) Watch(ctx context.Context, q WatchQuery) iter.Seq2[Transition, error] {
	return watch().ask(ctx, s, q)
}

func watch() listing[WatchQuery, Transition] {
	return listing[WatchQuery, Transition]{"watch", Read, func(ctx context.Context, h *here, q WatchQuery) iter.Seq2[Transition, error] {
		return func(yield func(Transition, error) bool) {
			if h.sys == nil {
				yield(Transition{}, fail(Refused, "", "no system runs here that could be watched"))
				return
			}
			for t := range h.sys.Watch(ctx, q.After) {
				out := Transition{
					Number: t.Number, Time: t.Time, Worker: t.Worker, Path: t.Path, From: t.From.String(), To: t.To.String(),
					Stack: string(t.Stack), Attempt: t.Attempt, Position: t.Position, Missed: t.Missed,
				}
				if t.Reason != nil {
					reason := actors.ReasonOf(t.Reason)
					out.Reason = &reason
				}
				if !yield(out, nil) {
					return
				}
			}
			if err := ctx.Err(); err != nil {
				yield(Transition{}, err)
			}
		}
	}}
}
