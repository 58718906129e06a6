// Command webhooks takes in HTTP requests and delivers each to a target, in the order of their
// keys, until the target has accepted it: an outbox.
//
//	POST /inbox/KEY   the body becomes an event; 202 when it is on disk
//	POST /replay      parked requests are delivered again
//	GET  /status      state and reason, lag, how many are parked
//
// Every delivery carries the header Idempotency-Key, which is the same at every retry and after
// every restart: a target that has seen it need not do it twice. A target that answers 4xx will
// never accept the request: it is parked, and later ones of its key are held. Everything else
// (5xx, no answer in time) is retried with growing delays. Where requests of several keys fail and
// none gets through, that is an outage: none is parked for it, and all are delivered when it is
// over. One that fails alone is parked after 20 attempts, a quarter of an hour.
//
//	go run -C examples/webhooks . -data DIR -target http://localhost:9000/hook
//	curl -d '{"paid":true}' localhost:8080/inbox/order-42
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func main() {
	data := flag.String("data", "webhooks.data", "directory of the log")
	address := flag.String("listen", "localhost:8080", "where requests come in")
	target := flag.String("target", "", "URL to deliver to")
	flag.Parse()
	if *target == "" {
		fmt.Fprintln(os.Stderr, "webhooks: -target is missing")
		os.Exit(2)
	}
	if to, err := url.Parse(*target); err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		fmt.Fprintf(os.Stderr, "webhooks: -target %q is not an http or https URL\n", *target)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	policy := supervision.Policy{Attempts: 20, Backoff: supervision.Backoff{Initial: time.Second, Max: time.Minute}}
	if err := serve(ctx, *data, *address, deliverer(*target, 10*time.Second, policy)); err != nil {
		fmt.Fprintln(os.Stderr, "webhooks:", err)
		os.Exit(1)
	}
}

// serve runs the inbox and the deliveries until ctx ends, or the store fails.
func serve(ctx context.Context, data, address string, deliver supervision.Child) (err error) {
	st, err := store.Open(data, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	sys, err := actors.Start(ctx, st, actors.Options{}, supervision.Group{Name: "webhooks", Children: []supervision.Child{deliver}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sys.Stop(context.WithoutCancel(ctx))) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	fmt.Println("listening on", listener.Addr())
	return answer(ctx, listener, inbox(st, sys), sys.Done())
}

// answer serves requests until ctx ends or the system has failed, and then those that have come in.
func answer(ctx context.Context, listener net.Listener, inbox http.Handler, failed <-chan struct{}) error {
	server := &http.Server{Handler: inbox, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends with Shutdown
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	case <-failed: // Stop says why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}
