package actors

import (
	"sync"
	"sync/atomic"

	"github.com/asynkron/protoactor-go/actor"

	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
)

// underway is the commit that a worker has submitted, one at a time. Nothing waits for its answer:
// the goroutine that commits leaves it here, and sends a message where the actor has looked for it
// already.
//
//	none --begin--> sent --answer--> here --look--> none
//	                 |                ^
//	                look            answer, with a message
//	                 v                |
//	                awaited ----------+
//
// The phase orders all else: begin writes it before the commit is submitted, answer before the
// actor can find it here.
type underway struct {
	phase atomic.Uint32
	end   sync.WaitGroup // of the commit and its message, for an actor that stops

	// Never changed.
	shown   *published
	root    *actor.RootContext
	self    *actor.PID
	message *answered
	tell    func(error) // answer

	beside  bool           // a batch may be handled meanwhile
	upTo    store.Position // everything up to here is done once it is in the log
	handled int            // events that it writes
	written bool           // it is in the log; set by answer
}

// The phases of a commit under way.
const (
	underwayNone uint32 = iota
	underwaySent
	underwayAwaited
	underwayHere
)

func newUnderway(w *worker, c actor.Context) *underway {
	u := &underway{shown: &w.node.published, root: c.ActorSystem().Root, self: c.Self(), message: &answered{w.id}}
	u.tell = u.answer
	return u
}

// begin is called before a commit is submitted.
func (u *underway) begin(s drive.Submission) {
	u.handled, u.upTo = s.Covers()
	u.beside, u.written = !s.Alone(), false
	u.end.Add(1)
	u.phase.Store(underwaySent)
}

// answer runs on the goroutine that commits. It publishes the position where the actor may be with
// the next batch: a caller that waits for an event does not wait for the handler of that. Else the
// actor does, and holds up no other commit.
func (u *underway) answer(err error) {
	if u.written = err == nil; u.written && u.beside {
		u.shown.reached(u.upTo, u.handled)
	}
	defer u.end.Done() // last: a message to an actor that has ended is one more for the program's log
	if u.phase.Swap(underwayHere) == underwayAwaited {
		u.root.Send(u.self, u.message)
	}
}

// look reports whether the answer is here, and takes it. Otherwise a message follows.
func (u *underway) look() bool {
	switch {
	case u.phase.CompareAndSwap(underwaySent, underwayAwaited), u.phase.Load() == underwayAwaited:
		return false
	}
	u.phase.Store(underwayNone)
	return true
}
