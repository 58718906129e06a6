package saga_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// After a long stop many timers are overdue. They fire in the order of their times, and an input
// waits for none of their handlers.
func TestOverdueTimersFireInTheirOrder(t *testing.T) {
	const n = 600 // more than are written at a time
	run := reactortest.Start(t, clocks())
	for i := range n {
		run.Given(wind{Clock: fmt.Sprint("clock", i), Timer: "a", For: time.Duration(i*7919%n+1) * time.Minute})
	}
	run.Settle()
	run.Pause("clocks", time.Time{})
	run.Advance(30 * 24 * time.Hour)
	run.Resume("clocks")
	run.Step("clocks")
	run.Given(wind{Clock: "new", Timer: "a", For: time.Hour})
	for {
		run.Step("clocks")
		if _, err := clocks().In(run.Store()).Get("new"); err == nil {
			break
		}
	}
	require.Less(t, len(firings(t, run)), n, "those that are not written come after the input")
	run.Settle()
	all := firings(t, run)
	require.Len(t, all, n)
	require.True(t, slices.IsSortedFunc(all, func(a, b firing) int { return a.Due.Compare(b.Due) }))
	require.Len(t, reactortest.Of[rang](run), n)
}

// What fires while the input that ends its instance waits in the log is nothing any more.
func TestATimerOfAnInstanceThatHasEndedIsDropped(t *testing.T) {
	p := play(t)
	p.s.Unexpected = saga.Park
	p.given(placed("42"), stockReserved{"42"})
	p.Pause("checkout", time.Time{})
	p.Given(reactortest.At(at("42"), orderCancelled{"42"}))
	p.Advance(time.Hour)
	p.Resume("checkout")
	p.Step("checkout")
	require.Len(t, firings(t, p.Run), 1)
	p.Settle()
	require.Empty(t, p.Parked("checkout"))
	require.Equal(t, []string{"undo reserve"}, p.m.w.calls)
	require.ErrorContains(t, p.get().Err, saga.ErrCancelled.Error())
}

// Attempts at an action are made one at a time, under one key, whatever fails and starts again.
func TestThereIsOneAttemptAtATimeUnderOneKey(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	s.Effects.Policy.Backoff = supervision.Backoff{Initial: time.Millisecond, Max: time.Millisecond}
	s.Effects.Policy.Attempts = 5
	var mu sync.Mutex
	now, made, most := make(map[string]int), make(map[string]int), 0
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		mu.Lock()
		now[a.Key]++
		made[a.Key]++
		most = max(most, now[a.Key])
		fail := made[a.Key]%3 != 0
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			now[a.Key]--
		}()
		if err := next(ctx); err != nil || fail {
			return errDown
		}
		return nil
	}
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	const n = 20
	for i := range n {
		_, err := st.Append(t.Context(), at(fmt.Sprint(i)), store.Any, placed(fmt.Sprint(i)))
		require.NoError(t, err)
	}
	for stop := range 3 { // the first two systems are stopped in the midst
		sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
		require.NoError(t, err)
		if stop < 2 {
			_, err = s.In(st).Wait(t.Context(), fmt.Sprint(stop))
			require.NoError(t, err)
		}
		for i := range n {
			if stop == 2 {
				o, err := s.In(st).Wait(t.Context(), fmt.Sprint(i))
				require.NoError(t, err)
				require.Equal(t, saga.Completed, o.Life)
			}
		}
		require.NoError(t, sys.Stop(t.Context()))
	}
	require.Equal(t, 1, most)
	require.Len(t, made, 5*n)
}

