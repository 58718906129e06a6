package actors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
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

func TestAStateIsItsNameInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]actors.State{"state": actors.Retrying})
	require.NoError(t, err)
	require.JSONEq(t, `{"state": "retrying"}`, string(text))
}

func TestErrorsAreReasonsInJSON(t *testing.T) {
	reason := &actors.HaltedError{Worker: "w", Reason: errBroken}
	for name, value := range map[string]any{
		"status":     actors.Status{Err: reason},
		"worker":     actors.WorkerStatus{Name: "w", Reason: reason},
		"lag":        actors.WorkerStatus{Name: "w", LagErr: reason},
		"failing":    actors.WorkerStatus{Name: "w", Failing: []actors.FailingEvent{{Event: 7, Reason: reason}}},
		"transition": actors.Transition{Worker: "w", Reason: reason},
		"inside":     map[string]any{"list": []actors.WorkerStatus{{Reason: reason}}},
		"pointer":    &actors.Transition{Reason: reason},
	} {
		text, err := json.Marshal(value)
		require.NoError(t, err, name)
		require.Contains(t, string(text), `{"code":"failed","text":"actors: worker \"w\" is halted: broken"}`, name)
	}
}

// Each field is a member, so that JSON says no less than Go.
func TestEveryFieldIsAMemberOfTheJSON(t *testing.T) {
	elsewhere := map[string]string{ // within lag
		"Err": "error", "LagErr": "lag", "Lag": "lag", "LagAtLeast": "lag", "LagTime": "lag", "LagBytes": "lag", "OldestPending": "lag",
		"OldestPendingKey": "lag",
	}
	for _, shown := range []any{
		actors.Status{},
		actors.GroupStatus{},
		actors.WorkerStatus{},
		actors.FailingEvent{},
		actors.Definition{},
		actors.Budget{},
		actors.Transition{Stack: []byte("main.go:1")},
		actors.Reason{Event: 1, Key: "k", Attempt: 1},
	} {
		text, err := json.Marshal(shown)
		require.NoError(t, err)
		var members map[string]any
		require.NoError(t, json.Unmarshal(text, &members))
		for _, field := range reflect.VisibleFields(reflect.TypeOf(shown)) {
			name := strings.ToLower(field.Name[:1]) + field.Name[1:]
			if other := elsewhere[field.Name]; other != "" {
				name = other
			}
			require.Contains(t, members, name, "%T: %s", shown, text)
			delete(members, name)
			if name == "lag" {
				members[name] = nil
			}
		}
		delete(members, "lag")
		require.Empty(t, members)
	}
}

func TestStatusInJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		deliver := handling("deliver", func(_ context.Context, b *cursor.Batch) error {
			return supervision.RetryAfter(time.Hour, errBroken)
		})
		deliver.Lanes, deliver.BatchSize, deliver.Timeout = 2, 1, 90*time.Second
		deliver.Kinds = []string{"in.made"}
		index := handling("index", func(context.Context, *cursor.Batch) error { return nil })
		index.Region = store.Region{Entity: "in", Scope: "test"}
		inner := supervision.Group{Name: "mail", Strategy: supervision.RestForOne, Children: []supervision.Child{deliver}}
		inner.Policy = supervision.Policy{Intensity: 5}
		sys, err := actors.Start(t.Context(), st, actors.Options{Build: "b1"},
			supervision.Group{Name: "shop", Children: []supervision.Child{inner, index}})
		require.NoError(t, err)
		t.Cleanup(func() { _ = sys.Stop(context.WithoutCancel(t.Context())) })
		appendInputs(t, st, 1)
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond)
		status := sys.Status()
		status.Transition, status.Workers[0].LagBytes = 4, 400 // they depend on who was first, and on the format
		text, err := json.MarshalIndent(status, "", "  ")
		require.NoError(t, err)
		golden(t, "testdata/status.json", text)
	})
}

// golden compares a text with that of a file. UPDATE_GOLDEN=1 writes it.
func golden(t *testing.T, file string, text []byte) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text)+"\n")
}

func TestStatusNamesEachKeyThatWaitsToBeTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var broken atomic.Bool
		broken.Store(true)
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Coordinate.Entity != "in:1" && broken.Load() {
				return supervision.RetryAfter(time.Hour, errBroken)
			}
			return nil
		})
		w.Lanes = 4
		sys := start(t, st, w)
		appendInputs(t, st, 3)
		synctest.Wait()
		var keys []string
		for _, one := range statusOf(t, sys, "w").Failing {
			require.ErrorIs(t, one.Reason, errBroken)
			require.Equal(t, 1, one.Attempt)
			require.Equal(t, st.Now().Add(time.Hour), one.Due)
			keys = append(keys, fmt.Sprintf("%d %s", one.Event, one.Key))
		}
		require.Equal(t, []string{"1 in:0", "3 in:2"}, keys)
		broken.Store(false)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.Empty(t, statusOf(t, sys, "w").Failing)
	})
}

func TestAWorkerThatEndsHasNothingLeftThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, handling("w", func(context.Context, *cursor.Batch) error {
			return supervision.RetryAfter(time.Hour, errBroken)
		}))
		appendInputs(t, st, 1)
		synctest.Wait()
		require.Len(t, statusOf(t, sys, "w").Failing, 1)
		require.NoError(t, sys.Stop(t.Context()))
		require.Empty(t, statusOf(t, sys, "w").Failing)
	})
}

