package saga_test

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

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// leftover is what is kept, scheduled, held or parked of a saga, but for what it has of itself: the
// names of its definition, and the greatest number of a run that was purged.
func leftover(t *testing.T, st *store.Store) (keys []string) {
	t.Helper()
	for side, err := range st.Sides("") {
		require.NoError(t, err)
		begin, rest, _ := strings.Cut(side.Key, "/")
		switch {
		case begin != "kept" && begin != "due" && begin != "needed" && begin != "parked":
		case begin == "kept" && (rest == "checkout/d/names" || rest == "checkout/d/purged"):
		default:
			keys = append(keys, side.Key)
		}
	}
	return keys
}

// chaotic is a checkout at which anything happens.
type chaotic struct {
	*played

	dice  *rand.Rand
	angry bool // the answer to a payment without an order fails
	ops   []string
}

func chaos(t *testing.T, seed uint64) *chaotic {
	t.Helper()
	c := &chaotic{dice: rand.New(rand.NewPCG(seed, 12))}
	c.played = &played{t: t, m: manager{newWorld()}}
	s := c.m.saga(saga.OnMissing(func(_ context.Context, e reactor.Event[paymentTaken], tx *saga.Tx[order]) error {
		if c.angry {
			return supervision.Park(errDown)
		}
		tx.Emit(store.At("refund", "shop"), refunded{e.Body.Ref})
		return nil
	}))
	s.Missing, s.Unexpected = saga.Defer, []saga.Treatment{saga.Defer, saga.Record, saga.Park}[c.dice.IntN(3)]
	s.Restarts = []saga.Restarts{saga.Never, saga.AfterEnd}[c.dice.IntN(2)]
	s.Retain, s.Deadline, s.MaxHeld = 3*time.Hour, time.Hour, 5
	s.Policy.Attempts, s.Policy.Outage.Off = 2, true
	s.Effects.Policy.Attempts, s.Effects.Policy.Outage.Off = 3, true
	c.s, c.Run = s, reactortest.Start(t, s)
	if c.dice.IntN(3) > 0 {
		c.Shuffle(seed)
	}
	return c
}

// happens has something happen to an instance.
func (c *chaotic) happens(what, key string) error {
	ctx, in := c.t.Context(), c.s.In(c.Store())
	give := func(entity string, body store.Payload) {
		c.Given(reactortest.At(store.At(entity+":"+key, "shop"), body))
	}
	var err error
	switch what {
	case "placed":
		give("order", placed(key))
	case "reserved":
		give("stock", stockReserved{key})
	case "paid":
		give("pay", paymentTaken{Ref: "pay-" + key, ID: "p"})
	case "shipped":
		give("parcel", shipped{key})
	case "cancelled":
		give("order", orderCancelled{key})
	case "suspend":
		_, err = in.Suspend(ctx, key, ana)
	case "resume":
		_, err = in.Resume(ctx, key, ana)
	case "retry":
		_, err = in.Retry(ctx, key, ana)
	case "abandon":
		_, err = in.Abandon(ctx, key, ana)
	case "purge":
		_, err = in.Purge(ctx, key, ana)
	case "fire":
		_, err = in.Fire(ctx, key, "pay-by", ana)
	case "erase":
		c.erase([]string{"order:", "stock:", "pay:", "parcel:", "saga:checkout:"}[c.dice.IntN(5)] + key)
	case "discard":
		c.decide(true)
	case "replay":
		c.decide(false)
	case "fails":
		c.angry = !c.angry
		c.m.w.fails["invoice"] = [][]error{{errDown}, {saga.Refuse(errDown)}, nil}[c.dice.IntN(3)]
		c.m.w.fails["undo reserve"] = [][]error{{saga.Refuse(errDown)}, nil}[c.dice.IntN(2)]
	case "later":
		c.Advance(time.Duration(c.dice.IntN(20)*c.dice.IntN(20)) * time.Minute)
	case "reset":
		c.Apply("checkout", checkpoint.Reset{})
	case "crash":
		c.CrashAt(1 + c.dice.IntN(30))
	}
	return err
}

