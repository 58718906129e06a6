package saga

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// waiting are the positions of the inputs that wait, ascending.
func (r *record) waiting() []store.Position {
	if len(r.Held) == 0 {
		return nil
	}
	list := make([]store.Position, len(r.Held))
	for i, h := range r.Held {
		list[i] = h.At
	}
	return list
}

// keepInputs holds in the log what has begun to wait in this turn, and lets go of what does not
// wait any more: the checkpoint is past it, so that retention knows of no other need. was is what
// waited before the turn.
func (t *outlet) keepInputs(was, now []store.Position) error {
	for _, at := range now {
		if _, found := slices.BinarySearch(was, at); found {
			continue
		}
		if err := t.b.Hold(t.i, at, t.who()); err != nil {
			return err
		}
	}
	for _, at := range was {
		if _, found := slices.BinarySearch(now, at); found {
			continue
		}
		if err := t.b.ReleaseHold(t.i, at); err != nil {
			return err
		}
	}
	return nil
}

// pageSize is how many inputs are in a page.
const pageSize = 64

// pages have the inputs that wait behind those in the record, none of which was tried: an instance
// that is stopped for long may have very many, and each commit of it writes the record.
type pages struct {
	First  uint64 // the number of the first one
	Count  uint64 // all but the last one are full, or more than that
	Inputs int    // that they have
}

func pageKey(n uint64, key string) string { return fmt.Sprintf("%s%d/%s", pagePrefix, n, key) }

const pagePrefix = "q/"

// queue has the input wait behind all others.
func (t *outlet) queue() error {
	p, at := &t.rec.Pages, t.e.Position
	if p.Count == 0 && t.rec.kept(false) < pageSize {
		t.rec.hold(at, false)
		return nil
	}
	var inputs []store.Position
	if p.Count > 0 {
		var err error
		if inputs, err = t.page(p.First + p.Count - 1); err != nil {
			return err
		}
	}
	if p.Count == 0 || len(inputs) >= pageSize {
		inputs = nil
		p.Count++
	}
	p.Inputs++
	if err := t.b.Hold(t.i, at, t.who()); err != nil {
		return err
	}
	return t.b.Put(t.i, pageKey(p.First+p.Count-1, t.key), encodePage(append(inputs, at)))
}

// mix has inputs, ascending, that waited elsewhere wait here: each where its position says, in the
// record before those of the first page, and else in a page, which has more than pageSize then.
func (t *outlet) mix(inputs []store.Position) error {
	p := &t.rec.Pages
	for n := p.Count; n > 0 && len(inputs) > 0; n-- {
		key := p.First + n - 1
		page, err := t.page(key)
		if err != nil {
			return err
		}
		before, _ := slices.BinarySearch(inputs, page[0])
		joined := inputs[before:]
		inputs = inputs[:before]
		if len(joined) == 0 {
			continue
		}
		for _, at := range joined { // their holds in the log name the alias
			if err := t.b.Hold(t.i, at, t.who()); err != nil {
				return err
			}
		}
		p.Inputs += len(joined)
		page = slices.Sorted(slices.Values(slices.Concat(page, joined)))
		if err := t.b.Put(t.i, pageKey(key, t.key), encodePage(page)); err != nil {
			return err
		}
	}
	for _, at := range inputs {
		t.rec.hold(at, false)
	}
	return nil
}

func (t *outlet) page(n uint64) ([]store.Position, error) {
	kept, _, err := t.b.Side(t.i, pageKey(n, t.key))
	if err != nil {
		return nil, err
	}
	return decodePage(kept)
}

// release takes an input from those that wait, and reports whether it was there. Where all in the
// record were tried, those of the first page come into it.
func (t *outlet) release(at store.Position) (found bool, err error) {
	found = t.rec.release(at)
	return found, t.refill()
}

func (t *outlet) refill() error {
	p := &t.rec.Pages
	if p.Count == 0 || t.rec.untried() != 0 {
		return nil
	}
	inputs, err := t.page(p.First)
	if err != nil {
		return err
	}
	key := pageKey(p.First, t.key)
	for _, at := range inputs {
		t.rec.hold(at, false)
	}
	t.turned = append(t.turned, inputs...)
	p.First, p.Count, p.Inputs = p.First+1, p.Count-1, p.Inputs-len(inputs)
	if p.Count == 0 {
		*p = pages{}
	}
	return t.b.Put(t.i, key, nil)
}

// passing says that inputs are recorded, not handled.
type passing struct {
	Before store.Position // those that are further on are handled; 0 where none is to be recorded
	Why    string
}

// passOver records all that waits. What is in pages may be more than a commit takes: each retry of
// what is held records one page of it.
func (t *outlet) passOver(why string) error {
	t.rec.Passing = passing{Before: t.b.Events[t.i].Position, Why: why}
	return t.pass()
}

// pass records what is in the record of that which is to be recorded, and has the next page come.
func (t *outlet) pass() error {
	p, held := t.rec.Passing, t.rec.Held
	for len(held) > 0 && held[0].At < p.Before {
		if err := t.own(whatRecorded, pointer{Run: t.rec.Run, Input: held[0].At, Why: p.Why}); err != nil {
			return err
		}
		held = held[1:]
	}
	t.rec.Held = slices.Clone(held)
	if err := t.refill(); err != nil {
		return err
	}
	if held = t.rec.Held; len(held) == 0 || held[0].At >= p.Before {
		t.rec.Passing = passing{}
	}
	return nil
}

// who waits, for people.
func (t *outlet) who() string {
	if t.key == "" {
		return "alias " + strings.TrimPrefix(t.at, strays)
	}
	return fmt.Sprintf("instance %q", t.key)
}
