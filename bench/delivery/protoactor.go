package delivery

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

func newActors() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.DiscardHandler)
	}))
}

// Messages of the actor that is measured.
type (
	tell struct{ n int }
	page struct{ events []int }
	ask  struct{ reply chan<- int } // an answer on a channel
	call struct{}                   // an answer to a future
)

// counter adds up the numbers that it is sent. One value belongs to one actor, which alone touches
// sum.
type counter struct{ sum int }

func (c *counter) Receive(ctx actor.Context) {
	switch m := ctx.Message().(type) {
	case *tell:
		c.sum += m.n
	case *page:
		for _, n := range m.events {
			c.sum += n
		}
	case *ask:
		m.reply <- c.sum
	case *call:
		ctx.Respond(c.sum)
	}
}

// pageEvents is the size of a page, as Penstock's workers pull them.
const pageEvents = 256

// ActorHop sends a plain actor events, one by one or in pages of 256, and asks it and waits for the
// answer: a channel in the message where inPages, else a future.
func ActorHop(inPages bool) Run {
	return func(context.Context, Turn) (Result, error) {
		const n = 1 << 20
		system := newActors()
		root := system.Root
		pid := root.Spawn(actor.PropsFromProducer(func() actor.Actor { return &counter{} }))
		defer func() { _ = root.StopFuture(pid).Wait() }()

		messages := make([]any, 0, n)
		if inPages {
			events := make([]int, pageEvents)
			for range n / pageEvents {
				messages = append(messages, &page{events: events})
			}
		} else {
			one := &tell{n: 1}
			for range n {
				messages = append(messages, one)
			}
		}
		reply := make(chan int, 1)
		began := time.Now()
		for _, m := range messages {
			root.Send(pid, m)
		}
		root.Send(pid, &ask{reply: reply})
		<-reply
		took := time.Since(began)
		trips, err := roundTrips(func() error {
			if inPages {
				root.Send(pid, &ask{reply: reply})
				<-reply
				return nil
			}
			_, err := root.RequestFuture(pid, &call{}, time.Second).Result()
			return err
		})
		return hop(float64(took)/n, trips), err
	}
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
