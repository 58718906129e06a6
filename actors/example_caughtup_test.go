package actors_test

import (
	"context"
	"fmt"
	"log"
	"sync"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// Demand counts how often each product is ordered, in memory.
type Demand struct {
	mu    sync.Mutex // the handler and those that ask are on different goroutines
	bySKU map[string]int
}

func (d *Demand) placed(_ context.Context, e reactor.Event[Placed], _ *reactor.Reactions) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bySKU[e.Body.SKU]++
	return nil
}

func (d *Demand) Of(sku string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bySKU[sku]
}

// An index in memory is built from the beginning of the log at each start, by a volatile reactor.
// Before it is asked, the program waits until it is complete.
func ExampleSystem_WaitCaughtUp() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	for n, sku := range []string{"lamp", "desk", "lamp"} {
		if _, err := st.Append(ctx, store.At(fmt.Sprint("order:", n), "shop"), store.Absent, Placed{SKU: sku}); err != nil {
			log.Fatal(err)
		}
	}

	demand := &Demand{bySKU: make(map[string]int)}
	index := reactor.New("demand", reactor.On(demand.placed))
	index.Volatile = true
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "shop", Children: []supervision.Child{index}})
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitCaughtUp(ctx, "demand"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("lamps:", demand.Of("lamp"))

	placed, err := st.Append(ctx, store.At("order:3", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	if err := sys.WaitApplied(ctx, "demand", placed); err != nil { // to read what one has just written
		log.Fatal(err)
	}
	fmt.Println("lamps:", demand.Of("lamp"))
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// lamps: 2
	// lamps: 3
}
