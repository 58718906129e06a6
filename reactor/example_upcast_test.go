package reactor_test

import (
	"context"
	"fmt"
	"log"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Priced is at version 2. Before, the price was in whole euros.
type Priced struct{ Cents int }

func (Priced) Kind() string          { return "order.priced" }
func (Priced) SchemaVersion() uint16 { return 2 }

// PricedV1 is what version 1 looked like, which was written without a version.
type PricedV1 struct{ Euros int }

func inCents(old PricedV1) (Priced, error) { return Priced{Cents: 100 * old.Euros}, nil }

// Events of older schema versions are raised to the present one, step by step, whatever reads them:
// reactors, projectors, and programs that read the log themselves have the same types.
func ExampleTypes() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	old := store.Raw{Type: "order.priced", Data: []byte(`{"Euros":7}`)}
	for _, p := range []store.Payload{old, Priced{Cents: 250}} {
		if _, err := st.Append(ctx, store.At("order:42", "shop"), store.Any, p); err != nil {
			log.Fatal(err)
		}
	}

	types := reactor.NewTypes(
		reactor.TypeOf[Placed](),
		reactor.TypeOf[Priced](reactor.UpcastFrom(1, inCents)),
	)
	r := reactor.New("invoice", reactor.On(
		func(_ context.Context, e reactor.Event[Priced], _ *reactor.Reactions) error {
			fmt.Println("handled:", e.Position, e.Body.Cents, "cents")
			return nil
		}))
	r.Types = types
	if err := catchUp(ctx, st, r); err != nil {
		log.Fatal(err)
	}

	for e, err := range st.Read(ctx, store.Region{Entity: "order:42"}, store.Beginning()) {
		if err != nil {
			log.Fatal(err)
		}
		priced, err := reactor.Decode[Priced](types, e)
		fmt.Println("read:", e.Position, priced.Cents, "cents, written as version", e.SchemaVersion, err)
	}
	// Output:
	// handled: 1 700 cents
	// handled: 2 250 cents
	// read: 1 700 cents, written as version 0 <nil>
	// read: 2 250 cents, written as version 2 <nil>
}
