package saga

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Trouble is that an instance begins to need a person.
type Trouble struct {
	// Position of the event that says so, and its time. A later Watch continues after it.
	Position store.Position
	Time     time.Time
	// Key of the instance.
	Key string
	// Err is a [StuckError]; a [BlockedError]; or, where the program lacks what the instance needs
	// next, an error that wraps [ErrUnrunnable].
	Err error
}

// BlockedError is why an instance is blocked: an input of it has failed for good and is parked, or
// a request of it that cannot be read, and what follows is held until that is replayed or
// discarded.
type BlockedError struct {
	Worker checkpoint.ID  // that has parked it
	Input  store.Position // that is parked
	Text   string
}

func (e *BlockedError) Error() string {
	return fmt.Sprintf("saga: blocked by event %d, which %s has parked: %s", e.Input, e.Worker, e.Text)
}

// lacking is the payload of whatUnrunnable.
type lacking struct {
	Run   uint64 `json:"run"`
	Lacks string `json:"lacks"`
}

// Watch iterates over the troubles of instances after a position, in the order of the log, as long
// as ctx lasts: it waits for the next one, with no goroutine and no polling of its own. An error,
// which may be ctx's, is the last thing that it yields; [store.ErrDropped] says that retention has
// dropped what there was after the position. It needs no running system, and costs two look-ups in
// the index whenever the head has moved. A caller that keeps Trouble.Position misses none, and gets
// none twice.
//
// An instance is in trouble when it becomes stuck, when an input of it is parked, and when it has
// an input that the program cannot handle for want of a step, a timer or a version; what it is by
// now says [Instances.Get], and what is stuck now [Instances.List]. A reactor learns of the same by
// the events "saga.NAME.stuck" and "saga.NAME.unrunnable" at the entities "saga:NAME:KEY", and by
// checkpoint.AuditParked of the workers NAME and NAME.do in the reserved scope. After a
// checkpoint.Reset it tells of what was once more.
func (h *Instances[S]) Watch(ctx context.Context, after store.Position) iter.Seq2[Trouble, error] {
	return func(yield func(Trouble, error) bool) {
		p, err := h.saga.program()
		if err != nil {
			yield(Trouble{}, err)
			return
		}
		for {
			head := h.st.Head()
			list, err := h.troubles(ctx, p.definition, after, head)
			for _, t := range list {
				if !yield(t, nil) {
					return
				}
			}
			if after = max(after, head); err == nil {
				_, err = h.st.Wait(ctx, head)
			}
			if err != nil {
				yield(Trouble{}, err)
				return
			}
		}
	}
}

// troubles are those after a position up to another one.
func (h *Instances[S]) troubles(ctx context.Context, d *definition[S], after, upTo store.Position) (list []Trouble, err error) {
	for _, r := range []store.Region{
		{Scope: d.scope, Kinds: []string{whatStuck.kind(d.name), whatUnrunnable.kind(d.name)}},
		{Scope: store.ReservedScope, Kinds: []string{checkpoint.AuditParked}},
	} {
		for e, err := range h.st.Read(ctx, r, store.After(after)) {
			if err != nil {
				return nil, err
			}
			if e.Position > upTo {
				break
			}
			if t := d.trouble(ctx, h.st, &e); t.Err != nil {
				list = append(list, t)
			}
		}
	}
	slices.SortFunc(list, func(a, b Trouble) int { return cmp.Compare(a.Position, b.Position) })
	return list, nil
}

// trouble is what an event says; its Err is nil where it is none.
func (d *definition[S]) trouble(ctx context.Context, st *store.Store, e *store.Event) Trouble {
	t := Trouble{Position: e.Position, Time: e.Time.Time(), Key: keyOfEntity(d.name, e.Coordinate.Entity)}
	if isErased(e) && e.Kind != checkpoint.AuditParked {
		return Trouble{}
	}
	switch whatOf(d.name, e.Kind) {
	case whatStuck:
		var s stuckEvent
		if t.Err = decode(e, &s); t.Err == nil {
			t.Err = &StuckError{Step: s.Step, Undo: s.Undo, Text: s.Error, Since: s.Since}
		}
	case whatUnrunnable:
		var l lacking
		if t.Err = decode(e, &l); t.Err == nil {
			t.Err = fmt.Errorf("%w: %q lacks %s", ErrUnrunnable, t.Key, l.Lacks)
		}
	default:
		a, err := checkpoint.AuditOf(ctx, st, *e)
		blocked := &BlockedError{Worker: a.Worker, Input: a.Position, Text: a.Error}
		var found bool
		switch string(a.Worker) {
		case d.name:
			t.Key, found = strings.CutPrefix(a.Key, recordKey(""))
		case d.name + effectsSuffix: // its keys are those of steps
			t.Key, found = instanceOf(d.name, a.Key)
		}
		if found && err == nil {
			t.Err = blocked
		}
	}
	return t
}
