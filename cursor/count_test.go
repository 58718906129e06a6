package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// counting counts all events under one key, and fails at some of them at first.
func counting(dice *rand.Rand, lanes int) cursor.Worker {
	w := stateful(func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			b.Begin(i)
			if err := errors.Join(b.Count(i, "all", 1), b.Count(i, "n/"+e.Coordinate.Entity, 2), b.Count(i, "none", 1), b.Count(i, "none", -1)); err != nil {
				return cursor.Continue, err
			}
			b.React(i, store.At("stock:lamp", "shop"), reserved{For: e.Position})
			if dice.IntN(4) == 0 {
				return cursor.Continue, cursor.FailedAt(i, errors.New("not yet"))
			}
		}
		return cursor.Continue, nil
	})
	w.Name, w.Lanes, w.BatchSize = "reserve", lanes, 3
	w.Key = func(e store.Event) string { return e.Coordinate.Entity }
	if lanes == 1 {
		w.Key = nil
	}
	w.Policy.Attempts = 100
	return w
}

// However many lanes add to a number at the same time, whatever fails, and wherever the power is
// cut: each event counts once.
func TestEachEventIsCountedOnce(t *testing.T) {
	for seed := range uint64(30) {
		dice := rand.New(rand.NewPCG(seed, 3))
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
		require.NoError(t, err)
		fill(t, st, 20, 0)
		calls, lanes := 0, 1+int(seed%2)*3
		for done := false; !done; {
			disk.CutAt(disk.Ops() + 1 + dice.IntN(60))
			r, err := cursor.NewRunner(t.Context(), st, counting(dice, lanes))
			for err == nil && !done {
				_, err = r.Step(t.Context(), 0, 0)
				var failed *cursor.HandlerError
				if errors.As(err, &failed) {
					err = nil
				}
				calls++
				done = err == nil && r.IsDone(st.Head()) && len(reactions(t, st)) == 20
				require.Less(t, calls, 2000)
			}
			_ = st.Close()
			disk = disk.Rebooted(seed)
			st, err = disk.Open("data", store.Options{SegmentBytes: 64 << 10})
			require.NoError(t, err)
		}
		require.Equal(t, map[string]string{
			"all": "20", "n/order:0": "8", "n/order:1": "8", "n/order:2": "8", "n/order:3": "8", "n/order:4": "8",
		}, keptBy(t, st), fmt.Sprint("seed ", seed))
		require.NoError(t, st.Close())
	}
}
