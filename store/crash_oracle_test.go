package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// submitted is a commit that the store accepted, or may have accepted.
type submitted struct {
	batch   Batch
	acked   bool
	number  uint64  // its sequence
	receipt Receipt // of an acknowledged commit
	group   int     // commits with the same number were written as one batch of the log
}

// oracle knows what a log must hold: the commits in order, and how many of them a crash may not
// take.
type crashOracle struct {
	mode    SyncMode
	mixed   bool // every opening has another mode
	commits []submitted
	groups  int
	floor   int    // commits that were promised to survive a power cut
	history Origin // of the last acknowledgement
	leaps   uint64 // what the sequences of new commits are ahead of their number
	highest uint64 // sequence ever acknowledged

	dropped  Position // what retention has dropped lies before it
	dropping Position // or before this one, if a call was cut off
}

// crashState is what the first commits of an oracle add up to.
type crashState struct {
	events   []expectedEvent
	versions map[string]uint64
	sides    map[string]SideValue
}

type expectedEvent struct {
	proposal *Proposal
	version  uint64
	recorded *Recorded // nil when the commit was not acknowledged
}

func (o *crashOracle) clone() *crashOracle {
	c := *o
	c.commits = slices.Clone(o.commits)
	return &c
}

// acked is the number of commits up to the last acknowledged one.
func (o *crashOracle) acked() int {
	n := len(o.commits)
	for n > 0 && !o.commits[n-1].acked {
		n--
	}
	return n
}

// found records that a log with the first k commits was opened: what is visible then is durable.
func (o *crashOracle) found(k int, st *Store) {
	o.commits, o.floor, o.history = o.commits[:k:k], k, st.Origin()
	o.leaps = st.Stats().Sequence - uint64(k)
}

// survivors returns the number of commits in a store: what sequences leap over adds up to a
// multiple of sequenceLeap.
func survivors(st *Store) int { return int(st.Stats().Sequence % sequenceLeap) }

func (o *crashOracle) replay(k int) crashState {
	s := crashState{versions: make(map[string]uint64), sides: make(map[string]SideValue)}
	for i := range o.commits[:k] {
		c := &o.commits[i]
		for j := range c.batch.Events {
			p := &c.batch.Events[j]
			s.versions[p.At.Entity]++
			e := expectedEvent{proposal: p, version: s.versions[p.At.Entity]}
			if c.acked {
				e.recorded = &c.receipt.Events[j]
			}
			s.events = append(s.events, e)
		}
		for _, w := range c.batch.Sides {
			if w.Delete {
				delete(s.sides, w.Key)
			} else {
				s.sides[w.Key] = SideValue{Key: w.Key, Value: w.Value, Revision: c.number}
			}
		}
	}
	return s
}

// verify compares a store with the oracle and returns the number of commits it holds, which must be
// at least floor, and the first difference.
func (o *crashOracle) verify(st *Store, floor int) (k int, err error) {
	k = survivors(st)
	switch {
	case k < floor:
		return k, fmt.Errorf("%d commits survived of %d that were promised to", k, floor)
	case k > len(o.commits):
		return k, fmt.Errorf("%d commits, only %d were submitted", k, len(o.commits))
	case k > 0 && k < len(o.commits) && o.commits[k-1].group == o.commits[k].group:
		return k, fmt.Errorf("half a batch: it ends with commit %d", k)
	}
	want := o.replay(k)
	for _, check := range []func(*Store, *crashState) error{o.verifyEvents, o.verifySides, o.verifyEntities} {
		if err := check(st, &want); err != nil {
			return k, err
		}
	}
	return k, o.verifyKeys(st, k)
}

func (o *crashOracle) verifyEvents(st *Store, want *crashState) error {
	if head := int(st.Head()); head != len(want.events) {
		return fmt.Errorf("head is %d, want %d", head, len(want.events))
	}
	n, last, hashes := int(st.first())-1, Event{}, make(map[string][32]byte)
	if first := st.first(); first > 1 && (first < o.dropped || first > max(o.dropped, o.dropping)) || first < o.dropped {
		return fmt.Errorf("the log begins at %d, dropped was up to %d, or %d", first, o.dropped, o.dropping)
	}
	for e, err := range st.Read(context.Background(), Region{}, Beginning()) {
		if err != nil {
			return fmt.Errorf("read after %d: %w", n, err)
		}
		if n++; n > len(want.events) {
			return fmt.Errorf("event %d was never submitted", n)
		}
		if err := compareEvent(&e, Position(n), &want.events[n-1]); err != nil {
			return err
		}
		if last.Position > 0 && (e.Time <= last.Time || bytes.Compare(e.ID[:], last.ID[:]) <= 0) {
			return fmt.Errorf("event %d: time or id does not grow", n)
		}
		if _, known := hashes[e.Coordinate.Entity]; !known {
			before, err := st.stateBefore(e.Coordinate.Entity)
			if err != nil {
				return err
			}
			hashes[e.Coordinate.Entity] = before.Hash
		}
		if hash := chained(hashes[e.Coordinate.Entity], &e); hash != e.Hash() {
			return fmt.Errorf("event %d: not the link that continues the chain of %s", n, e.Coordinate.Entity)
		}
		hashes[e.Coordinate.Entity], last = e.Hash(), e
	}
	if n != len(want.events) {
		return fmt.Errorf("%d events, want %d", n, len(want.events))
	}
	return nil
}

