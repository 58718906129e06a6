package saga_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

type (
	reserveStock  struct{ Order string }
	stockReserved struct{ Order string }
	stockRefused  struct{ Order string }
	takePayment   struct {
		Ref   string
		Cents int64
	}
	paymentTaken struct{ Ref, ID string }
	ship         struct{ Order string }
	shipped      struct{ Order string }
)

func (reserveStock) Kind() string  { return "stock.reserve" }
func (stockReserved) Kind() string { return "stock.reserved" }
func (stockRefused) Kind() string  { return "stock.refused" }
func (takePayment) Kind() string   { return "payment.take" }
func (paymentTaken) Kind() string  { return "payment.taken" }
func (ship) Kind() string          { return "parcel.ship" }
func (shipped) Kind() string       { return "parcel.shipped" }

var (
	errNotPaid = errors.New("not paid in time")
	errSoldOut = errors.New("sold out")
)

// manager is the checkout as a process manager: stock and parcels answer by events, the bank by a
// webhook with a reference of its own.
type manager struct{ w *world }

func (m manager) saga(more ...saga.Part[order]) *saga.Saga[order] {
	return saga.New("checkout", append(more,
		saga.Start(byOrder, m.placed, saga.To("reserving")),
		saga.On(func(e stockReserved) string { return e.Order }, m.reserved, saga.In("reserving"), saga.To("paying")),
		saga.On(func(e stockRefused) string { return e.Order }, m.soldOut, saga.In("reserving")),
		saga.Via("payment", func(e paymentTaken) string { return e.Ref }, m.paid, saga.In("paying"), saga.To("shipping")),
		saga.On(func(e shipped) string { return e.Order }, m.shipped, saga.In("shipping")),
		saga.On(func(e orderCancelled) string { return e.Order }, m.cancelled, saga.In("reserving", "paying")),
		saga.OnTimer("pay-by", m.late, saga.In("paying")),
		saga.Do("invoice", m.w.action("invoice"), m.w.back("invoice")),
		saga.Undo("release", m.release),
	)...)
}

func (m manager) placed(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
	tx.State = order{ID: e.Body.Order, Cents: e.Body.Cents}
	tx.Emit(store.At("stock", "shop"), reserveStock{e.Body.Order})
	tx.Goto("reserving")
	return nil
}

func (m manager) reserved(_ context.Context, _ reactor.Event[stockReserved], tx *saga.Tx[order]) error {
	tx.OnUndo("release")
	ref := "pay-" + tx.Key()
	tx.Alias("payment", ref)
	tx.Emit(store.At("payment:"+ref, "shop"), takePayment{Ref: ref, Cents: tx.State.Cents})
	tx.After("pay-by", 15*time.Minute)
	tx.Goto("paying")
	return nil
}

func (m manager) paid(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[order]) error {
	tx.Clear("pay-by")
	tx.State.Payment = e.Body.ID
	tx.Run("invoice")
	tx.Emit(at(tx.Key()), ship{Order: tx.Key()})
	tx.Goto("shipping")
	return nil
}

func (m manager) late(_ context.Context, _ saga.Fired, tx *saga.Tx[order]) error {
	tx.Compensate(errNotPaid)
	return nil
}

func (m manager) soldOut(_ context.Context, _ reactor.Event[stockRefused], tx *saga.Tx[order]) error {
	tx.Fail(errSoldOut)
	return nil
}

func (m manager) cancelled(_ context.Context, _ reactor.Event[orderCancelled], tx *saga.Tx[order]) error {
	tx.Compensate(saga.ErrCancelled)
	return nil
}

func (m manager) shipped(_ context.Context, _ reactor.Event[shipped], tx *saga.Tx[order]) error {
	tx.Complete()
	return nil
}

func (m manager) release(_ context.Context, s saga.Step[order]) error {
	return m.w.undo("reserve", s.Key, s.Key)
}

// played is a run of the manager.
type played struct {
	*reactortest.Run

	t *testing.T
	m manager
	s *saga.Saga[order]
}

func play(t *testing.T, change ...func(*saga.Saga[order])) *played {
	t.Helper()
	p := &played{t: t, m: manager{newWorld()}}
	p.s = p.m.saga()
	for _, c := range change {
		c(p.s)
	}
	p.Run = reactortest.Start(t, p.s)
	return p
}

// given appends payloads and has each of them handled.
func (p *played) given(payloads ...store.Payload) {
	p.t.Helper()
	for _, body := range payloads {
		p.Given(reactortest.At(at("42"), body))
		p.Settle()
	}
}

