package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// maxBody is the largest request that is taken in.
const maxBody = 1 << 20

// inbox is the HTTP side.
func inbox(st *store.Store, sys *actors.System) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /inbox/{key}", func(w http.ResponseWriter, r *http.Request) { accept(st, w, r) })
	mux.HandleFunc("POST /replay", func(w http.ResponseWriter, r *http.Request) {
		chosen, err := sys.Replay(r.Context(), worker, cursor.ParkedFilter{All: true}, checkpoint.Request{Reason: "requested by HTTP"})
		respond(w, len(chosen), err)
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		s := sys.Status().Workers[0]
		respond(w, map[string]any{
			"state": s.State.String(), "reason": fmt.Sprint(s.Reason), "position": s.Position,
			"lag": s.Lag, "lagTime": s.LagTime.String(),
			"parked": s.Parked, "failed": s.Parked - s.Held, "held": s.Held,
		}, nil)
	})
	return mux
}

// traceparent is the header by which tracing systems join what several programs do.
const traceparent = "traceparent"

// accept appends the request. Its sender gets 202 only when the event is on disk; the header
// Idempotency-Key makes it safe to send it again when the response was lost.
func accept(st *store.Store, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	if !json.Valid(body) {
		http.Error(w, "the body is not JSON", http.StatusBadRequest)
		return
	}
	receipt, err := st.Commit(r.Context(), store.Batch{
		IdempotencyKey: r.Header.Get("Idempotency-Key"),
		Events: []store.Proposal{{
			At:      store.At("hook:"+r.PathValue("key"), "webhooks"),
			Payload: requested{Body: body, ContentType: r.Header.Get("Content-Type")},
			Meta:    traceOf(r), // no content: the same request sent again may be part of another trace
		}},
	})
	switch {
	case errors.Is(err, store.ErrInvalid):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	default:
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(receipt.Position())
	}
}

func traceOf(r *http.Request) map[string]string {
	parent := r.Header.Get(traceparent)
	if parent == "" {
		return nil
	}
	return map[string]string{traceparent: parent}
}

func respond(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	_ = json.NewEncoder(w).Encode(value)
}
