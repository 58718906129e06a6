package reactor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Priced is at version 1. Before, the price was in whole euros.
type Priced struct{ Cents int }

func (Priced) Kind() string          { return "order.priced" }
func (Priced) SchemaVersion() uint16 { return 1 }

// PricedV0 is what version 0 looked like.
type PricedV0 struct{ Euros int }

// Events of older schema versions are raised to the present one, step by step, whatever reads them.
func ExampleUpcastFrom() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	old := store.Raw{Type: "order.priced", Codec: store.CodecJSON, Data: []byte(`{"Euros":7}`)}
	for _, p := range []store.Payload{old, Priced{Cents: 250}} {
		if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, p); err != nil {
			log.Fatal(err)
		}
	}

	r := reactor.New("invoice", reactor.On(
		func(_ context.Context, e reactor.Event[Priced], _ *reactor.Reactions) error {
			fmt.Println(e.Position, e.Body.Cents, "cents, written as version", e.SchemaVersion)
			return nil
		},
		reactor.UpcastFrom(0, func(old PricedV0) (Priced, error) { return Priced{Cents: 100 * old.Euros}, nil }),
	))
	fmt.Println(catchUp(ctx, st, r))
	// Output:
	// 1 700 cents, written as version 0
	// 2 250 cents, written as version 1
	// <nil>
}
