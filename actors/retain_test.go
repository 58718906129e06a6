package actors_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// A worker whose checkpoint lies before the log is halted at its start, and says why; one that is
// new begins where the log does, and its status says so.
func TestAWorkerThatStartsAfterADropHaltsOrBeginsWhereTheLogDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		st := memory(t, store.Options{SegmentBytes: 64 << 10})
		sys := start(t, st, reacting("old"))
		require.NoError(t, sys.WaitApplied(ctx, "old", largeInputs(t, st, 3)))
		require.NoError(t, sys.Stop(ctx))
		largeInputs(t, st, 100)
		first := dropAll(t, st, "old")
		require.Greater(t, first, store.Position(50))

		release := make(chan struct{})
		fresh := handling("new", func(context.Context, *cursor.Batch) error { <-release; return nil })
		_, err := actors.Start(ctx, st, actors.Options{AllOrNothing: true}, tree(reacting("old")))
		require.ErrorIs(t, err, store.ErrDropped)
		sys = start(t, st, reacting("old"), fresh)
		synctest.Wait()
		for range 2 {
			s := statusOf(t, sys, "old")
			require.Equal(t, actors.Halted, s.State)
			require.ErrorIs(t, s.Reason, store.ErrDropped)
			require.ErrorIs(t, sys.WaitApplied(ctx, "old", receiptOf(t, st, first)), store.ErrDropped)
			require.NoError(t, sys.Resume(ctx, "old", checkpoint.Request{})) // and it halts again: it would skip events
			synctest.Wait()
		}
		require.Equal(t, first-1, statusOf(t, sys, "new").Position, "that is where it begins")
		close(release)
		require.NoError(t, sys.WaitApplied(ctx, "new", largeInputs(t, st, 1)))
		require.Equal(t, positions(t, st, inputs), reactions(t, st, "new"))

		_, err = checkpoint.Apply(ctx, st, "old", checkpoint.SkipTo{To: first - 1}, checkpoint.Request{})
		require.NoError(t, err)
		require.NoError(t, sys.Resume(ctx, "old", checkpoint.Request{}))
		require.NoError(t, sys.WaitApplied(ctx, "old", largeInputs(t, st, 1)))
	})
}

// What is parked, and what is held behind it, stays in the log until it is handled or discarded.
func TestParkedAndHeldEventsAreNotDropped(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			ctx := t.Context()
			st := memory(t, store.Options{SegmentBytes: 64 << 10})
			ill := sick()
			w := poisoned(ill, 30)
			w.Lanes, w.Key = lanes, func(store.Event) string { return "one" }
			largeInputs(t, st, 100)
			sys := start(t, st, w)
			time.Sleep(time.Minute)
			require.Len(t, parkedOf(t, sys), 71)
			report := func() store.RetainReport {
				report, err := store.Retain(ctx, st, checkpoint.Holds, store.RetainOptions{Before: st.Head()})
				require.NoError(t, err)
				return report
			}
			r := report()
			require.LessOrEqual(t, r.First, store.Position(30))
			require.Greater(t, r.First, store.Position(1))
			require.Equal(t, store.Hold{Kind: "parked event of", Who: "w", From: 30}, r.Holds[0])
			require.Zero(t, report().Segments)

			ill.Store(false)
			_, err := sys.Replay(ctx, "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.Empty(t, parkedOf(t, sys))
			require.Len(t, reactions(t, st, "w"), 100)
			require.Greater(t, report().First, store.Position(90))
			require.NotEqual(t, actors.Halted, statusOf(t, sys, "w").State)
		})
	}
}

// Drops run beside workers with lanes that retry, park, replay, and are restarted: none of them is
// told that an event was dropped which it has yet to handle, and each event is handled once.
func TestNothingIsDroppedThatAWorkerHasYetToHandle(t *testing.T) {
	seed := rand.Uint64()
	for _, lanes := range []int{1, 4} {
		t.Run(strconv.Itoa(lanes), func(t *testing.T) {
			t.Logf("seed %d", seed)
			synctest.Test(t, func(t *testing.T) { besideDrops(t, rand.New(rand.NewPCG(seed, uint64(lanes))), lanes) })
		})
	}
}

func besideDrops(t *testing.T, random *rand.Rand, lanes int) {
	ctx := t.Context()
	st := memory(t, store.Options{SegmentBytes: 64 << 10})
	var mu sync.Mutex // guards what follows, and random
	var healed bool
	var seen []store.Position // what w has reacted to
	w := handling("w", func(_ context.Context, b *cursor.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if n := random.IntN(20); n < 4 && !healed {
			if n == 0 {
				panic("harm")
			}
			return cursor.FailedAt(random.IntN(len(b.Events)), errBroken)
		}
		return nil
	})
	w.Lanes, w.BatchSize = lanes, 4
	w.Policy = supervision.Policy{
		Attempts: 2, Intensity: 1000, Backoff: supervision.Backoff{Initial: time.Second}, Outage: supervision.OutagePolicy{Off: true},
	}
	audit := cursor.Worker{
		Name: "audit", Region: store.Region{Entity: "out:w"},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for _, e := range b.Events {
				var body reacted
				if err := json.Unmarshal(e.Payload, &body); err != nil {
					return cursor.Continue, err
				}
				mu.Lock()
				seen = append(seen, body.For)
				mu.Unlock()
			}
			return cursor.Continue, nil
		},
	}
	sys := start(t, st, w, audit)
	var made []store.Position
	dropped := 0
	retain := func() {
		report, err := store.Retain(ctx, st, checkpoint.Holds, store.RetainOptions{Before: st.Head()})
		require.NoError(t, err)
		dropped += report.Segments
		for _, s := range sys.Status().Workers {
			require.NotEqual(t, actors.Halted, s.State, "%s: %v", s.Name, s.Reason)
			require.NotErrorIs(t, s.Reason, store.ErrDropped)
		}
	}
	intN := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	for range 40 {
		for range 1 + intN(12) {
			r, err := st.Append(ctx, store.At("in:"+strconv.Itoa(intN(7)), "test"), store.Any, store.Raw{Type: "in.made", Data: make([]byte, 4000)})
			require.NoError(t, err)
			made = append(made, r.Position())
		}
		time.Sleep(time.Duration(intN(5000)) * time.Millisecond)
		retain()
		if intN(4) == 0 {
			_, err := sys.Replay(ctx, "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
			require.NoError(t, err)
		}
	}
	mu.Lock()
	healed = true
	mu.Unlock()
	for len(parkedOf(t, sys)) > 0 {
		_, err := sys.Replay(ctx, "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		retain()
	}
	time.Sleep(time.Minute)
	require.NoError(t, sys.WaitApplied(ctx, "audit", receiptOf(t, st, st.Head())))
	retain()
	require.Greater(t, dropped, 5)
	slices.Sort(seen)
	require.Equal(t, made, seen)
}
