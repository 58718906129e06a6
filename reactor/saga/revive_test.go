package saga_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

var errMigration = errors.New("an order without a number")

// migrations are what a migration does; all but one are wrong.
var migrations = map[string]func(o order, at *saga.Place) (order, error){
	"works":         func(o order, _ *saga.Place) (order, error) { return o, nil },
	"leads nowhere": func(o order, at *saga.Place) (order, error) { at.Phase = "nowhere"; return o, nil },
	"fails":         func(o order, _ *saga.Place) (order, error) { return o, errMigration },
	"panics":        func(order, *saga.Place) (order, error) { panic("of the migration") },
}

// migrating is the second version of a checkout with the same steps, which takes the first one
// over.
func migrating(w *world, how string, allow bool) *saga.Saga[order] {
	s := saga.Steps("checkout", saga.Starts(byOrder, func(o *order, e orderPlaced) { o.ID = e.Order }),
		saga.Do("reserve", w.action("reserve"), w.back("reserve")), saga.Do("charge", w.action("charge"), w.back("charge")),
		saga.Migrate(1, migrations[how]))
	s.Version, s.AllowUnrunnable = 2, allow
	return s
}

// refused is why a coordinator does not start.
func (d *deploys) refused(s *saga.Saga[order]) (lacking *saga.UnrunnableError) {
	d.t.Helper()
	w, err := s.Group().Children[0].(interface {
		CursorWorker() (cursor.Worker, error)
	}).CursorWorker()
	require.NoError(d.t, err)
	_, err = cursor.NewRunner(d.t.Context(), d.run.Store(), w)
	require.ErrorAs(d.t, err, &lacking)
	return lacking
}

// An instance whose migration is wrong keeps the program from starting, or has its inputs held
// until one comes whose migration works: no name of the saga differs in that.
func TestWhatAWrongMigrationHoldsIsHandledOnceThatIsMended(t *testing.T) {
	for how, shown := range map[string]string{
		"leads nowhere": `step "nowhere"`, "fails": errMigration.Error(), "panics": "of the migration",
	} {
		t.Run(how, func(t *testing.T) {
			w := newWorld()
			v1, _ := two(w)
			d := deployed(t, v1)
			d.run.Given(reactortest.At(at("42"), placed("42")))
			d.run.Step("checkout")
			d.run.Step("checkout.do") // the outcome of its first step is in the log

			lacking := d.refused(migrating(w, how, false))
			require.ErrorContains(t, lacking, shown)
			require.Equal(t, how == "fails", errors.Is(lacking, errMigration))
			require.Equal(t, 1, lacking.Instances)

			d.deploy(migrating(w, how, true))
			d.run.Advance(time.Hour)
			require.Contains(t, d.get().Unrunnable, shown)
			require.Equal(t, 1, d.get().Held)
			require.Empty(t, d.run.Parked("checkout"))
			require.NotNil(t, d.refused(migrating(w, how, false)), "though the names are those of a program that has started")

			d.deploy(migrating(w, "works", false))
			require.Equal(t, saga.Completed, d.get().Life)
			require.Zero(t, d.get().Held)
			require.Equal(t, []string{"reserve", "charge"}, w.calls)
		})
	}
}

// A migration that worked as the saga was started first is wrong in a later program of the same
// names.
func TestAMigrationThatIsBrokenLaterIsSeenByTheNextStart(t *testing.T) {
	w := newWorld()
	v1, _ := two(w)
	d := waiting(t, w, v1)
	d.deploy(migrating(w, "works", false))
	d.deploy(migrating(w, "leads nowhere", false)) // no name has changed, so nothing is looked at
	d.run.Given(reactortest.At(at("42"), placed("42")))
	d.run.Settle()
	require.Equal(t, 1, d.get().Held)
	require.NotNil(t, d.refused(migrating(w, "leads nowhere", false)))
	delete(w.fails, "charge")
	d.deploy(migrating(w, "works", false))
	require.Equal(t, saga.Completed, d.get().Life)
	require.Zero(t, d.get().Held)
	require.Len(t, recorded(t, d.saga.In(d.run.Store()), "42"), 1)
}

