package saga_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// stopped is a saga that keeps the numbers of the inputs which it has handled, in a history of all
// that keeps it from handling them.
type stopped struct {
	*reactortest.Run

	t       *testing.T
	dice    *rand.Rand
	w       *world
	sick    bool // its handler fails
	program *saga.Saga[seen]
	given   int
	log     []string
}

// seen is its state.
type seen struct {
	Inputs []int
	Ticks  int
}

// version is its program: with what takes instances of version 0 over, as that is named in
// migrations, or without where that is "".
func (p *stopped) version(version uint32, how string) *saga.Saga[seen] {
	parts := []saga.Part[seen]{
		saga.Start(byOrder, func(_ context.Context, _ reactor.Event[orderPlaced], tx *saga.Tx[seen]) error {
			tx.Run("charge")
			tx.After("tick", time.Hour)
			return nil
		}),
		saga.On(func(e paymentTaken) string { return e.Ref }, func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[seen]) error {
			if p.sick {
				return errDown
			}
			n, err := strconv.Atoi(e.Body.ID)
			tx.State.Inputs = append(tx.State.Inputs, n)
			return err
		}),
		saga.On(func(e orderCancelled) string { return e.Order }, func(_ context.Context, _ reactor.Event[orderCancelled], tx *saga.Tx[seen]) error {
			tx.Compensate(errNotPaid)
			return nil
		}),
		saga.OnTimer("tick", func(_ context.Context, _ saga.Fired, tx *saga.Tx[seen]) error {
			tx.State.Ticks++
			return nil
		}),
		saga.Do("charge", func(_ context.Context, s saga.Step[seen]) (string, error) { return p.w.do("charge", s.Key) },
			func(_ context.Context, s saga.Step[seen], d saga.Done[string]) error {
				return p.w.undo("charge", s.Key, d.Key)
			}).Ask(),
	}
	if how != "" {
		parts = append(parts, saga.Migrate(0, func(old seen, _ *saga.Place) (seen, error) {
			_, err := migrations[how](order{}, new(saga.Place))
			return old, err
		}))
	}
	s := saga.New("checkout", parts...)
	s.Version, s.AllowUnrunnable, s.Unexpected, s.MaxHeld = version, true, saga.Record, 2
	s.Deadline, s.Policy.Attempts = 24*time.Hour, 2
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 2, true
	return s
}

func (p *stopped) deploy(version uint32, how string) {
	p.program = p.version(version, how)
	p.Crash(p.dice.Uint64())
}

func (p *stopped) in() *saga.Instances[seen] { return p.program.In(p.Store()) }

func (p *stopped) get() saga.Instance[seen] {
	p.t.Helper()
	o, err := p.in().Get("42")
	require.NoError(p.t, err, p.story())
	return o
}

func (p *stopped) story() string { return strings.Join(p.log, ", ") }

// call is one of an operator's, which may not fit.
func (p *stopped) call(call func(*saga.Instances[seen]) (store.Receipt, error)) {
	p.t.Helper()
	if _, err := call(p.in()); !errors.Is(err, saga.ErrUnfit) && !errors.Is(err, saga.ErrNotFound) && !errors.Is(err, storetest.ErrPowerCut) {
		require.NoError(p.t, err, p.story())
	}
}

// calls of operators by their names.
func (p *stopped) calls() map[string]func(*saga.Instances[seen]) (store.Receipt, error) {
	by := func(call func(*saga.Instances[seen], context.Context, string, checkpoint.Request) (store.Receipt, error)) func(*saga.Instances[seen]) (store.Receipt, error) {
		return func(in *saga.Instances[seen]) (store.Receipt, error) { return call(in, p.t.Context(), "42", ana) }
	}
	type all = saga.Instances[seen]
	return map[string]func(*all) (store.Receipt, error){
		"suspend": by((*all).Suspend), "resume": by((*all).Resume), "retry": by((*all).Retry), "skip": by((*all).SkipUndo),
		"cancel": by((*all).Cancel), "abandon": by((*all).Abandon),
		"settle": func(in *all) (store.Receipt, error) { return in.SettleRefused(p.t.Context(), "42", "charge", ana) },
	}
}

