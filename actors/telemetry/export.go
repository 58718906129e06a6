package telemetry

import (
	"context"
	"encoding/json"
	"io"
	"strconv"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock-io/penstock/store"
)

// Export writes the spans of a correlation as the log has them, in the JSON of OTLP: what a
// collector takes at /v1/traces. They have the ids of those that [Probe] and [Append] made, whether
// or not these were exported then.
//
// An event that no worker emitted is a span of no duration. A try of a handler is one from its
// event to the last answer that it wrote, and so is as long as it took until that was in the log:
// what wrote nothing has left no span, nor has a try that failed.
//
// All spans are in memory at once. Errors are those of [store.Correlated] and of w; nothing is
// written before all was read.
func Export(ctx context.Context, w io.Writer, st *store.Store, correlation uuid.UUID) error {
	s := spans{events: make(map[uuid.UUID]*store.Event), at: make(map[trace.SpanID]int)}
	for e, err := range store.Correlated(ctx, st, correlation, store.Reach{}) {
		if err != nil {
			return err
		}
		s.add(e)
	}
	var out otlp
	out.Resource.Attributes = values([]attribute.KeyValue{attribute.String("service.name", "penstock")})
	scope := scopeSpans{Spans: s.list, SchemaURL: schemaURL}
	scope.Scope.Name = Scope
	out.Scopes = []scopeSpans{scope}
	return json.NewEncoder(w).Encode(map[string][]otlp{"resourceSpans": {out}})
}

// spans are those that were found, each before those that link to it.
type spans struct {
	events map[uuid.UUID]*store.Event
	list   []otlpSpan
	at     map[trace.SpanID]int // in list
}

func (s *spans) add(e store.Event) {
	s.events[e.ID] = &e
	by, emitted := e.Emitter()
	switch {
	case e.Coordinate.Scope == store.ReservedScope: // what Penstock notes beside
	case emitted && e.Cause != uuid.Nil:
		s.answer(&e, by)
	default:
		span := newSpan(trace.SpanKindProducer, origin(&e), "append "+e.Kind, &e, &e)
		span.Attributes = values(ofEvent(&e, "send"))
		if request := RequestOf(e); request.IsValid() {
			span.Links = []otlpLink{linkTo(request)}
		}
		s.put(origin(&e).SpanID(), span)
	}
}

// answer takes in an event that a try of a handler wrote.
func (s *spans) answer(e *store.Event, by store.Emitter) {
	id := origin(e).SpanID()
	if i, known := s.at[id]; known {
		s.list[i].End = nanoseconds(e)
		return
	}
	cause := s.events[e.Cause]
	if cause == nil { // dropped, or of another store
		span := newSpan(trace.SpanKindConsumer, origin(e), "handle", e, e)
		span.Attributes = values(ofEmitter(by))
		s.put(id, span)
		return
	}
	span := newSpan(trace.SpanKindConsumer, origin(e), "handle "+cause.Kind, cause, e)
	span.Attributes = values(append(ofEvent(cause, "process"), ofEmitter(by)...))
	for _, l := range links([]store.Event{*cause}) {
		span.Links = append(span.Links, linkTo(l.SpanContext))
	}
	s.put(id, span)
}

func (s *spans) put(id trace.SpanID, span otlpSpan) {
	s.at[id] = len(s.list)
	s.list = append(s.list, span)
}

// The JSON of OTLP: ids are hexadecimal, and 64-bit numbers are text.
type (
	otlp struct {
		Resource struct {
			Attributes []otlpAttribute `json:"attributes"`
		} `json:"resource"`
		Scopes []scopeSpans `json:"scopeSpans"`
	}
	scopeSpans struct {
		Scope struct {
			Name string `json:"name"`
		} `json:"scope"`
		Spans     []otlpSpan `json:"spans"`
		SchemaURL string     `json:"schemaUrl"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes"`
		Links      []otlpLink      `json:"links,omitempty"`
	}
	otlpLink struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	}
	otlpAttribute struct {
		Key   string            `json:"key"`
		Value map[string]string `json:"value"`
	}
)

func newSpan(kind trace.SpanKind, at trace.SpanContext, name string, from, to *store.Event) otlpSpan {
	return otlpSpan{
		TraceID: at.TraceID().String(), SpanID: at.SpanID().String(), Name: name, Kind: int(kind),
		Start: nanoseconds(from), End: nanoseconds(to),
	}
}

func nanoseconds(e *store.Event) string { return strconv.FormatInt(e.Time.Time().UnixNano(), 10) }

func linkTo(c trace.SpanContext) otlpLink {
	return otlpLink{TraceID: c.TraceID().String(), SpanID: c.SpanID().String()}
}

// values are attributes, which are texts and whole numbers here.
func values(list []attribute.KeyValue) []otlpAttribute {
	out := make([]otlpAttribute, len(list))
	for i, a := range list {
		field := "stringValue"
		if a.Value.Type() == attribute.INT64 {
			field = "intValue"
		}
		out[i] = otlpAttribute{Key: string(a.Key), Value: map[string]string{field: a.Value.Emit()}}
	}
	return out
}
