package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var ana = checkpoint.Request{By: "ana", Reason: "called the bank"}

// A full disk stops all, and loses nothing: neither inputs nor what actions have done.
func TestAFullDiskWhileInstancesAreUnderWay(t *testing.T) {
	stopped := 0
	for full := range 12 {
		w := newWorld()
		w.fails["ship"] = []error{saga.Refuse(errDown)}
		large := func(step string) *saga.Action[order, string] {
			return saga.Do(step, func(_ context.Context, s saga.Step[order]) (string, error) {
				_, err := w.do(step, s.Key)
				return strings.Repeat("x", 20_000), err
			}, w.back(step))
		}
		s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
			large("reserve"), large("charge"), saga.Do("ship", w.action("ship"), nil))
		s.Effects.Policy.Attempts = 20
		run := reactortest.Start(t, s)
		for i := range 3 {
			id := fmt.Sprint(i)
			run.Given(reactortest.At(at(id), placed(id)))
		}
		for range full {
			run.Step("checkout")
			run.Step("checkout.do")
		}
		run.Disk().SetCapacity(1)
		run.Advance(3 * time.Minute)
		for _, name := range []string{"checkout", "checkout.do"} {
			if errors.Is(run.Status(name).Reason, store.ErrDiskFull) {
				stopped++
			}
		}
		run.Disk().SetCapacity(1 << 40)
		run.Advance(10 * time.Minute)
		counts, err := s.In(run.Store()).Counts()
		require.NoError(t, err)
		require.Equal(t, map[saga.Life]int{saga.Completed: 2, saga.Compensated: 1}, counts)
		require.Len(t, w.effects(), 6)
		require.Empty(t, run.Parked("checkout"))
		require.Empty(t, run.Parked("checkout.do"))
	}
	require.GreaterOrEqual(t, stopped, 4)
}

// An undo that ends the process each time ends with an outcome: the instance is stuck, and others
// continue.
func TestAnUndoThatEndsTheProcessEachTimeLeavesTheInstanceStuck(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	var run *reactortest.Run
	crashes := 0
	s.Effects.Around = func(ctx context.Context, a saga.Attempt, next func(context.Context) error) error {
		if a.String() == "undo charge" && crashes >= 0 {
			crashes++
			run.Crash(uint64(crashes))
			return errDown
		}
		return next(ctx)
	}
	run = reactortest.Start(t, s)
	run.Given(reactortest.At(at("42"), placed("42")), reactortest.At(at("43"), placed("43")))
	run.Advance(time.Hour)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Stuck, o.Life)
	require.ErrorContains(t, o.Err, "undo of step \"charge\"")
	other, err := s.In(run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, other.Life)
	require.LessOrEqual(t, crashes, 4)
	crashes = -1
	_, err = s.In(run.Store()).Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Advance(time.Minute)
	o, err = s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
}

// Neither worker of a saga is moved away from what it keeps, or from requests whose answers are
// waited for. A reset of the coordinator makes the same of the same inputs, timers included, and
// one of the other worker answers nothing twice.
func TestTheWorkersOfASagaAreNotMoved(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{errDown}
	s := w.checkout()
	s.Effects.Policy.Attempts = 100
	run := begun(t, s)
	for _, name := range []string{"checkout", "checkout.do"} {
		for _, c := range []checkpoint.Change{
			checkpoint.Rewind{To: 1}, checkpoint.Rewind{To: 1, Emit: true}, checkpoint.SkipTo{To: run.Store().Head()},
		} {
			require.ErrorIs(t, run.Control(name, func(ctx context.Context, o cursor.Operator) error {
				_, err := o.Apply(ctx, c, ana)
				return err
			}), checkpoint.ErrStateful, "%s: %s", name, c)
		}
		run.Apply(name, checkpoint.Reset{})
		run.Advance(time.Second)
	}
	delete(w.fails, "ship")
	run.Advance(time.Minute)
	o, err := s.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Len(t, w.effects(), 5)
}

// Two operators decide at once: the first one does, the second call is recorded.
func TestTwoOperatorsDecideAtOnce(t *testing.T) {
	w := newWorld()
	w.fails["ship"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	for range 2 {
		_, err := in.Retry(t.Context(), "42", ana)
		require.NoError(t, err)
	}
	run.Settle()
	o, err := in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, []string{"reserve", "charge", "label", "invoice", "ship", "ship"}, w.calls)
	require.Equal(t, []string{"retry: saga: the instance is not as the call needs it: it is running, and that was about \"ship\""}, recorded(t, in, "42"))
}

