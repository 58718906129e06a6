package actors

import (
	"sync"
	"testing"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
)

// received is an invoker that keeps what it is given.
type received struct {
	actor.MessageInvoker // never called
	user, system         []any
}

func (r *received) InvokeUserMessage(message any)   { r.user = append(r.user, message) }
func (r *received) InvokeSystemMessage(message any) { r.system = append(r.system, message) }

// atOnce is a dispatcher that runs a mailbox on the goroutine of the sender.
type atOnce struct{}

func (atOnce) Schedule(mailbox func()) { mailbox() }
func (atOnce) Throughput() int         { return 1 }

func TestAMailboxInTheMakingDropsWhatIsForTheActorBefore(t *testing.T) {
	m, got := newMailbox(), new(received)
	m.PostUserMessage("for the one before")
	m.PostSystemMessage(&actor.Stop{})
	m.RegisterHandlers(got, atOnce{})
	m.PostUserMessage("for the one before, too")
	require.Empty(t, got.user)
	started := &actor.Started{}
	m.PostSystemMessage(started)
	m.PostUserMessage("for this one")
	require.Equal(t, []any{started}, got.system)
	require.Equal(t, []any{"for this one"}, got.user)
}

// Without a mailbox of ours this is a data race, and now and then the end of the process.
func TestActorsOfOneNameFollowEachOtherWhileMessagesArrive(t *testing.T) {
	system := actor.NewActorSystem()
	props := newProps(new(dispatcher), func() actor.Actor { return actor.ReceiveFunc(func(actor.Context) {}) })
	var senders sync.WaitGroup
	stop := make(chan struct{})
	pid := actor.NewPID(system.Address(), "w")
	for range 2 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					system.Root.Send(actor.NewPID(pid.Address, pid.Id), &tick{})
				}
			}
		})
	}
	for range 500 {
		spawned, err := system.Root.SpawnNamed(props, "w")
		require.NoError(t, err)
		require.NoError(t, system.Root.StopFuture(spawned).Wait())
	}
	close(stop)
	senders.Wait()
}

// scheduled is a dispatcher that keeps what it is given, and runs it by hand.
type scheduled struct{ mailboxes []func() }

func (s *scheduled) Schedule(mailbox func()) { s.mailboxes = append(s.mailboxes, mailbox) }
func (*scheduled) Throughput() int           { return 1 }

func (s *scheduled) run() {
	for len(s.mailboxes) > 0 {
		next := s.mailboxes[0]
		s.mailboxes = s.mailboxes[1:]
		next()
	}
}

// ordered is an invoker that keeps the order of all messages, and fails as it is told.
type ordered struct {
	mailbox   actor.Mailbox
	list      []any
	fails     any // this message panics
	escalated []any
}

func (o *ordered) InvokeUserMessage(message any) {
	o.list = append(o.list, message)
	if message == o.fails {
		panic("broken")
	}
}

func (o *ordered) InvokeSystemMessage(message any) { o.InvokeUserMessage(message) }

func (o *ordered) EscalateFailure(_, message any) {
	o.escalated = append(o.escalated, message)
	o.mailbox.PostSystemMessage(&actor.SuspendMailbox{})
}

// begunMailbox is one whose actor has begun.
func begunMailbox() (actor.Mailbox, *scheduled, *ordered) {
	m, d := newMailbox(), new(scheduled)
	o := &ordered{mailbox: m}
	m.RegisterHandlers(o, d)
	m.PostSystemMessage(&actor.Started{})
	d.run()
	o.list = nil
	return m, d, o
}

func TestAMailboxGivesMessagesOfTheSystemBeforeOthersAndIsScheduledOnce(t *testing.T) {
	m, d, o := begunMailbox()
	m.PostUserMessage(1)
	m.PostUserMessage(2)
	m.PostSystemMessage("a")
	m.PostSystemMessage("b")
	require.Equal(t, 2, m.UserMessageCount())
	require.Len(t, d.mailboxes, 1)
	d.run()
	require.Equal(t, []any{"a", "b", 1, 2}, o.list)
	m.PostUserMessage(3)
	d.run()
	require.Equal(t, []any{"a", "b", 1, 2, 3}, o.list)
	require.Zero(t, m.UserMessageCount())
}

func TestAMailboxOfAnActorThatPanickedGivesOnlyMessagesOfTheSystemUntilItIsResumed(t *testing.T) {
	m, d, o := begunMailbox()
	o.fails = 1
	m.PostUserMessage(1)
	m.PostUserMessage(2)
	d.run()
	require.Equal(t, []any{1}, o.escalated)
	m.PostUserMessage(3)
	require.Empty(t, d.mailboxes, "nothing to receive")
	m.PostSystemMessage("a")
	d.run()
	require.Equal(t, []any{1, "a"}, o.list)
	m.PostSystemMessage(&actor.ResumeMailbox{})
	d.run()
	require.Equal(t, []any{1, "a", 2, 3}, o.list)
}

func TestAMailboxLosesNoMessageAndKeepsTheOrderOfEachSender(t *testing.T) {
	const senders, each = 4, 5_000
	var last [senders]int
	done := make(chan struct{})
	count := 0
	props := newProps(new(dispatcher), func() actor.Actor {
		return actor.ReceiveFunc(func(c actor.Context) {
			m, ok := c.Message().([2]int)
			if !ok {
				return
			}
			if last[m[0]]++; last[m[0]] != m[1] {
				t.Errorf("message %d of sender %d comes as %d", m[1], m[0], last[m[0]])
			}
			if count++; count == senders*each {
				close(done)
			}
		})
	})
	system := actor.NewActorSystem()
	pid := system.Root.Spawn(props)
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for n := range each {
				system.Root.Send(pid, [2]int{s, n + 1})
			}
		})
	}
	group.Wait()
	<-done
	require.NoError(t, system.Root.StopFuture(pid).Wait())
}

func TestAMessageThroughAMailboxAllocatesNothingAndABurstLeavesNoMemory(t *testing.T) {
	m, d, o := begunMailbox()
	message, run := any(&tick{}), d.mailboxes[:0]
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d.mailboxes, o.list = run, o.list[:0]
		m.PostUserMessage(message)
		run = d.mailboxes
		d.run()
	}))
	for range 10 * keptMessages {
		m.PostUserMessage(message)
	}
	d.run()
	require.Nil(t, m.(*mailbox).user)
}
