package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// Gateway charges cards. It answers with a status, as HTTP does.
type Gateway map[string]int

func (g Gateway) Charge(_ context.Context, card, _ string) (status int) { return g[card] }

type Due struct{ Card string }

func (Due) Kind() string { return "invoice.due" }

type Charged struct{}

func (Charged) Kind() string { return "invoice.charged" }

type Declined struct{}

func (Declined) Kind() string { return "invoice.declined" }

// charge says with its error what is to happen to the event.
func (g Gateway) charge(ctx context.Context, e reactor.Event[Due], out *reactor.Reactions) error {
	if e.Body.Card == "" {
		return reactor.Skip(errors.New("nothing to charge")) // not handled, on record, and no one needs to look
	}
	switch status := g.Charge(ctx, e.Body.Card, e.EffectKey()); status {
	case http.StatusOK:
		out.Append(e.Coordinate, Charged{})
		return nil
	case http.StatusPaymentRequired:
		out.Append(e.Coordinate, Declined{}) // a "no" of the business is an event, not an error
		return nil
	case http.StatusTooManyRequests:
		return reactor.RetryAfter(time.Minute, errors.New("rate limit")) // at this moment; it is an attempt
	case http.StatusServiceUnavailable:
		return reactor.Wait(errors.New("gateway is down")) // as long as it takes; no attempt is counted
	case http.StatusBadRequest:
		return reactor.Park(errors.New("refused")) // a person looks, and replays or discards it; the invoice's other events are held
	case http.StatusUnauthorized:
		return reactor.Halt(errors.New("wrong credentials")) // every event would fail: the reactor stops here
	default:
		return fmt.Errorf("status %d", status) // may pass: retried with backoff, and parked when the attempts are used up
	}
}

// How a handler chooses between the directives.
func Example_directives() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	g := Gateway{"good": 200, "empty": 402, "many": 429, "down": 503, "wrong": 400, "secret": 401, "odd": 500}
	r := reactor.New("charge", reactor.On(g.charge))
	for i, card := range []string{"good", "empty", "", "many", "down", "wrong", "secret", "odd"} {
		receipt, err := st.Append(ctx, store.At(fmt.Sprintf("invoice:%d", i), "shop"), store.Absent, Due{Card: card})
		if err != nil {
			log.Fatal(err)
		}
		e, err := st.GetAt(ctx, receipt.Position())
		if err != nil {
			log.Fatal(err)
		}
		out, err := r.React(ctx, e) // as a worker would call it, but nothing is written
		if err != nil {
			fmt.Printf("%q: %v\n", card, err)
			continue
		}
		fmt.Printf("%q: emits %s\n", card, out[0].Payload.Kind())
	}
	// Output:
	// "good": emits invoice.charged
	// "empty": emits invoice.declined
	// "": skip: nothing to charge
	// "many": retry after 1m0s: rate limit
	// "down": wait: gateway is down
	// "wrong": park: refused
	// "secret": halt: wrong credentials
	// "odd": status 500
}
