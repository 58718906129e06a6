package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

func TestAPanicOfAWorkerWithoutACheckpointSkipsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var seen []store.Position
		panicked := false
		w := cursor.Worker{
			Name: "w", Region: inputs, Volatile: true, Start: store.Now(), Policy: steady(5, time.Second),
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				if !panicked {
					panicked = true
					panic("once")
				}
				for _, e := range b.Events {
					seen = append(seen, e.Position)
				}
				return cursor.Continue, nil
			},
		}
		sys := start(t, st, w)
		r := appendInputs(t, st, 1)
		time.Sleep(time.Minute)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", r))
		require.Equal(t, []store.Position{1}, seen)
	})
}

func TestAWorkerThatWouldStartBeyondTheHeadDoesNotStart(t *testing.T) {
	st := memory(t, store.Options{})
	appendInputs(t, st, 1)
	for _, volatile := range []bool{true, false} {
		ahead := reacting("ahead")
		ahead.Volatile, ahead.Start = volatile, store.After(1000)
		_, err := actors.Start(t.Context(), st, actors.Options{}, tree(ahead))
		require.ErrorIs(t, err, checkpoint.ErrAhead)
		require.ErrorContains(t, err, "start after 1000 is beyond the head of the log, 1")
	}
	_, err := cursor.Open(t.Context(), st, store.Region{}, cursor.Options{Start: store.After(1000)})
	require.ErrorIs(t, err, checkpoint.ErrAhead)
}

type nan struct{ V float64 }

func (nan) Kind() string { return "out.nan" }

func TestAReactionThatCannotBeEncodedIsAnAttemptAtItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := cursor.Worker{
			Name: "w", Region: inputs, Policy: steady(3, time.Second),
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					v := 1.0
					if e.Position == 3 {
						v = math.NaN()
					}
					b.React(i, store.At("out:w", "test"), nan{v})
				}
				return cursor.Continue, nil
			},
		}
		sys := start(t, st, w)
		appendInputs(t, st, 5)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "w")
		t.Logf("%+v", s)
		var ex *supervision.ExhaustedError
		require.ErrorAs(t, s.Reason, &ex)
		require.EqualValues(t, 3, ex.Event)
		require.EqualValues(t, 2, s.Position)
	})
}

type goexit struct{}

func (goexit) Kind() string                 { return "out.goexit" }
func (goexit) MarshalJSON() ([]byte, error) { runtime.Goexit(); return nil, nil }

func TestAPayloadThatEndsItsGoroutineIsAnAttemptAtItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var calls atomic.Int64
		w := cursor.Worker{
			Name: "w", Region: inputs, Policy: steady(3, time.Second),
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				calls.Add(1)
				b.React(0, store.At("out:w", "test"), goexit{})
				return cursor.Continue, nil
			},
		}
		sys := start(t, st, w)
		err := sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1))
		require.ErrorIs(t, err, actors.ErrHalted)
		require.ErrorIs(t, err, cursor.ErrGoexit)
		var exhausted *supervision.ExhaustedError
		require.ErrorAs(t, err, &exhausted)
		require.Equal(t, []any{uint64(1), 3}, []any{exhausted.Event, exhausted.Attempts})
		require.EqualValues(t, 3, calls.Load())
	})
}

type boom struct{}

func (boom) Kind() string                 { return "out.boom" }
func (boom) MarshalJSON() ([]byte, error) { panic("marshal") }

func TestAPayloadThatPanicsIsAnAttemptAtItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := cursor.Worker{
			Name: "w", Region: inputs, Policy: steady(3, time.Second),
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					if e.Position == 3 {
						b.React(i, store.At("out:w", "test"), boom{})
					}
				}
				return cursor.Continue, nil
			},
		}
		sys := start(t, st, w)
		appendInputs(t, st, 5)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "w")
		t.Logf("%+v", s)
		require.EqualValues(t, 2, s.Position)
	})
}

