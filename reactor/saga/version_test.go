package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// deploys is a program that is replaced by the next crash.
type deploys struct {
	t    *testing.T
	run  *reactortest.Run
	saga *saga.Saga[order]
}

func deployed(t *testing.T, s *saga.Saga[order]) *deploys {
	t.Helper()
	d := &deploys{t: t, saga: s}
	d.run = reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return d.saga }))
	return d
}

func (d *deploys) deploy(s *saga.Saga[order]) {
	d.t.Helper()
	d.saga = s
	d.run.Crash(1)
	d.run.Settle()
}

func (d *deploys) get() saga.Instance[order] {
	d.t.Helper()
	o, err := d.saga.In(d.run.Store()).Get("42")
	require.NoError(d.t, err)
	return o
}

// two are the versions of a checkout: the second one charges by another step, which it has in place
// of the first one's.
func two(w *world) (v1, v2 *saga.Saga[order]) {
	starts := saga.Starts(byOrder, func(o *order, e orderPlaced) { *o = order{ID: e.Order, Cents: e.Cents} })
	v1 = saga.Steps("checkout", starts,
		saga.Do("reserve", w.action("reserve"), w.back("reserve")), saga.Do("charge", w.action("charge"), w.back("charge")))
	v2 = saga.Steps("checkout", starts,
		saga.Do("reserve", w.action("reserve"), w.back("reserve")), saga.Do("bill", w.action("bill"), w.back("bill")))
	v1.Version, v2.Version = 1, 2
	return v1, v2
}

// waiting runs the first version until it waits for a service that is down.
func waiting(t *testing.T, w *world, v1 *saga.Saga[order]) *deploys {
	t.Helper()
	w.fails["charge"] = []error{errDown}
	d := deployed(t, v1)
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	require.Equal(t, "charge", d.get().Phase)
	return d
}

func TestAnInstanceOfAFormerVersionContinuesByIt(t *testing.T) {
	w := newWorld()
	v1, v2 := two(w)
	d := waiting(t, w, v1)
	d.deploy(v2.With(v1))
	delete(w.fails, "charge")
	d.run.Given(reactortest.At(at("43"), orderPlaced{Order: "43"}))
	d.run.Advance(time.Minute)
	require.Equal(t, saga.Completed, d.get().Life)
	require.Equal(t, []string{"checkout/42.1/charge.1", "checkout/42.1/reserve.1", "checkout/43.1/bill.1", "checkout/43.1/reserve.1"}, w.effects())
}

func TestAnInstanceThatTheProgramCannotContinueKeepsItFromStarting(t *testing.T) {
	w := newWorld()
	v1, v2 := two(w)
	w.fails["charge"] = []error{errDown}
	st, err := store.Open(t.TempDir(), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	start := func(s *saga.Saga[order]) (*actors.System, error) {
		return actors.Start(t.Context(), st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{s}})
	}
	sys, err := start(v1)
	require.NoError(t, err)
	_, err = st.Append(t.Context(), at("42"), store.Any, placed("42"))
	require.NoError(t, err)
	for { // until it waits for a service that is down
		head := st.Head()
		if o, err := v1.In(st).Get("42"); err == nil && o.Phase == "charge" {
			break
		}
		_, err = st.Wait(t.Context(), head)
		require.NoError(t, err)
	}
	require.NoError(t, sys.Stop(t.Context()))
	for missing, version := range map[string]uint32{"version 1": 2, `version 1: step "charge"`: 1} {
		v2.Version = version
		_, err = start(v2)
		var lacking *saga.UnrunnableError
		require.ErrorAs(t, err, &lacking)
		require.ErrorIs(t, err, saga.ErrUnrunnable)
		require.Equal(t, map[string]int{missing: 1}, lacking.Missing)
		require.Equal(t, "42", lacking.Key)
		require.Equal(t, version == 2, strings.Contains(err.Error(), "keep Saga.Version as it was"), "the simplest cure: %v", err)
	}
	sys, err = start(v1)
	require.NoError(t, err)
	require.NoError(t, sys.Stop(t.Context()))
}

func TestWhatComesForAnInstanceThatCannotContinueIsHeldUntilItCan(t *testing.T) {
	w := newWorld()
	v1, v2 := two(w)
	d := waiting(t, w, v1)
	v2.AllowUnrunnable = true
	d.deploy(v2)
	require.Equal(t, "version 1", d.get().Unrunnable)
	v2.AllowUnrunnable = false
	require.NotNil(t, d.refused(v2), "though the same program has started before")
	v2.AllowUnrunnable = true
	d.deploy(v2)
	delete(w.fails, "charge")
	for _, id := range []string{"43", "42", "42"} { // the latter are held
		d.run.Given(reactortest.At(at(id), orderPlaced{Order: id}))
	}
	d.run.Settle()
	d.run.Advance(time.Hour)
	require.Equal(t, saga.Running, d.get().Life)
	o, err := v2.In(d.run.Store()).Get("43")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life, "others continue")
	told := troubles(t, v2.In(d.run.Store()), 0, 1)
	require.Equal(t, "42", told[0].Key)
	require.ErrorIs(t, told[0].Err, saga.ErrUnrunnable)
	require.ErrorContains(t, told[0].Err, "version 1")
	for o, err := range v2.In(d.run.Store()).List(saga.Filter{Unrunnable: true}) {
		require.NoError(t, err)
		require.Equal(t, "42", o.Key)
	}
	d.deploy(v1)
	d.run.Advance(time.Hour)
	require.Equal(t, saga.Completed, d.get().Life)
}

