package reactortest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// priced is what the former build writes and reads, pricedNow what the present one does.
type priced struct{ Euros int }

func (priced) Kind() string { return "order.priced" }

type pricedNow struct{ Cents int }

func (pricedNow) Kind() string          { return "order.priced" }
func (pricedNow) SchemaVersion() uint16 { return 2 }

type invoiced struct{ Cents int }

func (invoiced) Kind() string { return "order.invoiced" }

// deployment is a program of which another build may start after a crash.
type deployment struct {
	present bool
	lanes   int
	refuse  func(cents int) error // nil where nothing is refused
}

func (d *deployment) program(*store.Store) supervision.Child {
	r := reactor.New("invoice", reactor.On(func(_ context.Context, e reactor.Event[priced], out *reactor.Reactions) error {
		return d.invoice(e.Event, 100*e.Body.Euros, out)
	}))
	if d.present {
		r = reactor.New("invoice", reactor.On(func(_ context.Context, e reactor.Event[pricedNow], out *reactor.Reactions) error {
			return d.invoice(e.Event, e.Body.Cents, out)
		}))
		r.Types = reactor.NewTypes(reactor.TypeOf[pricedNow](
			reactor.UpcastFrom(1, func(p priced) (pricedNow, error) { return pricedNow{Cents: 100 * p.Euros}, nil })))
	}
	r.Lanes = d.lanes
	return r
}

func (d *deployment) invoice(e store.Event, cents int, out *reactor.Reactions) error {
	if d.refuse != nil {
		if err := d.refuse(cents); err != nil {
			return err
		}
	}
	out.Append(store.At("invoice:"+e.Coordinate.Entity, "shop"), invoiced{Cents: cents})
	return nil
}

// deploy ends the process, and starts one build.
func (d *deployment) deploy(run *reactortest.Run, present bool) {
	d.present = present
	run.Crash(1)
}

func of(order string, p store.Payload) store.Payload {
	return reactortest.At(store.At("order:"+order, "shop"), p)
}

func TestWhatWasTooNewIsHandledByItselfWhenABuildStartsThatReadsIt(t *testing.T) {
	for _, lanes := range []int{0, 3} {
		d := &deployment{lanes: lanes}
		run := reactortest.Start(t, reactortest.Program(d.program))
		run.Given(of("1", priced{Euros: 1}), of("1", pricedNow{Cents: 250}), of("1", priced{Euros: 3}), of("2", priced{Euros: 4}))
		run.Settle()
		require.ElementsMatch(t, []invoiced{{100}, {400}}, reactortest.Of[invoiced](run))
		parked := run.Parked("invoice")
		require.Len(t, parked, 2)
		require.Equal(t, []bool{false, true}, []bool{parked[0].Held, parked[1].Held})
		require.Contains(t, parked[0].Error, "has schema version 2, known are 1 to 1")

		d.deploy(run, false)
		run.Settle()
		require.Equal(t, parked, run.Parked("invoice"), "the same build leaves it alone")

		d.deploy(run, true)
		for _, p := range run.Parked("invoice") {
			require.True(t, p.Replaying, "it is not shown as parked from the start on")
		}
		run.Settle()
		require.Empty(t, run.Parked("invoice"))
		require.Equal(t, []invoiced{{100}, {400}, {250}, {300}}, sortedFirst(reactortest.Of[invoiced](run)), "in the order of its key")
		d.deploy(run, true)
		run.Settle()
		require.Len(t, reactortest.Of[invoiced](run), 4)
	}
}

// sortedFirst puts the first two, which are of different keys, in order.
func sortedFirst(all []invoiced) []invoiced {
	if all[0].Cents > all[1].Cents {
		all[0], all[1] = all[1], all[0]
	}
	return all
}

func TestARollbackParksWhatIsTooNewAgainAndTheNextDeployHandlesIt(t *testing.T) {
	d := new(deployment)
	run := reactortest.Start(t, reactortest.Program(d.program))
	run.Given(of("1", pricedNow{Cents: 250}), of("1", priced{Euros: 3}))
	run.Settle()
	d.deploy(run, true)
	d.deploy(run, false) // nothing was handled in between
	run.Given(of("1", pricedNow{Cents: 50}))
	run.Settle()
	require.Empty(t, reactortest.Of[invoiced](run))
	parked := run.Parked("invoice")
	require.Len(t, parked, 3)
	require.False(t, parked[0].Replaying)
	d.deploy(run, true)
	run.Settle()
	require.Equal(t, []invoiced{{250}, {300}, {50}}, reactortest.Of[invoiced](run))
}

func TestWhatFailsForAnotherReasonStaysParkedAfterADeploy(t *testing.T) {
	refused := errors.New("no such customer")
	d := &deployment{refuse: func(cents int) error {
		if cents%100 > 0 {
			return reactor.Park(refused)
		}
		return nil
	}}
	run := reactortest.Start(t, reactortest.Program(d.program))
	run.Given(of("1", pricedNow{Cents: 250}), of("2", pricedNow{Cents: 300}))
	run.Settle()
	d.deploy(run, true)
	run.Settle()
	require.Equal(t, []invoiced{{300}}, reactortest.Of[invoiced](run))
	parked := run.Parked("invoice")
	require.Len(t, parked, 1)
	require.Contains(t, parked[0].Error, "no such customer")
	d.deploy(run, true)
	run.Settle()
	require.Equal(t, parked, run.Parked("invoice"), "it was not tried again")
}

