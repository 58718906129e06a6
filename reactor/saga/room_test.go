package saga_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// heavy is a saga of twenty actions that each return 60 kB.
func heavy(w *world, parallel, undone bool) *saga.Saga[order] {
	large := strings.Repeat("x", 60_000)
	parts := []saga.Part[order]{saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order })}
	var branches []saga.Branch[order]
	for i := range 20 {
		name := fmt.Sprint("s", i)
		do := func(_ context.Context, s saga.Step[order]) (string, error) {
			_, err := w.do(name, s.Key)
			return large, err
		}
		undo := func(_ context.Context, s saga.Step[order], d saga.Done[string]) error {
			if d.Certain && d.Result != large {
				return fmt.Errorf("%w: a result of %d bytes", errDown, len(d.Result))
			}
			return w.undo(name, s.Key, d.Key)
		}
		if !undone {
			undo = nil
		}
		a := saga.Do(name, do, undo).Keep(func(o *order, r string) { o.Cents += int64(len(r)) })
		parts, branches = append(parts, a), append(branches, a)
	}
	if parallel {
		parts = []saga.Part[order]{parts[0], saga.All("all", branches...)}
	}
	s := saga.Steps("checkout", parts...)
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 3, true
	return s
}

// The record has the results of what is to be undone, and no room for twenty of them.
func TestAResultForWhichThereIsNoRoomIsUndone(t *testing.T) {
	for _, parallel := range []bool{false, true} {
		w := newWorld()
		s := heavy(w, parallel, true)
		run := begun(t, s)
		o := get(t, s, run)
		require.Equal(t, saga.Compensated, o.Life)
		require.ErrorContains(t, o.Err, "keep results small")
		require.Empty(t, w.effects())
		require.Empty(t, run.Parked("checkout"))
		w = newWorld()
		s = heavy(w, parallel, false) // nothing has to be kept for an undo
		run = begun(t, s)
		o = get(t, s, run)
		require.Equal(t, saga.Completed, o.Life)
		require.EqualValues(t, 20*60_000, o.State.Cents)
	}
}

// What meets a limit is refused in the call; what meets one by the time it is handled is recorded.
func TestASettlementThatMeetsALimitIsRefused(t *testing.T) {
	w := newWorld()
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", w.action("charge"), w.back("charge")).Ask().Keep(func(o *order, p string) {
			if p == "panic" {
				panic(p)
			}
			o.Payment = strings.Repeat(p, 100)
		}))
	s.MaxState, s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 1000, 3, true
	w.fails["charge"] = []error{errDown}
	run := begun(t, s)
	run.Advance(10 * time.Minute)
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	in := s.In(run.Store())
	for _, result := range []string{strings.Repeat("x", 2000), strings.Repeat("x", 20), "panic"} {
		_, err := in.SettleDone(t.Context(), "42", "charge", result, ana)
		require.ErrorIs(t, err, saga.ErrUnfit)
		asked := store.Raw{Type: "saga.checkout.asked", Data: fmt.Appendf(nil, `{"do":"settle","step":"charge","status":"done","result":%q}`, result)}
		run.Given(reactortest.At(store.At("saga:checkout:42", "saga"), asked))
		run.Advance(10 * time.Minute)
		require.Empty(t, run.Parked("checkout"))
	}
	require.Len(t, recorded(t, in, "42"), 3)
	_, err := in.SettleDone(t.Context(), "42", "charge", "paid", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Completed, get(t, s, run).Life)
}

// A handler that fills the record fails, and leaves room for what comes.
func TestARecordThatAHandlerFillsLeavesRoomForFacts(t *testing.T) {
	s := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			for i := range 4000 {
				tx.Alias("ref", fmt.Sprintf("%s-%0240d", tx.Key(), i))
			}
			return nil
		}))
	s.Policy.Attempts = 2
	run := begun(t, s)
	run.Advance(time.Minute)
	parked := run.Parked("checkout")
	require.Len(t, parked, 1)
	require.Contains(t, parked[0].Error, "4000 aliases")
}

// An instance of a former version has the limits of that.
func TestTheRoomForAResultIsThatOfTheVersionOfItsInstance(t *testing.T) {
	w := newWorld()
	def := func(version uint32, most int) *saga.Saga[order] {
		s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
			saga.Do("charge", func(_ context.Context, s saga.Step[order]) (string, error) {
				_, err := w.do("charge", s.Key)
				return strings.Repeat("x", 100_000), err
			}, w.back("charge")))
		s.Version, s.MaxState = version, most
		return s
	}
	v1 := def(1, 128<<10)
	d := resting(t, w, v1, saga.Running)
	clear(w.fails)
	d.deploy(def(2, 0).With(v1))
	d.run.Resume("checkout.do")
	d.run.Settle()
	require.Equal(t, saga.Completed, d.get().Life, "%v", d.get().Err)
}

// A migration to a state that no handler could leave is one that fails: the next deploy mends it.
func TestAMigrationToAStateThatIsTooLargeIsNotTaken(t *testing.T) {
	for _, size := range []int{100 << 10, 2 << 20} {
		w := newWorld()
		def := func(size int) *saga.Saga[order] {
			s := charged(w, saga.Migrate(1, func(o order, _ *saga.Place) (order, error) {
				o.Parcel = strings.Repeat("x", size)
				return o, nil
			}))
			s.AllowUnrunnable = true
			return s
		}
		d := resting(t, w, charged(w), saga.Running)
		clear(w.fails)
		d.deploy(def(size))
		require.Contains(t, d.get().Unrunnable, "a state of")
		d.run.Resume("checkout.do")
		d.run.Advance(time.Hour)
		require.EqualValues(t, 1, d.get().Version)
		d.deploy(def(10))
		d.run.Advance(time.Hour)
		require.Equal(t, saga.Completed, d.get().Life, "%v", d.get().Blocked)
	}
}
