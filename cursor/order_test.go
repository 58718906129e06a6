package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// sickWorker fails at each event with an error of its own, until it is well.
func sickWorker(ill func(store.Position) bool) cursor.Worker {
	return cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if ill(e.Position) {
				return cursor.Continue, cursor.FailedAt(i, fmt.Errorf("%d: %w", e.Position, errBroken))
			}
			react(b, i)
		}
		return cursor.Continue, nil
	}}
}

// parkEach handles all there is, and parks what fails.
func parkEach(t tb, r *cursor.Runner) {
	t.Helper()
	for {
		out, err := r.Step(t.Context(), 0, 0)
		var failed *cursor.HandlerError
		if errors.As(err, &failed) {
			require.NoError(t, r.Settle(failed.Event, toPark(failed.Err, 3)))
			_, err = r.Commit(t.Context())
		}
		require.NoError(t, err)
		if out.CaughtUp && failed == nil {
			return
		}
	}
}

// auditsOf are what the audit events of a kind say.
func auditsOf(t tb, st *store.Store, kind string) (all []checkpoint.Audit) {
	t.Helper()
	for e, err := range checkpoint.Audits(t.Context(), st, "reserve", 0, kind) {
		require.NoError(t, err)
		a, err := checkpoint.AuditOf(t.Context(), st, e)
		require.NoError(t, err)
		all = append(all, a)
	}
	return all
}

func TestADryRunReturnsWhatTheCallAfterItTouches(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b", "a", "c", "b")
	ill := true
	r := runner(t, st, sickWorker(func(p store.Position) bool { return ill && p != 3 && p != 5 }))
	parkEach(t, r)
	ill = false
	q := checkpoint.Request{Reason: "looked at", By: "ada"}
	for _, call := range []struct {
		do    func(context.Context, cursor.ParkedFilter, checkpoint.Request) ([]checkpoint.Parked, error)
		which cursor.ParkedFilter
		want  []store.Position
		left  []store.Position
	}{
		{r.Replay, cursor.ParkedFilter{Error: "1: "}, []store.Position{1, 3}, []store.Position{2, 4, 5}},
		{r.Discard, cursor.ParkedFilter{Error: "2: "}, []store.Position{2, 5}, []store.Position{4}},
		{r.Discard, cursor.ParkedFilter{All: true, Max: 3}, []store.Position{4}, nil},
	} {
		head := st.Head()
		dry := q
		dry.DryRun = true
		would, err := call.do(t.Context(), call.which, dry)
		require.NoError(t, err)
		require.Equal(t, head, st.Head())
		did, err := call.do(t.Context(), call.which, q)
		require.NoError(t, err)
		require.Equal(t, would, did)
		var at, left []store.Position
		for _, p := range did {
			at = append(at, p.Position)
		}
		require.Equal(t, call.want, at)
		drain(t, r)
		for _, p := range parkedIn(t, st) {
			left = append(left, p.Position)
		}
		require.Equal(t, call.left, left)
	}
	require.Equal(t, []store.Position{1, 3, 5}, reactions(t, st))
	require.Equal(t, []checkpoint.Audit{
		{Worker: "reserve", Events: 2, Selection: `error with "1: "`, Reason: q.Reason, By: q.By},
	}, auditsOf(t, st, checkpoint.AuditReplay))
	require.Equal(t, []checkpoint.Audit{
		{Worker: "reserve", Position: 2, Key: "order:b", Events: 1, Selection: `error with "2: "`, Reason: q.Reason, By: q.By},
		{Worker: "reserve", Position: 4, Key: "order:c", Events: 1, Selection: "all, at most 3", Reason: q.Reason, By: q.By},
	}, auditsOf(t, st, checkpoint.AuditDiscarded))
}

func TestOfManyThatAreDiscardedEachHasAnAuditEvent(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b", "c", "c")
	r := runner(t, st, sickWorker(func(p store.Position) bool { return p < 4 }))
	parkEach(t, r)
	head := st.Head()
	touched, err := r.Discard(t.Context(), cursor.ParkedFilter{Kind: "order.placed"}, checkpoint.Request{})
	require.NoError(t, err)
	require.Len(t, touched, 4)
	require.Equal(t, head+3, st.Head(), "one commit")
	for i, a := range auditsOf(t, st, checkpoint.AuditDiscarded) {
		require.Equal(t, store.Position(i+1), a.Position)
		require.Equal(t, 3, a.Events)
	}
	require.NoError(t, cursor.CheckParked(r))
	drain(t, r)
	require.Empty(t, parkedIn(t, st))
	require.Equal(t, []store.Position{4}, reactions(t, st))
}

// The caller that replays in slices stops where too much fails again: it needs nothing but the
// filter and the list.
func TestSlicesOfAReplayTakeEachEventOnceAndCanBeStopped(t *testing.T) {
	for _, poison := range []store.Position{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			st := open(t)
			keyed(t, st, "1", "2", "3", "4", "5", "6", "7")
			ill := true
			r := runner(t, st, sickWorker(func(p store.Position) bool { return ill || p == poison }))
			parkEach(t, r)
			ill = false
			time.Sleep(time.Second)
			began, slices, stopped := st.Now(), [][]store.Position(nil), false
			for !stopped {
				chosen, err := r.Replay(t.Context(), cursor.ParkedFilter{Error: "broken", Before: began, Max: 2}, checkpoint.Request{})
				require.NoError(t, err)
				if len(chosen) == 0 {
					break
				}
				var at []store.Position
				for _, p := range chosen {
					at = append(at, p.Position)
				}
				slices = append(slices, at)
				time.Sleep(time.Second)
				parkEach(t, r)
				for _, p := range parkedIn(t, st) {
					stopped = stopped || !p.Since.Before(began)
				}
			}
			require.Equal(t, [][]store.Position{{1, 2}, {3, 4}, {5, 6}, {7}}[:len(slices)], slices)
			require.Len(t, slices, map[store.Position]int{0: 4, 3: 2}[poison])
		})
	}
}

// Calls with a Max that do not wait for what they have begun take the next ones, too.
func TestASliceLeavesOutWhatIsAboutToBeHandledAgain(t *testing.T) {
	st := open(t)
	keyed(t, st, "1", "2", "3")
	ill := true
	r := runner(t, st, sickWorker(func(store.Position) bool { return ill }))
	parkEach(t, r)
	ill = false
	for _, want := range []int{2, 1, 0} {
		chosen, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true, Max: 2}, checkpoint.Request{})
		require.NoError(t, err)
		require.Len(t, chosen, want)
	}
	require.Len(t, auditsOf(t, st, checkpoint.AuditReplay), 2)
	drain(t, r)
	require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st))
}