func (c *chaotic) erase(entity string) {
	if n, err := c.Store().Version(c.t.Context(), entity); err == nil && n > 0 {
		reactortest.Erase(c.Run, entity, c.s)
	}
}

// decide has all that is parked discarded, or replayed.
func (c *chaotic) decide(discard bool) {
	for _, name := range []string{"checkout", "checkout.do"} {
		for _, e := range c.Parked(name) {
			require.NoError(c.t, c.Control(name, func(ctx context.Context, o cursor.Operator) error {
				order := o.Replay
				if discard {
					order = o.Discard
				}
				_, err := order(ctx, cursor.ParkedFilter{Position: e.Position}, ana)
				if errors.Is(err, cursor.ErrNotParked) { // it was held, and is on its way
					err = nil
				}
				return err
			}))
		}
	}
}

// end has each instance end, and be forgotten.
func (c *chaotic) end(seed uint64) {
	c.Crash(seed) // nothing is cut from here on
	c.angry = false
	clear(c.m.w.fails)
	for range 8 {
		c.decide(true)
		for o, err := range c.s.In(c.Store()).List() {
			require.NoError(c.t, err)
			if !o.Life.Ended() {
				_, err = c.s.In(c.Store()).Abandon(c.t.Context(), o.Key, ana)
				require.NoError(c.t, err)
			}
		}
		c.Advance(4 * time.Hour)
	}
}

// The answer to a payment without an order fails, and is discarded: the payment is recorded,
// and is not waited for.
func TestAWaitIsOverWhereItsEndIsDiscarded(t *testing.T) {
	c := chaos(t, 0)
	c.angry = true
	require.NoError(t, c.happens("paid", "7"))
	c.Advance(2 * time.Minute)
	require.Len(t, c.Parked("checkout"), 1)
	require.NotEmpty(t, c.held())
	c.decide(true)
	c.Settle()
	require.Empty(t, c.held())
	require.Empty(t, leftover(t, c.Store()))
	require.Empty(t, reactortest.Of[refunded](c.Run))
	said := 0
	for e, err := range c.Store().Read(t.Context(), store.Region{Kinds: []string{"saga.checkout.recorded"}}, store.Beginning()) {
		require.NoError(t, err)
		require.Contains(t, string(e.Payload), "discarded")
		said++
	}
	require.Equal(t, 1, said)
}

// Whatever happens to instances, and wherever the power is cut: once they are forgotten nothing is
// left of them beside the log.
func TestNothingIsLeftOfInstancesThatAreForgotten(t *testing.T) {
	first, n := uint64(0), uint64(12)
	if underRace {
		n = 2
	}
	if given, err := strconv.ParseUint(os.Getenv("PENSTOCK_SEED"), 10, 64); err == nil {
		first, n = given, 1
	}
	if given, err := strconv.ParseUint(os.Getenv("PENSTOCK_SEEDS"), 10, 64); err == nil {
		n = given
	}
	what := strings.Fields("placed placed placed reserved reserved paid paid shipped cancelled suspend resume resume retry " +
		"abandon purge fire erase discard replay fails later later crash reset")
	for seed := first; seed < first+n; seed++ {
		c := chaos(t, seed)
		for range 60 {
			op, key := what[c.dice.IntN(len(what))], strconv.Itoa(c.dice.IntN(3))
			err := c.happens(op, key)
			c.ops = append(c.ops, fmt.Sprint(op, " ", key, " ", err))
			if err != nil && !errors.Is(err, saga.ErrUnfit) && !errors.Is(err, saga.ErrNotFound) && !errors.Is(err, storetest.ErrPowerCut) {
				require.NoError(t, err, "PENSTOCK_SEED=%d\n%s", seed, strings.Join(c.ops, "\n"))
			}
			if c.dice.IntN(3) > 0 {
				c.Settle()
			}
		}
		c.end(seed)
		require.Empty(t, leftover(t, c.Store()), "PENSTOCK_SEED=%d\n%s", seed, strings.Join(c.ops, "\n"))
		requireIndexed(t, c.s.In(c.Store()))
		_, err := checkpoint.Inspect(c.Store(), "checkout")
		require.NoError(t, err)
	}
}
