package actors

import (
	"context"
	"runtime"
	"runtime/pprof"
	"slices"
	"sync"
)

// dispatcher runs the mailboxes of a system that have messages, in turn, on as few goroutines as
// that takes: one for each mailbox in which something waits, and one for each processor. A
// goroutine that has run a mailbox takes the next one. Before it runs one while others are queued
// it starts a spare goroutine, unless there is one:
//
//	runner   mailbox, mailbox, mailbox ...         empty: it ends
//	spare    . . . . not run yet . . . .           empty: it ends
//
//	runner   mailbox, a handler waits, or is preempted
//	spare                    mailbox, mailbox ...  it is a runner now, and has started another spare
//
// So no mailbox waits for another one that waits, as if each had a goroutine. But a thousand
// workers whose commits are answered at once need a few goroutines, whose stacks are in the caches
// of the processors already, and have grown.
//
// A mailbox that ends its goroutine with runtime.Goexit, as a handler may, is queued again:
// otherwise it would count as running forever. Goroutines end when nothing is queued; those of a
// system, at the latest when its last actor has ended.
type dispatcher struct {
	mu    sync.Mutex // held for a look at the queue
	queue []func()   // from first on
	first int
	spare bool // a goroutine was started that has not looked yet; always so while something is queued
}

// mailboxes is how many are run in a row until others get the processor.
const mailboxes = 64

// Schedule implements actor.Dispatcher.
func (d *dispatcher) Schedule(mailbox func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == cap(d.queue) && 2*d.first > len(d.queue) {
		d.queue, d.first = slices.Delete(d.queue, 0, d.first), 0
	}
	d.queue = append(d.queue, mailbox)
	d.keepSpare()
}

// keepSpare is called with mu held.
func (d *dispatcher) keepSpare() {
	if !d.spare {
		d.spare = true
		go d.run()
	}
}

// run is a goroutine. It has the labels of the one that started it, which may be a handler's.
func (d *dispatcher) run() {
	pprof.SetGoroutineLabels(context.Background())
	var mailbox func()
	defer func() {
		if mailbox != nil { // it has ended the goroutine
			d.Schedule(mailbox)
		}
	}()
	growStack(0)
	mailbox = d.next(true)
	for n := 1; mailbox != nil; n++ {
		mailbox()
		if n%mailboxes == 0 {
			runtime.Gosched()
		}
		mailbox = d.next(false)
	}
}

// stackBytes is about what the stack of a worker needs that commits.
const stackBytes = 8 << 10

// growStack makes room on the stack of a goroutine that is new. Else it would grow step by step,
// and be copied with ever more frames on it, each time that a worker wakes up.
//
//go:noinline
func growStack(i int) byte {
	var room [stackBytes]byte
	return room[i]
}

// next returns the next mailbox, nil where there is none.
func (d *dispatcher) next(spare bool) func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if spare {
		d.spare = false
	}
	if d.first == len(d.queue) {
		return nil
	}
	mailbox := d.queue[d.first]
	d.queue[d.first] = nil
	if d.first++; d.first < len(d.queue) {
		d.keepSpare()
	} else {
		d.queue, d.first = d.queue[:0], 0
	}
	return mailbox
}

// Throughput implements actor.Dispatcher: messages of a mailbox between two calls of
// runtime.Gosched.
func (*dispatcher) Throughput() int { return 300 }
