package supervision_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

// worker is the simplest Child.
type worker supervision.Spec

func (w worker) Spec() supervision.Spec { return supervision.Spec(w) }

func TestEachRuleOfNamesHasItsOwnError(t *testing.T) {
	const path = `looks like a path: it contains '/' or '\', or is "." or ".."`
	for _, c := range []struct {
		what, name string
		want       string
	}{
		{"empty", "", "is empty"},
		{"one byte too long", strings.Repeat("x", 256), "is longer than 255 bytes"},
		{"one byte too long, in runes short", strings.Repeat("é", 128), "is longer than 255 bytes"},
		{"longest", strings.Repeat("x", 255), ""},
		{"broken UTF-8", "a\xffb", "is not valid UTF-8"},
		{"newline", "a\nb", "contains a control character"},
		{"nul", "\x00", "contains a control character"},
		{"delete", "a\x7f", "contains a control character"},
		{"control character above ASCII", "a\u0085b", "contains a control character"},
		{"line separator", "a\u2028b", "contains a line separator or a mark of direction"},
		{"override of direction", "a\u202eb", "contains a line separator or a mark of direction"},
		{"slash", "a/b", path},
		{"backslash", `a\b`, path},
		{"this directory", ".", path},
		{"the directory above", "..", path},
		{"bar", "a|b", "contains a separator: '|' or '='"},
		{"equals sign", "a=b", "contains a separator: '|' or '='"},
		{"plain", "reserve-stock", ""},
		{"spaces and umlauts", "Lager für Köln", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := supervision.Spec{Name: c.name}.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var bad *supervision.SettingError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, supervision.SettingError{Field: "Name", Rule: c.want, Value: c.name}, *bad)
			require.ErrorIs(t, err, supervision.ErrSetting)
			require.Contains(t, err.Error(), c.want)
			require.Less(t, len(err.Error()), 400, "a huge name does not flood the log")
		})
	}
}

func TestNumbersOutOfLimitsNameFieldLimitAndValue(t *testing.T) {
	policy := func(p supervision.Policy) supervision.Spec { return supervision.Spec{Name: "w", Policy: p} }
	backoff := func(b supervision.Backoff) supervision.Spec { return policy(supervision.Policy{Backoff: b}) }
	outage := func(o supervision.OutagePolicy) supervision.Spec { return policy(supervision.Policy{Outage: o}) }
	for _, c := range []struct {
		spec supervision.Spec
		want *supervision.SettingError // nil: allowed
	}{
		{supervision.Spec{Name: "w"}, nil},
		{policy(supervision.Policy{Intensity: -1}), nil},
		{policy(supervision.Policy{Intensity: 1000}), nil},
		{policy(supervision.Policy{Intensity: 1001}), &supervision.SettingError{Field: "Policy.Intensity", Rule: "must be at most 1000", Value: 1001}},
		{policy(supervision.Policy{Period: -time.Second}), &supervision.SettingError{Field: "Policy.Period", Rule: "must be at least 0", Value: -time.Second}},
		{policy(supervision.Policy{Attempts: -2}), &supervision.SettingError{Field: "Policy.Attempts", Rule: "must be at least 0", Value: -2}},
		{backoff(supervision.Backoff{Initial: -1}), &supervision.SettingError{Field: "Policy.Backoff.Initial", Rule: "must be at least 0", Value: time.Duration(-1)}},
		{backoff(supervision.Backoff{Max: -1}), &supervision.SettingError{Field: "Policy.Backoff.Max", Rule: "must be at least 0", Value: time.Duration(-1)}},
		{
			backoff(supervision.Backoff{Initial: 2 * time.Second, Max: time.Second}),
			&supervision.SettingError{Field: "Policy.Backoff.Initial", Rule: "must be at most Max, 1s", Value: 2 * time.Second},
		},
		{outage(supervision.OutagePolicy{Off: true}), nil},
		{outage(supervision.OutagePolicy{Keys: -1}), &supervision.SettingError{Field: "Policy.Outage.Keys", Rule: "must be at least 0", Value: -1}},
		{outage(supervision.OutagePolicy{Failures: -1}), &supervision.SettingError{Field: "Policy.Outage.Failures", Rule: "must be at least 0", Value: -1}},
		{outage(supervision.OutagePolicy{UsedUp: -1}), &supervision.SettingError{Field: "Policy.Outage.UsedUp", Rule: "must be at least 0", Value: -1}},
		{backoff(supervision.Backoff{Initial: time.Hour}), nil},
		{backoff(supervision.Backoff{Max: time.Millisecond}), nil},
		{backoff(supervision.Backoff{Jitter: 1}), nil},
		{backoff(supervision.Backoff{Jitter: -0.1}), &supervision.SettingError{Field: "Policy.Backoff.Jitter", Rule: "must be 0 to 1", Value: -0.1}},
		{backoff(supervision.Backoff{Jitter: 1.1}), &supervision.SettingError{Field: "Policy.Backoff.Jitter", Rule: "must be 0 to 1", Value: 1.1}},
	} {
		err := c.spec.Validate()
		if c.want == nil {
			require.NoError(t, err)
			continue
		}
		var limit *supervision.SettingError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, c.want, limit)
		require.ErrorIs(t, err, supervision.ErrSetting)
		require.Contains(t, err.Error(), c.want.Field)
		require.Contains(t, err.Error(), c.want.Rule)
	}
	require.ErrorIs(t, backoff(supervision.Backoff{Jitter: math.NaN()}).Validate(), supervision.ErrSetting)
	require.ErrorIs(t, policy(supervision.Policy{Attempts: -1}).Validate(), supervision.ErrSetting)
	require.NoError(t, policy(supervision.Policy{}).Validate())
}

func TestAllViolationsAreReportedAtOnce(t *testing.T) {
	err := supervision.Spec{Policy: supervision.Policy{Attempts: -1, Period: -1}}.Validate()
	for _, want := range []string{"Name", "Attempts", "Period"} {
		require.ErrorContains(t, err, want)
	}
}

func TestTheZeroPolicyHasTheDocumentedDefaults(t *testing.T) {
	require.Equal(t, supervision.Policy{
		Intensity: 10,
		Period:    5 * time.Minute,
		Backoff:   supervision.Backoff{Initial: 100 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.2},
		Attempts:  10,
		Exhausted: supervision.ActionPark, OverBudget: supervision.ActionHalt,
		Outage: supervision.OutagePolicy{Keys: 3, Failures: 2, UsedUp: 3},
	}, supervision.Policy{}.WithDefaults())
}

func TestDefaultsKeepWhatIsSet(t *testing.T) {
	set := supervision.Policy{
		Intensity: -1, Period: 1, Attempts: 1, Exhausted: supervision.ActionSkip, OverBudget: supervision.ActionEscalate,
		Backoff: supervision.Backoff{Initial: 2, Max: 3, Jitter: 0.5},
		Outage:  supervision.OutagePolicy{Off: true, Keys: 1, Failures: 4, UsedUp: 5},
	}
	require.Equal(t, set, set.WithDefaults())
}
