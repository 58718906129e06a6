package actors_test

import (
	"context"
	"fmt"
	"log"
	"regexp"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var mail = regexp.MustCompile(`\S+@\S+`)

// The error of a provider quotes an address, which is taken out before it is kept with the event
// that is parked, or shown anywhere. That an event is parked is a warning here: some are.
func ExampleOptions_redact() {
	ctx := context.Background()
	st, err := storetest.Open(store.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()

	invite := reactor.New("invite", reactor.On(func(context.Context, reactor.Event[Placed], *reactor.Reactions) error {
		return reactor.Park(fmt.Errorf("no such mailbox: %s", "jane@example.org"))
	}))
	sys, err := actors.Start(ctx, st, actors.Options{
		Logger: zap.NewExample(zap.IncreaseLevel(zap.WarnLevel)),
		Levels: map[actors.LogEntry]zapcore.Level{actors.LogPark: zapcore.WarnLevel},
		Redact: func(text string) string { return mail.ReplaceAllString(text, "(address)") },
	}, supervision.Group{Name: "shop", Children: []supervision.Child{invite}})
	if err != nil {
		log.Fatal(err)
	}
	order, err := st.Append(ctx, store.At("order:1", "shop"), store.Absent, Placed{SKU: "lamp"})
	if err != nil {
		log.Fatal(err)
	}
	parked := sys.WaitApplied(ctx, "invite", order)
	if err := sys.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(parked)
	// Output:
	// {"level":"warn","msg":"event parked","worker":"shop/invite","error":"event 1, attempt 1: park: no such mailbox: (address)","attempt":1,"delay":"0s"}
	// actors: worker "invite" has parked event 1: event 1, attempt 1: park: no such mailbox: (address)
}
