package telemetry_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/telemetry"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// A name that no metric has makes an alert that never comes.
func TestTheAlertsAreAboutMetricsThatThereAre(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	sys, err := actors.Start(t.Context(), st, actors.Options{}, shop())
	require.NoError(t, err)
	sys.Stop(t.Context())
	reader := metric.NewManualReader()
	_, err = telemetry.Metrics(metric.NewMeterProvider(metric.WithReader(reader)).Meter(telemetry.Scope), sys, st)
	require.NoError(t, err)
	var all strings.Builder
	for series := range observe(t, reader) {
		all.WriteString(series + "\n")
	}
	rules, err := os.ReadFile("prometheus/alerts.yml")
	require.NoError(t, err)
	names := regexp.MustCompile(`penstock_[a-z_]+`).FindAllString(string(rules), -1)
	require.NotEmpty(t, names)
	for _, name := range names {
		require.Regexp(t, `(?m)^`+name+`(group=|$)`, all.String())
	}
	for _, m := range regexp.MustCompile(`state="(\w+)"`).FindAllStringSubmatch(string(rules), -1) {
		require.Contains(t, all.String(), "state="+m[1]+",")
	}
}