func (p *played) get() saga.Instance[order] {
	p.t.Helper()
	o, err := p.s.In(p.Store()).Get("42")
	require.NoError(p.t, err)
	return o
}

func TestAManagerIsMovedByEvents(t *testing.T) {
	p := play(t)
	p.given(placed("42"))
	require.Equal(t, "reserving", p.get().Phase)
	require.True(t, p.get().Waiting)
	p.given(stockReserved{"42"})
	require.Equal(t, "paying", p.get().Phase)
	require.Equal(t, []saga.Timer{{Name: "pay-by", Due: p.Now().Add(15 * time.Minute)}}, p.get().Timers)
	p.given(paymentTaken{Ref: "pay-42", ID: "p1"})
	require.Equal(t, "shipping", p.get().Phase)
	require.Empty(t, p.get().Timers)
	p.given(shipped{"42"})
	o := p.get()
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, order{ID: "42", Cents: 900, Payment: "p1"}, o.State)
	require.Equal(t, []string{"invoice"}, p.m.w.calls)
	p.Advance(time.Hour)
	require.Equal(t, saga.Completed, p.get().Life)
}

func TestATimerThatIsDueCompensates(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	p.Advance(15 * time.Minute)
	require.Equal(t, saga.Compensated, p.get().Life)
	require.Equal(t, []string{"undo reserve"}, p.m.w.calls)
	require.ErrorContains(t, p.get().Err, errNotPaid.Error())
}

// The order of the log decides, not the time: the payment comes before the timer, which has fired
// already when the payment is handled.
func TestATimerThatHasFiredIsNotHandledOnceItIsCleared(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	p.Pause("checkout", time.Time{})
	p.Given(reactortest.At(at("42"), paymentTaken{Ref: "pay-42", ID: "p1"}))
	p.Advance(time.Hour)
	p.Resume("checkout")
	p.Settle()
	require.Equal(t, saga.Running, p.get().Life)
	require.Equal(t, "shipping", p.get().Phase)
}

func TestAnInstanceWithNothingToUndoFails(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockRefused{"42"})
	require.Equal(t, saga.Failed, p.get().Life)
	require.ErrorContains(t, p.get().Err, "sold out")
}

func TestAnInputWithoutAnInstanceIsParkedRecordedOrHeld(t *testing.T) {
	t.Run("parked", func(t *testing.T) {
		p := play(t)
		p.given(stockReserved{"42"})
		require.Len(t, p.Parked("checkout"), 1)
	})
	t.Run("recorded", func(t *testing.T) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Record })
		p.given(stockReserved{"42"}, paymentTaken{Ref: "pay-42"})
		require.Empty(t, p.Parked("checkout"))
	})
	t.Run("held until it comes", func(t *testing.T) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Defer })
		p.given(stockReserved{"42"})
		p.given(placed("42"))
		require.Equal(t, "paying", p.get().Phase)
		p.Advance(time.Minute)
		require.Equal(t, "paying", p.get().Phase)
		require.Empty(t, p.Parked("checkout"))
	})
	t.Run("held until an alias comes", func(t *testing.T) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Defer })
		p.given(paymentTaken{Ref: "pay-42", ID: "p1"})
		p.given(placed("42"), stockReserved{"42"})
		require.Equal(t, "shipping", p.get().Phase)
		require.Empty(t, p.Parked("checkout"))
	})
	t.Run("held for nothing", func(t *testing.T) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing = saga.Defer })
		p.given(stockReserved{"42"}, paymentTaken{Ref: "pay-42"})
		p.Advance(2 * time.Minute)
		p.given(placed("42"))
		require.Equal(t, "reserving", p.get().Phase)
		require.Zero(t, p.get().Held)
	})
}

func TestAnInputOfALaterPhaseIsDeferred(t *testing.T) {
	p := play(t, func(s *saga.Saga[order]) { s.Unexpected = saga.Defer })
	p.given(placed("42"), shipped{"42"})
	require.Equal(t, 1, p.get().Held)
	p.given(stockReserved{"42"})
	require.Equal(t, 1, p.get().Held)
	p.given(paymentTaken{Ref: "pay-42", ID: "p1"})
	require.Equal(t, saga.Completed, p.get().Life)
}

