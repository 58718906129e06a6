package main

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
)

func instances() []saga.Instance[order] {
	began := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	return []saga.Instance[order]{
		{
			Key: "00001", Life: saga.Completed, Began: began, Ended: began.Add(time.Second),
			Steps: []saga.StepState{{Name: reserve, Status: "done"}, {Name: charge, Status: "done"}},
		},
		{
			Key: "00002", Life: saga.Compensating, Began: began, ToUndo: []string{reserve},
			Steps: []saga.StepState{{Name: reserve, Status: "done"}, {Name: charge, Status: "undone"}, {Name: label, Status: "refused"}},
			Err:   &saga.FailureError{Step: label, Text: "refused: no parcels go there"},
		},
		{Key: "00003", Life: saga.Running, Began: began.Add(-time.Second), Steps: []saga.StepState{{Name: reserve, Status: "requested"}}},
	}
}

func TestTheTableHasWhatIsUnderWayFirst(t *testing.T) {
	require.Equal(t, `┌────────────────────────────────────────────────────────────────────────────────────────────────────────────┐
│ 3 of 9 orders: 1 running, 1 compensating, 1 completed                                                      │
├───────┬──────────────┬─────────┬────────┬───────┬─────────┬──────┬──────┬──────────────────────────────────┤
│ order │ is           │ reserve │ charge │ label │ invoice │ pack │ ship │ because                          │
├───────┼──────────────┼─────────┼────────┼───────┼─────────┼──────┼──────┼──────────────────────────────────┤
│ 00003 │ running      │ …       │        │       │         │      │      │                                  │
│ 00002 │ compensating │ ✓       │ ↶      │ ✗     │         │      │      │ label refused: no parcels go th… │
│ 00001 │ completed    │ ✓       │ ✓      │       │         │      │      │                                  │
└───────┴──────────────┴─────────┴────────┴───────┴─────────┴──────┴──────┴──────────────────────────────────┘`, render(instances(), 9, 12, 0))
}

func TestElsewhereEachOrderThatEndsHasALine(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	d, all := newDisplay(w), instances()
	d.show(all[2:], 3)
	d.show(all, 3)
	d.show(all, 3)
	require.NoError(t, w.Close())
	said, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "00001 completed after 1s\n", string(said))
}