// counted is a saga that keeps the numbers of what it has seen.
func counted(parts ...saga.Part[[]string]) *saga.Saga[[]string] {
	s := saga.New("checkout", append(parts,
		saga.Start(byOrder, func(context.Context, reactor.Event[orderPlaced], *saga.Tx[[]string]) error { return nil }),
		saga.On(func(e paymentTaken) string { return e.Ref }, func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[[]string]) error {
			tx.State = append(tx.State, e.Body.ID)
			return nil
		}))...)
	s.Unexpected = saga.Record
	return s
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint(i))
	}
	return list
}

// payments are inputs of an instance with numbers.
func payments(run *reactortest.Run, from, to int) {
	for _, id := range numbers(from, to) {
		run.Given(reactortest.At(store.At("bank", "shop"), paymentTaken{Ref: "42", ID: id}))
	}
}

// A migration works again, without a start, as something outside is there again.
func TestWhatIsHeldIsHandledBeforeTheInputThatFindsNothingLackedAnyMore(t *testing.T) {
	broken := true
	now := counted(saga.Migrate(0, func(old []string, _ *saga.Place) ([]string, error) {
		if broken {
			return nil, errMigration
		}
		return old, nil
	}))
	now.Version, now.AllowUnrunnable = 1, true
	var tree supervision.Child = counted()
	run := reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return tree }))
	run.Given(reactortest.At(at("42"), placed("42")))
	payments(run, 0, 2)
	run.Settle()
	tree = now
	run.Crash(1)
	payments(run, 2, 5)
	run.Settle()
	require.Equal(t, 3, get(t, now, run).Held)
	broken = false
	payments(run, 5, 8)
	run.Settle()
	require.Equal(t, numbers(0, 8), get(t, now, run).State)
}

// There is no limit to what an operator or a deploy has stopped, so that the operator gets through,
// and what comes while that is handled waits behind it.
func TestNoLimitKeepsWhatWasStoppedFromStartingAgain(t *testing.T) {
	const n = 200 // a few pages
	def := func(version uint32) *saga.Saga[[]string] {
		s := counted()
		s.MaxHeld, s.Policy.Attempts, s.Version, s.AllowUnrunnable = 3, 2, version, true
		return s
	}
	suspend := func(in *saga.Instances[[]string]) error {
		_, err := in.Suspend(t.Context(), "42", ana)
		return err
	}
	resume := func(in *saga.Instances[[]string]) error {
		_, err := in.Resume(t.Context(), "42", ana)
		return err
	}
	nothing := func(*saga.Instances[[]string]) error { return nil }
	for name, c := range map[string]struct {
		stop, start func(*saga.Instances[[]string]) error
		versions    [3]uint32
	}{
		"by an operator": {suspend, resume, [3]uint32{}},
		"by a deploy":    {nothing, nothing, [3]uint32{0, 1, 0}},
		"by both":        {suspend, resume, [3]uint32{0, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			s := def(c.versions[0])
			run := reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return s }))
			run.Given(reactortest.At(at("42"), placed("42")))
			run.Settle()
			require.NoError(t, c.stop(s.In(run.Store())))
			s = def(c.versions[1])
			run.Crash(1)
			payments(run, 0, n)
			run.Settle()
			require.Equal(t, n, get(t, s, run).Held)
			require.Len(t, sides(t, run, "needed/checkout/"), n, "retention keeps them")
			for _, kept := range sides(t, run, "kept/checkout/") {
				require.Less(t, len(kept.Value), 1000, "what is written with each input has no limit: %s", kept.Key)
			}
			s = def(c.versions[2])
			run.Crash(2)
			require.NoError(t, c.start(s.In(run.Store())))
			for i := range n / 10 {
				payments(run, n+10*i, n+10*i+10)
				run.Step("checkout")
			}
			run.Settle()
			require.Equal(t, numbers(0, 2*n), get(t, s, run).State)
			requireNothingHeld(t, run)
			require.Empty(t, run.Parked("checkout"))
		})
	}
}

