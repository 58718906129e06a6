package reactortest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// stepper plays step by step.
type stepper struct {
	t   *testing.T
	run *reactortest.Run
}

func (s stepper) store() *store.Store { return s.run.Store() }

func (s stepper) give(from, count int) {
	for n := from; n < from+count; n++ {
		s.run.Given(reactortest.At(inputOf(n), numbered{N: n}))
	}
}

func (s stepper) wait(d time.Duration) { s.run.Advance(d) }

func (s stepper) status(worker string) standing {
	is := s.run.Status(worker)
	return standing{state: string(is.State), attempt: is.Attempt, lag: is.Lag, parked: is.Parked, held: is.Held, restarts: is.Restarts}
}

func (s stepper) do(worker string, a act, to store.Position) error {
	if a.what == "resume" {
		s.run.Resume(worker)
		return nil
	}
	return s.run.Control(worker, func(ctx context.Context, r *cursor.Runner) error {
		switch a.what {
		case "pause":
			return r.Pause(ctx, time.Time{}, "")
		case "rest":
			return r.Pause(ctx, s.run.Now().Add(10*time.Second), "")
		case "rewind", "emit":
			return r.Rewind(ctx, to, a.what == "emit", "")
		case "replay":
			_, err := r.Replay(ctx, a.key(), false, "")
			return err
		case "discard":
			return r.Discard(ctx, to, "")
		case "skip":
			return r.SkipTo(ctx, to, "")
		default:
			return r.Reset(ctx, "")
		}
	})
}

// acting plays by the actors, in a bubble.
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

// give appends all at once, so that nobody's reactions come in between.
func (p acting) give(from, count int) {
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
		err = p.sys.Resume(ctx, worker, "")
		require.NoError(p.t, err)
	case "pause":
		err = p.sys.Pause(ctx, worker, time.Time{}, "")
	case "rest":
		err = p.sys.Pause(ctx, worker, time.Now().Add(10*time.Second), "")
	case "rewind", "emit":
		err = p.sys.Rewind(ctx, worker, store.After(to), a.what == "emit", "")
	case "replay":
		_, err = p.sys.Replay(ctx, worker, a.key(), false, "")
	case "discard":
		err = p.sys.Discard(ctx, worker, to, "")
	case "skip":
		err = p.sys.SkipTo(ctx, worker, store.After(to), "")
	default:
		err = p.sys.Reset(ctx, worker, "")
	}
	return err
}
