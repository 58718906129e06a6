package reactor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A reactor that counts orders counts those, too, of which it is not known any more what they say.
func ExampleOnErased() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	for _, order := range []string{"41", "42"} {
		if _, err := st.Append(ctx, store.At("order:"+order, "shop"), store.Absent, Placed{Order: order, SKU: "lamp"}); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := store.Erase(ctx, st, store.Erasure{
		Entity: "order:41", Reason: "asked to be forgotten", By: "support", Sides: checkpoint.ErasedSides(st),
	}); err != nil {
		log.Fatal(err)
	}

	counter := reactor.New("counter",
		reactor.On(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
			fmt.Println(e.Coordinate.Entity, "of", e.Body.SKU)
			return nil
		}),
		reactor.OnErased(func(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
			by, _ := e.Erased()
			fmt.Println(e.Coordinate.Entity, by.Reason)
			return nil
		}))
	if err := catchUp(ctx, st, counter); err != nil {
		log.Fatal(err)
	}
	// Output:
	// order:41 asked to be forgotten
	// order:42 of lamp
}

// A cache is told of each erasure, whenever it has got what is erased now.
func ExampleOn_erasures() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	if _, err := st.Append(ctx, store.At("order:41", "shop"), store.Absent, Placed{Order: "41", SKU: "lamp"}); err != nil {
		log.Fatal(err)
	}
	cache := map[string]string{"order:41": "lamp", "order:42": "desk"}

	forget := reactor.New("forget", reactor.On(func(_ context.Context, e reactor.Event[store.ErasureAudit], _ *reactor.Reactions) error {
		delete(cache, e.Body.Entity)
		return nil
	}))
	forget.Region.Scope = store.ReservedScope // where the audit events are
	if _, err := store.Erase(ctx, st, store.Erasure{
		Entity: "order:41", Reason: "asked to be forgotten", By: "support", Sides: checkpoint.ErasedSides(st),
	}); err != nil {
		log.Fatal(err)
	}
	if err := catchUp(ctx, st, forget); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cache)
	// Output:
	// map[order:42:desk]
}
