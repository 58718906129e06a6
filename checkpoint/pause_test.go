package checkpoint_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func TestAPauseEndsAfterItBeganAndInAYearThatAnAuditEventCanName(t *testing.T) {
	since := time.Date(2026, 11, 27, 12, 0, 0, 500_000, time.UTC)
	for _, until := range []time.Time{
		{}, since.Add(time.Millisecond), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
	} {
		require.NoError(t, checkpoint.Pause{Since: since, Until: until}.Validate(), "%s", until)
	}
	west := time.FixedZone("west", -12*3600)
	for rule, all := range map[string][]time.Time{
		"must be in the future": {
			since, since.Add(-time.Hour), since.Add(time.Nanosecond), time.Unix(0, 0), time.Unix(math.MinInt64/2, 0),
		},
		"must not be after the year 9999": {
			time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 0, 0, 0, west), time.Unix(math.MaxInt64/4, 0),
		},
	} {
		for _, until := range all {
			err := checkpoint.Pause{Since: since, Until: until}.Validate()
			requireInvalid(t, store.InvalidError{Field: "until", Rule: rule, Value: until.UTC()}, err)
		}
	}
	err := checkpoint.Pause{Since: since, Reason: "a\u009b31m"}.Validate()
	require.ErrorIs(t, err, store.ErrInvalid)
}
