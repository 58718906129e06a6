package drive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/supervision"
)

func TestAChildInheritsOnlyWhatItLeavesOut(t *testing.T) {
	group := supervision.Spec{Name: "g", Policy: supervision.Policy{Attempts: 7}, StopTimeout: time.Second}
	own := supervision.Policy{Intensity: 2}

	require.Equal(t,
		supervision.Spec{Name: "w", Policy: group.Policy, StopTimeout: time.Second},
		inherit(supervision.Spec{Name: "w"}, group))
	require.Equal(t,
		supervision.Spec{Name: "w", Policy: own, StopTimeout: time.Minute},
		inherit(supervision.Spec{Name: "w", Policy: own, StopTimeout: time.Minute}, group),
		"a policy of its own is kept whole: Attempts does not come from the group")
}
