package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
)

// Sold and Shipped are the events, Carrier is the world outside.
type Sold struct{ Item string }

func (Sold) Kind() string { return "order.sold" }

type Shipped struct{ Item string }

func (Shipped) Kind() string { return "parcel.shipped" }

type Carrier struct{ down bool }

func (c *Carrier) ship(_ context.Context, e reactor.Event[Sold], out *reactor.Reactions) error {
	if c.down {
		return errors.New("the carrier does not answer")
	}
	out.Append(store.At("parcel:"+e.Body.Item, "shop"), Shipped(e.Body))
	return nil
}

// A carrier is down for a while, and then the power fails. Only the clock of the run moves.
func Example() {
	t := &exampleT{} // in a test, its *testing.T
	defer t.end()

	carrier := &Carrier{down: true}
	run := reactortest.Start(t, reactor.New("shipping", reactor.On(carrier.ship)))
	run.Given(reactortest.At(store.At("order:1", "shop"), Sold{Item: "lamp"}))
	run.Settle()
	status := run.Status("shipping")
	fmt.Println(status.State, "in", status.Due.Sub(run.Now()), "because of", status.Reason)

	carrier.down = false
	run.Advance(time.Minute)
	run.Then(reactortest.At(store.At("parcel:lamp", "shop"), Shipped{Item: "lamp"})) // emitted since the start

	run.Given(Sold{Item: "desk"})
	run.CrashAt(2) // the second operation of the disk from now
	run.Settle()
	run.Then(Shipped{Item: "desk"}) // emitted since then, and once
	fmt.Println(reactortest.Of[Shipped](run), "in spite of", run.Crashes(), "crash")
	// Output:
	// retrying in 100ms because of event 1, attempt 1 of 10: the carrier does not answer
	// [{lamp} {desk}] in spite of 1 crash
}

// exampleT stands in for the test, which an example does not have.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper() {}

func (t *exampleT) Context() context.Context { return context.Background() }

func (t *exampleT) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (t *exampleT) Logf(string, ...any) {}

func (t *exampleT) end() {
	for _, f := range t.cleanups {
		f()
	}
}
