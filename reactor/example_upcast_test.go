package reactor_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Registered has changed twice. The present type declares its version; how payloads of the former
// ones look is kept.
type Registered struct{ First, Last, Country string }

func (Registered) Kind() string { return "customer.registered" }

func (Registered) SchemaVersion() uint16 { return 3 }

type registeredV1 struct{ Name string }

type registeredV2 struct{ First, Last string }

// Handlers see the present version only. An upcaster raises a payload by one version; what lies in
// the log is not changed.
func ExampleUpcastFrom() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	old := store.Raw{Type: "customer.registered", SchemaVersion: 1, Data: []byte(`{"Name":"Ada Lovelace"}`)}
	for i, p := range []store.Payload{old, Registered{First: "Emmy", Last: "Noether", Country: "de"}} {
		if _, err := st.Append(ctx, store.At(fmt.Sprintf("customer:%d", i), "shop"), store.Absent, p); err != nil {
			log.Fatal(err)
		}
	}

	greet := func(_ context.Context, e reactor.Event[Registered], _ *reactor.Reactions) error {
		fmt.Printf("version %d: %+v\n", e.SchemaVersion, e.Body)
		return nil
	}
	r := reactor.New("greet", reactor.On(greet,
		reactor.UpcastFrom(1, func(old registeredV1) (registeredV2, error) {
			first, last, _ := strings.Cut(old.Name, " ")
			return registeredV2{First: first, Last: last}, nil
		}),
		reactor.UpcastFrom(2, func(old registeredV2) (Registered, error) {
			return Registered{First: old.First, Last: old.Last, Country: "gb"}, nil // all customers were there
		}),
	))
	if err := catchUp(ctx, st, r); err != nil { // package actors would run it in the background
		log.Fatal(err)
	}
	// Output:
	// version 1: {First:Ada Last:Lovelace Country:gb}
	// version 3: {First:Emmy Last:Noether Country:de}
}
