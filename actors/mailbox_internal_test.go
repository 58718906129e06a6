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