// recorded is why inputs were passed over.
func recorded[S any](t *testing.T, in *saga.Instances[S], key string) (why []string) {
	t.Helper()
	for e, err := range in.History(t.Context(), key) {
		require.NoError(t, err)
		if e.Kind == "saga.checkout.recorded" {
			var p struct{ Why string }
			require.NoError(t, json.Unmarshal(e.Payload, &p))
			why = append(why, p.Why)
		}
	}
	return why
}

// One of them retries, the other abandons: what was retried has an effect, and its outcome comes
// too late.
func TestAnInstanceIsAbandonedWhileItsRetryIsInFlight(t *testing.T) {
	w := newWorld()
	w.fails["label"], w.fails["undo charge"] = []error{saga.Refuse(errDown)}, []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Step("checkout")
	run.Step("checkout.do")
	_, err = in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	o, err := in.Get("42")
	require.NoError(t, err)
	require.True(t, o.Life.Ended())
	require.Empty(t, run.Parked("checkout"))
	_, err = in.Purge(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	o, err = in.Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.EqualValues(t, 2, o.Run)
}

// Two sagas may give one value of one alias to instances of theirs, and one key is two instances.
func TestSagasBesideEachOtherShareNothing(t *testing.T) {
	m, n := manager{newWorld()}, manager{newWorld()}
	var sagas []*saga.Saga[order]
	for _, name := range []string{"a", "a-b", "A"} {
		who := m
		if name == "a-b" {
			who = n
		}
		sagas = append(sagas, named(name, who))
	}
	run := reactortest.Start(t, supervision.Group{Name: "shop", Children: []supervision.Child{sagas[0], sagas[1], sagas[2]}})
	for _, body := range []store.Payload{placed("42"), stockReserved{"42"}, paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"}} {
		run.Given(reactortest.At(at("42"), body))
		run.Settle()
	}
	for _, s := range sagas {
		o, err := s.In(run.Store()).Get("42")
		require.NoError(t, err)
		require.Equal(t, saga.Completed, o.Life, s.Name())
		counts, err := s.In(run.Store()).Counts()
		require.NoError(t, err)
		require.Equal(t, map[saga.Life]int{saga.Completed: 1}, counts)
		for _, w := range []string{s.Name(), s.Name() + ".do"} {
			require.Empty(t, run.Parked(w))
		}
	}
	run.Advance(31 * 24 * time.Hour)
	for _, s := range sagas {
		_, err := s.In(run.Store()).Get("42")
		require.ErrorIs(t, err, saga.ErrNotFound)
	}
	for _, name := range []string{"a/b", "a.do", "a:b", ""} {
		_, err := named(name, m).Actions()
		require.ErrorIs(t, err, saga.ErrDefinition)
	}
}

func named(name string, m manager) *saga.Saga[order] {
	return saga.New(name,
		saga.Start(byOrder, m.placed, saga.To("reserving")),
		saga.On(func(e stockReserved) string { return e.Order }, m.reserved, saga.In("reserving"), saga.To("paying")),
		saga.Via("payment", func(e paymentTaken) string { return e.Ref }, m.paid, saga.In("paying"), saga.To("shipping")),
		saga.On(func(e shipped) string { return e.Order }, m.shipped, saga.In("shipping")),
		saga.OnTimer("pay-by", m.late, saga.In("paying")),
		saga.Do("invoice", m.w.action("invoice"), m.w.back("invoice")),
		saga.Undo("release", m.release),
	)
}

// Keys are any text without control characters.
func TestKeysAreAnyText(t *testing.T) {
	w := newWorld()
	s := w.checkout()
	run := reactortest.Start(t, s)
	keys := []string{
		"/", "a/b", "a/", "%", "%2F", "a b", ".", "..", "-", "ключ", "🧾", strings.Repeat("x", 256), ":", "checkout", "saga:checkout:1",
		"i/42", "\"quoted\"", "{}",
	}
	for _, key := range keys {
		run.Given(reactortest.At(store.At("orders", "shop"), placed(key)))
	}
	bad := []string{"", strings.Repeat("x", 257), "\x01", "a\nb", "\x00", "\u202e"}
	for i, bad := range bad {
		run.Given(reactortest.At(at(fmt.Sprint("bad", i)), placed(bad)))
	}
	run.Settle()
	run.Advance(time.Minute)
	for _, key := range keys {
		o, err := s.In(run.Store()).Get(key)
		require.NoError(t, err, "%q", key)
		require.Equal(t, saga.Completed, o.Life, "%q", key)
		require.Equal(t, key, o.Key)
		require.Equal(t, key, o.State.ID)
		n := 0
		for _, err := range s.In(run.Store()).History(t.Context(), key) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 11, n, "%q", key)
	}
	counts, err := s.In(run.Store()).Counts()
	require.NoError(t, err)
	require.Equal(t, map[saga.Life]int{saga.Completed: len(keys)}, counts)
	parked := run.Parked("checkout")
	require.Len(t, parked, len(bad))
	for _, p := range parked {
		require.Contains(t, p.Error, saga.ErrKey.Error())
	}
}

