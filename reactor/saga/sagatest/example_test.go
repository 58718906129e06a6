package sagatest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/reactor/saga/sagatest"
	"github.com/penstock-io/penstock/store"
)

// bank does nothing twice for a key.
type bank map[string]int64

func (b bank) charge(_ context.Context, at saga.Step[order]) (string, error) {
	b[at.Key] = at.State.Cents
	return at.Key, nil
}

// refund must count with a charge of which it is not known whether it happened: it goes by the key,
// not by the result.
func (b bank) refund(_ context.Context, _ saga.Step[order], charge saga.Done[string]) error {
	delete(b, charge.Key)
	return nil
}

func payment(b bank) *saga.Saga[order] {
	return saga.Steps("payment",
		saga.Starts(func(e placed) string { return e.Order }, func(o *order, e placed) { *o = order{ID: e.Order, Cents: e.Cents} }),
		saga.Do("charge", b.charge, b.refund),
		saga.Do("pack", func(context.Context, saga.Step[order]) (bool, error) { return true, nil }, nil),
	)
}

// Each fault of each action leaves the customer with goods, or with the money.
func ExampleEveryFault() {
	t := &exampleT{} // in a test, its *testing.T

	var b bank
	def := func() *saga.Saga[order] {
		b = make(bank)
		return payment(b)
	}
	sagatest.EveryFault(t, def, func(run *sagatest.Run[order]) {
		run.Given(placed{Order: "42", Cents: 900})
		run.Settle()
	}, func(run *sagatest.Run[order]) {
		if bought := run.Get("42").Life == saga.Completed; bought != (len(b) == 1) {
			t.Fatalf("paid %v\n%s", b, run.Story("42"))
		}
	})
	// Output:
}

// The bank has charged, and its answer is lost.
func ExampleRun_Story() {
	t := &exampleT{}

	run := sagatest.Start(t, payment(make(bank)))
	run.Fault("charge", sagatest.Lie.Times(1))
	run.Fault("pack", sagatest.Refuse)
	run.Given(reactortest.At(store.At("order:42", "shop"), placed{Order: "42", Cents: 900}))
	run.Finish()
	fmt.Print(run.Story("42"))
	// Output:
	// 0s order.placed {"Order":"42","Cents":900}
	//     requested charge
	// 100ms done charge "payment/42.1/charge.1"
	//     requested pack
	// 100ms refused pack (sagatest: the fault of a test)
	//     requested undo charge
	// 100ms done undo charge
	//     ended compensated (sagatest: the fault of a test)
}

// exampleT stands for the test of an example.
type exampleT struct{ testing.TB }

func (*exampleT) Helper()                  {}
func (*exampleT) Cleanup(func())           {}
func (*exampleT) Context() context.Context { return context.Background() }
func (*exampleT) Logf(string, ...any)      {}

func (*exampleT) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
