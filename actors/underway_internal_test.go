package actors

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

// receiver is a process that takes the messages of an actor.
type receiver struct {
	actor.Process // nil: nothing else is called
	receive       func(message any)
}

func (r *receiver) SendUserMessage(_ *actor.PID, message any) { r.receive(message) }

// An actor that stops waits for the end of its commit. Were the message sent after that it would
// be a dead letter, and the goroutine that commits would write it to the log of the program.
func TestTheMessageOfAnAnswerIsSentBeforeAnActorThatStopsGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stopped atomic.Bool
		sent := false
		system := actor.NewActorSystem(actor.WithLoggerFactory(func(*actor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }))
		self, _ := system.ProcessRegistry.Add(&receiver{receive: func(message any) {
			synctest.Wait()
			sent = true
			require.IsType(t, &answered{}, message)
			require.False(t, stopped.Load())
		}}, "w")
		u := underway{root: system.Root, self: self, message: &answered{}}
		u.phase.Store(underwaySent)
		u.end.Add(1)
		require.False(t, u.look())
		go func() {
			u.end.Wait()
			stopped.Store(true)
		}()
		u.answer(nil)
		synctest.Wait()
		require.True(t, sent)
		require.True(t, stopped.Load())
		require.True(t, u.look())
	})
}