// An operator has an action tried now while an attempt is under way that has its effect key.
func TestARetryWaitsForTheAttemptThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s := w.checkout()
		under, made, most := make(chan struct{}), 0, 0
		var now atomic.Int32
		s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
			if a.String() != "charge" {
				return next(ctx)
			}
			most = max(most, int(now.Add(1)))
			defer now.Add(-1)
			if made++; made == 1 {
				<-under
			}
			return next(ctx)
		}
		st, err := storetest.Open(store.Options{})
		require.NoError(t, err)
		defer st.Close()
		sys, err := actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
		require.NoError(t, err)
		_, err = st.Append(t.Context(), at("42"), store.Any, placed("42"))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, made)
		_, err = s.In(st).Retry(t.Context(), "42", ana)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, 1, made)
		close(under)
		o, err := s.In(st).Wait(t.Context(), "42")
		require.NoError(t, err)
		require.Equal(t, saga.Completed, o.Life)
		require.Equal(t, 2, made, "the answer to the request before is not looked at")
		require.Equal(t, 1, most)
		require.NoError(t, sys.Stop(t.Context()))
	})
}

// A record that cannot be read stops its instance alone, also over a start and a deploy.
func TestARecordThatCannotBeReadStopsItsInstanceAlone(t *testing.T) {
	w := newWorld()
	w.fails["charge"] = []error{errDown}
	v1, v2 := two(w)
	d := waiting(t, w, v1)
	info, err := checkpoint.Inspect(d.run.Store(), "checkout")
	require.NoError(t, err)
	key := checkpoint.KeptPrefix(info.Record.FirstName("checkout")) + "i/42"
	_, err = d.run.Store().Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: key, Value: []byte{255, 1, 2}}}})
	require.NoError(t, err)
	d.deploy(v2.With(v1))
	delete(w.fails, "charge")
	d.run.Given(reactortest.At(at("43"), placed("43")), reactortest.At(at("42"), placed("42")))
	d.run.Advance(time.Hour)
	o, err := v2.In(d.run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	_, err = v2.In(d.run.Store()).Get("42")
	require.ErrorIs(t, err, saga.ErrRecord)
	seen := 0
	for o, err := range v2.In(d.run.Store()).List() {
		require.Equal(t, o.Key == "42", err != nil)
		seen++
	}
	require.Equal(t, 2, seen)
}

// A limit fails the input that meets it, with its number, and nothing else.
func TestALimitFailsItsInput(t *testing.T) {
	w := newWorld()
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.Goto("shopping")
			return nil
		}),
		saga.On(func(e stockReserved) string { return e.Order }, func(_ context.Context, _ reactor.Event[stockReserved], tx *saga.Tx[order]) error {
			tx.Run("charge")
			return nil
		}),
		saga.On(func(e shipped) string { return e.Order }, func(_ context.Context, _ reactor.Event[shipped], tx *saga.Tx[order]) error {
			tx.State.Parcel += "x"
			return nil
		}, saga.In("shipping")),
		saga.Do("charge", w.action("charge"), nil),
	)
	s.MaxVisits, s.MaxHeld, s.Unexpected = 2, 3, saga.Defer
	s.Policy.Attempts = 2
	run := reactortest.Start(t, s)
	for _, id := range []string{"visits", "held", "none"} {
		run.Given(reactortest.At(at(id), placed(id)))
		run.Settle()
	}
	for range 3 {
		run.Given(reactortest.At(at("visits"), stockReserved{"visits"}), reactortest.At(at("none"), shipped{"none"}))
		run.Settle()
	}
	for range 4 {
		run.Given(reactortest.At(at("held"), shipped{"held"}))
	}
	run.Advance(time.Minute)
	parked := run.Parked("checkout")
	require.Len(t, parked, 2)
	require.Contains(t, parked[0].Error, `instance "visits"`)
	require.Contains(t, parked[0].Error, `limit: action "charge" was requested 2 times`)
	require.Contains(t, parked[1].Error, `instance "held"`)
	require.Contains(t, parked[1].Error, "limit: 3 inputs wait")
	o, err := s.In(run.Store()).Get("none")
	require.NoError(t, err)
	require.Equal(t, 3, o.Held)
}
