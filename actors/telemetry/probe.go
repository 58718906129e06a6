package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// probe makes a span of each try and each commit, and counts how long they take.
type probe struct {
	tracer         trace.Tracer
	handle, commit metric.Float64Histogram
	labels         sync.Map // of worker, to its metric.MeasurementOption: there are as many as workers
}

// label is the attribute of a worker.
func (p *probe) label(worker string) metric.MeasurementOption {
	if known, ok := p.labels.Load(worker); ok {
		return known.(metric.MeasurementOption)
	}
	made := metric.WithAttributeSet(attribute.NewSet(attribute.String("worker", worker)))
	p.labels.Store(worker, made)
	return made
}

// Probe returns what actors.Options.Probe takes: each try of a handler is a span "handle KIND",
// "replay KIND" where it comes again by order of an operator, or "give up KIND", and each commit
// one "commit WORKER". The context of a handler has its span, so what it begins is under it.
// Histograms penstock_worker_handle_seconds and penstock_worker_commit_seconds have how long they
// took, by worker. A sampler sees name, kind and trace: attributes and links are for what it takes.
// One that decides by the trace takes a correlation whole. An error is that of the meter.
func Probe(tracer trace.Tracer, meter metric.Meter) (cursor.Probe, error) {
	p := &probe{tracer: tracer}
	var err error
	if p.handle, err = meter.Float64Histogram("penstock_worker_handle_seconds",
		metric.WithDescription("How long each try of a handler took."), metric.WithUnit("s")); err != nil {
		return nil, err
	}
	p.commit, err = meter.Float64Histogram("penstock_worker_commit_seconds",
		metric.WithDescription("How long each commit of what was handled took."), metric.WithUnit("s"))
	return p, err
}

// Handle implements cursor.Probe.
func (p *probe) Handle(ctx context.Context, t cursor.Try) (context.Context, func(error)) {
	first, began := &t.Events[0], t.Began
	if began.IsZero() {
		began = time.Now()
	}
	ids := &wanted{trace: TraceOf(first.Correlation)}
	if !t.Replayed { // else it may have the number of the first run, whose span is another
		ids.span = SpanOf(first.ID, t.By)
	}
	span := started(ctx, p.tracer, doing(t)+" "+first.Kind, ids, trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithTimestamp(began))
	if span.IsRecording() { // what is not sampled does not pay for it
		for _, l := range links(t.Events) {
			span.AddLink(l)
		}
		span.SetAttributes(ofTry(t)...)
	}
	return trace.ContextWithSpan(ctx, span), func(err error) {
		ended(span, err)
		p.handle.Record(ctx, time.Since(began).Seconds(), p.label(t.By.Worker))
	}
}

func doing(t cursor.Try) string {
	switch {
	case t.GivesUp:
		return "give up"
	case t.Replayed, t.Parked:
		return "replay"
	}
	return "handle"
}

// links are those to the spans that events came from, and to those of requests that led to them.
func links(events []store.Event) (list []trace.Link) {
	for i := range events {
		list = append(list, trace.Link{SpanContext: origin(&events[i])})
		if request := RequestOf(events[i]); request.IsValid() {
			list = append(list, trace.Link{SpanContext: request})
		}
	}
	return list
}

func ended(span trace.Span, err error) {
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Commit implements cursor.Probe.
func (p *probe) Commit(w cursor.Writing) func(store.Receipt, error) {
	ctx, began := context.Background(), time.Now()
	span := started(ctx, p.tracer, "commit "+w.Worker, nil, trace.WithTimestamp(began))
	if span.IsRecording() {
		span.SetAttributes(ofWriting(w)...)
	}
	return func(_ store.Receipt, err error) {
		ended(span, err)
		p.commit.Record(ctx, time.Since(began).Seconds(), p.label(w.Worker))
	}
}
