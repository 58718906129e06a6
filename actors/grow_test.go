package actors_test

import (
	"context"
	"fmt"
	"sync"
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

// auditsOf returns the audit events of a worker.
func auditsOf(t *testing.T, st *store.Store, worker string, kinds ...string) (list []checkpoint.Audit) {
	t.Helper()
	for e, err := range checkpoint.Audits(t.Context(), st, checkpoint.ID(worker), 0, kinds...) {
		require.NoError(t, err)
		var a checkpoint.Audit
		require.NoError(t, e.Decode(&a))
		list = append(list, a)
	}
	return list
}

// names lists the workers of a system.
func names(sys *actors.System) (list []string) {
	for _, w := range sys.Status().Workers {
		list = append(list, w.Path)
	}
	return list
}

func TestAWorkerIsAddedToARunningGroupAndHandlesThePastToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		group := supervision.Group{Name: "g", Children: []supervision.Child{reacting("a")}}
		sys := start(t, st, group, reacting("b"))
		receipt := appendInputs(t, st, 3)
		why := checkpoint.Request{Reason: "a tenant came", By: "ada"}
		require.NoError(t, sys.Add(t.Context(), "test/g", reacting("c"), why))
		require.Equal(t, []string{"test/g/a", "test/g/c", "test/b"}, names(sys))
		require.NoError(t, sys.WaitApplied(t.Context(), "c", receipt))
		require.NoError(t, sys.WaitApplied(t.Context(), "c", appendInputs(t, st, 2)))
		requireExactlyOnce(t, st, "c")
		require.NoError(t, sys.Pause(t.Context(), "c", time.Time{}, checkpoint.Request{}), "all calls know it")
		require.Equal(t, []checkpoint.Audit{{Worker: "c", Reason: "a tenant came", By: "ada"}}, auditsOf(t, st, "c", checkpoint.AuditAdded))
		require.Zero(t, statusOf(t, sys, "c").Restarts)
	})
}

func TestWhatCannotBeAddedIsRefusedAndNothingChanges(t *testing.T) {
	st := memory(t, store.Options{})
	other := reacting("changed")
	require.NoError(t, start(t, st, other).Stop(t.Context()))
	other.Kinds = []string{"in.new"}
	former := reacting("c")
	former.Formerly = []string{"a"}
	sys := start(t, st, reacting("a"), supervision.Group{Name: "g"})
	for name, c := range map[string]struct {
		group string
		child supervision.Child
		want  error
	}{
		"unknown group":     {"g", reacting("c"), actors.ErrUnknownGroup},
		"worker as a group": {"test/a", reacting("c"), actors.ErrUnknownGroup},
		"group":             {"test", supervision.Group{Name: "h"}, actors.ErrChild},
		"stranger":          {"test", stranger{"s"}, actors.ErrChild},
		"nil":               {"test", nil, supervision.ErrSetting},
		"bad worker":        {"test", cursor.Worker{Name: "c"}, cursor.ErrWorker},
		"name":              {"test/g", reacting("a"), supervision.ErrDuplicate},
		"former name":       {"test/g", former, supervision.ErrDuplicate},
		"name of a group":   {"test", reacting("g"), supervision.ErrDuplicate},
		"changed kinds":     {"test", other, checkpoint.ErrKindsChanged},
	} {
		require.ErrorIs(t, sys.Add(t.Context(), c.group, c.child, checkpoint.Request{}), c.want, name)
		require.Equal(t, []string{"test/a"}, names(sys), name)
	}
	dry := checkpoint.Request{DryRun: true}
	require.NoError(t, sys.Add(t.Context(), "test/g", reacting("c"), dry))
	require.ErrorIs(t, sys.Add(t.Context(), "test/g", reacting("a"), dry), supervision.ErrDuplicate)
	require.Equal(t, []string{"test/a"}, names(sys))
	require.ErrorIs(t, sys.WaitApplied(t.Context(), "changed", appendInputs(t, st, 1)), actors.ErrUnknownWorker)
	require.NoError(t, sys.Add(t.Context(), "test", reacting("c"), checkpoint.Request{}))
}

func TestAWorkerThatTheWorldRefusesIsAddedWithItsReason(t *testing.T) {
	for name, r := range refusals() {
		for _, all := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", all), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					if r.prepare != nil {
						r.prepare(t, st)
					}
					sys := startWith(t, st, actors.Options{AllOrNothing: all}, reacting("a"))
					err := sys.Add(t.Context(), "test", r.worker(func() bool { return true }), checkpoint.Request{})
					if all {
						require.ErrorIs(t, err, r.reason)
						require.Equal(t, []string{"test/a"}, names(sys))
						return
					}
					require.NoError(t, err)
					s := statusOf(t, sys, "w")
					require.Equal(t, r.state, s.State)
					require.ErrorIs(t, s.Reason, r.reason)
					require.NoError(t, sys.Remove(t.Context(), "w", checkpoint.Request{}))
					require.Equal(t, []string{"test/a"}, names(sys))
					require.NoError(t, sys.Err())
				})
			})
		}
	}
}

