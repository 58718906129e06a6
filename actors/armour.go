package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/supervision"
)

// crashed is the panic of an actor with its stack, which protoactor does not keep.
type crashed struct {
	value any
	stack []byte
}

// armour wraps the Receive of every actor. A panic while stopping would bring the actor back to life or leave its parent
// waiting for ever, so it is swallowed; any other one gets its stack.
func armour(next actor.ReceiverFunc) actor.ReceiverFunc {
	return func(c actor.ReceiverContext, envelope *actor.MessageEnvelope) {
		defer func() {
			value := recover()
			if value == nil {
				return
			}
			switch envelope.Message.(type) {
			case *actor.Stopping, *actor.Stopped, *actor.Restarting:
			default:
				panic(&crashed{value: value, stack: debug.Stack()})
			}
		}()
		next(c, envelope)
	}
}

// crash makes a failure of what HandleFailure was given.
func crash(reason any) supervision.Failure {
	if c, ok := reason.(*crashed); ok {
		return supervision.Failure{Err: fmt.Errorf("actors: panic: %v", c.value), Panic: true, Stack: c.stack}
	}
	return supervision.Failure{Err: fmt.Errorf("actors: panic: %v", reason), Panic: true}
}

// dispatcher runs an actor's mailbox on a goroutine of its own, like the default one, and gives it a new one when a handler
// ends it with runtime.Goexit: otherwise the mailbox would count as running for ever.
type dispatcher struct{}

// Schedule implements actor.Dispatcher.
func (d dispatcher) Schedule(mailbox func()) { go d.run(mailbox) }

func (d dispatcher) run(mailbox func()) {
	returned := false
	defer func() {
		if !returned {
			go d.run(mailbox)
		}
	}()
	mailbox()
	returned = true
}

// Throughput implements actor.Dispatcher: messages between two calls of runtime.Gosched.
func (dispatcher) Throughput() int { return 300 }
