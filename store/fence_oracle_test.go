package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// fenceOp is one commit of a log with fences, in the order of the log.
type fenceOp struct {
	fence    int // that it belongs to, from 1; 0 for none, -1 for one that its writer left open
	entities []string
	key      string
	receipt  Receipt // of events; zero where the outcome is not known
	ends     bool    // the fence
	publish  bool
}

// fenceOracle knows what a log with fences must show: the commits that it holds add up to it.
type fenceOracle struct {
	ops    []fenceOp
	fences int
}

// fencePicture is what the first commits of an oracle add up to. Fences that have not ended are
// open, or, once their writer has ended, cancelled.
type fencePicture struct {
	assigned, head Position
	shown          []string // entities of the visible events by position, "" where one is hidden
	versions       map[string]uint64
	versionsAll    map[string]uint64 // with what is staged, and what lies after that
	reserved       map[string]int    // entities and keys, by fence
	keys           map[string]int    // op that used it, but for cancelled ones
	open           map[int]Position  // first positions
}

func (o *fenceOracle) picture(k int, alive bool) fencePicture {
	ends, spans := make(map[int]*fenceOp), make(map[int]Range)
	for i := range o.ops[:k] {
		if o.ops[i].ends {
			ends[o.ops[i].fence] = &o.ops[i]
		}
	}
	p := fencePicture{
		versions: map[string]uint64{}, versionsAll: map[string]uint64{}, reserved: map[string]int{}, keys: map[string]int{},
		open: map[int]Position{},
	}
	for i := range o.ops[:k] {
		op := &o.ops[i]
		end := ends[op.fence]
		open := op.fence > 0 && end == nil && alive
		hidden := op.fence != 0 && !open && (end == nil || !end.publish)
		if end != nil && end.publish && len(op.entities) > 0 {
			of, known := spans[op.fence]
			if of.To = p.assigned + Position(len(op.entities)); !known {
				of.From = p.assigned + 1
			}
			spans[op.fence] = of
		}
		for range op.entities {
			if _, known := p.open[op.fence]; open && !known {
				p.open[op.fence] = p.assigned + 1
			}
			p.assigned++
		}
		for _, entity := range op.entities {
			if hidden {
				p.shown = append(p.shown, "")
				continue
			}
			p.shown = append(p.shown, entity)
			p.versionsAll[entity]++
			if open {
				p.reserved[entity] = op.fence
			}
		}
		if op.key != "" && !hidden {
			p.keys[op.key] = i
			if open {
				p.reserved["key "+op.key] = op.fence
			}
		}
	}
	p.head = p.assigned
	for _, first := range p.open {
		p.head = min(p.head, first-1)
	}
	for range spans { // none is visible in part
		for _, of := range spans {
			if of.From <= p.head && p.head < of.To {
				p.head = of.From - 1
			}
		}
	}
	p.shown = p.shown[:p.head]
	for _, entity := range p.shown {
		if entity != "" {
			p.versions[entity]++
		}
	}
	return p
}

// hidden are the cancelled ranges up to the head.
func (p *fencePicture) hidden() (hidden []Range) {
	for i, entity := range p.shown {
		at := Position(i + 1)
		switch n := len(hidden); {
		case entity != "":
		case n > 0 && hidden[n-1].To == at-1:
			hidden[n-1].To = at
		default:
			hidden = append(hidden, Range{at, at})
		}
	}
	return hidden
}

// verify compares all that reads with the picture, and returns the first difference.
func (o *fenceOracle) verify(st *Store, p *fencePicture) error {
	ctx := context.Background()
	if head := st.Head(); head != p.head {
		return fmt.Errorf("head is %d, want %d of %d", head, p.head, p.assigned)
	}
	var events []Event
	for e, err := range st.Read(ctx, Region{}, Beginning()) {
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	if err := o.verifyEvents(st, p, events); err != nil {
		return err
	}
	if got, want := CancelledRanges(st, 1, p.head), p.hidden(); !slices.Equal(got, want) {
		return fmt.Errorf("cancelled are %v, want %v", got, want)
	}
	known := maps.Clone(p.versionsAll)
	for i := range o.ops {
		for _, entity := range o.ops[i].entities {
			known[entity] += 0
		}
	}
	for entity := range known {
		v, err := st.Version(ctx, entity)
		if err != nil || v != p.versions[entity] {
			return fmt.Errorf("version of %s is %d, want %d (%w)", entity, v, p.versions[entity], err)
		}
		want := 0
		for _, e := range events {
			if (Region{Entity: entity}).Matches(e) {
				want++
			}
		}
		if n, err := st.Count(ctx, Region{Entity: entity}, 0, 0, 1000); err != nil || n != want {
			return fmt.Errorf("%s has %d events, want %d (%w)", entity, n, want, err)
		}
	}
	return nil
}

func (o *fenceOracle) verifyEvents(st *Store, p *fencePicture, events []Event) error {
	versions, hashes := make(map[string]uint64), make(map[string][32]byte)
	for i, want := range p.shown {
		at := Position(i + 1)
		e, err := st.GetAt(context.Background(), at)
		if want == "" {
			if !errors.Is(err, ErrNotFound) {
				return fmt.Errorf("event %d of a cancelled fence: %v (%w)", at, e, err)
			}
			continue
		}
		if err != nil || len(events) == 0 {
			return fmt.Errorf("event %d is missing (%w)", at, err)
		}
		versions[want]++
		if got := events[0]; got.Position != at || got.ID != e.ID || got.Coordinate.Entity != want || got.Version != versions[want] {
			return fmt.Errorf("event %d is %s version %d, want %d of %s version %d",
				got.Position, got.Coordinate, got.Version, at, want, versions[want])
		}
		if chained(hashes[want], &events[0]) != e.Hash() {
			return fmt.Errorf("event %d does not continue the chain of %s", at, want)
		}
		hashes[want], events = e.Hash(), events[1:]
	}
	if len(events) > 0 {
		return fmt.Errorf("event %d should not be visible", events[0].Position)
	}
	return nil
}

// verifyKeys repeats the commits with a key. Those of cancelled fences have left none.
func (o *fenceOracle) verifyKeys(st *Store, p *fencePicture) error {
	for key, i := range p.keys {
		r, err := st.Commit(context.Background(), Batch{IdempotencyKey: key, Events: eventsOf(o.ops[i].entities...)})
		if known := o.ops[i].receipt; err != nil || !r.Duplicate || known.Events != nil && !slices.Equal(r.Events, known.Events) {
			return fmt.Errorf("repeat of key %s: %+v (%w)", key, r, err)
		}
	}
	return nil
}