func TestAWorkerThatIsRemovedFinishesItsBatchAndTheNextOfItsNameContinuesThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		gate := make(chan struct{})
		slow := handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			select {
			case <-gate:
			case <-ctx.Done():
			}
			return ctx.Err()
		})
		slow.BatchSize = 1
		sys := start(t, st, slow, reacting("b"))
		receipt := appendInputs(t, st, 3)
		synctest.Wait()
		waits := make(chan error, 3)
		go func() { waits <- sys.WaitApplied(t.Context(), "w", receipt) }()
		go func() { waits <- sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}) }()
		synctest.Wait()
		removed := make(chan error)
		go func() {
			removed <- sys.Remove(t.Context(), "w", checkpoint.Request{Reason: "a tenant went", By: "ada"})
		}()
		synctest.Wait()
		gate <- struct{}{}
		require.NoError(t, <-removed)
		require.Len(t, reactions(t, st, "w"), 1, "the batch in flight, and no more")
		for range 2 {
			if err := <-waits; err != nil { // a pause may have come before
				require.ErrorIs(t, err, actors.ErrRemoved)
			}
		}
		require.Equal(t, []string{"test/b"}, names(sys))
		require.ErrorIs(t, sys.Resume(t.Context(), "w", checkpoint.Request{}), actors.ErrUnknownWorker)
		require.ErrorIs(t, sys.Remove(t.Context(), "w", checkpoint.Request{}), actors.ErrUnknownWorker)
		require.Equal(t, []checkpoint.Audit{{Worker: "w", Reason: "a tenant went", By: "ada"}}, auditsOf(t, st, "w", checkpoint.AuditRemoved))
		require.Zero(t, statusOf(t, sys, "b").Restarts)

		require.NoError(t, sys.Add(t.Context(), "test", reacting("w"), checkpoint.Request{}))
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		requireExactlyOnce(t, st, "w")
	})
}

func TestAWorkerIsRemovedWhateverStateItIsIn(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(context.Context, *cursor.Batch) error
		state  actors.State
	}{
		"halted":     {func(context.Context, *cursor.Batch) error { return supervision.Halt(errBroken) }, actors.Halted},
		"retrying":   {func(context.Context, *cursor.Batch) error { return supervision.Wait(errBroken) }, actors.Retrying},
		"restarting": {func(context.Context, *cursor.Batch) error { panic(errBroken) }, actors.Restarting},
		"idle":       {func(context.Context, *cursor.Batch) error { return nil }, actors.Idle},
		"running":    {func(ctx context.Context, _ *cursor.Batch) error { <-ctx.Done(); return ctx.Err() }, actors.Running},
		"paused":     {nil, actors.Paused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				w := reacting("w")
				if c.handle != nil {
					w = handling("w", c.handle)
				}
				w.Policy = steady(50, time.Hour)
				sys := start(t, st, w, reacting("b"))
				if c.state == actors.Paused {
					require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
				}
				receipt := appendInputs(t, st, 1)
				synctest.Wait()
				require.Equal(t, c.state, statusOf(t, sys, "w").State)
				require.NoError(t, sys.Remove(t.Context(), "w", checkpoint.Request{DryRun: true}))
				require.Len(t, names(sys), 2)
				began := time.Now()
				require.NoError(t, sys.Remove(t.Context(), "w", checkpoint.Request{}))
				if c.state == actors.Running {
					require.Equal(t, 5*time.Second, time.Since(began), "it had its time")
				} else {
					require.Zero(t, time.Since(began))
				}
				require.Equal(t, []string{"test/b"}, names(sys))
				require.NoError(t, sys.Err(), "nothing of it is left")
				require.NoError(t, sys.WaitApplied(t.Context(), "b", receipt))
				require.NoError(t, sys.Stop(t.Context()))
			})
		})
	}
}

func TestAWorkerWhoseHandlerDoesNotReturnStaysUntilItDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		gate := make(chan struct{})
		sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error { <-gate; return nil }))
		appendInputs(t, st, 1)
		synctest.Wait()
		require.ErrorIs(t, sys.Remove(t.Context(), "w", checkpoint.Request{}), actors.ErrHung)
		require.Equal(t, actors.Halted, statusOf(t, sys, "w").State)
		require.ErrorIs(t, sys.Remove(t.Context(), "w", checkpoint.Request{}), actors.ErrHung)
		require.ErrorIs(t, sys.Add(t.Context(), "test", reacting("w"), checkpoint.Request{}), supervision.ErrDuplicate, "it would run beside itself")
		close(gate)
		synctest.Wait()
		require.NoError(t, sys.Remove(t.Context(), "w", checkpoint.Request{}))
		require.NoError(t, sys.Add(t.Context(), "test", reacting("w"), checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		requireExactlyOnce(t, st, "w")
	})
}