// some does something.
func (p *stopped) some() {
	steps := []struct {
		weight int
		name   string
		do     func()
	}{
		{8, "inputs", func() {
			for range 1 + p.dice.IntN(4) {
				p.Given(reactortest.At(at("42"), paymentTaken{Ref: "42", ID: fmt.Sprint(p.given)}))
				p.given++
			}
		}},
		{1, "many inputs", func() {
			for range 200 {
				p.Given(reactortest.At(at("42"), paymentTaken{Ref: "42", ID: fmt.Sprint(p.given)}))
				p.given++
			}
		}},
		{1, "event", func() { p.Given(reactortest.At(at("42"), orderCancelled{"42"})) }},
		{3, "suspend", nil},
		{4, "resume", nil},
		{1, "retry", nil},
		{1, "skip", nil},
		{1, "settle", nil},
		{1, "cancel", nil},
		{1, "abandon", nil},
		{2, "time", func() { p.Advance(time.Duration(p.dice.IntN(90)) * time.Minute) }},
		{1, "much time", func() { p.Advance(25 * time.Hour) }},
		{2, "cut", func() { p.CrashAt(1 + p.dice.IntN(30)) }},
		{2, "down", func() { p.w.fails["charge"], p.w.lies["charge"] = []error{errDown}, p.dice.IntN(2) == 0 }},
		{1, "undo down", func() { p.w.fails["undo charge"] = []error{errDown} }},
		{2, "up", func() { clear(p.w.fails) }},
		{1, "sick", func() { p.sick = true }},
		{1, "replay", func() { p.sick = false; p.Replay("checkout", cursor.ParkedFilter{All: true}) }},
		{1, "version 0", func() { p.deploy(0, "") }},
		{1, "version 1, no migration", func() { p.deploy(1, "") }},
		{1, "version 1, migration fails", func() { p.deploy(1, "fails") }},
		{2, "version 1, migration works", func() { p.deploy(1, "works") }},
	}
	n := 0
	for _, s := range steps {
		n += s.weight
	}
	n = p.dice.IntN(n)
	for _, s := range steps {
		if n -= s.weight; n >= 0 {
			continue
		}
		p.log = append(p.log, s.name)
		if s.do == nil {
			call := p.calls()[s.name]
			s.do = func() { p.call(call) }
		}
		s.do()
		return
	}
}

// settled requires, where all was done that takes no time, that nothing is held without a reason.
func (p *stopped) settled() {
	p.t.Helper()
	p.Settle()
	p.log = append(p.log, "settle")
	o, err := p.in().Get("42")
	if errors.Is(err, saga.ErrNotFound) || p.Status("checkout").Reason != nil {
		return
	}
	require.NoError(p.t, err, p.story())
	if o.Unrunnable == "" && o.Life != saga.Suspended && o.Life != saga.Stuck && len(p.Parked("checkout")) == 0 {
		require.Zero(p.t, o.Held, "%s\n%s", o.Life, p.story())
	}
}

// mend has all that keeps the instance from handling its inputs end.
func (p *stopped) mend() {
	p.t.Helper()
	clear(p.w.fails)
	p.sick = false
	p.deploy(1, "works")
	for range 6 {
		p.Replay("checkout", cursor.ParkedFilter{All: true})
		p.Advance(10 * time.Minute)
		switch p.get().Life {
		case saga.Suspended:
			p.call(p.calls()["resume"])
		case saga.Stuck:
			p.call(p.calls()["retry"])
		default:
		}
		p.Settle()
	}
}

// passed are the numbers of inputs that were recorded, in the order of that.
func (p *stopped) passed() (list []int) {
	for e, err := range p.in().History(p.t.Context(), "42") {
		require.NoError(p.t, err)
		if e.Kind != "saga.checkout.recorded" {
			continue
		}
		var of struct{ Input store.Position }
		require.NoError(p.t, json.Unmarshal(e.Payload, &of))
		input, err := p.Store().GetAt(p.t.Context(), of.Input)
		require.NoError(p.t, err)
		var taken paymentTaken
		if input.Kind == taken.Kind() {
			require.NoError(p.t, json.Unmarshal(input.Payload, &taken))
			n, err := strconv.Atoi(taken.ID)
			require.NoError(p.t, err)
			list = append(list, n)
		}
	}
	return list
}

// Whatever stops an instance, alone or with others, and whatever ends that: all that came meanwhile
// is handled, in its order and once, or recorded where the instance has turned back.
func TestWhateverStopsAnInstanceAllThatItHoldsIsHandledInOrder(t *testing.T) {
	first, rounds := rand.Uint64N(1<<32), less(20)
	if seed := os.Getenv("PENSTOCK_SEED"); seed != "" {
		n, err := strconv.ParseUint(seed, 10, 64)
		require.NoError(t, err)
		first = n
	}
	if n, err := strconv.Atoi(os.Getenv("PENSTOCK_ROUNDS")); err == nil {
		rounds = n
	}
	for seed := first; seed < first+uint64(rounds); seed++ {
		t.Run(fmt.Sprint("PENSTOCK_SEED=", seed), func(t *testing.T) {
			p := &stopped{t: t, dice: rand.New(rand.NewPCG(seed, 5)), w: newWorld()}
			p.program = p.version(0, "")
			p.Run = reactortest.Start(t, reactortest.Program(func(*store.Store) supervision.Child { return p.program }))
			p.Given(reactortest.At(at("42"), placed("42")))
			p.Settle()
			for range 25 {
				p.some()
				switch p.dice.IntN(3) {
				case 0:
					p.settled()
				case 1:
					p.Step([]string{"checkout", "checkout.do"}[p.dice.IntN(2)])
				}
			}
			p.mend()
			o := p.get()
			require.Zero(t, o.Held, "%s\n%s", o.Life, p.story())
			requireNothingHeld(t, p.Run)
			require.True(t, o.Life.Ended() || o.Life == saga.Running, "%s\n%s", o.Life, p.story())
			require.Empty(t, p.Parked("checkout"), p.story())
			want := make([]int, p.given)
			for i := range want {
				want[i] = i
			}
			require.Equal(t, want, append([]int{}, slices.Concat(o.State.Inputs, p.passed())...), p.story())
			require.LessOrEqual(t, o.State.Ticks, 1)
		})
	}
}
