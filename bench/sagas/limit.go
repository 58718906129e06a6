package sagas

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/penstock-io/penstock/bench/delivery"
	"github.com/penstock-io/penstock/bench/machine"
	"github.com/penstock-io/penstock/bench/workload"
)

// writesPerSaga is how often a saga of Penstock writes, one after the other: its start; what that
// requests; and for each step its outcome, and what follows from it.
const writesPerSaga = 2 + 2*steps

// limitSteps does the writes of sagas, so many at the same time, and no more: one write and one
// fdatasync for all that wait.
func limitSteps(sagas, inFlight int) delivery.Run {
	return func(_ context.Context, t delivery.Turn) (delivery.Result, error) {
		z, err := machine.NewZeroed(t.Dir)
		if err != nil {
			return nil, err
		}
		j := machine.NewJournal(z)
		res, err := measured(sagas, inFlight, func(i int) error {
			for k := range writesPerSaga {
				if err := j.Append(workload.Payload(i + k)); err != nil {
					return err
				}
			}
			return nil
		})
		return res, errors.Join(err, j.Close())
	}
}

// limitWrites does so many writes, one after the other, with an fdatasync each.
func limitWrites(writes int) delivery.Run {
	return func(_ context.Context, t delivery.Turn) (delivery.Result, error) {
		dir := filepath.Join(t.Dir, "limit")
		if err := mkdir(dir); err != nil {
			return nil, err
		}
		z, err := machine.NewZeroed(dir)
		if err != nil {
			return nil, err
		}
		rec := make([]byte, workload.RecordBytes)
		res, err := besideSyncs(t, delivery.Idly, func(int) (total time.Duration, err error) {
			for range writes {
				took, err := z.Append(rec, true)
				if err != nil {
					return 0, err
				}
				total += took
			}
			return total, nil
		})
		return res, errors.Join(err, z.Close())
	}
}