// Requests of an instance that is suspended wait, the longer the later it is resumed.
func TestAResumedInstanceContinuesAtOnce(t *testing.T) {
	for name, prepare := range map[string]func(w *world, run *reactortest.Run){
		"with an action": func(*world, *reactortest.Run) {},
		"with an undo": func(w *world, run *reactortest.Run) {
			w.fails["label"] = []error{saga.Refuse(errDown)}
			w.fails["undo charge"] = []error{errDown}
			run.Resume("checkout.do")
			run.Settle()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			s := w.checkout()
			s.Effects.Policy, s.Deadline = supervision.Policy{}, 0
			run := reactortest.Start(t, s)
			run.Pause("checkout.do", time.Time{})
			run.Given(reactortest.At(at("42"), placed("42")))
			run.Settle()
			in := s.In(run.Store())
			prepare(w, run)
			_, err := in.Suspend(t.Context(), "42", ana)
			require.NoError(t, err)
			run.Settle()
			run.Resume("checkout.do")
			calls := len(w.calls)
			run.Advance(5 * time.Hour)
			require.Len(t, w.calls, calls)
			delete(w.fails, "undo charge")
			_, err = in.Resume(t.Context(), "42", ana)
			require.NoError(t, err)
			run.Settle()
			require.True(t, get(t, s, run).Life.Ended())
		})
	}
}

// What an instance is stuck at is not tried as it is resumed.
func TestAnInstanceThatIsStuckIsSoWhenItIsResumed(t *testing.T) {
	w := newWorld()
	w.fails["label"] = []error{saga.Refuse(errDown)}
	w.fails["undo charge"] = []error{saga.Refuse(errDown)}
	s := w.checkout()
	run := begun(t, s)
	in := s.In(run.Store())
	calls := len(w.calls)
	for _, call := range []func(context.Context, string, checkpoint.Request) (store.Receipt, error){in.Suspend, in.Resume} {
		require.NotEqual(t, saga.Running, get(t, s, run).Life)
		_, err := call(t.Context(), "42", ana)
		require.NoError(t, err)
		run.Settle()
	}
	require.Equal(t, saga.Stuck, get(t, s, run).Life)
	require.Len(t, w.calls, calls)
	_, err := in.Retry(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, saga.Compensated, get(t, s, run).Life)
}

// requireNothingHeld looks for what is kept of inputs that wait.
func requireNothingHeld(t *testing.T, run *reactortest.Run) {
	t.Helper()
	require.Empty(t, sides(t, run, "needed/checkout/"))
	require.Empty(t, sides(t, run, "kept/checkout/q/"))
}

func sides(t *testing.T, run *reactortest.Run, prefix string) (list []store.SideValue) {
	t.Helper()
	for side, err := range run.Store().Sides(prefix) {
		require.NoError(t, err)
		list = append(list, side)
	}
	return list
}

// Many inputs that wait are recorded before their instance is purged.
func TestAnInstanceIsPurgedOnceAllThatItHeldIsRecorded(t *testing.T) {
	const n = 200
	s := counted()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	payments(run, 0, n)
	run.Settle()
	_, err = in.Abandon(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Step("checkout")
	_, err = in.Purge(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	run.Advance(2 * time.Minute)
	_, err = in.Get("42")
	require.ErrorIs(t, err, saga.ErrNotFound)
	require.Len(t, recorded(t, in, "42"), n)
	requireNothingHeld(t, run)
}

// What waits in a page is nothing that the instance was made from.
func TestAnErasureOfWhatWaitsInAPageLeavesTheInstanceAlone(t *testing.T) {
	s := counted()
	run := begun(t, s)
	in := s.In(run.Store())
	_, err := in.Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	payments(run, 0, 100)
	run.Given(reactortest.At(store.At("another", "shop"), paymentTaken{Ref: "42", ID: "erased"}))
	payments(run, 100, 200)
	run.Settle()
	reactortest.Erase(run, "another", s)
	require.Equal(t, saga.Suspended, get(t, s, run).Life)
	_, err = s.In(run.Store()).Resume(t.Context(), "42", ana)
	require.NoError(t, err)
	run.Settle()
	require.Equal(t, numbers(0, 200), get(t, s, run).State)
	requireNothingHeld(t, run)
}

// What waits in pages is recorded where an erasure ends the instance.
func TestAllThatAnErasedInstanceHeldIsRecorded(t *testing.T) {
	s := counted()
	run := begun(t, s)
	_, err := s.In(run.Store()).Suspend(t.Context(), "42", ana)
	require.NoError(t, err)
	payments(run, 0, 200)
	run.Settle()
	reactortest.Erase(run, "order:42", s)
	run.Settle()
	require.Equal(t, saga.Failed, get(t, s, run).Life)
	require.Len(t, recorded(t, s.In(run.Store()), "42"), 200)
	requireNothingHeld(t, run)
}
