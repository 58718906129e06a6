package cursor

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Scheduled is a reaction, and when it is written.
type Scheduled struct {
	// Due is the zero time where it is written at once. Ticket takes back what is not.
	Due    time.Time
	Ticket Ticket
	// Event that it is a reaction to.
	Event    store.Position
	Proposal store.Proposal
}

// Ticket takes back what was scheduled, see [Batch.Unschedule]. It is a short text, to be kept
// as long as one likes, also in the state that decides about it. "" is for nothing.
type Ticket string

const ticketBytes = 38

// ticketOf has the time first, in milliseconds, so that keys ascend by it, and a number among those
// of the event. It ends as the key of each side value does that is about an event, see
// store.Erasure.
func ticketOf(due time.Time, n int, event store.Position) Ticket {
	return Ticket(fmt.Sprintf("%016x/%04x/%016x", milliseconds(due), n, uint64(event)))
}

// Due is when what it is for is written, at the earliest; the zero time for a text that is no
// ticket.
func (t Ticket) Due() time.Time {
	due, _, known := t.split()
	if !known {
		return time.Time{}
	}
	return due
}

// split returns the time and the event of a ticket.
func (t Ticket) split() (due time.Time, event store.Position, ok bool) {
	parts := strings.Split(string(t), "/")
	if len(parts) != 3 {
		return time.Time{}, 0, false
	}
	ms, badTime := strconv.ParseUint(parts[0], 16, 63)
	_, badNumber := strconv.ParseUint(parts[1], 16, 16)
	p, badEvent := strconv.ParseUint(parts[2], 16, 64)
	ok = errors.Join(badTime, badNumber, badEvent) == nil && len(t) == ticketBytes
	return time.UnixMilli(int64(ms)).UTC(), store.Position(p), ok
}

// ticketIn is the ticket in the key of what is scheduled.
func ticketIn(first checkpoint.ID, key string) Ticket {
	return Ticket(strings.TrimPrefix(key, checkpoint.DuePrefix(first)))
}

// ScheduledEvents yields what a worker has scheduled, soonest first, as the log has it: with or
// without a system that runs the worker, also in a store that was opened to read. The payloads are
// encoded, each a [store.Raw]. One that cannot be read comes with its error, and with all that its
// ticket says; the rest follow. Any other error is the last thing that it yields: those of
// [checkpoint.Inspect], and [store.ErrClosed].
func ScheduledEvents(st *store.Store, id checkpoint.ID) iter.Seq2[Scheduled, error] {
	return func(yield func(Scheduled, error) bool) {
		info, err := checkpoint.Inspect(st, id)
		if err != nil {
			yield(Scheduled{}, fmt.Errorf("cursor: scheduled events: %w", err))
			return
		}
		first := info.Record.FirstName(id)
		for side, err := range st.Sides(checkpoint.DuePrefix(first)) {
			if !yield(scheduledIn(first, side, err)) {
				return
			}
		}
	}
}

// scheduledIn is what a side value keeps, or what is left of one that could not be read.
func scheduledIn(first checkpoint.ID, side store.SideValue, err error) (Scheduled, error) {
	s := Scheduled{Ticket: ticketIn(first, side.Key)}
	s.Due, s.Event, _ = s.Ticket.split()
	d, err := readDue(s.Ticket, side, err)
	if err != nil {
		return s, fmt.Errorf("cursor: scheduled event %q: %w", s.Ticket, err)
	}
	s.Proposal = d.proposal(nil)
	return s, nil
}

// readDue decodes the side value of a ticket; damage is the error of one that cannot be read.
func readDue(t Ticket, side store.SideValue, damage error) (d dueEvent, err error) {
	if damage != nil {
		return d, damage
	}
	if _, _, known := t.split(); !known {
		return d, checkpoint.ErrCorrupt
	}
	return decodeDue(side.Value)
}
