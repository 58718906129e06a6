package admin

import (
	"context"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/store"
)

// workerRef names one worker.
type workerRef struct {
	Worker string `json:"worker"`
}

// Stack returns where the handlers of a worker are that have not returned, as the goroutine profile
// of its process shows it; "" where there is none. It stops that process for a moment. Refused
// where the worker does not run.
func (s *Surface) Stack(ctx context.Context, worker string) (string, error) {
	return stack().ask(ctx, s, workerRef{worker})
}

func stack() question[workerRef, string] {
	return question[workerRef, string]{"stack", Read, func(_ context.Context, h *here, q workerRef) (string, error) {
		if err := h.running(q.Worker); err != nil {
			return "", err
		}
		b, err := h.sys.Stack(q.Worker)
		return string(b), err
	}}
}

// running makes sure that a worker runs here.
func (h *here) running(name string) error {
	if err := h.known(name); err != nil || h.runs(name) {
		return err
	}
	return fail(Refused, "", "worker %q does not run in a process that can be asked", name)
}

// InterruptRequest ends the context of a handler that has not returned.
type InterruptRequest struct {
	Act

	Worker string         `json:"worker"`
	Event  store.Position `json:"event,omitempty"` // that it has in flight; 0 for all of them
}

// Interrupt ends the context of the handler of a worker, and returns what it has in flight, without
// waiting for it. A handler that returns an error then has made an attempt. NotFound where there is
// nothing in flight, Refused where the worker does not run. Nothing takes it back.
func (s *Surface) Interrupt(ctx context.Context, q InterruptRequest) ([]actors.Handling, error) {
	return interrupt().ask(ctx, s, q)
}

func interrupt() question[InterruptRequest, []actors.Handling] {
	return question[InterruptRequest, []actors.Handling]{"interrupt", Control, func(
		ctx context.Context, h *here, q InterruptRequest,
	) ([]actors.Handling, error) {
		r, err := q.Act.request(ctx)
		if err == nil {
			err = h.running(q.Worker)
		}
		if err != nil {
			return nil, err
		}
		return h.sys.Interrupt(ctx, q.Worker, q.Event, r)
	}}
}
