package admin

import (
	"context"
	"errors"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// workerStatus is short for the name.
type workerStatus = actors.WorkerStatus

// Act is why a change is made, and by whom. Every change has one.
type Act struct {
	// Reason may be empty in a dry run alone.
	Reason string `json:"reason,omitempty"`
	// By names who decided. An authorizer that knows better wins.
	By     string `json:"by,omitempty"`
	DryRun bool   `json:"dryRun,omitempty"`
}

// request is what the packages below need of it.
func (a Act) request(ctx context.Context) (checkpoint.Request, error) {
	by := a.By
	if known := callerOf(ctx).by; known != "" {
		by = known
	}
	if a.Reason == "" && !a.DryRun {
		return checkpoint.Request{}, fail(Usage, "say why", "a change needs a reason")
	}
	q := checkpoint.Request{Reason: a.Reason, By: by, DryRun: a.DryRun}
	return q, q.Validate()
}

// PauseRequest lets a worker rest.
type PauseRequest struct {
	Act

	Worker string     `json:"worker"`
	Until  *time.Time `json:"until,omitempty"` // nil: until it is resumed
}

// Pause lets a worker rest, until a time or until it is resumed. It is kept over restarts. Resume
// takes it back.
func (s *Surface) Pause(ctx context.Context, q PauseRequest) error {
	_, err := pause().ask(ctx, s, q)
	return err
}

func pause() question[PauseRequest, nothing] {
	return question[PauseRequest, nothing]{"pause", Control, func(ctx context.Context, h *here, q PauseRequest) (nothing, error) {
		return nothing{}, h.operate(ctx, q.Worker, q.Act, func(ctx context.Context, o cursor.Operator, r checkpoint.Request) error {
			var until time.Time
			if q.Until != nil {
				until = *q.Until
			}
			return o.Pause(ctx, until, r)
		})
	}}
}

// ResumeRequest ends the pause of a worker, or its halt.
type ResumeRequest struct {
	Act

	Worker string `json:"worker"`
}

// Resume ends the pause of a worker; one that is halted is started again.
func (s *Surface) Resume(ctx context.Context, q ResumeRequest) error {
	_, err := resume().ask(ctx, s, q)
	return err
}

func resume() question[ResumeRequest, nothing] {
	return question[ResumeRequest, nothing]{"resume", Control, func(ctx context.Context, h *here, q ResumeRequest) (nothing, error) {
		return nothing{}, h.operate(ctx, q.Worker, q.Act, func(ctx context.Context, o cursor.Operator, r checkpoint.Request) error {
			return o.Resume(ctx, r)
		})
	}}
}

// operate runs a call of an operator for a worker.
func (h *here) operate(
	ctx context.Context, name string, a Act, do func(context.Context, cursor.Operator, checkpoint.Request) error,
) error {
	r, err := a.request(ctx)
	if err == nil {
		err = h.known(name)
	}
	if err != nil {
		return err
	}
	if h.sys != nil {
		if err = do(ctx, actors.OperatorOf(h.sys, name), r); !errors.Is(err, actors.ErrUnknownWorker) {
			return err
		}
	}
	absent := func(ctx context.Context, st *store.Store) error {
		return do(ctx, cursor.OperatorOf(st, checkpoint.ID(name)), r)
	}
	if r.DryRun { // nothing is written, so a reader will do
		return absent(ctx, h.st)
	}
	return h.change(ctx, absent)
}
