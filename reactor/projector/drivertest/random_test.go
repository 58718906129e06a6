package drivertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// misfortune is a projector whose handlers, database and disk fail at random.
type misfortune struct {
	*rand.Rand
	quiet bool
	disk  *storetest.Disk
	st    *store.Store
	r     *cursor.Runner
}

func (o *misfortune) chance(percent int) bool { return !o.quiet && o.IntN(100) < percent }

func (o *misfortune) trouble(store.Event) error {
	switch {
	case o.chance(2):
		return errBroken
	case o.chance(1):
		panic(errBroken)
	}
	return nil
}

// boot opens what is there, as after the death of the process.
func (o *misfortune) boot(t *testing.T, run func() *cursor.Runner) {
	t.Helper()
	if o.st != nil {
		o.disk.Cut()
		_ = o.st.Close()
		o.disk = o.disk.Rebooted(o.Uint64())
	}
	o.st = openStore(t, o.disk)
	o.r = run()
}

// step lets the runner try something, and decides about what failed.
func (o *misfortune) step(t *testing.T) (caughtUp bool) {
	t.Helper()
	out, err := o.r.Step(t.Context(), 0, 1+o.IntN(20))
	var failure *cursor.HandlerError
	if errors.As(err, &failure) && failure.Event != 0 && errors.Is(err, errBroken) && o.chance(50) {
		if err := o.r.Settle(failure.First, toPark(err, 1)); err != nil {
			require.ErrorIs(t, err, storetest.ErrPowerCut)
		}
	}
	if o.chance(10) || o.quiet {
		which := cursor.ParkedFilter{All: true}
		if o.chance(60) {
			which = cursor.ParkedFilter{Key: fmt.Sprint("order:", o.IntN(4))}
		}
		_, err := o.r.Replay(t.Context(), which, checkpoint.Request{})
		require.True(t, err == nil || !o.quiet, "%v", err)
	}
	return err == nil && out.CaughtUp
}

func TestTheTablesAreExactWhateverFailsInWhateverOrder(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	rounds := 15
	if os.Getenv("PENSTOCK_SOAK") != "" {
		rounds = 400
	}
	for round := range rounds {
		t.Logf("PENSTOCK_SEED=%d", seed+uint64(round))
		db, f := newFlaky(t)
		o := &misfortune{Rand: rand.New(rand.NewPCG(seed+uint64(round), 1)), disk: storetest.NewDisk()}
		p := totals(db, &handlers{trouble: o.trouble})
		p.BatchSize = 1 + o.IntN(16)
		boot := func() { o.boot(t, func() *cursor.Runner { return newRunner(t, o.st, p) }) }
		boot()
		f.fail = func(string) bool { return o.chance(2) }
		copied := copyOf(t, db)
		for range 60 {
			switch {
			case o.chance(3):
				o.quietly(func() { copied = copyOf(t, db) })
			case o.chance(3): // the database is restored while nothing runs
				o.quietly(func() { copied.restore(t, db); boot() })
			case o.chance(2): // the log loses the list of parked events
				o.quietly(func() {
					require.NoError(t, resetCold(t.Context(), o.st))
					boot()
				})
			case o.chance(10):
				appendOrders(t, o.st, o.IntN(12))
			case o.chance(5):
				o.quietly(boot)
			case o.chance(5): // as after a panic
				o.quietly(func() { o.r = newRunner(t, o.st, p) })
			case o.chance(5): // an operator of the log, while the worker does not run
				o.quietly(func() {
					which := cursor.ParkedFilter{Error: errBroken.Error(), Max: o.IntN(3)}
					_, err := cursor.OperatorOf(o.st, "totals").Replay(t.Context(), which, checkpoint.Request{})
					require.NoError(t, err)
					o.r = newRunner(t, o.st, p)
				})
			case o.chance(5): // what is handled is written before
				if o.r.Pause(t.Context(), time.Time{}, checkpoint.Request{}) == nil {
					require.NoError(t, o.r.Resume(t.Context(), checkpoint.Request{}))
				}
			case o.chance(5):
				o.disk.CutAt(o.disk.Ops() + 1 + o.IntN(6))
				o.step(t)
				o.quietly(boot)
			default:
				o.step(t)
			}
		}
		o.quiet = true
		appendOrders(t, o.st, 3)
		for done := false; !done; {
			caughtUp := o.step(t)
			parked := o.r.Progress().Parked
			done = caughtUp && parked == 0
		}
		requireExact(t, o.st, db)
		require.NoError(t, o.st.Close())
	}
}

// quietly does something without trouble.
func (o *misfortune) quietly(do func()) {
	o.quiet = true
	do()
	o.quiet = false
}