// Retention drops what is done: an instance that waits longer than its beginning is kept has its
// timers, aliases and undos all the same.
func TestAnInstanceWaitsLongerThanTheLogIsKept(t *testing.T) {
	p := play(t, func(s *saga.Saga[order]) { s.Retain = 24 * time.Hour })
	p.given(placed("42"), stockReserved{"42"}, placed("43"))
	for i := range 2000 {
		noise := wind{Clock: strings.Repeat("noise ", 10)}
		p.Given(reactortest.At(store.At(fmt.Sprint("noise", i), "shop"), noise))
	}
	p.given(paymentTaken{Ref: "pay-42", ID: "p1"}) // so the workers write that they are done with what is before
	report, err := store.Retain(t.Context(), p.Store(), checkpoint.Holds, store.RetainOptions{Before: p.Store().Head()})
	require.NoError(t, err)
	require.NotZero(t, report.Segments, report)
	_, err = p.Store().GetAt(t.Context(), 1)
	require.ErrorIs(t, err, store.ErrDropped)
	require.Equal(t, "shipping", p.get().Phase)
	p.given(stockReserved{"43"})
	p.Crash(1)
	p.Advance(time.Hour)
	other, err := p.s.In(p.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, other.Life)
	require.Contains(t, p.m.w.calls, "undo reserve")
	p.given(shipped{"42"})
	p.Advance(48 * time.Hour)
	_, err = p.s.In(p.Store()).Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
	require.Empty(t, p.Parked("checkout"))
}

func TestMigrationWhileAnUndoIsInFlight(t *testing.T) {
	type cart struct{ Number string }
	w := newWorld()
	w.fails["undo charge"] = []error{errDown}
	starts := func(c *cart, e orderPlaced) { c.Number = e.Order }
	old := saga.Steps("checkout", saga.Starts(byOrder, starts),
		saga.Do("reserve", func(_ context.Context, s saga.Step[cart]) (string, error) { return w.do("reserve", s.Key) },
			func(_ context.Context, s saga.Step[cart], d saga.Done[string]) error {
				return w.undo("reserve", s.Key, d.Key)
			}),
		saga.Do("charge", func(_ context.Context, s saga.Step[cart]) (string, error) { return w.do("charge", s.Key) },
			func(_ context.Context, s saga.Step[cart], d saga.Done[string]) error {
				return w.undo("charge", s.Key, d.Key)
			}),
		saga.Do("ship", func(_ context.Context, s saga.Step[cart]) (string, error) { return "", saga.Refuse(errDown) }, nil))
	now := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("reserve", w.action("reserve"), w.back("reserve")),
		saga.Do("charge", w.action("charge"), w.back("charge")),
		saga.Do("ship", w.action("ship"), nil),
		saga.Migrate(0, func(old cart, _ *saga.Place) (order, error) { return order{ID: old.Number}, nil }))
	now.Version = 1
	var tree supervision.Child = old
	run := reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return tree }))
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	tree = now
	run.Crash(1)
	delete(w.fails, "undo charge")
	run.Advance(10 * time.Minute)
	o, err := now.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Compensated, o.Life)
	require.Empty(t, w.effects())
	require.Equal(t, order{ID: "42"}, o.State)
}
