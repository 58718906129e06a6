package cursor_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// ledger says what a worker owes, from nothing but the log: the events it reads, its reactions, and
// the audit events that tell what was done to it. So it is right after any crash.
type ledger struct {
	t      *testing.T
	st     *store.Store
	name   checkpoint.ID
	at     store.Position // read up to here
	narrow bool           // the worker reads events of kind a.x only
	events map[store.Position]*owed
	parked map[store.Position]checkpoint.Parked // before the control whose audit event comes next
}

// owed is one event.
type owed struct {
	line    string // what must be in order with it
	kind    string
	had     bool // its reaction was written since the last reset, or it was skipped
	ask     bool // its reaction is to be written again
	deliver bool // it was not handled since the worker was moved to before it
}

func newLedger(t *testing.T, narrow bool) *ledger {
	return &ledger{t: t, narrow: narrow, events: make(map[store.Position]*owed)}
}

func (l *ledger) reads(o *owed) bool { return !l.narrow || o.kind == "a.x" }

// fold reads on. An error is one of the disk.
func (l *ledger) fold(st *store.Store) error {
	l.st = st
	for l.at < st.Head() {
		e, err := st.GetAt(l.t.Context(), l.at+1)
		if err != nil {
			return err
		}
		l.at++
		switch {
		case e.Coordinate.Scope == store.ReservedScope:
			var a checkpoint.Audit
			require.NoError(l.t, e.Decode(&a))
			l.audit(e.Kind, a)
		case e.Coordinate.Entity == "out":
			var r reserved
			require.NoError(l.t, e.Decode(&r))
			l.reaction(r.For)
		case strings.HasPrefix(e.Coordinate.Entity, "in:"):
			l.events[l.at] = &owed{line: e.Coordinate.Entity + " " + e.Kind, kind: e.Kind}
		}
	}
	return nil
}

func (l *ledger) reaction(p store.Position) {
	o := l.events[p]
	if o.had && !o.ask {
		l.t.Fatalf("event %d emits again, and no rewind said so", p)
	}
	for q, before := range l.events {
		if q < p && before.line == o.line && (!before.had || before.ask) {
			l.t.Fatalf("event %d of %s emits before event %d", p, o.line, q)
		}
	}
	o.had, o.ask = true, false
}

// giveUp is for an event that is never handled, or not again.
func (o *owed) giveUp() { o.had, o.ask, o.deliver = true, false, false }

func (l *ledger) audit(kind string, a checkpoint.Audit) {
	switch kind {
	case checkpoint.AuditSkipped, checkpoint.AuditDiscarded:
		l.events[a.Position].giveUp()
	case checkpoint.AuditWidened:
		l.widen()
	case checkpoint.AuditRewound, checkpoint.AuditReset:
		l.rewind(kind, a)
	case checkpoint.AuditSkippedTo:
		for p, o := range l.events {
			if _, parked := l.parked[p]; p <= a.To && l.reads(o) && !parked {
				o.giveUp()
			}
		}
	}
}

func (l *ledger) widen() {
	for _, o := range l.events {
		o.deliver = o.deliver || !l.reads(o)
	}
	l.narrow = false
}

func (l *ledger) rewind(kind string, a checkpoint.Audit) {
	for p, o := range l.events {
		if p <= a.To || !l.reads(o) {
			continue
		}
		o.deliver = true
		if kind == checkpoint.AuditReset { // it never ran
			o.had, o.ask = false, false
		} else {
			o.ask = o.had && a.Emit
		}
	}
}

// handled checks that a worker knows of an event that it handles whether it emits again.
func (l *ledger) handled(e *store.Event, replayed bool) {
	o := l.events[e.Position]
	if !l.reads(o) {
		l.t.Fatalf("event %d is not in the region", e.Position)
	}
	if replayed != o.had {
		l.t.Fatalf("event %d is told to be a replay: %v, and it was handled: %v", e.Position, replayed, o.had)
	}
}

// check compares what is stored beside the log with what the log says: nothing is claimed that is
// not true.
func (l *ledger) check() {
	info, err := checkpoint.Inspect(l.st, l.name)
	require.NoError(l.t, err)
	l.parked = make(map[store.Position]checkpoint.Parked)
	for p, err := range checkpoint.ParkedEvents(l.st, l.name) {
		require.NoError(l.t, err)
		l.parked[p.Position] = p
		o := l.events[p.Position]
		if o.had != p.Replay || o.ask != p.EmitAgain {
			l.t.Fatalf("event %d is parked as one that emitted: %v, again: %v; so it is: %v, %v", p.Position, p.Replay, p.EmitAgain, o.had, o.ask)
		}
	}
	for p, o := range l.events {
		if _, parked := l.parked[p]; !parked && l.reads(o) && info.Record.Done(p) && !o.had {
			l.t.Fatalf("event %d is said to be done, and is not", p)
		}
	}
}

// settled checks that nothing is owed any more.
func (l *ledger) settled() {
	l.check()
	require.Empty(l.t, l.parked)
	for _, p := range slices.Sorted(maps.Keys(l.events)) {
		o := l.events[p]
		if l.reads(o) && (!o.had || o.ask || o.deliver) {
			l.t.Fatalf("event %d: emitted or skipped: %v, to emit again: %v, to be handled: %v", p, o.had, o.ask, o.deliver)
		}
	}
}
