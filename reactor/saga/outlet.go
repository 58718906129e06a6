package saga

import (
	"fmt"
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

// stray is where the inputs are that wait for an alias, "" for those of an instance.
func (t *outlet) stray() string {
	if t.key == "" {
		return t.at
	}
	return ""
}