func TestEachFailingEventHasItsOwnReasonInAnOutageToo(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		t.Run(fmt.Sprint(lanes, " lanes"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				var broken atomic.Bool
				broken.Store(true)
				w := handling("w", func(_ context.Context, b *cursor.Batch) error {
					if broken.Load() {
						return fmt.Errorf("%w for %s", errBroken, b.Events[0].Coordinate.Entity)
					}
					return nil
				})
				w.Lanes, w.BatchSize = lanes, 1
				sys := start(t, st, w)
				for i := range 120 {
					one := input(i)
					one.At.Entity = fmt.Sprintf("in:%d", i)
					appendAll(t, st, one)
				}
				failed := make(map[actors.State]int) // the most there were at once in a state
				for range 120 {
					time.Sleep(40 * time.Second)
					synctest.Wait()
					shown := statusOf(t, sys, "w")
					n := len(shown.Failing)
					require.True(t, n == 100 || shown.MoreFailing == 0)
					failed[shown.State] = max(failed[shown.State], n+shown.MoreFailing)
					for i, one := range shown.Failing {
						require.Equal(t, fmt.Sprintf("in:%d", one.Event-1), one.Key)
						require.ErrorContains(t, one.Reason, "broken for "+one.Key)
						require.ErrorContains(t, one.Reason, fmt.Sprintf("event %d", one.Event))
						require.True(t, i == 0 || one.Event > shown.Failing[i-1].Event)
					}
				}
				if lanes == 1 { // else it is found at once
					require.Equal(t, 1, failed[actors.Retrying])
				}
				require.Greater(t, failed[actors.Outage], 100, "in an outage")
				broken.Store(false)
				time.Sleep(time.Hour)
				synctest.Wait()
				shown := statusOf(t, sys, "w")
				require.Equal(t, actors.Idle, shown.State)
				require.Empty(t, shown.Failing)
				require.Zero(t, shown.MoreFailing)
			})
		})
	}
}

func TestStatusTellsHowManyRestartsAreLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var broken atomic.Bool
		broken.Store(true)
		w := handling("w", func(context.Context, *cursor.Batch) error { return nil })
		w.Open = func(context.Context, *cursor.Opening) error {
			if broken.Load() {
				return errBroken
			}
			return nil
		}
		w.Policy = supervision.Policy{
			Intensity: 2, Period: time.Hour, OverBudget: supervision.ActionEscalate,
			Backoff: supervision.Backoff{Initial: time.Minute, Max: time.Minute, Jitter: 1e-9},
		}
		group := supervision.Group{Name: "inner", Children: []supervision.Child{w}}
		group.Policy = supervision.Policy{Intensity: 3, Period: 2 * time.Hour, Backoff: supervision.Backoff{Initial: time.Second}}
		sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "top", Children: []supervision.Child{group}})
		require.NoError(t, err)
		t.Cleanup(func() { _ = sys.Stop(context.WithoutCancel(t.Context())) })
		left := func() [2]int {
			synctest.Wait()
			s := sys.Status()
			require.Len(t, s.Groups, 2)
			require.Equal(t, "top/inner", s.Groups[1].Path)
			require.Equal(t, 3, s.Groups[1].Budget.Of)
			require.Equal(t, actors.Budget{Left: s.Workers[0].Budget.Left, Of: 2, Period: time.Hour}, s.Workers[0].Budget)
			return [2]int{s.Groups[1].Budget.Left, s.Workers[0].Budget.Left}
		}
		require.Equal(t, [2]int{3, 1}, left(), "the first start")
		time.Sleep(70 * time.Second)
		require.Equal(t, [2]int{3, 0}, left(), "tried once more")
		time.Sleep(55 * time.Second)
		require.Equal(t, [2]int{2, 1}, left(), "it has escalated, and begins with a budget of its own")
		broken.Store(false)
		time.Sleep(50 * time.Minute)
		require.Equal(t, [2]int{2, 1}, left(), "it runs")
		time.Sleep(11 * time.Minute)
		require.Equal(t, [2]int{2, 2}, left(), "what is older than its period counts no more")
		_, err = sys.Apply(t.Context(), "w", checkpoint.Rewind{}, why)
		require.NoError(t, err)
		require.Equal(t, [2]int{3, 2}, left(), "an operator has moved it: what was before counts no more")
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// In an outage an event that failed is passed over only while there is room for what is held for
// it: one that is not is shown all the same.
func TestAFailingEventIsShownWhereThereIsNoRoomToPassItOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(context.Context, *cursor.Batch) error { return errBroken })
		w.Lanes, w.BatchSize, w.MaxParked, w.MaxParkedKeys = 8, 1, 1, 1
		sys := start(t, st, w)
		for i := range 8 {
			one := input(i)
			one.At.Entity = fmt.Sprintf("in:%d", i)
			appendAll(t, st, one)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		shown := statusOf(t, sys, "w")
		require.Equal(t, actors.Outage, shown.State)
		require.Len(t, shown.Failing, 8)
	})
}

func TestATimeoutIsNamedInTheReasonWhateverTheHandlerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(ctx context.Context, _ *cursor.Batch) error {
			<-ctx.Done()
			return errBroken
		})
		w.BatchSize, w.Timeout = 1, time.Minute
		sys := start(t, st, w)
		appendInputs(t, st, 1)
		time.Sleep(time.Minute)
		synctest.Wait()
		failing := statusOf(t, sys, "w").Failing
		require.Len(t, failing, 1)
		require.ErrorIs(t, failing[0].Reason, cursor.ErrTimeout)
		require.ErrorIs(t, failing[0].Reason, errBroken)
		require.Equal(t, actors.Code("timeout"), actors.ReasonOf(failing[0].Reason).Code)
	})
}
