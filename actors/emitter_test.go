package actors_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
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

// emittedOnce is a reaction whose payload names its worker, and the run of the handler.
type emittedOnce struct {
	Worker string
	Epoch  uint64
	Run    uint32
}

func (emittedOnce) Kind() string { return "out.counted" }

// census counts the runs of handlers at each event, and makes some of them fail.
type census struct {
	mu     sync.Mutex
	random *rand.Rand
	runs   map[string]map[store.Position]uint32
	healed bool
}

func (c *census) worker(name string) cursor.Worker {
	c.runs[name] = make(map[store.Position]uint32)
	return cursor.Worker{Name: name, Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		own, _ := b.AtLeastOnce()
		c.count(name, b.Events, 1)
		for i, e := range b.Events {
			b.Begin(i)
			run, trouble := c.at(name, e.Position)
			b.React(i, store.At(name+":out", "test"), emittedOnce{Worker: name, Epoch: own.Epoch, Run: run})
			switch trouble {
			case "error":
				c.count(name, b.Events[i+1:], ^uint32(0))
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			case "panic":
				c.count(name, b.Events[i+1:], ^uint32(0))
				panic("on purpose")
			case "unnamed":
				return cursor.Continue, errBroken
			}
		}
		return cursor.Continue, nil
	}}
}

func (c *census) count(name string, events []store.Event, n uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range events {
		c.runs[name][e.Position] += n
	}
}

func (c *census) at(name string, p store.Position) (run uint32, trouble string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	run = c.runs[name][p]
	switch {
	case c.healed:
	case p%7 == 3: // poison: parked until it is healed
		trouble = "error"
	case c.random.IntN(5) == 0:
		trouble = []string{"error", "panic", "unnamed"}[c.random.IntN(3)]
	}
	return run, trouble
}

func (c *census) heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.healed = true
}

// requireCensus compares the payloads of reactions with their emitters, and returns how many took
// more than one run.
func requireCensus(t *testing.T, st *store.Store, build string) (reactions, repeated int) {
	t.Helper()
	for e, err := range st.Read(t.Context(), store.Region{Kinds: []string{"out.counted"}}, store.Beginning()) {
		require.NoError(t, err)
		var body emittedOnce
		require.NoError(t, json.Unmarshal(e.Payload, &body))
		want := store.Emitter{Worker: body.Worker, Build: build, Epoch: body.Epoch, Attempt: body.Run}
		by, ok := e.Emitter()
		require.True(t, ok)
		require.Equal(t, want, by, "reaction %d to %s", e.Position, e.Cause)
		reactions++
		if by.Attempt > 1 {
			repeated++
		}
	}
	return reactions, repeated
}

// untilQuiet waits until no worker has anything to do.
func untilQuiet(t *testing.T, sys *actors.System) {
	t.Helper()
	for range 10_000 {
		time.Sleep(10 * time.Millisecond)
		busy := false
		for _, w := range sys.Status().Workers {
			require.NotEqual(t, actors.Halted, w.State, "%s: %v", w.Name, w.Reason)
			busy = busy || w.State != actors.Idle || w.Lag > 0
			for p, err := range sys.Parked(w.Name) {
				busy = busy || err != nil || p.Replaying
			}
		}
		if !busy {
			return
		}
	}
	require.Fail(t, "does not come to rest", "%+v", sys.Status())
}

func TestEachReactionNamesWorkerBuildEpochAndAttempt(t *testing.T) {
	const inputs = 40
	total, repeated := 0, 0
	for seed := range uint64(12) {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			c := &census{random: rand.New(rand.NewPCG(seed, 2)), runs: make(map[string]map[store.Position]uint32)}
			one, laned := c.worker("one"), c.worker("laned")
			one.BatchSize, laned.BatchSize, laned.Lanes = 4, 3, 3
			policy := supervision.Policy{
				Attempts: 4, Intensity: 1000, Backoff: supervision.Backoff{Initial: time.Millisecond, Max: 4 * time.Millisecond},
				Outage: supervision.OutagePolicy{Off: true}, // some events fail however often they are tried
			}
			sys, err := actors.Start(t.Context(), st, actors.Options{Build: "rev+dirty"}, supervision.Group{
				Name: "census", Strategy: supervision.OneForAll, Policy: policy, Children: []supervision.Child{one, laned},
			})
			require.NoError(t, err)
			appendInputs(t, st, inputs/2)
			untilQuiet(t, sys)
			appendInputs(t, st, inputs/2)
			untilQuiet(t, sys)
			c.heal()
			for _, name := range []string{"one", "laned"} {
				if statusOf(t, sys, name).Parked == 0 {
					continue
				}
				_, err := sys.Replay(t.Context(), name, cursor.ParkedFilter{All: true}, checkpoint.Request{})
				require.NoError(t, err)
			}
			untilQuiet(t, sys)
			require.NoError(t, sys.Stop(t.Context()))
			n, again := requireCensus(t, st, "rev+dirty")
			require.Equal(t, 2*inputs, n, "seed %d", seed)
			total, repeated = total+n, repeated+again
		})
	}
	require.Greater(t, repeated, total/10, "or too little was tried")
	t.Logf("%d reactions, %d of them not at the first run", total, repeated)
}
