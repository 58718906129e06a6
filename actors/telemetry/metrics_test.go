package telemetry_test

import (
	"context"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/telemetry"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// collected is one series: its kind, and the value that it has.
type collected struct {
	kind  string
	value float64
}

// observe returns all series of the meters, by name and attributes.
func observe(t *testing.T, reader metric.Reader) map[string]collected {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	series := make(map[string]collected)
	add := func(name, kind string, points []metricdata.DataPoint[float64]) {
		for _, p := range points {
			series[name+p.Attributes.Encoded(attribute.DefaultEncoder())] = collected{kind, p.Value}
		}
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		require.NotEmpty(t, m.Description, m.Name)
		switch data := m.Data.(type) {
		case metricdata.Gauge[float64]:
			add(m.Name, "GAUGE", data.DataPoints)
		case metricdata.Sum[float64]:
			require.True(t, data.IsMonotonic)
			add(m.Name, "COUNTER", data.DataPoints)
		}
	}
	return series
}

// scrape returns all series of the page of package admin, as observe does, and what is a histogram.
func scrape(t *testing.T, sys *actors.System, st *store.Store) (series map[string]collected, histograms []string) {
	t.Helper()
	w := httptest.NewRecorder()
	h := admin.Handler(admin.New(st, sys, admin.Options{}), admin.HandlerOptions{})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "http://localhost/admin/v1/metrics", nil)
	r.RemoteAddr = "127.0.0.1:1"
	h.ServeHTTP(w, r)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	require.NoError(t, err)
	series = make(map[string]collected)
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var by []attribute.KeyValue
			for _, l := range m.GetLabel() {
				by = append(by, attribute.String(l.GetName(), l.GetValue()))
			}
			set := attribute.NewSet(by...)
			if m.GetHistogram() != nil {
				histograms = append(histograms, name)
				continue
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			series[name+set.Encoded(attribute.DefaultEncoder())] = collected{f.GetType().String(), value}
		}
	}
	return series, histograms
}

// There are two lists of names, and what they have in common has the same name, kind, labels and
// value in both.
func TestMetricsAreThoseOfThePageForPrometheus(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, shop())
	require.NoError(t, err)
	t.Cleanup(func() { sys.Stop(context.WithoutCancel(t.Context())) })
	reader := metric.NewManualReader()
	meter := metric.NewMeterProvider(metric.WithReader(reader)).Meter(telemetry.Scope)
	registered, err := telemetry.Metrics(meter, sys, st)
	require.NoError(t, err)
	_, err = st.Commit(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("order:1", "shop"), Payload: placed{Order: 1}}}})
	require.NoError(t, err)
	for _, worker := range []string{"reserve", "pay", "ship"} {
		require.NoError(t, sys.WaitCaughtUp(t.Context(), worker))
	}
	sys.Stop(t.Context()) // nothing moves any more
	page, histograms := scrape(t, sys, st)
	series := observe(t, reader)
	for _, name := range histograms {
		for _, part := range []string{"_count", "_sum"} {
			require.Contains(t, series, name+part)
			delete(series, name+part)
		}
	}
	for name := range page {
		if strings.HasPrefix(name, "penstock_info") || strings.HasPrefix(name, "penstock_worker_healthy") {
			delete(page, name)
		}
	}
	require.Equal(t, slices.Sorted(maps.Keys(page)), slices.Sorted(maps.Keys(series)))
	for name, want := range page {
		require.Equal(t, want.kind, series[name].kind, name)
		if name != "penstock_store_free_bytes" { // which others take, too
			require.InDelta(t, want.value, series[name].value, 0, name)
		}
	}
	require.InDelta(t, 1, series["penstock_worker_handled_totalgroup=shop,worker=ship"].value, 0)
	require.NoError(t, registered.Unregister())
	var after metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &after))
	require.Empty(t, after.ScopeMetrics)
}
