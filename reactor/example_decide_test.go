package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
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

// What a service answers decides: it is overloaded, it is unavailable, or it refuses the event for good.
func ExampleRetryAfter() {
	answers := map[int]error{
		429: reactor.RetryAfter(30*time.Second, errors.New("too many requests")),
		503: reactor.Wait(errors.New("unavailable")),
		422: reactor.Park(errors.New("unprocessable")),
		410: reactor.Skip(errors.New("gone")),
		401: reactor.Halt(errors.New("unauthorized")),
	}
	for _, status := range []int{429, 503, 422, 410, 401} {
		d, _ := supervision.DirectiveOf(answers[status])
		fmt.Println(status, d.Action, d.Delay, "counts as an attempt:", !d.NoAttempt)
	}
	// Output:
	// 429 retry 30s counts as an attempt: true
	// 503 retry 0s counts as an attempt: false
	// 422 park 0s counts as an attempt: true
	// 410 skip 0s counts as an attempt: true
	// 401 halt 0s counts as an attempt: true
}