func TestAStartOfAKeyThatIsThereIsADuplicate(t *testing.T) {
	p := play(t)
	p.given(placed("42"), placed("42"), stockRefused{"42"}, placed("42"))
	require.Equal(t, saga.Failed, p.get().Life)
	require.EqualValues(t, 1, p.get().Run)

	p = play(t, func(s *saga.Saga[order]) { s.Restarts = saga.AfterEnd })
	p.given(placed("42"), placed("42"), stockRefused{"42"}, placed("42"))
	require.EqualValues(t, 2, p.get().Run)
	require.Equal(t, saga.Running, p.get().Life)
}

func TestAManagerSurvivesACrashAnywhere(t *testing.T) {
	for name, scenario := range few(map[string]func(p *played){
		"all goes well": func(p *played) {
			p.given(placed("42"), stockReserved{"42"}, paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"})
		},
		"early events": func(p *played) {
			p.given(paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"}, stockReserved{"42"}, placed("42"))
		},
		"the timer is due": func(p *played) {
			p.given(placed("42"), stockReserved{"42"})
			p.Advance(15 * time.Minute)
			p.given(paymentTaken{Ref: "pay-42", ID: "p1"})
		},
		"the timer has fired as the payment comes": func(p *played) {
			p.given(placed("42"), stockReserved{"42"})
			p.Given(reactortest.At(at("42"), paymentTaken{Ref: "pay-42", ID: "p1"}))
			p.Advance(time.Hour)
			p.given(shipped{"42"})
		},
	}) {
		t.Run(name, func(t *testing.T) {
			p := &played{t: t}
			tree := func() supervision.Child {
				p.m = manager{newWorld()}
				p.s = p.m.saga()
				p.s.Missing, p.s.Unexpected = saga.Defer, saga.Defer
				return p.s
			}
			reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
				p.Run = run
				scenario(p)
				require.Empty(t, run.Parked("checkout"))
				require.True(t, p.get().Life.Ended(), "%v", p.get())
			})
		})
	}
}

// An event that finds its instance by an alias is handled after the event that registers that, also
// where both wait in the log, and lanes are at different speeds.
func TestAnAliasHoldsInTheOrderOfTheLog(t *testing.T) {
	for seed := range uint64(less(40)) {
		p := play(t)
		p.Shuffle(seed)
		for i := range 8 {
			id := fmt.Sprint(i)
			p.Given(
				reactortest.At(at(id), placed(id)), reactortest.At(at(id), stockReserved{id}),
				reactortest.At(at(id), paymentTaken{Ref: "pay-" + id, ID: "p" + id}), reactortest.At(at(id), shipped{id}),
			)
		}
		p.Settle()
		p.Advance(time.Minute)
		for o, err := range p.s.In(p.Store()).List() {
			require.NoError(t, err)
			require.Equal(t, saga.Completed, o.Life, "%s", o.Key)
			require.Equal(t, "p"+o.Key, o.State.Payment)
		}
		counts, err := p.s.In(p.Store()).Counts()
		require.NoError(t, err)
		require.Equal(t, map[saga.Life]int{saga.Completed: 8}, counts)
		require.Empty(t, p.Parked("checkout"))
	}
}

// Whatever the order in which the events come, and wherever the power is cut: they are held until
// they fit, and the end is the same.
func TestEventsInAnyOrderLeadToTheSameEnd(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range less(60) {
		p := play(t, func(s *saga.Saga[order]) { s.Missing, s.Unexpected = saga.Defer, saga.Defer })
		p.Shuffle(random.Uint64())
		events := []store.Payload{placed("42"), stockReserved{"42"}, paymentTaken{Ref: "pay-42", ID: "p1"}, shipped{"42"}}
		random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, e := range events {
			p.Given(reactortest.At(at("42"), e))
			switch random.IntN(4) {
			case 0:
				p.Settle()
			case 1:
				p.CrashAt(1 + random.IntN(30))
			}
		}
		p.Settle()
		p.Advance(10 * time.Second)
		require.Equal(t, saga.Completed, p.get().Life, "%v: %+v", events, p.get())
		require.Zero(t, p.get().Held)
		require.Empty(t, p.Parked("checkout"))
	}
}

// A timer says nothing of the event that has set it: an erasure of that does not stop the instance.
func TestATimerIsDueThoughTheInputThatSetItIsErased(t *testing.T) {
	p := play(t)
	p.given(placed("42"), stockReserved{"42"})
	reactortest.Erase(p.Run, "order:42")
	p.Advance(15 * time.Minute)
	require.Equal(t, saga.Compensated, p.get().Life)
}
