package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func TestAWorkerStandsWhereAnEventWaitsOrNothingTellsWhetherOneDoes(t *testing.T) {
	const still, limit = 2 * time.Minute, time.Minute
	waits := WorkerStatus{Name: "w", Lag: 1, OldestPending: 7, OldestPendingKey: "a", LagTime: time.Hour}
	for name, c := range map[string]struct {
		change func(*WorkerStatus)
		text   string // "" where it does not count as stalled
	}{
		"an event waits":      {func(*WorkerStatus) {}, `stands at event 7: key "a", for 2m0s`},
		"none does":           {func(w *WorkerStatus) { *w = WorkerStatus{Name: "w"} }, ""},
		"one has just come":   {func(w *WorkerStatus) { w.LagTime = time.Second }, ""},
		"the log is damaged":  {func(w *WorkerStatus) { *w = WorkerStatus{Name: "w", LagErr: store.ErrCorrupt} }, "does not move: what waits"},
		"the store is closed": {func(w *WorkerStatus) { *w = WorkerStatus{Name: "w", LagErr: store.ErrClosed} }, ""},
	} {
		w := waits
		c.change(&w)
		err := stallOf(&w, still, limit)
		if c.text == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorIs(t, err, ErrStalled, name)
		require.ErrorContains(t, err, c.text, name)
	}
}
