package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/telemetry"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

type (
	placed   struct{ Order int }
	reserved struct{ Order int }
	paid     struct{ Order int }
	shipped  struct{ Order int }
)

func (placed) Kind() string   { return "order.placed" }
func (reserved) Kind() string { return "stock.reserved" }
func (paid) Kind() string     { return "payment.taken" }
func (shipped) Kind() string  { return "order.shipped" }

var errBusy = errors.New("the bank is busy")

// shop is a chain of three reactors, of which the second one fails once.
func shop() supervision.Group {
	failed := false
	reserve := reactor.New("reserve", reactor.On(func(_ context.Context, e reactor.Event[placed], out *reactor.Reactions) error {
		out.Append(store.At("stock:lamp", "shop"), reserved(e.Body))
		return nil
	}))
	pay := reactor.New("pay", reactor.On(func(_ context.Context, e reactor.Event[reserved], out *reactor.Reactions) error {
		if !failed {
			failed = true
			return errBusy
		}
		out.Append(store.At("payment:1", "shop"), paid(e.Body))
		return nil
	}))
	ship := reactor.New("ship", reactor.On(func(_ context.Context, e reactor.Event[paid], out *reactor.Reactions) error {
		out.Append(store.At("order:1", "shop"), shipped(e.Body))
		out.Append(store.At("parcel:1", "shop"), shipped(e.Body))
		return nil
	}))
	return supervision.Group{Name: "shop", Children: []supervision.Child{reserve, pay, ship}}
}

// exported is a span in the JSON of OTLP.
type exported struct {
	TraceID, SpanID, Name string
	Kind                  int
	Links                 []struct{ TraceID, SpanID string }
}

func export(t *testing.T, st *store.Store, first store.Event) (string, []exported) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, telemetry.Export(t.Context(), &out, st, first.Correlation))
	text := out.String()
	var read struct {
		ResourceSpans []struct{ ScopeSpans []struct{ Spans []exported } }
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &read))
	return text, read.ResourceSpans[0].ScopeSpans[0].Spans
}

func events(t *testing.T, st *store.Store, id store.Recorded) (list []store.Event) {
	t.Helper()
	for e, err := range store.Effects(t.Context(), st, id.ID, store.Reach{}) {
		require.NoError(t, err)
		if e.Coordinate.Scope != store.ReservedScope {
			list = append(list, e)
		}
	}
	return list
}

// The spans of what happens, and those of the log alone, have the ids that are published, and lead
// to each other up to the request from outside.
func TestSpansOfTheLogAreThoseOfWhatHappened(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithIDGenerator(telemetry.IDs{}))
	tracer := provider.Tracer(telemetry.Scope)
	probe, err := telemetry.Probe(tracer, noop.Meter{})
	require.NoError(t, err)
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{Probe: probe}, shop())
	require.NoError(t, err)
	ctx, request := tracer.Start(t.Context(), "POST /orders")
	receipt, err := telemetry.Append(ctx, tracer, st, store.Batch{Events: []store.Proposal{{At: store.At("order:1", "shop"), Payload: placed{Order: 1}}}})
	require.NoError(t, err)
	request.End()
	for _, worker := range []string{"reserve", "pay", "ship"} {
		require.NoError(t, sys.WaitCaughtUp(t.Context(), worker))
	}
	sys.Stop(t.Context())

	story := events(t, st, receipt.Events[0])
	require.Len(t, story, 5, "the last reactor answers twice, in one span")
	require.Equal(t, request.SpanContext().SpanID(), telemetry.RequestOf(story[0]).SpanID())
	spans := make(map[trace.SpanID]tracetest.SpanStub)
	failures := 0
	for _, s := range exporter.GetSpans() {
		if s.SpanKind == trace.SpanKindConsumer && s.Status.Code == codes.Error {
			require.Contains(t, s.Status.Description, errBusy.Error())
			failures++
		}
		require.NotContains(t, spans, s.SpanContext.SpanID(), "each is there once")
		spans[s.SpanContext.SpanID()] = s
	}
	require.Equal(t, 1, failures)
	text, fromLog := export(t, st, story[0])
	twice, _ := export(t, st, story[0])
	require.Equal(t, text, twice)
	require.Len(t, fromLog, 4)
	came := telemetry.AppendOf(story[0].ID)
	leads := []trace.SpanID{request.SpanContext().SpanID()}
	for i, e := range story[:4] {
		if i > 0 {
			by, emitted := e.Emitter()
			require.True(t, emitted)
			leads = []trace.SpanID{came}
			if i == 1 {
				leads = append(leads, request.SpanContext().SpanID())
			}
			came = telemetry.SpanOf(story[i-1].ID, by)
		}
		live, found := spans[came]
		require.True(t, found, "%s has its span", e.Kind)
		require.Equal(t, telemetry.TraceOf(story[0].ID), live.SpanContext.TraceID())
		require.False(t, live.Parent.IsValid())
		require.Equal(t, came.String(), fromLog[i].SpanID)
		require.Equal(t, live.SpanContext.TraceID().String(), fromLog[i].TraceID)
		require.Equal(t, live.Name, fromLog[i].Name)
		require.Equal(t, int(live.SpanKind), fromLog[i].Kind)
		var linked, written []string
		for k := range live.Links {
			linked = append(linked, live.Links[k].SpanContext.SpanID().String())
			written = append(written, fromLog[i].Links[k].SpanID)
			require.Equal(t, leads[k].String(), linked[k])
		}
		require.Equal(t, linked, written)
		require.Len(t, linked, len(leads))
	}
}

