package actors_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestAStateIsItsNameInJSON(t *testing.T) {
	text, err := json.Marshal(map[string]actors.State{"state": actors.Retrying})
	require.NoError(t, err)
	require.JSONEq(t, `{"state": "retrying"}`, string(text))
}

func TestErrorsAreTheirTextsInJSON(t *testing.T) {
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
		require.Contains(t, string(text), `"actors: worker \"w\" is halted: broken"`, name)
	}
	text, err := json.Marshal(actors.WorkerStatus{Name: "w", State: actors.Idle, Parked: 3})
	require.NoError(t, err)
	require.Contains(t, string(text), `"Name":"w","Path":"","State":"idle"`)
	require.Contains(t, string(text), `"Reason":""`)
	text, err = json.Marshal(actors.Transition{From: actors.Running, To: actors.Halted, Stack: []byte("main.go:1")})
	require.NoError(t, err)
	require.Contains(t, string(text), `"Stack":"main.go:1"`)
}

func TestEveryFieldForAnErrorIsATextInJSON(t *testing.T) {
	for _, shown := range []any{&actors.Status{}, &actors.WorkerStatus{}, &actors.FailingEvent{}, &actors.Transition{}} {
		value := reflect.ValueOf(shown).Elem()
		fields := 0
		for i := range value.NumField() {
			if field := value.Type().Field(i); field.Type == reflect.TypeFor[error]() {
				value.Field(i).Set(reflect.ValueOf(fmt.Errorf("text of %s", field.Name)))
				fields++
			}
		}
		require.Positive(t, fields)
		text, err := json.Marshal(shown)
		require.NoError(t, err)
		require.Equal(t, fields, strings.Count(string(text), `":"text of `), string(text))
	}
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
