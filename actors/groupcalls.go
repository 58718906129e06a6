package actors

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
)

// PauseGroup pauses all workers at and below a group, which is given by its path, as
// [System.Pause] does one: each by a commit of its own, side by side, so that one whose handler
// takes long holds up no other. All are tried; the error joins those of the ones that are not
// paused, and the others are. Errors: [ErrUnknownGroup], and those of Pause.
func (s *System) PauseGroup(ctx context.Context, group string, until time.Time, q checkpoint.Request) error {
	return eachOf(s, group, func(name string) error { return s.Pause(ctx, name, until, q) })
}

// ResumeGroup resumes all workers at and below a group, as [System.Resume] does one, and starts
// those again that are halted: see [System.PauseGroup].
func (s *System) ResumeGroup(ctx context.Context, group string, q checkpoint.Request) error {
	return eachOf(s, group, func(name string) error { return s.Resume(ctx, name, q) })
}

// eachOf calls do for each worker at and below a group, at once, and returns when all calls have.
func eachOf(s *System, group string, do func(name string) error) error {
	known := false
	for _, g := range s.groups {
		known = known || g.Path == group
	}
	if !known {
		return fmt.Errorf("%w: %q", ErrUnknownGroup, group)
	}
	workers := s.workers.all()
	errs := make([]error, len(workers))
	var calls sync.WaitGroup // each goroutine ends with its call
	for i, n := range workers {
		if strings.HasPrefix(n.Path, group+"/") {
			calls.Go(func() { errs[i] = do(n.name()) })
		}
	}
	calls.Wait()
	return errors.Join(errs...)
}
