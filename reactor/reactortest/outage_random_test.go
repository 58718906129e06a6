package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// outagePlay is a worker of which services come and go, some events are bad, and operators and
// crashes come in between.
type outagePlay struct {
	t      *testing.T
	dice   *rand.Rand
	run    *reactortest.Run
	about  string
	lanes  int
	names  []string // of the services
	impure bool     // Worker.Dependency says something else each time
	down   map[string]bool
	bad    map[int]bool
	given  int
	gone   map[int]bool // discarded, or skipped over
	calls  int
	paused bool
	outs   int // steps in an outage
}

func newOutagePlay(t *testing.T, seed uint64) *outagePlay {
	dice := rand.New(rand.NewPCG(seed, 0))
	p := &outagePlay{
		t: t, dice: dice, about: fmt.Sprintf("PENSTOCK_SEED=%d", seed), lanes: []int{1, 1, 3, 8}[dice.IntN(4)],
		names: []string{"a", "b", "c"}[:1+dice.IntN(3)], impure: dice.IntN(3) == 0,
		down: make(map[string]bool), bad: make(map[int]bool), gone: make(map[int]bool),
	}
	p.run = reactortest.Start(t, p.worker())
	return p
}

func (p *outagePlay) worker() cursor.Worker {
	keys, size, attempts := 1+p.dice.IntN(40), 1+p.dice.IntN(8), 4+p.dice.IntN(4)
	unsteady := rand.New(rand.NewPCG(uint64(keys), 1))
	return cursor.Worker{
		Name: "charge", Kinds: []string{ordered{}.Kind()}, Lanes: p.lanes, BatchSize: size, Handle: p.handle,
		Key: func(e store.Event) string {
			if n := number(e); n < 1000 {
				return fmt.Sprint(n % keys)
			}
			return e.Coordinate.Entity
		},
		Dependency: func(e store.Event) string {
			if p.impure {
				return p.names[unsteady.IntN(len(p.names))]
			}
			return p.service(number(e))
		},
		Policy: supervision.Policy{Attempts: attempts, Backoff: supervision.Backoff{Initial: time.Second, Max: 10 * time.Second}},
	}
}

// number of an order, see order.
func number(e store.Event) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(e.Coordinate.Entity, "order:"))
	return n
}

func (p *outagePlay) service(n int) string { return p.names[n%len(p.names)] }

func (p *outagePlay) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		b.Begin(i)
		p.calls++
		switch n := number(e); {
		case p.bad[n]:
			return cursor.Continue, cursor.FailedAt(i, errProvider)
		case p.down[p.service(n)] && p.dice.IntN(5) == 0:
			return cursor.Continue, cursor.FailedAt(i, reactor.Wait(errProvider))
		case p.down[p.service(n)]:
			return cursor.Continue, cursor.FailedAt(i, errProvider)
		}
		b.React(i, e.Coordinate, billed{e.Coordinate.Entity})
	}
	return cursor.Continue, nil
}

// step is one thing that happens, and some time.
func (p *outagePlay) step() {
	switch p.dice.IntN(16) {
	case 0, 1, 2, 3, 4:
		bad := p.dice.IntN(4) == 0
		for range 1 + p.dice.IntN(12) {
			p.bad[p.given] = bad || p.dice.IntN(12) == 0
			p.run.Given(order(p.given))
			p.given++
		}
	case 5, 6, 7, 8:
		p.down[p.names[p.dice.IntN(len(p.names))]] = p.dice.IntN(2) == 0
	case 9, 10:
		p.run.Crash(p.dice.Uint64N(100))
	case 11, 12, 13:
		p.operate()
	default:
	}
	p.advance(time.Duration(1+p.dice.IntN(20)) * time.Minute)
}

