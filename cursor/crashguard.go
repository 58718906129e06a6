package cursor

import (
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// crashGuard finds the event that ends the process. After an end that was not in good order it is
// on: what may have been in flight then is handled one by one, and before each of these events an
// attempt mark is made durable. A process that finds the mark knows at which event its predecessor
// ended, and counts.
//
//	off --arm--> on --begin(event)--> marked --survived--> on
//	              ^                     |
//	              |                  process ends: the next one is armed with the mark, crashes + 1
//	              +-- expire: everything that may have been in flight is passed --> off
//
// Normal running pays nothing.
type crashGuard struct {
	*shared

	until   store.Position // no event after this may have killed the process
	event   store.Position // the attempt mark: the event handled last while on, 0 for none
	left    int32          // so many besides parked ones may still be the one; 0 means off
	crashes uint32         // ends of processes at that event; while it is handled, the present attempt included
}

// arm turns the guard on, with the mark that the process before left.
func (g *crashGuard) arm(left int, until store.Position, r checkpoint.Record) {
	g.left, g.until, g.event, g.crashes = int32(left), until, r.Trying, r.Tries
}

func (g *crashGuard) disarm() { g.left, g.until, g.event, g.crashes = 0, 0, 0, 0 }

// on reports whether something is not passed yet that may have been in flight.
func (g *crashGuard) on() bool {
	return g.left > 0 && (g.win.floor() < g.until || g.list.replaying())
}

// expire turns the guard off once it is passed, for good: a replay that begins later is none of its
// business.
func (g *crashGuard) expire() {
	if g.left > 0 && !g.on() {
		g.disarm()
	}
}

// marked returns the event at which a process ended, 0 if there is none.
func (g *crashGuard) marked() store.Position {
	if g.left == 0 || g.crashes == 0 {
		return 0
	}
	return g.event
}

// begin moves the mark to an event, and returns how many processes ended at it. It counts as one
// more from then on, until the attempt is survived or taken back.
func (g *crashGuard) begin(event store.Position) (crashes int) {
	if g.event != event {
		g.event, g.crashes = event, 0
	}
	g.crashes++
	return int(g.crashes) - 1
}

// survived takes the attempt that began last off the count: the process lives, or the attempt was
// not made. The guard may have been cleared meanwhile.
func (g *crashGuard) survived() {
	if g.crashes > 0 {
		g.crashes--
	}
}

// forget drops the mark of an event about which was decided.
func (g *crashGuard) forget(event store.Position) {
	if g.event == event {
		g.event, g.crashes = 0, 0
	}
}

// committed notes that events which are not parked were handled and committed.
func (g *crashGuard) committed(n int) { g.left = max(0, g.left-int32(n)) }

// stamp puts the mark in what a commit says of the checkpoint.
func (g *crashGuard) stamp(m *checkpoint.Move) {
	if g.left > 0 && g.event > 0 {
		m.Trying, m.Tries = g.event, g.crashes
	}
}
