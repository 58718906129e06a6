package actors

import (
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"
)

// newProps makes the properties of an actor of ours.
func newProps(d *dispatcher, producer actor.Producer) *actor.Props {
	return actor.PropsFromProducer(producer, actor.WithDispatcher(d), actor.WithMailbox(newMailbox))
}

// mailbox drops what is sent to it before its actor has begun. The library registers a new actor
// under its name first and then tells the mailbox where to deliver: a message for an actor that had
// the same name before, sent by a goroutine that has not seen it end, would meet a mailbox that is
// still being made, and end the process with a nil dispatcher. Nothing is lost: no caller knows the
// new actor yet, and what is for the old one would be ignored for its generation.
type mailbox struct {
	actor.Mailbox
	begun atomic.Bool // set before the first message, Started, is queued; orders it after RegisterHandlers
}

//nolint:gochecknoglobals // the producer has no state
var unbounded = actor.Unbounded()

func newMailbox() actor.Mailbox { return &mailbox{Mailbox: unbounded()} }

// PostUserMessage implements actor.Mailbox.
func (m *mailbox) PostUserMessage(message any) {
	if m.begun.Load() {
		m.Mailbox.PostUserMessage(message)
	}
}

// PostSystemMessage implements actor.Mailbox.
func (m *mailbox) PostSystemMessage(message any) {
	if _, started := message.(*actor.Started); started {
		m.begun.Store(true)
	}
	if m.begun.Load() {
		m.Mailbox.PostSystemMessage(message)
	}
}
