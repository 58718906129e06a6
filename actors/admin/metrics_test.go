package admin_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors/admin"
)

func TestPrometheusReadsTheMetrics(t *testing.T) {
	s := sold(t)
	h := admin.Handler(admin.New(s.st, s.sys, admin.Options{}), admin.HandlerOptions{})
	series := func() (n int) {
		w := requested(t, h, "GET", "http://localhost/admin/v1/metrics", nil, nil)
		require.Equal(t, http.StatusOK, w.Code)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(w.Body)
		require.NoError(t, err)
		for _, f := range families {
			n += len(f.GetMetric())
			require.NotEmpty(t, f.GetHelp(), f.GetName())
		}
		of := func(name string) float64 { return families[name].GetMetric()[0].GetGauge().GetValue() }
		require.InDelta(t, 1, of("penstock_worker_parked"), 0)
		require.Zero(t, of("penstock_worker_healthy"))
		require.Positive(t, of("penstock_store_head"))
		states := families["penstock_worker_state"].GetMetric()
		require.Equal(t, "shop", states[0].GetLabel()[1].GetValue())
		sum := 0.0
		for _, m := range states {
			sum += m.GetGauge().GetValue()
		}
		require.InDelta(t, 1, sum, 0, "it is in one state")
		syncs := families["penstock_store_sync_seconds"].GetMetric()[0].GetHistogram()
		require.Positive(t, syncs.GetSampleCount())
		require.Positive(t, syncs.GetSampleSum())
		require.NotEmpty(t, syncs.GetBucket())
		return n
	}
	before := series()
	for i := range 10 {
		s.order(t, string(rune('a'+i)), "1")
	}
	require.Equal(t, before, series(), "entities make no series")
}
