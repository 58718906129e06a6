package actors_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// seen is a probe that keeps which lanes handled which events of each worker, and how many a commit
// has moved past.
type seen struct {
	mu      sync.Mutex
	events  map[string][]store.Position
	lanes   map[int]bool
	handled map[string]int
}

type seenKey struct{}

func (p *seen) Handle(ctx context.Context, t cursor.Try) (context.Context, func(error)) {
	return context.WithValue(ctx, seenKey{}, t.Events[0].Position), func(err error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lanes[t.Lane] = true
		for _, e := range t.Events {
			p.events[t.By.Worker] = append(p.events[t.By.Worker], e.Position)
		}
	}
}

func (p *seen) Commit(w cursor.Writing) func(store.Receipt, error) {
	return func(store.Receipt, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.handled[w.Worker] += w.Handled
	}
}

type made int

func (made) Kind() string { return "in.made" }

// One probe is told of all workers, with lanes and without, and a reactor hands the context on.
func TestOneProbeIsToldOfAllWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		p := &seen{events: make(map[string][]store.Position), lanes: make(map[int]bool), handled: make(map[string]int)}
		var within []store.Position
		reacts := reactor.New("r", reactor.On(func(ctx context.Context, _ reactor.Event[made], _ *reactor.Reactions) error {
			within = append(within, ctx.Value(seenKey{}).(store.Position))
			return nil
		}))
		sys := startWith(t, st, actors.Options{Probe: p}, slow(7), reacts)
		r := appendInputs(t, st, 21)
		for _, worker := range []string{"w", "r"} {
			require.NoError(t, sys.WaitApplied(t.Context(), worker, r))
		}
		sys.Stop(t.Context())
		all := positions(t, st, inputs)
		require.Equal(t, all, within)
		require.Equal(t, all, p.events["r"])
		require.Equal(t, all, slices.Sorted(slices.Values(p.events["w"])))
		require.Equal(t, map[string]int{"r": 21, "w": 21}, p.handled)
		require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6}, slices.Sorted(maps.Keys(p.lanes)))
	})
}
