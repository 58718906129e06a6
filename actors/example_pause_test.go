package actors_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// While a worker is paused its events wait. The pause lasts over restarts of the program, so it is
// ended by a call or at its time, never by a deploy.
func ExampleSystem_Pause() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	mailer := reactor.New("mailer", reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		fmt.Println("a mail about", e.Coordinate.Entity)
		return nil
	}))
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{mailer}})
	if err != nil {
		log.Fatal(err)
	}

	why := checkpoint.Request{Reason: "provider under maintenance", By: "ada"}
	if err := sys.Pause(ctx, "mailer", time.Time{}, why); err != nil { // the zero time: until it is resumed
		log.Fatal(err)
	}
	order, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	w := sys.Status().Workers[0]
	fmt.Println(w.Name, "is", w.State, "with", w.Lag, "to do:", w.Reason)

	if err := sys.Resume(ctx, "mailer", checkpoint.Request{Reason: "maintenance is over", By: "ada"}); err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "mailer", order); err != nil {
		log.Fatal(err)
	}
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	for e, err := range checkpoint.Audits(ctx, st, "mailer", 0) { // what was done to it
		if err != nil {
			log.Fatal(err)
		}
		var a checkpoint.Audit
		if err := e.Decode(&a); err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Kind, "by", a.By+":", a.Reason)
	}
	// Output:
	// mailer is paused with 1 to do: paused by ada until it is resumed: provider under maintenance
	// a mail about order:1
	// penstock.paused by ada: provider under maintenance
	// penstock.resumed by ada: maintenance is over
}
