package actors_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// In these tests a worker cannot acquire its checkpoint, for no fault of the program.

// refusal is one way in which that happens: position is what its ExternalPosition returns until it
// is mended.
type refusal struct {
	position func() error
	open     func() error
	prepare  func(*testing.T, *store.Store) // instead
	state    actors.State                   // that Start leaves the worker in
	reason   error
}

func refusals() map[string]refusal {
	ahead := func(t *testing.T, st *store.Store) {
		lease, err := checkpoint.Acquire(t.Context(), st, "w", checkpoint.Binding{Region: inputs})
		require.NoError(t, err)
		var b store.Batch
		lease.Stage(&b, checkpoint.Move{Scanned: 1000, Clean: true})
		require.NoError(t, lease.Committed(st.Commit(t.Context(), b)))
	}
	return map[string]refusal{
		"error":           {position: func() error { return errBroken }, state: actors.Retrying, reason: errBroken},
		"panic":           {position: func() error { panic(errBroken) }, state: actors.Retrying, reason: cursor.ErrNoPosition},
		"goexit":          {position: func() error { runtime.Goexit(); return nil }, state: actors.Retrying, reason: cursor.ErrGoexit},
		"away":            {position: func() error { return supervision.Wait(errBroken) }, state: actors.Retrying, reason: errBroken},
		"another history": {position: foreign, state: actors.Halted, reason: store.ErrForeignHistory},
		"ahead":           {prepare: ahead, state: actors.Halted, reason: checkpoint.ErrAhead},
		"does not open":   {open: func() error { return errBroken }, state: actors.Retrying, reason: errBroken},
		"panics":          {open: func() error { panic(errBroken) }, state: actors.Retrying, reason: cursor.ErrOpen},
		"ends":            {open: func() error { runtime.Goexit(); return nil }, state: actors.Retrying, reason: cursor.ErrGoexit},
	}
}

// foreign is what a projector says whose row is of another log.
func foreign() error { return supervision.Halt(fmt.Errorf("projector: %w", store.ErrForeignHistory)) }

// worker makes the one that is refused until it is mended.
func (r refusal) worker(ill func() bool) cursor.Worker {
	w := reacting("w")
	if r.position != nil {
		w.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) {
			if ill() {
				return 0, r.position()
			}
			return 0, nil
		}
	}
	if r.open != nil {
		w.Open = func(context.Context, *cursor.Opening) error {
			if ill() {
				return r.open()
			}
			return nil
		}
	}
	return w
}

func TestTheOthersRunWhereTheWorldRefusesOneAndStatusSaysWhyWhenStartReturns(t *testing.T) {
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				if r.prepare != nil {
					r.prepare(t, st)
				}
				ill := sick()
				sys := start(t, st, reacting("before"), r.worker(ill.Load), reacting("after"))
				s := statusOf(t, sys, "w")
				require.Equal(t, r.state, s.State)
				require.ErrorIs(t, s.Reason, r.reason)
				require.Zero(t, s.Lag, "what it reads is not known yet")
				receipt := appendInputs(t, st, 3)
				for _, other := range []string{"before", "after"} {
					require.NoError(t, sys.WaitApplied(t.Context(), other, receipt))
				}
				ill.Store(false)
				if r.state == actors.Retrying {
					require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
					require.NoError(t, sys.Err())
					return
				}
				time.Sleep(24 * time.Hour)
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", receipt), actors.ErrHalted)
				require.ErrorIs(t, sys.Err(), r.reason, "no clean end")
				if r.position != nil { // mended
					require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
					require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				}
			})
		})
	}
}

func TestWithAllOrNothingNothingRunsWhereTheWorldRefusesOne(t *testing.T) {
	for name, r := range refusals() {
		t.Run(name, func(t *testing.T) {
			st := memory(t, store.Options{})
			if r.prepare != nil {
				r.prepare(t, st)
			}
			receipt := appendInputs(t, st, 1)
			o := actors.Options{AllOrNothing: true}
			_, err := actors.Start(t.Context(), st, o, tree(reacting("good"), r.worker(func() bool { return true })))
			require.ErrorIs(t, err, actors.ErrChild)
			require.ErrorIs(t, err, r.reason)
			require.Equal(t, []string{"test/w"}, childErrors(err))
			require.Empty(t, reactions(t, st, "good"))
			require.NoError(t, start(t, st, reacting("good")).WaitApplied(t.Context(), "good", receipt))
		})
	}
}

func TestAWorkerThatNeverAcquiresItsCheckpointHaltsOverItsBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := refusal{position: func() error { return errBroken }}.worker(func() bool { return true })
		sys := start(t, memory(t, store.Options{}), w)
		time.Sleep(24 * time.Hour)
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Halted, s.State)
		require.ErrorIs(t, s.Reason, supervision.ErrIntensity)
		require.ErrorIs(t, s.Reason, errBroken)
	})
}

func TestASystemStartsOnAFullDiskAndBeginsOnceThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, disk := small(t)
		receipt := appendInputs(t, st, 3)
		room := full(t, st, disk)
		sys := start(t, st, reacting("w"))
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Retrying, s.State)
		require.ErrorIs(t, s.Reason, store.ErrDiskFull)
		room()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		requireExactlyOnce(t, st, "w")
	})
}
