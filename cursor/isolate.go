package cursor

import (
	"context"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// isolate runs a function of the user on a goroutine of its own, so that not only a panic but also
// runtime.Goexit, which FailNow of package testing calls, is an error here: it would end the
// caller's goroutine, and with it whatever waits for that. When ctx ends it returns, with the
// cause; what the function still does then must not matter to the caller.
//
// It costs about a microsecond, so one frame serves the keys of a page. Handlers have a frame of
// their own, see [Task.Run].
func isolate(ctx context.Context, redact Redact, f func() error) error {
	done := make(chan error, 1)
	go func() { // ends with f
		err := ErrGoexit
		defer func() { done <- err }() // also where the methods of a panic's value end the goroutine
		defer func() {
			if value := recover(); value != nil {
				err = panicError(value, redact)
			}
		}()
		err = supervision.Capture(f(), redact.Text)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isolate calls a function that gets a context. It returns when ctx ends, also if the function does
// not: then what it returns later counts for nothing.
func (o *owner) isolate(ctx context.Context, f func() error) error {
	err := isolate(ctx, o.worker.redact, f)
	if err != nil && ctx.Err() != nil { // whatever the function makes of that
		return context.Cause(ctx)
	}
	return err
}

// discarded calls the function of the user.
func discarded(ctx context.Context, o *owner, e store.Event) ([]store.Proposal, error) {
	var list []store.Proposal
	err := o.isolate(ctx, func() (err error) {
		list, err = o.worker.Discarded(e)
		return err
	})
	if err != nil { // it may still be at work
		return nil, err
	}
	return list, nil
}

// externalPosition calls the function of the user.
func (o *owner) externalPosition(ctx context.Context, s ResumeState) (store.Position, error) {
	var at store.Position
	err := o.isolate(ctx, func() (err error) {
		at, err = o.worker.ExternalPosition(ctx, s)
		return err
	})
	if err != nil { // at may still be written to
		return 0, err
	}
	return at, nil
}
