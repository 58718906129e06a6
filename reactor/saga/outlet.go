package saga

import (
	"fmt"
	"strconv"
	"time"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// outlet stages what an input leads to beside the record. It is committed with the input, or
// dropped with it.
type outlet struct {
	b     *cursor.Batch
	i     int          // of the event in the batch
	e     *store.Event // the input: that event, or one that was held
	saga  string
	scope string // of the saga's own events
	key   string // of the instance; "" for inputs that wait for an alias
	at    string // where the record is kept
	rec   *record

	turned []store.Position // inputs that have come into the record from a page
}

// propose stages an event.
func (t *outlet) propose(p store.Proposal) error {
	if err := t.b.Stage(t.i, p); err != nil {
		return fmt.Errorf("emitted at %s: %w", p.At, err)
	}
	return nil
}

// own stages an event of the saga's own.
func (t *outlet) own(w what, body any) error {
	p, err := t.ownProposal(w, body)
	if err != nil {
		return err
	}
	return t.propose(p)
}

func (t *outlet) ownProposal(w what, body any) (store.Proposal, error) {
	raw, err := encode(t.saga, w, body)
	at := entity(t.saga, t.key)
	if t.key == "" {
		at = strayEntity(t.saga, t.at)
	}
	return store.Proposal{At: store.At(at, t.scope), Payload: raw}, err
}

// later stages an event of the saga's own for a time, and returns its ticket.
func (t *outlet) later(due time.Time, w what, body any) (cursor.Ticket, error) {
	p, err := t.ownProposal(w, body)
	if err != nil {
		return "", err
	}
	return t.b.Schedule(t.i, due, p)
}

// record passes over the input, and says why.
func (t *outlet) record(why string) error {
	return t.own(whatRecorded, pointer{Run: t.rec.Run, Input: t.e.Position, Why: why})
}

// purgedKey is where the greatest number of a run is kept that was purged. Runs begin above it, so
// that nothing of a run that is forgotten is taken for one of a later run of its key.
const purgedKey = "d/purged"

func (t *outlet) purged() (uint64, error) {
	kept, _, err := t.b.Side(t.i, purgedKey)
	if err != nil || kept == nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(kept), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %s: %w", ErrRecord, purgedKey, err)
	}
	return n, nil
}

// forget notes that the run is purged, and takes its aliases back.
func (t *outlet) forget() error {
	purged, err := t.purged()
	if err == nil && purged < t.rec.Run {
		err = t.b.Put(t.i, purgedKey, strconv.AppendUint(nil, t.rec.Run, 10))
	}
	if err != nil {
		return err
	}
	return t.unalias()
}

// unalias takes the aliases of a run back.
func (t *outlet) unalias() error {
	for _, a := range t.rec.Aliases {
		if err := t.b.Put(t.i, aliasKey(a.Name, a.Value), nil); err != nil {
			return err
		}
	}
	t.rec.Aliases = nil
	return nil
}

// lack has what the program lacks of the instance known: by an event, and to the next start, which
// looks at all instances then.
func (t *outlet) lack(lacks string) error {
	if !t.rec.Life.alive() {
		lacks = ""
	}
	was := t.rec.Lacks
	if t.rec.Lacks = lacks; lacks == "" || lacks == was {
		return nil
	}
	if err := t.b.Put(t.i, printKey, nil); err != nil {
		return err
	}
	return t.own(whatUnrunnable, lacking{Run: t.rec.Run, Lacks: lacks})
}

// stick stops the instance until an operator says how it continues. The event wakes those who wait.
func (t *outlet) stick(now time.Time, step string, undo bool, why string) error {
	t.rec.Life = Stuck
	t.rec.Stuck = &stuckRecord{Step: step, Undo: undo, Error: clip(why), Since: now}
	return t.own(whatStuck, stuckEvent{Run: t.rec.Run, stuckRecord: *t.rec.Stuck})
}
