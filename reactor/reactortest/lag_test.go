package reactortest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// lagged is a worker with a random history, and what it has done in it.
type lagged struct {
	*testing.T
	random *rand.Rand
	run    *reactortest.Run
	wider  bool // it was widened, or begins with all that it may read
	ill    map[string]error
	done   map[store.Position]bool // what the handler got past
	saved  []store.Position        // positions that it has kept elsewhere
}

// handle fails at each event of an entity that is ill.
func (l *lagged) handle(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		if err := l.ill[e.Coordinate.Entity]; err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
		l.done[e.Position] = true
		if !b.Parked() {
			l.saved = append(l.saved, e.Position)
		}
	}
	return cursor.Continue, nil
}

// restored is where the worker has kept its position, or a copy of that from before.
func (l *lagged) restored(context.Context, cursor.ResumeState) (store.Position, error) {
	if len(l.saved) == 0 {
		return 0, nil
	}
	l.saved = l.saved[:1+l.random.IntN(len(l.saved))]
	return l.saved[len(l.saved)-1], nil
}

// laggards are workers whose lag is told in different ways.
var laggards = map[string]func(l *lagged, w *cursor.Worker){
	"everything":        func(l *lagged, _ *cursor.Worker) { l.wider = true },
	"one namespace":     func(_ *lagged, w *cursor.Worker) { w.Region.Entity = "a" },
	"a range of events": func(_ *lagged, w *cursor.Worker) { w.Region = store.Region{Entity: "a", MinVersion: 2, MaxVersion: 7} },
	"some kinds":        func(_ *lagged, w *cursor.Worker) { w.Kinds = []string{ordered{}.Kind()} },
	"lanes":             func(_ *lagged, w *cursor.Worker) { w.Region.Entity, w.Lanes = "a", 3 },
	"its own position":  func(l *lagged, w *cursor.Worker) { l.wider, w.ExternalPosition = true, l.restored },
}

func (l *lagged) worker(change func(*lagged, *cursor.Worker)) supervision.Child {
	w := cursor.Worker{
		Name: "w", BatchSize: 1 + l.random.IntN(4), Handle: l.handle,
		Policy: supervision.Policy{Attempts: 2},
	}
	change(l, &w)
	other := cursor.Worker{Name: "other", Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
		return cursor.Continue, nil
	}}
	return supervision.Group{Name: "lag", Children: []supervision.Child{w, other}}
}

func (l *lagged) entity() string { return fmt.Sprintf("%c:%d", 'a'+l.random.IntN(2), l.random.IntN(3)) }

func (l *lagged) position() store.Position {
	return store.Position(l.random.IntN(int(l.run.Store().Head()) + 1))
}

func (l *lagged) do(of string, order func(ctx context.Context, w cursor.Operator) error) {
	_ = l.run.Control(of, order) // what is refused changes nothing
}

// step is one random thing that happens.
func (l *lagged) step() {
	q := checkpoint.Request{Reason: "chance"}
	switch l.random.IntN(14) {
	case 0, 1, 2:
		for range 1 + l.random.IntN(4) {
			payload := store.Payload(ordered{})
			if l.random.IntN(3) == 0 {
				payload = billed{}
			}
			l.run.Given(reactortest.At(store.At(l.entity(), "test"), payload))
		}
	case 3, 4, 5:
		l.run.Step("w")
	case 6:
		l.run.Advance(time.Duration(l.random.IntN(5)) * time.Second)
	case 7:
		if e := l.entity(); l.ill[e] != nil {
			delete(l.ill, e)
		} else {
			l.ill[e] = []error{errors.New("ill"), supervision.Park(errors.New("poison"))}[l.random.IntN(2)]
		}
	case 8: // an audit event each
		of := []string{"w", "other"}[l.random.IntN(2)]
		l.do(of, func(ctx context.Context, w cursor.Operator) error { return w.Pause(ctx, time.Time{}, q) })
		l.do(of, func(ctx context.Context, w cursor.Operator) error { return w.Resume(ctx, q) })
	case 9:
		l.do("w", func(ctx context.Context, w cursor.Operator) error {
			_, err := w.Replay(ctx, cursor.ParkedFilter{Key: l.entity()}, q)
			return err
		})
	case 10:
		to := l.position()
		l.do("w", func(ctx context.Context, w cursor.Operator) error {
			_, err := w.Discard(ctx, cursor.ParkedFilter{Position: to}, q)
			return err
		})
	case 11:
		to := l.position()
		l.do("w", func(ctx context.Context, w cursor.Operator) error {
			_, err := w.Apply(ctx, checkpoint.Rewind{To: to}, q)
			return err
		})
	case 12:
		if !l.wider {
			l.do("w", func(ctx context.Context, w cursor.Operator) error {
				_, err := w.Apply(ctx, checkpoint.Widen{}, q)
				l.wider = l.wider || err == nil
				return err
			})
		}
	case 13:
		l.run.Crash(l.random.Uint64())
	}
}

// The lag is compared with what comes to an end when nothing is in the way any more: what the
// handler gets, and what is held after events that are parked already.
func (l *lagged) check() {
	l.Helper()
	if l.run.Status("w").State == actors.Halted {
		l.run.Resume("w")
	}
	lag := l.run.Status("w").Lag
	waits := make(map[store.Position]bool)
	before := l.run.Parked("w")
	clear(l.ill)
	clear(l.done)
	l.run.Resume("w")
	l.run.Advance(time.Hour)
	require.Equal(l, actors.Idle, l.run.Status("w").State)
	for p := range l.done {
		waits[p] = true
	}
	for _, p := range l.run.Parked("w") {
		waits[p.Position] = true
	}
	for _, p := range before {
		delete(waits, p.Position)
	}
	require.Len(l, waits, lag, "%v", slices.Sorted(maps.Keys(waits)))
	require.Zero(l, l.run.Status("w").Lag)
}

func TestTheLagIsWhatIsStillToBeHandledAfterAnyHistory(t *testing.T) {
	rounds, seed := uint64(60), rand.Uint64()
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
		rounds = 1
	}
	if os.Getenv("PENSTOCK_SOAK") != "" {
		rounds = 10_000
	}
	for name, change := range laggards {
		t.Run(name, func(t *testing.T) {
			for round := range rounds {
				t.Run(fmt.Sprintf("PENSTOCK_SEED=%d", seed+round), func(t *testing.T) {
					l := &lagged{
						T: t, random: rand.New(rand.NewPCG(seed+round, 2)), ill: make(map[string]error),
						done: make(map[store.Position]bool),
					}
					l.run = reactortest.Start(t, l.worker(change))
					for range 1 + l.random.IntN(40) {
						l.step()
					}
					l.check()
				})
			}
		})
	}
}