// An event that a person has to decide about stays where it is, with what is too new after it.
func TestWhatWasTooNewWaitsForAnEarlierEventOfItsKey(t *testing.T) {
	d := &deployment{refuse: func(cents int) error {
		if cents == 100 {
			return reactor.Park(errors.New("no such customer"))
		}
		return nil
	}}
	run := reactortest.Start(t, reactortest.Program(d.program))
	run.Given(of("1", priced{Euros: 1}), of("1", pricedNow{Cents: 250}))
	run.Settle()
	d.deploy(run, true)
	run.Settle()
	require.Len(t, run.Parked("invoice"), 2)
	d.refuse = nil
	run.Replay("invoice", cursor.ParkedFilter{Key: "order:1"})
	run.Settle()
	require.Equal(t, []invoiced{{100}, {250}}, reactortest.Of[invoiced](run))
}

func TestDeploysAndRollbacksLoseNothingThroughEveryCrash(t *testing.T) {
	for _, lanes := range []int{0, 3} {
		var d *deployment
		reactortest.EveryCrash(t, func() supervision.Child {
			d = &deployment{lanes: lanes}
			return reactortest.Program(d.program)
		}, func(run *reactortest.Run) {
			run.Given(of("1", priced{Euros: 1}), of("1", pricedNow{Cents: 250}), of("2", priced{Euros: 4}), of("1", priced{Euros: 3}))
			run.Settle()
			d.deploy(run, true)
			run.Step("invoice")
			d.deploy(run, false)
			run.Given(of("2", pricedNow{Cents: 50}), of("1", pricedNow{Cents: 60}))
			run.Settle()
			d.deploy(run, true)
			run.Settle()
			require.Empty(t, run.Parked("invoice"))
			require.Len(t, reactortest.Of[invoiced](run), 6)
		})
	}
}

// rollout is a random history of a deployment.
type rollout struct {
	*deployment
	run    *reactortest.Run
	random *rand.Rand
	bad    map[int]bool // what is refused, in cents
	given  int
	back   int // events that a build took back by itself
}

func newRollout(t *testing.T, seed uint64) *rollout {
	r := &rollout{random: rand.New(rand.NewPCG(seed, 1)), bad: make(map[int]bool)}
	r.deployment = &deployment{lanes: 3 * r.random.IntN(2), refuse: func(cents int) error {
		if r.bad[cents] {
			return reactor.Park(errors.New("bad"))
		}
		return nil
	}}
	r.run = reactortest.Start(t, reactortest.Program(r.program))
	return r
}

func (r *rollout) act() {
	switch r.random.IntN(8) {
	case 0, 1, 2:
		r.append()
	case 3, 4:
		r.run.Step("invoice")
	case 5:
		r.deploy(r.run, r.random.IntN(2) == 0)
		for _, p := range r.run.Parked("invoice") {
			if p.Replaying && !p.Held {
				r.back++
			}
		}
	case 6:
		r.run.CrashAt(1 + r.random.IntN(20))
	case 7:
		r.operate()
	}
}

func (r *rollout) append() {
	r.given++
	var p store.Payload = pricedNow{Cents: 100 * r.given}
	if r.random.IntN(2) == 0 {
		p = priced{Euros: r.given}
	}
	r.bad[100*r.given] = r.random.IntN(5) == 0
	r.run.Given(of(strconv.Itoa(r.random.IntN(3)), p))
}

// operate mends what is bad, and replays one key.
func (r *rollout) operate() {
	if all := r.run.Parked("invoice"); len(all) > 0 {
		r.bad = make(map[int]bool)
		r.run.Replay("invoice", cursor.ParkedFilter{Key: all[r.random.IntN(len(all))].Key})
	}
}

// end starts the present build, and a person replays what was bad.
func (r *rollout) end() {
	r.bad = nil
	r.deploy(r.run, true)
	r.run.Settle()
	if len(r.run.Parked("invoice")) > 0 {
		r.run.Replay("invoice", cursor.ParkedFilter{All: true})
		r.run.Settle()
	}
}

// Deploys, rollbacks, crashes, bad events and an operator at any moment: in the end each event has
// its invoice, once, and in the order of its key.
func TestDeploysAtAnyMomentLoseNothing(t *testing.T) {
	first, histories := rand.Uint64(), uint64(100)
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		first, _ = strconv.ParseUint(given, 10, 64)
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		histories = 5000
	}
	back := 0
	for seed := first; seed != first+histories; seed++ {
		r := newRollout(t, seed)
		for range 30 {
			r.act()
		}
		r.end()
		requireInvoices(t, r.run, r.given, seed)
		back += r.back
	}
	require.Positive(t, back, "nothing was taken back")
}

// requireInvoices requires one invoice for each of the events given, in the order of its key.
func requireInvoices(t *testing.T, run *reactortest.Run, given int, seed uint64) {
	t.Helper()
	require.Empty(t, run.Parked("invoice"), "PENSTOCK_SEED=%d", seed)
	last, all := make(map[string]int), 0
	for e, err := range run.Store().Read(t.Context(), store.Region{Entity: "invoice"}, store.Beginning()) {
		require.NoError(t, err)
		body, err := reactor.Decode[invoiced](nil, e)
		require.NoError(t, err)
		require.Greater(t, body.Cents, last[e.Coordinate.Entity], "PENSTOCK_SEED=%d", seed)
		last[e.Coordinate.Entity] = body.Cents
		all++
	}
	require.Equal(t, given, all, "PENSTOCK_SEED=%d", seed)
}
