package actors

import (
	"fmt"
	"runtime/debug"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"

	"github.com/penstock-io/penstock/supervision"
)

// crashed is the panic of an actor with its stack, which protoactor does not keep.
type crashed struct {
	value any
	stack []byte
}

// Error is what protoactor logs of it. The value follows in the entry of the system, redacted.
func (c *crashed) Error() string { return "panic" }

// recoverPanic is deferred first thing by the Receive of every actor. A panic while stopping
// would bring the actor back to life or leave its parent waiting forever, so it is only logged;
// any other one is passed on with its stack.
func (s *System) recoverPanic(c actor.Context) { passOn(s, c, recover()) }

// passOn is recoverPanic for what was recovered already.
func passOn(s *System, c actor.Context, value any) {
	if value == nil {
		return
	}
	stack := debug.Stack()
	switch c.Message().(type) {
	case *actor.Stopping, *actor.Stopped, *actor.Restarting:
		s.log.end("actor panicked while stopping", zap.String("actor", c.Self().GetId()), errorField(s.log.failureOf(value).Err),
			stackField(stack))
	default:
		panic(&crashed{value: value, stack: stack})
	}
}

// failureOf makes a failure of the reason that HandleFailure has.
func (j *journal) failureOf(reason any) supervision.Failure {
	f := supervision.Failure{Panic: true}
	if c, ok := reason.(*crashed); ok {
		reason, f.Stack = c.value, c.stack
	}
	if err, ok := reason.(error); ok {
		f.Err = fmt.Errorf("actors: panic: %w", err)
	} else {
		f.Err = fmt.Errorf("actors: panic: %v", reason)
	}
	f.Err = supervision.Capture(f.Err, j.redact.Text)
	return f
}
