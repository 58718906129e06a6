package actors_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// A worker gets another name. Formerly says which checkpoint was its own: the position, what is
// parked, a pause and the effect keys stay.
func Example_formerly() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	deploy := func(order string, r *reactor.Reactor) { // starts, handles one more order, and stops
		sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{r}})
		if err != nil {
			log.Fatal(err)
		}
		receipt, err := st.Append(ctx, store.At(order, "shop"), store.Absent, Placed{SKU: "lamp"})
		if err != nil {
			log.Fatal(err)
		}
		if err := errors.Join(sys.WaitApplied(ctx, r.Spec().Name, receipt), sys.Stop(ctx)); err != nil {
			log.Fatal(err)
		}
	}
	ship := func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
		worker, _, _ := strings.Cut(e.EffectKey(), "/") // the carrier recognises a repetition by the whole key
		fmt.Println(e.Coordinate.Entity, "shipped, key of", worker)
		return nil
	}

	deploy("order:1", reactor.New("ship", reactor.On(ship)))

	dispatch := reactor.New("dispatch", reactor.On(ship))
	dispatch.Formerly = []string{"ship"} // leave it here for good: it does nothing once the checkpoint has moved
	deploy("order:2", dispatch)
	for info, err := range checkpoint.List(st) {
		fmt.Println(info.ID, info.Record.Formerly, err)
	}
	// Output:
	// order:1 shipped, key of ship
	// order:2 shipped, key of ship
	// dispatch [ship] <nil>
}
