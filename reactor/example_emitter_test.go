package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// Each reaction says which worker of which build emitted it, and at which attempt. An event that
// came from outside has no emitter.
func Example_emitter() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	calls := 0
	reserve := reactor.New("reserve", reactor.On(func(_ context.Context, e reactor.Event[Placed], out *reactor.Reactions) error {
		out.Append(store.At("stock:"+e.Body.SKU, "shop"), Reserved{Order: e.Body.Order})
		if calls++; calls == 1 {
			return errors.New("connection lost") // what was emitted in this attempt is dropped
		}
		return nil
	}))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{reserve}})
	if err != nil {
		log.Fatal(err)
	}
	order, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, Placed{Order: "42", SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(sys.WaitApplied(ctx, "reserve", order), sys.Stop(ctx)); err != nil {
		log.Fatal(err)
	}
	for e, err := range st.Read(ctx, store.Region{}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		by, ok := e.Emitter() // by.Build is the revision of the program's sources
		fmt.Println(e.Kind, ok, by.Worker, "owner", by.Epoch, "attempt", by.Attempt)
	}
	// Output:
	// order.placed false  owner 0 attempt 0
	// stock.reserved true reserve owner 1 attempt 2
}
