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
	for _, c := range []struct {
		what, name string
		want       supervision.NameRule
	}{
		{"empty", "", supervision.NameEmpty},
		{"one byte too long", strings.Repeat("x", 256), supervision.NameTooLong},
		{"one byte too long, in runes short", strings.Repeat("é", 128), supervision.NameTooLong},
		{"longest", strings.Repeat("x", 255), ""},
		{"broken UTF-8", "a\xffb", supervision.NameNotUTF8},
		{"newline", "a\nb", supervision.NameControl},
		{"nul", "\x00", supervision.NameControl},
		{"delete", "a\x7f", supervision.NameControl},
		{"control character above ASCII", "a\u0085b", supervision.NameControl},
		{"slash", "a/b", supervision.NameSlash},
		{"plain", "reserve-stock", ""},
		{"spaces and umlauts", "Lager für Köln", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			err := supervision.Spec{Name: c.name}.Validate()
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var bad *supervision.NameError
			require.ErrorAs(t, err, &bad)
			require.Equal(t, supervision.NameError{Name: c.name, Rule: c.want}, *bad)
			require.ErrorIs(t, err, supervision.ErrName)
			require.Contains(t, err.Error(), string(c.want))
			require.Less(t, len(err.Error()), 400, "a huge name does not flood the log")
		})
	}
}

func TestNumbersOutOfLimitsNameFieldLimitAndValue(t *testing.T) {
	policy := func(p supervision.Policy) supervision.Spec { return supervision.Spec{Name: "w", Policy: p} }
	backoff := func(b supervision.Backoff) supervision.Spec { return policy(supervision.Policy{Backoff: b}) }
	for _, c := range []struct {
		spec supervision.Spec
		want *supervision.LimitError // nil: allowed
	}{
		{supervision.Spec{Name: "w"}, nil},
		{policy(supervision.Policy{Intensity: -1}), nil},
		{policy(supervision.Policy{Intensity: 1000}), nil},
		{policy(supervision.Policy{Intensity: 1001}), &supervision.LimitError{Field: "Policy.Intensity", Limit: "at most 1000", Value: 1001}},
		{policy(supervision.Policy{Period: -time.Second}), &supervision.LimitError{Field: "Policy.Period", Limit: "at least 0", Value: -time.Second}},
		{policy(supervision.Policy{Attempts: -2}), &supervision.LimitError{Field: "Policy.Attempts", Limit: "at least 0", Value: -2}},
		{backoff(supervision.Backoff{Initial: -1}), &supervision.LimitError{Field: "Policy.Backoff.Initial", Limit: "at least 0", Value: time.Duration(-1)}},
		{backoff(supervision.Backoff{Max: -1}), &supervision.LimitError{Field: "Policy.Backoff.Max", Limit: "at least 0", Value: time.Duration(-1)}},
		{
			backoff(supervision.Backoff{Initial: 2 * time.Second, Max: time.Second}),
			&supervision.LimitError{Field: "Policy.Backoff.Initial", Limit: "at most Max, 1s", Value: 2 * time.Second},
		},
		{backoff(supervision.Backoff{Initial: time.Hour}), nil},
		{backoff(supervision.Backoff{Max: time.Millisecond}), nil},
		{backoff(supervision.Backoff{Jitter: 1}), nil},
		{backoff(supervision.Backoff{Jitter: -0.1}), &supervision.LimitError{Field: "Policy.Backoff.Jitter", Limit: "0 to 1", Value: -0.1}},
		{backoff(supervision.Backoff{Jitter: 1.1}), &supervision.LimitError{Field: "Policy.Backoff.Jitter", Limit: "0 to 1", Value: 1.1}},
	} {
		err := c.spec.Validate()
		if c.want == nil {
			require.NoError(t, err)
			continue
		}
		var limit *supervision.LimitError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, c.want, limit)
		require.ErrorIs(t, err, supervision.ErrLimit)
		require.Contains(t, err.Error(), c.want.Field)
		require.Contains(t, err.Error(), c.want.Limit)
	}
	require.ErrorIs(t, backoff(supervision.Backoff{Jitter: math.NaN()}).Validate(), supervision.ErrLimit)
	require.ErrorIs(t, supervision.Policy{Attempts: -1}.Validate(), supervision.ErrLimit)
	require.NoError(t, supervision.Policy{}.Validate())
}

func TestAllViolationsAreReportedAtOnce(t *testing.T) {
	err := supervision.Spec{Policy: supervision.Policy{Attempts: -1, Period: -1}}.Validate()
	for _, want := range []string{"name", "Attempts", "Period"} {
		require.ErrorContains(t, err, want)
	}
}

func TestAChildInheritsOnlyWhatItLeavesOut(t *testing.T) {
	group := supervision.Spec{Name: "g", Policy: supervision.Policy{Attempts: 7}}
	own := supervision.Policy{Intensity: 2}

	require.Equal(t,
		supervision.Spec{Name: "w", Policy: group.Policy},
		supervision.Spec{Name: "w"}.Inherit(group))
	require.Equal(t,
		supervision.Spec{Name: "w", Policy: own},
		supervision.Spec{Name: "w", Policy: own}.Inherit(group),
		"a policy of its own is kept whole: Attempts does not come from the group")
}

func TestTheZeroSpecHasTheDocumentedDefaults(t *testing.T) {
	require.Equal(t, supervision.Spec{
		Name: "w",
		Policy: supervision.Policy{
			Intensity: 10,
			Period:    5 * time.Minute,
			Backoff:   supervision.Backoff{Initial: 100 * time.Millisecond, Max: 30 * time.Second, Jitter: 0.2},
			Attempts:  10,
			Exhausted: supervision.ActionPark, OverBudget: supervision.ActionHalt,
		},
	}, supervision.Spec{Name: "w"}.WithDefaults())
}

func TestDefaultsKeepWhatIsSet(t *testing.T) {
	set := supervision.Spec{
		Name: "w",
		Policy: supervision.Policy{
			Intensity: -1, Period: 1, Attempts: 1, Exhausted: supervision.ActionSkip, OverBudget: supervision.ActionEscalate,
			Backoff: supervision.Backoff{Initial: 2, Max: 3, Jitter: 0.5},
		},
	}
	require.Equal(t, set, set.WithDefaults())
}
