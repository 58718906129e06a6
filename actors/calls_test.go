package actors_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
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

// ailing are the functions of a worker that fail now and then.
type ailing struct {
	mu      sync.Mutex
	random  *rand.Rand
	healthy bool
}

func (a *ailing) fails() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.healthy && a.random.IntN(5) == 0
}

func (a *ailing) heal(is bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.healthy = is
}

func (a *ailing) handle(context.Context, *cursor.Batch) error {
	switch {
	case a.fails():
		panic(errBroken)
	case a.fails():
		return cursor.FailedAt(0, supervision.Park(errBroken))
	}
	return nil
}

func (a *ailing) key(e store.Event) string {
	if a.fails() {
		panic(errBroken)
	}
	return e.Coordinate.Entity
}

func (a *ailing) place(context.Context, cursor.ResumeState) (store.Position, error) {
	if a.fails() {
		runtime.Goexit()
	}
	return 0, nil
}

// The answer is that of the change, or what is wrong with the worker.
func TestEachCallIsAnsweredWhateverTheFunctionsOfTheWorkerDoBetweenTwo(t *testing.T) {
	for name, set := range map[string]func(*cursor.Worker, *ailing){
		"key":   func(w *cursor.Worker, a *ailing) { w.Lanes, w.Key = 2, a.key },
		"place": func(w *cursor.Worker, a *ailing) { w.ExternalPosition = a.place },
	} {
		for _, pause := range []time.Duration{time.Minute, 2 * time.Hour} { // the callers wait for an hour
			t.Run(fmt.Sprint(name, ", paused for ", pause), func(t *testing.T) {
				seed := rand.Uint64()
				t.Logf("seed %d", seed)
				synctest.Test(t, func(t *testing.T) {
					a := &ailing{random: rand.New(rand.NewPCG(seed, 0)), healthy: true}
					w := handling("w", a.handle)
					w.BatchSize = 2
					w.Policy = supervision.Policy{Intensity: 1000, Backoff: supervision.Backoff{Initial: time.Millisecond}}
					set(&w, a)
					a.callAll(t, w, pause)
				})
			})
		}
	}
}

func (a *ailing) callAll(t *testing.T, w cursor.Worker, pause time.Duration) {
	t.Helper()
	st, q := memory(t, store.Options{}), checkpoint.Request{}
	appendInputs(t, st, 20)
	sys := start(t, st, w)
	resume := func(ctx context.Context) error { return sys.Resume(ctx, "w", q) }
	replay := func(ctx context.Context) error {
		_, err := sys.Replay(ctx, "w", cursor.ParkedFilter{All: true}, q)
		return err
	}
	a.heal(false)
	var callers sync.WaitGroup
	for range 3 {
		for _, call := range []func(context.Context) error{
			resume, resume, replay,
			func(ctx context.Context) error { return sys.Pause(ctx, "w", time.Now().Add(pause), q) },
			func(ctx context.Context) error { return apply(ctx, sys, "w", checkpoint.Rewind{}) },
		} {
			callers.Go(func() {
				for range 50 {
					requireAnswer(t, call)
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	callers.Wait()
	a.heal(true)
	require.NoError(t, resume(t.Context()))
	require.NoError(t, replay(t.Context()))
	require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
}

func requireAnswer(t *testing.T, call func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	err := call(ctx)
	allowed := err == nil
	// A pause that had to wait for longer than it was to last is refused.
	for _, reason := range []error{actors.ErrHalted, cursor.ErrKey, cursor.ErrExternalPosition, store.ErrInvalid} {
		allowed = allowed || errors.Is(err, reason)
	}
	if !allowed {
		t.Errorf("%v", err)
	}
}
