package admin

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// AuditEvent is what was done, by an operator or by a worker that left the ordinary way.
type AuditEvent struct {
	Event store.Position `json:"event"`
	Time  time.Time      `json:"time"`
	What  string         `json:"what"` // its kind, without "penstock."
	// Of is what it was done to: "worker:bill", an erasure, a hold.
	Of string `json:"of"`
	// The rest is that of a worker, see [checkpoint.Audit]; absent for others.
	checkpoint.Audit
}

// AuditQuery selects audit events.
type AuditQuery struct {
	Worker string `json:"worker,omitempty"` // "" for all, and what is of no worker
	// From, Backward, Follow and Limit are those of EventQuery.
	From     string `json:"from,omitempty"`
	Backward bool   `json:"backward,omitempty"`
	Follow   bool   `json:"follow,omitempty"`
	Limit    int    `json:"limit,omitempty"`
}

// Audit yields what was done, in order: who, when, why.
func (s *Surface) Audit(ctx context.Context, q AuditQuery) iter.Seq2[AuditEvent, error] {
	return audit().ask(ctx, s, q)
}

func audit() listing[AuditQuery, AuditEvent] {
	return listing[AuditQuery, AuditEvent]{"audit", Read, func(ctx context.Context, h *here, q AuditQuery) iter.Seq2[AuditEvent, error] {
		return func(yield func(AuditEvent, error) bool) {
			events := EventQuery{Scope: store.ReservedScope, From: q.From, Backward: q.Backward, Follow: q.Follow}
			left := q.Limit
			h.scan(ctx, events, func(e store.Event, err error) bool {
				if err != nil {
					return yield(AuditEvent{}, err)
				}
				a, wanted := h.audited(ctx, q, e)
				if !wanted {
					return true
				}
				left--
				return yield(a, nil) && left != 0
			})
		}
	}}
}

// audited is an audit event, if the query wants it. What is of no worker has a payload of its own.
func (h *here) audited(ctx context.Context, q AuditQuery, e store.Event) (a AuditEvent, wanted bool) {
	a = AuditEvent{Event: e.Position, Time: e.Time.Time(), What: strings.TrimPrefix(e.Kind, "penstock."), Of: e.Coordinate.Entity}
	if strings.HasPrefix(a.Of, "worker:") {
		if of, err := checkpoint.AuditOf(ctx, h.st, e); err == nil {
			a.Audit = of
		}
	}
	return a, q.Worker == "" || a.Of == "worker:"+q.Worker || string(a.From) == q.Worker
}
