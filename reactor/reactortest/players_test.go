package reactortest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// stepper runs a play step by step.
type stepper struct {
	t   *testing.T
	run *reactortest.Run
}

func (s stepper) store() *store.Store { return s.run.Store() }

func (s stepper) given(from, count int) {
	for n := from; n < from+count; n++ {
		s.run.Given(reactortest.At(inputOf(n), numbered{N: n}))
	}
}

func (s stepper) wait(d time.Duration) { s.run.Advance(d) }

func (s stepper) status(worker string) standing {
	is := s.run.Status(worker)
	return standing{state: is.State.String(), attempt: is.Attempt, lag: is.Lag, parked: is.Parked, held: is.Held, restarts: is.Restarts}
}

func (s stepper) do(worker string, a act, to store.Position) error {
	if a.what == "resume" {
		s.run.Resume(worker)
		return nil
	}
	return s.run.Control(worker, func(ctx context.Context, r cursor.Operator) error {
		switch a.what {
		case "pause":
			return r.Pause(ctx, time.Time{}, checkpoint.Request{})
		case "rest":
			return r.Pause(ctx, s.run.Now().Add(10*time.Second), checkpoint.Request{})
		case "rewind", "emit":
			return apply(ctx, r, checkpoint.Rewind{To: to, Emit: a.what == "emit"})
		case "replay":
			_, err := r.Replay(ctx, a.key(), checkpoint.Request{})
			return err
		case "discard":
			return r.Discard(ctx, to, checkpoint.Request{})
		case "skip":
			return apply(ctx, r, checkpoint.SkipTo{To: to})
		default:
			return apply(ctx, r, checkpoint.Reset{})
		}
	})
}

// acting runs a play with the actors, in a bubble.
type acting struct {
	t   *testing.T
	st  *store.Store
	sys *actors.System
}

func startActors(t *testing.T, tree supervision.Group) acting {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	sys, err := actors.Start(t.Context(), st, actors.Options{}, tree)
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := sys.Stop(context.WithoutCancel(t.Context())); err != nil {
			require.ErrorIs(t, err, actors.ErrHalted)
		}
		require.NoError(t, st.Close())
	})
	return acting{t: t, st: st, sys: sys}
}

func (p acting) store() *store.Store { return p.st }

// given appends all events in one commit, so that no reactions come in between.
func (p acting) given(from, count int) {
	var batch store.Batch
	for n := from; n < from+count; n++ {
		batch.Events = append(batch.Events, store.Proposal{At: inputOf(n), Payload: numbered{N: n}})
	}
	_, err := p.st.Commit(p.t.Context(), batch)
	require.NoError(p.t, err)
}

func (p acting) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (p acting) status(worker string) standing {
	for _, w := range p.sys.Status().Workers {
		if w.Name == worker {
			return standing{
				state: w.State.String(), attempt: w.Attempt, lag: w.Lag, parked: w.Parked, held: w.Held, restarts: w.Restarts,
			}
		}
	}
	return standing{}
}

func (p acting) do(worker string, a act, to store.Position) (err error) {
	ctx := p.t.Context()
	switch a.what {
	case "resume":
		err = p.sys.Resume(ctx, worker, checkpoint.Request{})
		require.NoError(p.t, err)
	case "pause":
		err = p.sys.Pause(ctx, worker, time.Time{}, checkpoint.Request{})
	case "rest":
		err = p.sys.Pause(ctx, worker, time.Now().Add(10*time.Second), checkpoint.Request{})
	case "rewind", "emit":
		err = p.apply(ctx, worker, checkpoint.Rewind{To: to, Emit: a.what == "emit"})
	case "replay":
		_, err = p.sys.Replay(ctx, worker, a.key(), checkpoint.Request{})
	case "discard":
		err = p.sys.Discard(ctx, worker, to, checkpoint.Request{})
	case "skip":
		err = p.apply(ctx, worker, checkpoint.SkipTo{To: to})
	default:
		err = p.apply(ctx, worker, checkpoint.Reset{})
	}
	return err
}

func (p acting) apply(ctx context.Context, worker string, c checkpoint.Change) error {
	_, err := p.sys.Apply(ctx, worker, c, checkpoint.Request{})
	return err
}

// apply changes the checkpoint of a worker of a run.
func apply(ctx context.Context, r cursor.Operator, c checkpoint.Change) error {
	_, err := r.Apply(ctx, c, checkpoint.Request{})
	return err
}
