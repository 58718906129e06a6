package sagas

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/cschleiden/go-workflows/backend"
	"github.com/cschleiden/go-workflows/backend/history"
	"github.com/cschleiden/go-workflows/backend/sqlite"
	"github.com/cschleiden/go-workflows/client"
	"github.com/cschleiden/go-workflows/core"
	"github.com/cschleiden/go-workflows/worker"
	"github.com/cschleiden/go-workflows/workflow"
)

// How often go-workflows looks for work while there is none.
const (
	quickPolls   = time.Millisecond
	defaultPolls = 200 * time.Millisecond
)

// heard is a backend that tells which workflows it has stored a piece of work of, after the commit.
type heard struct {
	backend.Backend
	stored func(id string, state core.WorkflowInstanceState)
}

// CompleteWorkflowTask tells of it.
func (h heard) CompleteWorkflowTask(
	ctx context.Context, task *backend.WorkflowTask, state core.WorkflowInstanceState,
	executed, activities, timers []*history.Event, others []*history.WorkflowEvent,
) error {
	err := h.Backend.CompleteWorkflowTask(ctx, task, state, executed, activities, timers, others)
	if err == nil {
		h.stored(task.WorkflowInstance.InstanceID, state)
	}
	return err
}

// inWorkflows is a worker of go-workflows with its database.
type inWorkflows struct {
	*client.Client
	backend backend.Backend
	worker  *worker.Worker
	cancel  context.CancelFunc
}

// newWorkflows starts a worker that polls so often.
func newWorkflows(
	ctx context.Context, dir string, polls time.Duration, stored func(string, core.WorkflowInstanceState),
	register func(w *worker.Worker) error,
) (*inWorkflows, error) {
	b := sqlite.NewSqliteBackend(filepath.Join(dir, "workflows.db"), sqlite.WithBackendOptions(backend.WithLogger(silent())))
	options := worker.DefaultOptions
	options.WorkflowPollingInterval, options.ActivityPollingInterval = polls, polls
	w := worker.New(heard{b, stored}, &options)
	if err := register(w); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	running, cancel := context.WithCancel(ctx)
	if err := w.Start(running); err != nil {
		cancel()
		return nil, errors.Join(err, b.Close())
	}
	return &inWorkflows{Client: client.New(b), backend: b, worker: w, cancel: cancel}, nil
}

func (w *inWorkflows) close(context.Context) error {
	w.cancel()
	return errors.Join(w.worker.WaitForCompletion(), w.backend.Close())
}

// engineOfWorkflows runs workflows.
type engineOfWorkflows struct {
	hall
	*inWorkflows
	flow func(ctx workflow.Context, id string) (int, error)
}

// openWorkflows runs workflows with a worker that polls so often.
func openWorkflows(polls time.Duration) opener {
	return func(ctx context.Context, dir string, acted func(step int)) (engine, error) {
		e := new(engineOfWorkflows)
		stored := func(id string, state core.WorkflowInstanceState) {
			if state == core.WorkflowInstanceStateFinished {
				e.announce(id)
			}
		}
		act := func(_ context.Context, step int) (int, error) {
			acted(step)
			return 1, nil
		}
		e.flow = func(ctx workflow.Context, _ string) (sum int, err error) {
			for k := range steps {
				one, err := workflow.ExecuteActivity[int](ctx, workflow.DefaultActivityOptions, act, k).Get(ctx)
				if err != nil {
					return 0, err
				}
				sum += one
			}
			return sum, nil
		}
		var err error
		e.inWorkflows, err = newWorkflows(ctx, dir, polls, stored, func(w *worker.Worker) error {
			return errors.Join(w.RegisterWorkflow(e.flow), w.RegisterActivity(act))
		})
		return e, err
	}
}

func (e *engineOfWorkflows) run(ctx context.Context, id string) error {
	ended := e.enter(id)
	if _, err := e.CreateWorkflowInstance(ctx, client.WorkflowInstanceOptions{InstanceID: id}, e.flow, id); err != nil {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