type typedNilError struct{ err error }

func (e *typedNilError) Error() string { return "x" }
func (e *typedNilError) Unwrap() error { return e.err }

func TestAnErrorWhoseMethodsPanicIsAnAttemptAtItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			var e *typedNilError
			return e
		})
		w.BatchSize = 1
		w.Policy = steady(3, time.Second)
		sys := start(t, st, w)
		appendInputs(t, st, 5)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "w")
		t.Logf("%+v", s)
		var ex *supervision.ExhaustedError
		require.ErrorAs(t, s.Reason, &ex)
	})
}

// Each failure is told with its own event, though the error is the same value.
func TestAHandlerMayReturnTheSameErrorAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		shared := cursor.FailedAt(0, errBroken)
		workers := make([]supervision.Child, 2)
		for i, region := range []store.Region{inputs, {Entity: "noise"}} {
			w := handling(fmt.Sprint("w", i+1), func(context.Context, *cursor.Batch) error { return shared })
			w.Region, w.Policy = region, steady(1000, time.Millisecond)
			workers[i] = w
		}
		sys := start(t, st, workers...)
		appendAll(t, st, input(0), noise(1))
		for range 50 {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			for i, s := range sys.Status().Workers {
				require.ErrorContains(t, s.Reason, fmt.Sprintf("event %d, attempt %d of 1000: ", i+1, s.Attempt))
			}
		}
	})
}

func TestStopCallsNoHandlerForTheFirstEventOfTheLog(t *testing.T) {
	var hits int
	for i := range 100 {
		st, err := storetest.Open(store.Options{})
		require.NoError(t, err)
		release := make(chan struct{})
		w := cursor.Worker{Name: "w", Region: inputs, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			select {
			case <-ctx.Done():
			case <-release:
			}
			return cursor.Continue, ctx.Err()
		}}
		sys, err := actors.Start(t.Context(), st, actors.Options{DrainTimeout: 5 * time.Millisecond, KillTimeout: 10 * time.Second}, tree(w))
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- sys.Stop(t.Context()) }()
		spin(2 * i)
		_, err = st.Append(t.Context(), store.At("in:1", "test"), store.Any, store.Raw{Type: "in.made", Data: []byte("1")})
		require.NoError(t, err)
		err = <-done
		close(release)
		if errors.Is(err, actors.ErrHung) {
			hits++
			t.Logf("iteration %d: %v %+v", i, err, sys.Status())
		}
		st.Close()
		if hits > 0 {
			t.FailNow()
		}
	}
}

var sink atomic.Int64

func spin(n int) {
	for range n * 20 {
		sink.Add(1)
	}
}

func TestABadEventEndsAWorkerWithoutACheckpointToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		calls := 0
		w := cursor.Worker{
			Name: "w", Region: inputs, Volatile: true, Policy: steady(3, time.Second),
			Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				calls++
				if calls > 3000 {
					return cursor.Stop, nil
				}
				reactAll("w", b)
				for _, e := range b.Events {
					if e.Position == 700 {
						panic("poison")
					}
				}
				return cursor.Continue, nil
			},
		}
		appendInputs(t, st, 800)
		sys := start(t, st, w)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "w")
		t.Logf("calls %d reactions %d %+v", calls, st.Head()-800, s)
		require.Less(t, calls, 200)
	})
}

func TestAPayloadMayBeChangedOnceItIsStaged(t *testing.T) {
	st := memory(t, store.Options{})
	w := cursor.Worker{Name: "w", Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		var p reacted
		for i, e := range b.Events {
			p.For = e.Position
			b.React(i, store.At("out:w", "test"), &p)
		}
		return cursor.Continue, nil
	}}
	r := appendInputs(t, st, 3)
	sys := start(t, st, w)
	require.NoError(t, sys.WaitApplied(t.Context(), "w", r))
	requireExactlyOnce(t, st, "w")
}
