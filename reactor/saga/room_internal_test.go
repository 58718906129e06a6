package saga

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// Whatever errors say, and however much waits.
func TestARecordHasRoomForTheOutcomesOfAThousandSteps(t *testing.T) {
	r := &record{Life: Running, Steps: make(map[string]*stepRecord), State: make([]byte, mostResults)}
	for i := range 1000 {
		s := &stepRecord{Visit: 1, Order: uint64(i)}
		r.Steps[fmt.Sprintf("%0*d", maxNameBytes, i)] = s
		s.Status, s.Error = unknown, failText(r, strings.Repeat("error ", 1000))
	}
	for i := range 10_000 {
		r.Held = append(r.Held, held{At: store.Position(1e12 + i), Tried: true})
	}
	text := strings.Repeat("x", maxTextBytes)
	r.Why, r.Stuck = &failure{Error: text}, &stuckRecord{Error: text}
	require.Less(t, len(r.encode()), mostRecord)
}