func compareEvent(e *Event, position Position, want *expectedEvent) error {
	p := want.proposal
	switch raw := p.Payload.(Raw); {
	case e.Position != position:
		return fmt.Errorf("event at %d, want %d", e.Position, position)
	case e.Coordinate != p.At || e.Kind != raw.Type || e.Version != want.version:
		return fmt.Errorf("event %d is %s %s version %d, want %s %s version %d",
			position, e.Coordinate, e.Kind, e.Version, p.At, raw.Type, want.version)
	case !bytes.Equal(e.Payload, raw.Data) || !maps.Equal(e.Headers(), p.Headers) || !maps.Equal(e.Meta(), p.Meta) || e.Cause != p.Causation.Cause:
		return fmt.Errorf("event %d has another content", position)
	case want.recorded != nil && *want.recorded != (Recorded{ID: e.ID, Position: e.Position, Version: e.Version}):
		return fmt.Errorf("event %d is not what the receipt says: %+v", position, *want.recorded)
	}
	return nil
}

// chained computes the hash of an event from what a reader sees of it.
func chained(previous [32]byte, e *Event) [32]byte {
	d := wal.Draft{
		Entity: e.Coordinate.Entity, Scope: e.Coordinate.Scope, Kind: e.Kind, Codec: e.Codec,
		SchemaVersion: e.SchemaVersion, Depth: e.Depth, Cause: e.Cause, Headers: e.headers(), Payload: e.Payload,
		Salt: saltOf(e),
	}
	if e.Correlation != e.ID {
		d.Correlation = e.Correlation
	}
	rec := wal.Extend(wal.AppendEvent(nil, &d), 0, extensionsOf(e))
	return wal.Chain(previous, wal.Content(rec), rec,
		&wal.Stamp{Position: uint64(e.Position), Version: e.Version, Time: uint64(e.Time), ID: e.ID})
}

func (o *crashOracle) verifySides(st *Store, want *crashState) error {
	n := 0
	var damage error
	for got, err := range st.Sides("") {
		n++
		if err != nil {
			damage = err
			continue
		}
		w, ok := want.sides[got.Key]
		if !ok || w.Revision != got.Revision || !bytes.Equal(w.Value, got.Value) {
			return fmt.Errorf("side value %q at revision %d, want revision %d", got.Key, got.Revision, w.Revision)
		}
		var at Position
		if _, err := fmt.Sscanf(string(got.Value), "at %d", &at); err == nil && at > st.Head() {
			return fmt.Errorf("side value %q says position %d, head is %d", got.Key, at, st.Head())
		}
	}
	if n != len(want.sides) {
		return fmt.Errorf("%d side values, want %d", n, len(want.sides))
	}
	return damage
}

// verifyEntities reads through the indexes: every entity has its versions from 1 on, or from the
// one that was dropped.
func (o *crashOracle) verifyEntities(st *Store, want *crashState) error {
	dropped := make(map[string]uint64)
	for _, e := range want.events[:st.first()-1] {
		dropped[e.proposal.At.Entity] = e.version
	}
	for entity, version := range want.versions {
		if got, err := st.Version(context.Background(), entity); err != nil || got != version {
			return fmt.Errorf("%s: version %d, want %d: %w", entity, got, version, err)
		}
	}
	for _, entity := range []string{"order:1", "stock:lamp"} {
		n := dropped[entity]
		for e, err := range st.Read(context.Background(), Region{Entity: entity}, Beginning()) {
			if err != nil {
				return fmt.Errorf("read %s: %w", entity, err)
			}
			if n++; e.Version != n {
				return fmt.Errorf("%s: version %d, want %d", entity, e.Version, n)
			}
		}
		if n != want.versions[entity] {
			return fmt.Errorf("%s: %d events, want %d", entity, n, want.versions[entity])
		}
	}
	return nil
}

// verifyKeys repeats the commits that had a key: the stored receipt answers.
func (o *crashOracle) verifyKeys(st *Store, k int) error {
	for i := range o.commits[:k] {
		c := &o.commits[i]
		if c.batch.IdempotencyKey == "" {
			continue
		}
		got, err := st.Commit(context.Background(), retried(c.batch))
		switch {
		case err != nil:
			return fmt.Errorf("repeat of key %s: %w", c.batch.IdempotencyKey, err)
		case !got.Duplicate || got.Sequence != c.number || len(got.Events) != len(c.batch.Events):
			return fmt.Errorf("repeat of key %s: %+v", c.batch.IdempotencyKey, got)
		case c.acked && !slices.Equal(got.Events, c.receipt.Events):
			return fmt.Errorf("repeat of key %s has another receipt: %+v, want %+v", c.batch.IdempotencyKey, got, c.receipt)
		}
	}
	return nil
}

// retried is a batch as the next deploy of its program tries it again.
func retried(b Batch) Batch {
	b.Events = slices.Clone(b.Events)
	for i := range b.Events {
		raw := b.Events[i].Payload.(Raw)
		raw.SchemaVersion++
		b.Events[i].Payload, b.Events[i].Meta = raw, map[string]string{"traceparent": "another"}
	}
	return b
}

// verifyHistory checks the incarnation of a log that was opened with k commits: it is a new one
// when acknowledged events are missing, and the old one when nothing can be.
func (o *crashOracle) verifyHistory(st *Store, k int) error {
	got, acked := st.Origin(), o.acked()
	if acked == 0 {
		return nil
	}
	lost := len(o.replay(acked).events) > len(o.replay(min(k, acked)).events)
	switch {
	case got.Store != o.history.Store:
		return errors.New("another store")
	case lost && got.Incarnation <= o.history.Incarnation:
		return errors.New("acknowledged events were lost, the history says nothing")
	case o.mode == SyncAlways && !o.mixed && !lost && got.Incarnation != o.history.Incarnation:
		return fmt.Errorf("nothing was lost, the history went from %d to %d", o.history.Incarnation, got.Incarnation)
	}
	return nil
}
