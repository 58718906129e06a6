package saga_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// troubles are those after a position, as long as there is no need to wait.
func troubles[S any](t *testing.T, in *saga.Instances[S], after store.Position, n int) (list []saga.Trouble) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n == 0 {
		cancel()
	}
	for trouble, err := range in.Watch(ctx, after) {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled, "%v", list)
			break
		}
		if list = append(list, trouble); len(list) == n {
			cancel()
		}
	}
	require.Len(t, list, n)
	return list
}

func TestAWatchTellsOfWhatNeedsAPerson(t *testing.T) {
	w := newWorld()
	w.fails["undo reserve"] = []error{saga.Refuse(errDown)}
	w.fails["charge"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	s.Policy.Attempts, s.Policy.Outage.Off = 1, true
	run := reactortest.Start(t, s)
	in := s.In(run.Store())
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	list := troubles(t, in, 0, 1)
	require.Equal(t, "42", list[0].Key)
	var stuck *saga.StuckError
	require.ErrorAs(t, list[0].Err, &stuck)
	require.Equal(t, "reserve", stuck.Step)
	require.True(t, stuck.Undo)

	_, err := in.SkipUndo(t.Context(), "42", checkpoint.Request{})
	require.NoError(t, err)
	run.Settle()
	troubles(t, in, list[0].Position, 0)
}

func TestAWatchTellsOfInputsThatAreParked(t *testing.T) {
	p := play(t)
	p.given(placed("42"), shipped{"42"}) // which is not expected
	list := troubles(t, p.s.In(p.Store()), 0, 1)
	require.Equal(t, "42", list[0].Key)
	var blocked *saga.BlockedError
	require.ErrorAs(t, list[0].Err, &blocked)
	require.Equal(t, p.Parked("checkout")[0].Position, blocked.Input)
	require.ErrorContains(t, blocked, "unexpected")
}

// A watch that waits is told at once, and ends with its context.
func TestAWatchWaits(t *testing.T) {
	p := play(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	told := make(chan saga.Trouble)
	ended := make(chan error)
	in := p.s.In(p.Store())
	go func() {
		for trouble, err := range in.Watch(ctx, 0) {
			if err != nil {
				ended <- err
				return
			}
			told <- trouble
		}
	}()
	for _, id := range []string{"1", "2"} {
		p.Given(reactortest.At(at(id), shipped{id}))
		p.Settle()
		require.Equal(t, id, (<-told).Key)
	}
	cancel()
	require.True(t, errors.Is(<-ended, context.Canceled))
}

// What is parked of one instance is not said of another one, whose key is the beginning of its.
func TestAKeyMayHaveSlashesAndBeTheBeginningOfAnother(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := reactortest.Start(t, s)
	in := s.In(run.Store())
	run.Given(reactortest.At(at("42"), placed("42")), reactortest.At(at("42"), placed("42/7")))
	run.Settle()
	bad := store.Raw{Type: "saga.checkout.requested", Data: []byte(`"no request"`)}
	run.Given(reactortest.At(store.At("saga:checkout:42/7", "saga"), bad))
	run.Settle()
	require.Len(t, run.Parked("checkout.do"), 1)
	list := troubles(t, in, 0, 1)
	require.Equal(t, "42/7", list[0].Key)
	for key, is := range map[string]bool{"42": false, "42/7": true} {
		o, err := in.Get(key)
		require.NoError(t, err)
		require.Equal(t, is, o.Blocked != nil, key)
	}
}
