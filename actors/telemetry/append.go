package telemetry

import (
	"context"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock-io/penstock/store"
)

// requestMeta is the name in the Meta of an event that has the span of the request that led to it,
// as the header of W3C Trace Context does.
const requestMeta = "traceparent"

// Append is [store.Store.Commit] with a span "append KIND" for each event. Each has a link to the
// span of ctx, which is kept with the event too, in the Meta "traceparent" ([RequestOf]) unless
// that is set: a retry under an idempotency key may have another. A duplicate receipt makes no
// spans, and an error makes one.
func Append(ctx context.Context, tracer trace.Tracer, st *store.Store, b store.Batch) (store.Receipt, error) {
	request := trace.SpanContextFromContext(ctx)
	b.Events = slices.Clone(b.Events)
	if request.IsValid() {
		for i := range b.Events {
			requested(&b.Events[i], request)
		}
	}
	began := time.Now()
	receipt, err := st.Commit(ctx, b)
	producer := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(began)}
	if request.IsValid() {
		producer = append(producer, trace.WithLinks(trace.Link{SpanContext: request}))
	}
	switch {
	case err != nil:
		o := append(producer, trace.WithAttributes(attribute.String("messaging.system", "penstock")))
		ended(started(ctx, tracer, "append", nil, o...), err)
	case !receipt.Duplicate:
		for i := range receipt.Events {
			e := appended(&b.Events[i], receipt.Events[i])
			ids := &wanted{TraceOf(e.Correlation), AppendOf(e.ID)}
			o := append(slices.Clip(producer), trace.WithAttributes(ofEvent(&e, "send")...))
			ended(started(ctx, tracer, "append "+e.Kind, ids, o...), nil)
		}
	}
	return receipt, err
}

// appended is what is known of an event that was committed.
func appended(p *store.Proposal, r store.Recorded) store.Event {
	e := store.Event{
		ID: r.ID, Position: r.Position, Coordinate: p.At, Kind: p.Payload.Kind(), Cause: p.Causation.Cause,
		Correlation: p.Causation.Correlation,
	}
	if e.Correlation == uuid.Nil {
		e.Correlation = e.ID
	}
	return e
}

// requested notes the span of a request with what it leads to.
func requested(p *store.Proposal, request trace.SpanContext) {
	if _, set := p.Meta[requestMeta]; set {
		return
	}
	meta := map[string]string{
		requestMeta: "00-" + request.TraceID().String() + "-" + request.SpanID().String() + "-" + request.TraceFlags().String(),
	}
	maps.Copy(meta, p.Meta)
	p.Meta = meta
}

// RequestOf returns the span of the request that led to an event, from its Meta "traceparent", as
// [Append] keeps it or the program itself: one that is not valid where there is none, or no valid
// one.
func RequestOf(e store.Event) trace.SpanContext {
	parts := strings.Split(e.Meta()[requestMeta], "-")
	if len(parts) < 4 || len(parts[0]) != 2 || parts[0] == "ff" || len(parts[3]) != 2 || parts[0] == "00" && len(parts) > 4 {
		return trace.SpanContext{}
	}
	flags, err := hex.DecodeString(parts[3])
	if err != nil {
		return trace.SpanContext{}
	}
	c := trace.SpanContextConfig{TraceFlags: trace.TraceFlags(flags[0]), Remote: true}
	if c.TraceID, err = trace.TraceIDFromHex(parts[1]); err != nil {
		return trace.SpanContext{}
	}
	if c.SpanID, err = trace.SpanIDFromHex(parts[2]); err != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(c)
}