// operate is what an operator does.
func (p *outagePlay) operate() {
	switch parked := p.run.Parked("charge"); p.dice.IntN(5) {
	case 0:
		if p.paused = !p.paused; p.paused {
			p.run.Pause("charge", time.Time{})
		} else {
			p.run.Resume("charge")
		}
	case 1:
		p.run.Replay("charge", cursor.ParkedFilter{All: true})
	case 2:
		if len(parked) == 0 {
			return
		}
		given := parked[p.dice.IntN(len(parked))].Position
		err := p.run.Control("charge", func(ctx context.Context, w cursor.Operator) error {
			_, err := w.Discard(ctx, cursor.ParkedFilter{Position: given}, checkpoint.Request{By: "play"})
			return err
		})
		if errors.Is(err, cursor.ErrNotParked) {
			return
		}
		require.NoError(p.t, err, p.about)
		e, err := p.run.Store().GetAt(p.t.Context(), given)
		require.NoError(p.t, err)
		p.gone[number(e)] = true
	case 3:
		to := p.dice.Uint64N(min(10, uint64(p.run.Status("charge").Position)+1))
		p.run.Apply("charge", checkpoint.Rewind{To: store.Position(to)})
	case 4:
		if p.dice.IntN(3) == 0 {
			p.run.Apply("charge", checkpoint.SkipTo{To: p.run.Store().Head()})
			for n := range p.given {
				p.gone[n] = true
			}
		}
	}
}

// advance lets time pass. While everything is down little is called.
func (p *outagePlay) advance(d time.Duration) {
	all := true
	for _, name := range p.names {
		all = all && p.down[name]
	}
	before, calls := p.run.Status("charge").State, p.calls
	p.run.Advance(d)
	after := p.run.Status("charge").State
	if before != actors.Outage || after != actors.Outage {
		return
	}
	p.outs++
	if all {
		most := len(p.names)*(int(d/(8*time.Second))+20) + 100
		require.LessOrEqual(p.t, p.calls-calls, most, "%s: calls in %v of an outage", p.about, d)
	}
}

// heal lets everything work again, and finds everything handled, or parked with a reason.
func (p *outagePlay) heal() {
	clear(p.down)
	if p.paused {
		p.run.Resume("charge")
	}
	for n := 1000; n < 1150; n++ { // however rare the traffic
		p.run.Given(order(n))
		p.run.Advance(time.Hour)
	}
	billings := make(map[string]int)
	for _, b := range reactortest.Of[billed](p.run) {
		billings[b.Order]++
	}
	parked, failed := make(map[int]checkpoint.Parked), make(map[string]bool)
	for _, entry := range p.run.Parked("charge") {
		e, err := p.run.Store().GetAt(p.t.Context(), entry.Position)
		require.NoError(p.t, err)
		n := number(e)
		parked[n] = entry
		require.False(p.t, entry.Doubt || entry.Replaying, "%s: order %d: %+v", p.about, n, entry)
		if failed[entry.Key] = failed[entry.Key] || !entry.Held; entry.Held {
			require.True(p.t, failed[entry.Key], "%s: order %d is held for nothing", p.about, n)
		} else {
			unclear := p.impure && len(p.names) > 1 // what is handled of one service speaks for another one
			require.True(p.t, p.bad[n] || unclear, "%s: order %d is not bad, and parked", p.about, n)
		}
	}
	for n := range 1150 {
		if n >= p.given && n < 1000 {
			continue
		}
		entity := fmt.Sprintf("order:%d", n)
		_, is := parked[n]
		require.LessOrEqual(p.t, billings[entity], 1, "%s: order %d", p.about, n)
		require.True(p.t, billings[entity] == 1 || is || p.gone[n], "%s: order %d is lost", p.about, n)
	}
	require.Equal(p.t, actors.Idle, p.run.Status("charge").State, p.about)
}

func TestOutagesHealThemselvesWhateverComesInBetween(t *testing.T) {
	seed, plays := uint64(time.Now().UnixNano()), 40
	if testing.Short() {
		plays = 10
	}
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
		plays = 1
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		plays = 2000
	}
	outs := 0
	for n := range plays {
		p := newOutagePlay(t, seed+uint64(n))
		for range 25 {
			p.step()
		}
		p.heal()
		outs += p.outs
	}
	require.True(t, outs > 0 || plays < 10, "no outage")
}
