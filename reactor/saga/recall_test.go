package saga_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// Whatever the delay is that an action waits for: that of its backoff, or of an outage in which it
// was not attempted yet.
func TestAnInstanceTurnsBackAtOnceThoughItsActionWaits(t *testing.T) {
	for name, policy := range map[string]supervision.Policy{
		"in a backoff": {Attempts: 1000, Outage: supervision.OutagePolicy{Off: true}},
		"in an outage": {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.checkout()
			s.Deadline, s.Effects.Policy = 0, policy
			w.fails["charge"] = []error{errDown}
			run := reactortest.Start(t, s)
			for i := range 6 {
				run.Given(reactortest.At(at(fmt.Sprint(i)), placed(fmt.Sprint(i))))
			}
			run.Advance(2 * time.Hour)
			calls := len(w.calls)
			run.Given(reactortest.At(at("42"), placed("42")))
			run.Settle()
			for _, id := range []string{"0", "42"} {
				run.Given(reactortest.At(at(id), orderCancelled{id}))
				run.Settle()
				o, err := s.In(run.Store()).Get(id)
				require.NoError(t, err)
				require.Equal(t, saga.Compensated, o.Life, id)
			}
			undone := map[string]int{"in a backoff": 2, "in an outage": 1}[name] // 42 was never attempted there
			n := 0
			for _, call := range w.calls[calls:] {
				if call == "undo charge" {
					n++
				}
			}
			require.Equal(t, undone, n)
		})
	}
}

// It is not shown to fail until its delay is over, nor does its worker lag until then.
func TestARequestThatIsSupersededEndsAtOnceThoughItWaits(t *testing.T) {
	type instances = saga.Instances[order]
	for name, supersede := range map[string]func(in *instances) error{
		"an undo that is settled": func(in *instances) error {
			_, err := in.SettleDone(t.Context(), "42", "undo charge", nil, ana)
			return err
		},
		"an undo that is passed over": func(in *instances) error {
			_, err := in.SkipUndo(t.Context(), "42", ana)
			return err
		},
		"an undo that is abandoned": func(in *instances) error {
			_, err := in.Abandon(t.Context(), "42", ana)
			return err
		},
		"an action that is settled": func(in *instances) error {
			_, err := in.SettleDone(t.Context(), "42", "ship", "by hand", ana)
			return err
		},
		"an action that is abandoned": func(in *instances) error {
			_, err := in.Abandon(t.Context(), "42", ana)
			return err
		},
		"an action that is recalled": func(in *instances) error {
			_, err := in.Cancel(t.Context(), "42", ana)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			switch name {
			case "an action that is settled", "an action that is abandoned":
				w.fails["ship"] = []error{errDown}
			case "an action that is recalled":
				w.fails["charge"] = []error{errDown}
			default:
				w.fails["label"], w.fails["undo charge"] = []error{saga.Refuse(errDown)}, []error{errDown}
			}
			s := w.checkout()
			s.Deadline, s.Effects.Policy.Attempts = 0, 1000
			run := begun(t, s)
			run.Advance(2 * time.Hour)
			require.NotZero(t, run.Status("checkout.do").Lag)
			require.NoError(t, supersede(s.In(run.Store())))
			run.Settle()
			require.True(t, get(t, s, run).Life.Ended())
			require.Zero(t, run.Status("checkout.do").Lag)
		})
	}
}

// What is under way is waited for, and says what has happened.
func TestAnAttemptUnderWayIsNotRecalled(t *testing.T) {
	for name, fail := range map[string]error{"done": nil, "failed": errDown} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.checkout()
			var st *store.Store
			var sys *actors.System
			s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
				if a.String() != "charge" || a.Instance != "42" {
					return next(ctx)
				}
				cancelled, err := st.Append(ctx, at("42"), store.Any, orderCancelled{"42"})
				if err == nil {
					err = sys.WaitApplied(ctx, "checkout", cancelled)
				}
				if err == nil {
					_, err = st.Append(ctx, at("43"), store.Any, placed("43"))
				}
				if err == nil { // its requests come behind the recall
					_, err = s.In(st).Wait(ctx, "43")
				}
				w.calls = w.calls[:1]
				return errors.Join(err, next(ctx), fail)
			}
			st, sys = running(t, s)
			_, err := st.Append(t.Context(), at("42"), store.Any, placed("42"))
			require.NoError(t, err)
			o, err := s.In(st).Wait(t.Context(), "42")
			require.NoError(t, err)
			require.Equal(t, saga.Compensated, o.Life)
			require.Equal(t, []string{"reserve", "charge", "undo charge", "undo reserve"}, w.calls)
		})
	}
}

