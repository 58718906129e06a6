package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// SagaCall is what an operator asks of an instance. [saga.Instances] has each as a method, with
// what it does and when it fits.
type SagaCall string

// The calls.
const (
	SagaRetry         SagaCall = "retry"
	SagaSkipUndo      SagaCall = "skip-undo"
	SagaSettleDone    SagaCall = "settle-done"    // Action, Result
	SagaSettleRefused SagaCall = "settle-refused" // Action
	SagaAbandon       SagaCall = "abandon"
	SagaCancel        SagaCall = "cancel"
	SagaSuspend       SagaCall = "suspend"
	SagaResume        SagaCall = "resume"
	SagaFire          SagaCall = "fire" // Timer
	SagaPurge         SagaCall = "purge"
)

// SagaRequest asks something of one instance.
type SagaRequest struct {
	Act

	Saga string   `json:"saga"`
	Key  string   `json:"key"`
	Call SagaCall `json:"call"`
	// Action is what is settled: "charge", or "undo charge".
	Action string `json:"action,omitempty"`
	// Result of an action that was done; nil for the zero value.
	Result json.RawMessage `json:"result,omitempty"`
	Timer  string          `json:"timer,omitempty"`
}

// SagaAsked is what was asked, or of a dry run, would be.
type SagaAsked struct {
	Text string `json:"text"` // what it touches, in one line
	// Life and Phase of the instance as it was then.
	Life  saga.Life `json:"life"`
	Phase string    `json:"phase,omitempty"`
	// Event is where it stands, with who asked and why; 0 of a dry run.
	Event store.Position `json:"event,omitempty"`
	ID    *uuid.UUID     `json:"id,omitempty"`
	// Undo takes it back; "" where nothing does.
	Undo   SagaCall `json:"undo,omitempty"`
	DryRun bool     `json:"dryRun,omitempty"`
}

// CallSaga asks something of one instance: as an event, which has its effect when the saga runs. It
// needs the definition of the saga. Refused: the call does not fit the instance as it is.
func (s *Surface) CallSaga(ctx context.Context, q SagaRequest) (SagaAsked, error) {
	return callSaga().ask(ctx, s, q)
}

func callSaga() question[SagaRequest, SagaAsked] {
	return question[SagaRequest, SagaAsked]{"saga-call", Control, func(ctx context.Context, h *here, q SagaRequest) (SagaAsked, error) {
		r, err := q.Act.request(ctx)
		if err != nil {
			return SagaAsked{}, err
		}
		s, err := h.shelf(q.Saga)
		if err != nil {
			return SagaAsked{}, err
		}
		return s.call(ctx, q, r)
	}}
}

func (s *shelf) call(ctx context.Context, q SagaRequest, r checkpoint.Request) (out SagaAsked, err error) {
	o, err := s.in.one(q.Key)
	switch what := touches(q, &o); {
	case what == "":
		return out, fail(Usage, "", "no such call: %q", q.Call)
	case err != nil:
		return out, err
	case s.untyped:
		return out, undefined(s.name)
	default:
		out = SagaAsked{Text: s.line(what, &o), Life: o.Life, Phase: o.Phase, Undo: takenBack(q.Call), DryRun: r.DryRun}
	}
	if r.DryRun { // nothing is written, so a reader will do
		_, err = s.in.call(ctx, q, r)
		return out, err
	}
	err = s.h.change(ctx, func(ctx context.Context, st *store.Store) error {
		receipt, err := s.of(st).call(ctx, q, r)
		if err == nil {
			out.Event, out.ID = receipt.Events[0].Position, &receipt.Events[0].ID
		}
		return err
	})
	return out, err
}

// call does it.
func (t typed[S]) call(ctx context.Context, q SagaRequest, r checkpoint.Request) (store.Receipt, error) {
	switch q.Call {
	case SagaRetry:
		return t.Retry(ctx, q.Key, r)
	case SagaSkipUndo:
		return t.SkipUndo(ctx, q.Key, r)
	case SagaSettleDone:
		var result any
		if len(q.Result) > 0 {
			result = q.Result
		}
		return t.SettleDone(ctx, q.Key, q.Action, result, r)
	case SagaSettleRefused:
		return t.SettleRefused(ctx, q.Key, q.Action, r)
	case SagaAbandon:
		return t.Abandon(ctx, q.Key, r)
	case SagaCancel:
		return t.Cancel(ctx, q.Key, r)
	case SagaSuspend:
		return t.Suspend(ctx, q.Key, r)
	case SagaResume:
		return t.Resume(ctx, q.Key, r)
	case SagaFire:
		return t.Fire(ctx, q.Key, q.Timer, r)
	case SagaPurge:
		return t.Purge(ctx, q.Key, r)
	}
	return store.Receipt{}, fail(Usage, "", "no such call: %q", q.Call)
}

// takenBack is the call that takes one back, "" for none.
func takenBack(c SagaCall) SagaCall {
	return map[SagaCall]SagaCall{SagaSuspend: SagaResume, SagaResume: SagaSuspend}[c]
}

// line is what a call touches.
func (s *shelf) line(what string, o *Instance) string {
	is := o.Life.String()
	if o.Phase != "" && !o.Life.Ended() {
		is += fmt.Sprintf(" in %q", o.Phase)
	}
	line := fmt.Sprintf("%s %s, %s: %s", s.name, o.Key, is, what)
	if !s.h.runs(s.name) {
		line += ", once the saga runs"
	}
	return line
}

// touches says what a call does to an instance, "" for what is no call.
func touches(q SagaRequest, o *Instance) string {
	switch q.Call {
	case SagaRetry:
		if len(o.InFlight) == 0 {
			return "repeats what it is stuck at"
		}
		return "tries now " + inFlight(o)
	case SagaSkipUndo:
		return "passes over the undo that it is at"
	case SagaSettleDone:
		return fmt.Sprintf("takes %q as done", q.Action)
	case SagaSettleRefused:
		return fmt.Sprintf("takes %q as refused", q.Action)
	case SagaAbandon:
		return "ends it as failed, and leaves as it is " + listed(o.ToUndo)
	case SagaCancel:
		if len(o.InFlight) > 0 {
			return fmt.Sprintf("waits for %s, and undoes what that did, then %s", inFlight(o), listed(o.ToUndo))
		}
		return "undoes " + listed(o.ToUndo)
	case SagaSuspend:
		return "holds its inputs, and begins no action"
	case SagaResume:
		return fmt.Sprintf("lets it continue, with %d inputs that are held", o.Held)
	case SagaFire:
		return fmt.Sprintf("fires timer %q", q.Timer)
	case SagaPurge:
		return "forgets it: its key may start again"
	}
	return ""
}

func inFlight(o *Instance) string {
	var actions []string
	for _, e := range o.InFlight {
		actions = append(actions, e.Action)
	}
	return listed(actions)
}

// listed are names in a row.
func listed(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
