package actors_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A worker that is woken moves its position to the head, whether events match or not.
func TestAnAppendWakesTheWorkersWhoseRegionMatchesAndNoOther(t *testing.T) {
	regions := map[string]store.Region{
		"everything":      {},
		"namespace":       {Entity: "order"},
		"entity":          {Entity: "order:1"},
		"deep":            {Entity: "order:1:line"},
		"deeper":          {Entity: "order:1:line:7"},
		"kind":            {Kinds: []string{"order.placed"}},
		"kinds":           {Kinds: []string{"order.placed", "stock.moved"}},
		"kind of entity":  {Entity: "order:1", Kinds: []string{"order.placed"}},
		"category":        {Category: "order"},
		"scope":           {Scope: "shop"},
		"entity in scope": {Entity: "order:1", Scope: "shop"},
		"kind in scope":   {Scope: "shop", Kinds: []string{"order.placed"}},
		"versions":        {Entity: "order", MinVersion: 2, MaxVersion: 3},
		"reserved":        {Scope: store.ReservedScope},
		"nothing":         {Entity: "orders"},
	}
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		var children []supervision.Child
		for name, region := range regions {
			children = append(children, cursor.Worker{
				Name: name, Region: region,
				Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
			})
		}
		sys := start(t, st, children...)
		handled := make(map[string]uint64)
		for _, entity := range []string{"order", "order:1", "order:1:line", "order:1:line:7", "order:2", "orders:1", "stock:1"} {
			for _, kind := range []string{"order.placed", "order", "stock.moved", "orders.placed"} {
				for _, scope := range []string{"shop", "bar"} {
					synctest.Wait()
					before := make(map[string]store.Position)
					for name := range regions {
						before[name] = statusOf(t, sys, name).Position
					}
					r := appendAll(t, st, store.Proposal{At: store.At(entity, scope), Payload: store.Raw{Type: kind}})
					synctest.Wait()
					e, err := st.GetAt(t.Context(), r.Position())
					require.NoError(t, err)
					for name, region := range regions {
						w := statusOf(t, sys, name)
						if region.Matches(e) {
							handled[name]++
							require.Equal(t, r.Position(), w.Position, "%s was not woken by %v %s", name, e.Coordinate, kind)
						} else {
							require.Equal(t, before[name], w.Position, "%s was woken by %v %s", name, e.Coordinate, kind)
						}
						require.Equal(t, handled[name], w.Handled, name)
					}
				}
			}
		}
		require.Zero(t, handled["reserved"])
		delete(handled, "reserved")
		delete(handled, "nothing")
		require.Len(t, handled, len(regions)-2, "each region but two was matched by something")
	})
}

func TestALargeAppendWakesAllWorkers(t *testing.T) {
	for name, batch := range map[string]func() []store.Proposal{
		"many":  func() []store.Proposal { return manyNoises(5000, 1) },
		"large": func() []store.Proposal { return manyNoises(30, 1<<20) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				sys := start(t, st, reacting("w"))
				synctest.Wait()
				appendAll(t, st, noise(1))
				synctest.Wait()
				require.Zero(t, statusOf(t, sys, "w").Position)
				appendAll(t, st, batch()...)
				synctest.Wait()
				require.Equal(t, st.Head(), statusOf(t, sys, "w").Position)
				require.Zero(t, statusOf(t, sys, "w").Handled)
			})
		})
	}
}

func manyNoises(n, size int) (list []store.Proposal) {
	for range n {
		list = append(list, noise(size))
	}
	return list
}

func TestNoWakeUpIsLostWhenTheHeadMovesWhilePullsAreParked(t *testing.T) {
	st := memory(t, store.Options{Sync: store.SyncNever})
	const workers, rounds = 4, 1000
	var children []supervision.Child
	region := func(w int) store.Region { return store.Region{Entity: fmt.Sprintf("in:%d", w)} }
	for w := range workers {
		children = append(children, cursor.Worker{
			Name: fmt.Sprint("w", w), Region: region(w),
			Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil },
		})
	}
	sys := start(t, st, children...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	results := make(chan error, workers)
	for w := range workers {
		go func() {
			for range rounds {
				r, err := st.Append(ctx, store.At(region(w).Entity, "test"), store.Any, store.Raw{Type: "in.made"})
				if err == nil {
					err = sys.WaitApplied(ctx, fmt.Sprint("w", w), r)
				}
				if err != nil {
					results <- err
					return
				}
			}
			results <- nil
		}()
	}
	for range workers {
		require.NoError(t, <-results)
	}
	require.NoError(t, sys.Stop(t.Context()))
}

func TestIdleWorkersWriteTheirPositionOncePerSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{SegmentBytes: 64 << 10})
		start(t, st, reacting("narrow"), reacting("narrower"))
		synctest.Wait()
		require.Zero(t, record(t, st, "narrow").Record.Scanned)
		last := max(record(t, st, "narrow").Revision, record(t, st, "narrower").Revision)
		segments, writes := st.Stats().Segments, 0
		for range 400 {
			appendAll(t, st, noise(1<<10))
			time.Sleep(time.Second)
			for _, name := range []string{"narrow", "narrower"} {
				info := record(t, st, name)
				if n := st.Stats().Segments; n == segments {
					require.LessOrEqual(t, info.Revision, last, "written without need")
				} else if name == "narrower" {
					segments, writes = n, writes+1
					require.Equal(t, st.Head(), info.Record.Scanned)
					last = max(info.Revision, record(t, st, "narrow").Revision)
				}
			}
		}
		require.Greater(t, writes, 4)
	})
}
