package actors

import (
	"runtime"
	"slices"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
)

// newProps makes the properties of an actor of ours.
func newProps(d *dispatcher, producer actor.Producer) *actor.Props {
	return actor.PropsFromProducer(producer, actor.WithDispatcher(d), actor.WithMailbox(newMailbox))
}

// mailbox is that of an actor of ours. It does what the library's does: messages of the system come
// before others, each kind in the order in which it was sent; one goroutine of the dispatcher
// receives while there are any, and none while an actor that panicked is suspended. But one that is
// empty takes a third of the memory, as a system may have very many that wait, and a message
// allocates nothing.
//
// It drops what is sent to it before its actor has begun. The library registers a new actor under
// its name first and then tells the mailbox where to deliver: a message for an actor that had the
// same name before, sent by a goroutine that has not seen it end, would meet a mailbox that is
// still being made. Nothing is lost: no caller knows the new actor yet, and what is for the old one
// would be ignored for its generation.
type mailbox struct {
	// Set before the first message, Started, and never changed.
	invoker    actor.MessageInvoker
	dispatcher actor.Dispatcher
	receive    func() // run, made once

	// mu guards what follows. It is held for a few assignments.
	mu        sync.Mutex
	system    []any // mostly few in the life of an actor
	user      []any // from first on
	first     int
	begun     bool // Started was sent
	running   bool // run is scheduled, or runs
	suspended bool // the system alone is received
}

// keptMessages is how many messages an empty mailbox keeps the memory of.
const keptMessages = 8

func newMailbox() actor.Mailbox {
	m := new(mailbox)
	m.receive = m.run
	return m
}

// RegisterHandlers implements actor.Mailbox.
func (m *mailbox) RegisterHandlers(invoker actor.MessageInvoker, dispatcher actor.Dispatcher) {
	m.invoker, m.dispatcher = invoker, dispatcher
}

// Start implements actor.Mailbox.
func (*mailbox) Start() {}

// PostUserMessage implements actor.Mailbox.
func (m *mailbox) PostUserMessage(message any) { m.post(message, false) }

// PostSystemMessage implements actor.Mailbox.
func (m *mailbox) PostSystemMessage(message any) { m.post(message, true) }

// UserMessageCount implements actor.Mailbox.
func (m *mailbox) UserMessageCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.user) - m.first
}

func (m *mailbox) post(message any, system bool) {
	if m.put(message, system) {
		m.dispatcher.Schedule(m.receive)
	}
}

// put queues a message, and reports whether run has to be scheduled for it.
func (m *mailbox) put(message any, system bool) (schedule bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, started := message.(*actor.Started); started && system {
		m.begun = true
	}
	switch {
	case !m.begun:
		return false
	case system:
		m.system = append(m.system, message)
	default:
		if len(m.user) == cap(m.user) && 2*m.first > len(m.user) {
			m.user, m.first = slices.Delete(m.user, 0, m.first), 0
		}
		m.user = append(m.user, message)
	}
	schedule = !m.running && (system || !m.suspended)
	m.running = m.running || schedule
	return schedule
}

// run receives messages until none is left that may be received. It is scheduled again where a
// handler has ended its goroutine.
func (m *mailbox) run() {
	most := m.dispatcher.Throughput()
	for n := 1; ; n++ {
		message, system := m.next()
		if message == nil {
			return
		}
		m.invoke(message, system)
		if n%most == 0 {
			runtime.Gosched()
		}
	}
}

// invoke has the actor receive a message. A panic is a matter of its supervisor.
func (m *mailbox) invoke(message any, system bool) {
	defer func() {
		if reason := recover(); reason != nil {
			m.invoker.EscalateFailure(reason, message)
		}
	}()
	if system {
		m.invoker.InvokeSystemMessage(message)
	} else {
		m.invoker.InvokeUserMessage(message)
	}
}

// next returns the next message, nil where there is none that may be received: then run ends, and
// the next message has it scheduled.
func (m *mailbox) next() (message any, system bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.system) > 0 {
		message = m.system[0]
		if m.system = m.system[1:]; len(m.system) == 0 {
			m.system = nil
		}
		switch message.(type) {
		case *actor.SuspendMailbox:
			m.suspended = true
		case *actor.ResumeMailbox:
			m.suspended = false
		default:
			return message, true
		}
	}
	if m.suspended || m.first == len(m.user) {
		m.running = false
		return nil, false
	}
	return m.pop(), false
}

// pop is called with mu held.
func (m *mailbox) pop() (message any) {
	message, m.user[m.first] = m.user[m.first], nil
	if m.first++; m.first < len(m.user) {
		return message
	}
	if m.first = 0; cap(m.user) > keptMessages {
		m.user = nil
	}
	m.user = m.user[:0]
	return message
}