func TestAnInstanceIsMigratedBeforeItsNextInput(t *testing.T) {
	type cart struct{ Number string }
	waits := func(_ context.Context, _ reactor.Event[shipped], tx *saga.Tx[cart]) error {
		tx.Complete()
		return nil
	}
	old := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[cart]) error {
			tx.State = cart{Number: e.Body.Order}
			tx.Goto("packing")
			return nil
		}),
		saga.On(func(e shipped) string { return e.Order }, waits, saga.In("packing")),
	)
	now := saga.New("checkout",
		saga.Start(byOrder, func(_ context.Context, e reactor.Event[orderPlaced], tx *saga.Tx[order]) error {
			tx.State = order{ID: e.Body.Order}
			tx.Goto("shipping")
			return nil
		}),
		saga.On(func(e shipped) string { return e.Order }, func(_ context.Context, _ reactor.Event[shipped], tx *saga.Tx[order]) error {
			tx.Complete()
			return nil
		}, saga.In("shipping")),
		saga.Migrate(1, func(old cart, at *saga.Place) (order, error) {
			at.Phase = "shipping"
			return order{ID: old.Number, Cents: 1}, nil
		}),
	)
	old.Version, now.Version = 1, 2
	var tree supervision.Child = old
	run := reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return tree }))
	run.Given(reactortest.At(at("42"), placed("42")))
	run.Settle()
	tree = now
	run.Crash(1)
	run.Given(reactortest.At(at("42"), shipped{"42"}))
	run.Settle()
	o, err := now.In(run.Store()).Get("42")
	require.NoError(t, err)
	require.Equal(t, saga.Completed, o.Life)
	require.Equal(t, order{ID: "42", Cents: 1}, o.State)
	require.EqualValues(t, 2, o.Version)
}

// Suspended and stuck instances need their stage, too: their next input may come at any time.
func TestAStageThatIsNotThereIsSeenOfAnInstanceThatWaitsForAnOperator(t *testing.T) {
	for _, life := range []saga.Life{saga.Running, saga.Suspended, saga.Stuck} {
		t.Run(life.String(), func(t *testing.T) {
			w := newWorld()
			v1, v2 := charged(w), charged(w, saga.Migrate(1, migrations["works"]))
			d := resting(t, w, v1, life)
			lacking := d.refused(charged(w, saga.Migrate(1, migrations["leads nowhere"])))
			require.Equal(t, map[string]int{`version 1: step "nowhere"`: 1}, lacking.Missing)
			renamed := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
				saga.All("send", saga.Do("charge", w.action("charge"), w.back("charge"))))
			renamed.Version = 1
			require.Equal(t, map[string]int{`version 1: step "charge"`: 1}, d.refused(renamed).Missing)

			nowhere := charged(w, saga.Migrate(1, migrations["leads nowhere"]))
			nowhere.AllowUnrunnable = true
			d.deploy(nowhere)
			clear(w.fails)
			d.run.Resume("checkout.do")
			d.release(life)
			d.run.Advance(time.Hour)
			require.EqualValues(t, 1, d.get().Version, "it is not taken over")
			d.deploy(v2)
			d.run.Advance(time.Hour)
			require.Equal(t, saga.Completed, d.get().Life)
		})
	}
}

// charged is a checkout that charges and asks, of version 1, or with a migration from that.
func charged(w *world, more ...saga.Part[order]) *saga.Saga[order] {
	s := saga.Steps("checkout", append(more, saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("charge", w.action("charge"), w.back("charge")).Ask().Attempts(1))...)
	s.Version = 1 + uint32(len(more))
	return s
}

// resting runs an instance to where it is running with an action that is not tried yet, suspended
// so, or stuck at it.
func resting(t *testing.T, w *world, s *saga.Saga[order], life saga.Life) *deploys {
	t.Helper()
	w.fails["charge"] = []error{errDown}
	d := deployed(t, s)
	if life != saga.Stuck {
		d.run.Pause("checkout.do", time.Time{})
	}
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	if life == saga.Suspended {
		_, err := s.In(d.run.Store()).Suspend(t.Context(), "42", ana)
		require.NoError(t, err)
		d.run.Settle()
	}
	require.Equal(t, life, d.get().Life)
	return d
}

// release is what an operator does for an instance that rests.
func (d *deploys) release(life saga.Life) {
	d.t.Helper()
	in := d.saga.In(d.run.Store())
	call := in.Resume
	if life == saga.Stuck {
		call = in.Retry
	}
	if life != saga.Running {
		_, err := call(d.t.Context(), "42", ana)
		require.NoError(d.t, err)
	}
}

func TestAStuckInstanceIsSettledWhoseStageAMigrationRenames(t *testing.T) {
	w := newWorld()
	d := resting(t, w, charged(w), saga.Stuck)
	v2 := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.All("billing", saga.Do("charge", w.action("charge"), w.back("charge")).Ask().Attempts(1)),
		saga.Migrate(1, func(o order, at *saga.Place) (order, error) {
			at.Phase = "billing"
			return o, nil
		}))
	v2.Version = 2
	d.deploy(v2)
	_, err := v2.In(d.run.Store()).SettleDone(t.Context(), "42", "charge", "p1", ana)
	require.NoError(t, err)
	d.run.Settle()
	require.Equal(t, saga.Completed, d.get().Life)
}
