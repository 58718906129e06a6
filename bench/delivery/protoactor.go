package delivery

import (
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
)

const memory = "none: messages in memory"

func newActors() *actor.ActorSystem {
	return actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}))
}

// protoactorReactor: an actor that gets orders and tells the answers to another one.
func protoactorReactor() Contestant {
	return Contestant{Name: "protoactor", Promise: memory, Run: func(env Env) ([]float64, error) {
		sys := newActors()
		done := make(chan struct{})
		answers := 0
		sink := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if _, ok := c.Message().([]byte); ok {
				if answers++; answers == env.Events {
					close(done)
				}
			}
		}))
		worker := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			if data, ok := c.Message().([]byte); ok {
				out, err := answerJSON(data)
				if err != nil {
					panic(err)
				}
				c.Send(sink, out)
			}
		}))
		inputs := make([][]byte, loadBatch)
		for i := range inputs {
			inputs[i] = orderJSON(i)
		}
		began := time.Now()
		for i := range env.Events {
			sys.Root.Send(worker, inputs[i%loadBatch])
		}
		<-done
		took := time.Since(began)
		sys.Shutdown()
		return []float64{perSecond(env.Events, took)}, nil
	}}
}

// protoactorIdle: bare actors.
func protoactorIdle() Contestant {
	return Contestant{Name: "protoactor", Promise: "an empty actor", Run: func(Env) ([]float64, error) {
		before := footprint()
		sys := newActors()
		props := actor.PropsFromFunc(func(actor.Context) {})
		for range idlers {
			sys.Root.Spawn(props)
		}
		time.Sleep(100 * time.Millisecond)
		figures := footprint().since(before)
		sys.Shutdown()
		return figures, nil
	}}
}

// goroutineIdle: a goroutine each that waits for a channel.
func goroutineIdle() Contestant {
	return Contestant{Name: "goroutine", Promise: "a goroutine that waits for its channel", Run: func(Env) ([]float64, error) {
		before := footprint()
		stop := make(chan struct{})
		inboxes := make([]chan []byte, idlers)
		var wait sync.WaitGroup
		for i := range inboxes {
			inboxes[i] = make(chan []byte)
			wait.Go(func() {
				select {
				case <-inboxes[i]:
				case <-stop:
				}
			})
		}
		time.Sleep(100 * time.Millisecond)
		figures := footprint().since(before)
		close(stop)
		wait.Wait()
		return figures, nil
	}}
}

// protoactorHop: what protoactor itself takes.
func protoactorHop() Contestant {
	return Contestant{Name: "protoactor", Promise: memory, Run: func(env Env) ([]float64, error) {
		sys := newActors()
		done := make(chan struct{})
		got, want := 0, max(env.Events, 100_000)
		counter := sys.Root.Spawn(actor.PropsFromFunc(func(c actor.Context) {
			switch c.Message().(type) {
			case int:
				if got++; got == want {
					close(done)
				}
			case string:
				c.Respond("answer")
			}
		}))
		message := any(1)
		began := time.Now()
		for range want {
			sys.Root.Send(counter, message)
		}
		<-done
		tell := time.Since(began)
		trips := want / 100
		began = time.Now()
		for range trips {
			if _, err := sys.Root.RequestFuture(counter, "question", time.Minute).Result(); err != nil {
				return nil, err
			}
		}
		trip := time.Since(began)
		sys.Shutdown()
		return []float64{float64(tell) / float64(want), micros(trip) / float64(trips)}, nil
	}}
}