// running is a system of a saga, stopped at the end of the test.
func running(t *testing.T, s *saga.Saga[order]) (*store.Store, *actors.System) {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(sys.Stop(context.WithoutCancel(t.Context())), st.Close())) })
	return st, sys
}

// An action that does not look at its context takes no place from others, and is undone when it has
// returned.
func TestAnActionThatHangsHoldsUpNoOther(t *testing.T) {
	w := newWorld()
	hang := make(chan struct{})
	var mu sync.Mutex
	now, most := make(map[string]int), 0
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", func(_ context.Context, s saga.Step[order]) (string, error) {
			mu.Lock()
			now[s.Key]++
			most = max(most, now[s.Key])
			mu.Unlock()
			if s.Instance != "43" {
				<-hang
			}
			mu.Lock()
			defer mu.Unlock()
			now[s.Key]--
			return w.do("charge", s.Key)
		}, w.back("charge")).Timeout(10*time.Millisecond).Attempts(2).UndoAttempts(2))
	s.Effects.Lanes = 1
	s.Effects.Policy.Backoff = supervision.Backoff{Initial: time.Millisecond, Max: 10 * time.Millisecond}
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 1000, true
	st, sys := running(t, s)
	for _, id := range []string{"41", "42", "43"} {
		_, err := st.Append(t.Context(), at(id), store.Any, placed(id))
		require.NoError(t, err)
	}
	in := s.In(st)
	o, err := in.Wait(t.Context(), "43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	for _, id := range []string{"41", "42"} {
		o, err = in.Wait(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, saga.Stuck, o.Life)
		require.ErrorContains(t, o.Err, "not returned")
	}
	close(hang)
	for _, id := range []string{"41", "42"} {
		for o.Life = saga.Stuck; o.Life == saga.Stuck; {
			asked, err := in.Retry(t.Context(), id, ana)
			require.NoError(t, err)
			require.NoError(t, sys.WaitApplied(t.Context(), "checkout", asked))
			o, err = in.Wait(t.Context(), id)
			require.NoError(t, err)
		}
		require.Equal(t, saga.Compensated, o.Life)
	}
	require.Equal(t, []string{"checkout/43.1/charge.1"}, w.effects())
	require.Equal(t, 1, most)
}

// Whether attempts are counted by the step or by the policy.
func TestAStepIsTriedWithTheDelaysThatItSays(t *testing.T) {
	for name, counted := range map[string]func(a *saga.Action[order, string]){
		"by the step":   func(a *saga.Action[order, string]) { a.Attempts(1000) },
		"by the policy": func(*saga.Action[order, string]) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			charge := saga.Do("charge", w.action("charge"), w.back("charge")).Backoff(supervision.Backoff{Initial: 10 * time.Minute})
			counted(charge)
			s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }), charge)
			s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 1000, true
			w.fails["charge"] = []error{errDown}
			run := begun(t, s)
			run.Advance(2 * time.Hour)
			require.GreaterOrEqual(t, len(w.calls), 13) // each is 8 to 10 minutes
			require.LessOrEqual(t, len(w.calls), 16)
		})
	}
	s := saga.Steps("checkout", saga.Starts[order](byOrder, nil),
		saga.Do("charge", newWorld().action("charge"), nil).Backoff(supervision.Backoff{Initial: -1}))
	_, err := s.Actions()
	require.ErrorIs(t, err, saga.ErrDefinition)
	require.ErrorIs(t, err, supervision.ErrSetting)
}