func TestHandlersMayAddAndRemoveOthersButNotThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var sys *actors.System
		ready := make(chan struct{})
		said := make(chan error, 10)
		manager := handling("manager", func(ctx context.Context, b *cursor.Batch) error {
			<-ready
			for _, e := range b.Events {
				tenant := fmt.Sprint("tenant-", e.Position)
				said <- sys.Add(ctx, "test/tenants", reacting(tenant), checkpoint.Request{By: "manager"})
				if e.Position > 1 {
					said <- sys.Remove(ctx, fmt.Sprint("tenant-", e.Position-1), checkpoint.Request{By: "manager"})
				}
				said <- sys.Remove(ctx, "manager", checkpoint.Request{})
			}
			return nil
		})
		sys = start(t, st, manager, supervision.Group{Name: "tenants", Strategy: supervision.OneForAll})
		close(ready)
		receipt := appendInputs(t, st, 2)
		require.NoError(t, sys.WaitApplied(t.Context(), "manager", receipt))
		require.NoError(t, <-said)
		require.ErrorIs(t, <-said, actors.ErrInsideHandler)
		require.NoError(t, <-said)
		require.NoError(t, <-said)
		require.ErrorIs(t, <-said, actors.ErrInsideHandler)
		require.Equal(t, []string{"test/manager", "test/tenants/tenant-2"}, names(sys))
	})
}

func TestACallThatAddsOrRemovesEndsWithItsContextOrWithTheSystem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		gate := make(chan struct{})
		stuck := handling("stuck", func(context.Context, *cursor.Batch) error { <-gate; return nil })
		stuck.StopTimeout = time.Hour
		late := reacting("late")
		late.ExternalPosition = func(context.Context, cursor.ResumeState) (store.Position, error) { <-gate; return 0, nil }
		sys := start(t, st, stuck)
		appendInputs(t, st, 1)
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, err := range []error{
			sys.Add(short, "test", late, checkpoint.Request{}), sys.Remove(short, "stuck", checkpoint.Request{}),
		} {
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, store.ErrOutcomeUnknown)
		}
		said := make(chan error, 1)
		go func() { said <- sys.Remove(t.Context(), "stuck", checkpoint.Request{}) }()
		synctest.Wait()
		go sys.Stop(t.Context())
		require.ErrorIs(t, <-said, actors.ErrStopped)
		synctest.Wait()
		require.ErrorIs(t, sys.Add(t.Context(), "test", reacting("c"), checkpoint.Request{}), actors.ErrStopped)
		close(gate)
		<-sys.Done()
		require.ErrorIs(t, sys.Remove(t.Context(), "stuck", checkpoint.Request{}), actors.ErrStopped)
	})
}

func TestWorkersThatComeAndGoSideBySideHandleEachEventOnce(t *testing.T) {
	st := memory(t, store.Options{})
	group := supervision.Group{Name: "g", Strategy: supervision.RestForOne}
	sys := start(t, st, group, reacting("stays"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := fmt.Sprint("w", i)
			for round := range 10 {
				if err := sys.Add(t.Context(), "test/g", reacting(name), checkpoint.Request{}); err != nil {
					t.Errorf("add %s: %v", name, err)
				}
				if _, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{input(i)}}); err != nil {
					t.Error(err)
				}
				_ = sys.Status()
				if round == 9 {
					return
				}
				if err := sys.Remove(t.Context(), name, checkpoint.Request{}); err != nil {
					t.Errorf("remove %s: %v", name, err)
				}
			}
		})
	}
	all.Wait()
	receipt := appendInputs(t, st, 1)
	for _, w := range sys.Status().Workers {
		require.NoError(t, sys.WaitApplied(t.Context(), w.Name, receipt))
		requireExactlyOnce(t, st, w.Name)
	}
	require.Len(t, names(sys), 9)
}

func TestAHandlerThatHungAndHasReturnedIsNotAmongThoseThatHangAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		first, second := make(chan struct{}), make(chan struct{})
		sys := start(t, st,
			handling("first", func(context.Context, *cursor.Batch) error { <-first; return nil }),
			handling("second", func(context.Context, *cursor.Batch) error { <-second; return nil }))
		appendInputs(t, st, 1)
		synctest.Wait()
		require.ErrorIs(t, sys.Remove(t.Context(), "first", checkpoint.Request{}), actors.ErrHung)
		close(first)
		synctest.Wait()
		err := sys.Stop(t.Context())
		close(second)
		synctest.Wait()
		var hung *actors.HungError
		require.ErrorAs(t, err, &hung)
		require.Equal(t, []string{"second"}, hung.Workers)
	})
}
