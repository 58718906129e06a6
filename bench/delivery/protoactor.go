package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

func newActors() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// ActorIdle keeps plain actors that have been started and wait.
func ActorIdle(workers int) Run {
	return func(_ context.Context, _ Turn) (Result, error) {
		system := newActors()
		var started sync.WaitGroup
		started.Add(workers)
		props := actor.PropsFromProducer(func() actor.Actor { return &waiting{started: &started} })
		watched := watchMemory(workers)
		pids := make([]*actor.PID, workers)
		for i := range pids {
			var err error
			if pids[i], err = system.Root.SpawnNamed(props, fmt.Sprintf("worker-%d", i)); err != nil {
				return nil, err
			}
		}
		started.Wait()
		res := watched.result()
		for _, pid := range pids {
			_ = system.Root.StopFuture(pid).Wait()
		}
		return res, nil
	}
}

// waiting is an actor with nothing to do.
type waiting struct{ started *sync.WaitGroup }

func (w *waiting) Receive(ctx actor.Context) {
	if _, ok := ctx.Message().(*actor.Started); ok {
		w.started.Done()
	}
}