// What a handler begins is under its span, with an id of its own.
func TestAHandlerHasTheSpanOfItsEvent(t *testing.T) {
	exporter := tracetest.NewInMemoryExporter()
	tracer := sdk.NewTracerProvider(sdk.WithSyncer(exporter), sdk.WithIDGenerator(telemetry.IDs{})).Tracer(telemetry.Scope)
	probe, err := telemetry.Probe(tracer, noop.Meter{})
	require.NoError(t, err)
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	r, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("order:1", "shop"), Payload: placed{Order: 1}}}})
	require.NoError(t, err)
	w := cursor.Worker{Name: "w", Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		_, span := tracer.Start(ctx, "call the bank")
		span.End()
		return cursor.Continue, nil
	}}.WithProbe(probe)
	run, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = run.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	spans := exporter.GetSpans()
	require.Len(t, spans, 3, "the call, the handler and the commit")
	handler := telemetry.SpanOf(r.Events[0].ID, store.Emitter{Worker: "w", Epoch: 1, Attempt: 1})
	require.Equal(t, handler, spans[1].SpanContext.SpanID())
	require.Equal(t, handler, spans[0].Parent.SpanID())
	require.NotEqual(t, handler, spans[0].SpanContext.SpanID())
	require.Equal(t, "commit w", spans[2].Name)

	// After a rewind the same run of it comes again, which is another span of the same trace.
	exporter.Reset()
	_, err = run.Apply(t.Context(), checkpoint.Rewind{Emit: true}, checkpoint.Request{By: "mary", Reason: "test"})
	require.NoError(t, err)
	_, err = run.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	again := exporter.GetSpans()[1]
	require.Equal(t, "replay order.placed", again.Name)
	require.Equal(t, telemetry.TraceOf(r.Events[0].ID), again.SpanContext.TraceID())
	require.NotEqual(t, handler, again.SpanContext.SpanID())
}

// The rule is published, so what it gives may not change.
func TestTheIDsOfSpansNeverChange(t *testing.T) {
	var event [16]byte
	event[15] = 1
	require.Equal(t, "9c9e2c3dce13eebf", telemetry.SpanOf(event, store.Emitter{Worker: "w", Build: "b", Epoch: 2, Attempt: 3}).String())
	require.Equal(t, "5a03a254aa8cb475", telemetry.AppendOf(event).String())
	require.Equal(t, "00000000000000000000000000000001", telemetry.TraceOf(event).String())
}
