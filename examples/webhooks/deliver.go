package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// requested is a delivery that is pending. Its entity is "hook:" and the key, so deliveries of one
// key stay in order.
type requested struct {
	Body        json.RawMessage
	ContentType string
}

func (requested) Kind() string { return "hook.requested" }

// delivered says that the target has accepted it.
type delivered struct{ Status int }

func (delivered) Kind() string { return "hook.delivered" }

// worker is the name of the reactor, and of its checkpoint.
const worker = "deliver"

// deliverer is a reactor that posts each request to the target, for eight keys at the same time.
func deliverer(target string, timeout time.Duration, p supervision.Policy) *reactor.Reactor {
	d := &delivery{target: target, client: &http.Client{}}
	r := reactor.New(worker, reactor.On(d.post))
	r.Region = store.Region{Entity: "hook"}
	r.Lanes, r.Timeout, r.Policy = 8, timeout, p
	r.BatchSize = 1 // each delivery is noted at once, so a crash repeats as few as possible
	return r
}

type delivery struct {
	target string
	client *http.Client
}

func (d *delivery) post(ctx context.Context, e reactor.Event[requested], out *reactor.Reactions) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.target, bytes.NewReader(e.Body.Body))
	if err != nil {
		return reactor.Halt(err) // the target is not a URL, so no request will ever get there
	}
	request.Header.Set("Content-Type", e.Body.ContentType)
	request.Header.Set("Idempotency-Key", e.EffectKey())
	request.Header.Set("Webhook-Key", e.Coordinate.Entity)
	if parent, ok := e.Meta()[traceparent]; ok {
		request.Header.Set(traceparent, parent)
	}
	response, err := d.client.Do(request)
	if err != nil {
		return err
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	switch status := response.StatusCode; {
	case status < 300:
		out.Append(e.Coordinate, delivered{Status: status})
		return nil
	case status >= 400 && status < 500:
		return reactor.Park(fmt.Errorf("the target refused it: %s", response.Status))
	default:
		return fmt.Errorf("the target failed: %s", response.Status)
	}
}
