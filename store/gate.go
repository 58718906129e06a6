package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
)

// Gate is a rule of the program that judges each event before it is committed, from any source:
// a caller of [Store.Commit] or a worker that reacts. The gates of a store are set when it is
// opened, see Options.Gates.
//
//	Commit, Submit    rules and limits; encode
//	     |
//	   gates          on the caller's goroutine, as of what is committed, in their order
//	     |  \
//	     |   denied   DeniedError: nothing is queued, nothing written
//	     |
//	committer         judges what a gate required once more, when it is certain
//
// A gate is a pure function of the proposal and of the log up to [Case].Head: tried again with both
// the same it says the same. Between its verdict and the commit others may commit. Where that
// matters it calls [Case.Require], and the commit is refused with a [ConflictError] if it did.
//
// Gates do not judge the reserved scope, nor side values. A commit that repeats an idempotency key
// gets the first one's receipt, whatever the gates say by now.
type Gate struct {
	// Name tells gates apart in verdicts: 1 to 255 bytes, and not that of another gate of the store.
	Name string
	// Region selects the events that are judged, the zero value all. It may neither name the reserved
	// scope nor bound versions, which are not known before the commit.
	Region Region
	// Judge returns nil to let the event pass, or an error with the evidence against it. A panic
	// denies, too. Many goroutines may call it. It must not commit.
	//
	// When reading the log by the case fails, or ctx ends, that is no verdict: the commit fails with
	// the error of the read or the context.
	Judge func(ctx context.Context, c *Case) error
}

// Case is what a gate judges. It is valid during the call of Judge.
type Case struct {
	// Proposal is the event, which keeps every rule of [Store.Commit]. Read-only. Its payload may be
	// encoded already, as those of a worker are: [Proposal.Decode] reads either.
	Proposal *Proposal
	// Earlier are the events of the batch that precede it: if it is committed, so are they. Read-only.
	Earlier []Proposal
	// Head is the position of the last event that the log has for all gates of this commit. While a
	// [Fence] is open it lies after the head of the store: other commits than those that are staged
	// count, although they are not visible yet, and for a stage so does what is staged before it.
	Head Position

	unseen   ranges // up to Head, staged in other fences
	store    *Store
	ctx      context.Context //nolint:containedctx // a case lives as long as the call that has the context
	fault    error           // of reading: then there is no verdict
	required []Condition
}

// Read iterates over the events of a region up to Head, as [Store.Read] does from the beginning up
// to the head of the store: from the first event that the log has. What [Retain] has dropped is
// not there, and what was erased has no content. So a rule that adds up all of an entity's history
// needs a hold that keeps it ([SetHold]), or takes the sum from where it stays: a side value, or
// the entity's latest event.
// Its errors need not be returned by Judge.
func (c *Case) Read(r Region) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		err := r.Validate()
		if err == nil {
			err = c.store.readUpTo(c.ctx, r, 0, c.Head, func(e Event, _ error) bool {
				return c.unseen.has(e.Position) || yield(e, nil)
			}, nil)
		}
		if err != nil {
			c.fault = errors.Join(c.fault, err)
			yield(Event{}, err)
		}
	}
}

// Side returns a side value, as [Store.Side] does. It may be newer than Head: side values have no
// history.
func (c *Case) Side(key string) (SideValue, bool, error) {
	v, found, err := c.store.Side(key)
	if err != nil {
		c.fault = errors.Join(c.fault, err)
	}
	return v, found, err
}

// Require makes the commit depend on that no event of the region is committed after Head and before
// it, other than by this commit itself: a verdict which rests on what Read returned is certain
// then. A region that breaks a rule fails the commit with its error.
//
// While another [Fence] is open in which an event of the region is staged the commit is refused
// with a [ReservedError]: whether that event counts is not known before the fence has ended.
func (c *Case) Require(r Region) {
	if err := r.Validate(); err != nil {
		c.fault = errors.Join(c.fault, err)
		return
	}
	r.Kinds = slices.Clone(r.Kinds) // the condition is judged when the gate has returned
	c.required = append(c.required, Condition{Region: r, After: c.Head})
	for _, staged := range c.unseen {
		c.required = append(c.required, Condition{Region: r, After: staged.From - 1, upTo: staged.To})
	}
}

// Outcome is what came of a gate's judgement.
type Outcome uint8

const (
	// Allowed says that the gate let the event pass.
	Allowed Outcome = iota + 1
	// Denied says that the gate denied the event, and that nothing of the batch was written.
	Denied
	// Bypassed says that the gate denied the event, which passed for the reason in [Proposal].Bypass.
	Bypassed
)

// String returns the name of the outcome.
func (o Outcome) String() string {
	switch o {
	case Allowed:
		return "allowed"
	case Denied:
		return "denied"
	case Bypassed:
		return "bypassed"
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// Verdict is what one gate said of one event.
type Verdict struct {
	Gate    string
	Event   int // index in the batch
	Outcome Outcome
	// Evidence is the text of the error that Judge returned, "" where it returned none.
	Evidence string
}

// bypassMeta is the name under which the reason for a bypass is kept in the meta of an event.
const bypassMeta = ReservedScope + ".bypass"

// checkGates applies the rules for gates when a store is opened.
func checkGates(gates []Gate) error {
	names := make(map[string]struct{}, len(gates))
	for _, g := range gates {
		if err := checkText("gate name", g.Name, MaxKindBytes); err != nil {
			return err
		}
		if _, twice := names[g.Name]; twice {
			return &InvalidError{Field: "gate name", Rule: "stands twice", Value: g.Name}
		}
		names[g.Name] = struct{}{}
		if err := g.Region.Validate(); err != nil {
			return fmt.Errorf("gate %q: %w", g.Name, err)
		}
		switch {
		case g.Judge == nil:
			return &InvalidError{Field: "gate", Rule: "needs Judge", Value: g.Name}
		case g.Region.Scope == ReservedScope:
			return &InvalidError{Field: "gate region", Rule: "must not name the reserved scope", Value: g.Name}
		case g.Region.MinVersion != 0 || g.Region.MaxVersion != 0:
			return &InvalidError{Field: "gate region", Rule: "must not bound versions", Value: g.Name}
		}
	}
	return nil
}

// pass has the gates judge the events of an encoded batch. What they required is a condition of the
// commit. One that is denied is queued nevertheless where it has an idempotency key: the committer
// knows whether it repeats a commit.
func (s *Store) pass(ctx context.Context, req *request, b *Batch) error {
	head, unseen := s.committed(req.fence)
	for i := range b.Events {
		c := Case{Proposal: &b.Events[i], Earlier: b.Events[:i:i], Head: head, unseen: unseen, store: s, ctx: ctx}
		denied, err := s.judge(ctx, req, &c, i)
		if err != nil {
			return err
		}
		if denied != nil && req.key == "" {
			return denied
		}
		if denied != nil {
			req.denied = denied
			return nil //nolint:nilerr // the committer answers with it
		}
		req.conditions = append(req.conditions, c.required...)
	}
	return nil
}

// judge has the gates judge one event, all of them, so that a denial says all that is wrong.
func (s *Store) judge(ctx context.Context, req *request, c *Case, event int) (denied, err error) {
	var evidence []error
	for i := range s.gates {
		gate := &s.gates[i]
		if !gate.filter.admits(c.Proposal.At, req.events[event].terms.Kind, 0) {
			continue
		}
		v, against, err := gate.judge(ctx, c, event)
		if err != nil {
			return nil, err
		}
		req.verdicts = append(req.verdicts, v)
		if v.Outcome == Denied {
			evidence = append(evidence, against)
		}
	}
	if evidence == nil {
		return nil, nil
	}
	return &DeniedError{Entity: c.Proposal.At.Entity, Event: event, Verdicts: req.verdicts, evidence: evidence}, nil
}

// storeGate is a gate of an open store.
type storeGate struct {
	Gate
	filter filter
}

func openGates(gates []Gate) (opened []storeGate) {
	for _, g := range gates {
		g.Region.Kinds = slices.Clone(g.Region.Kinds)
		opened = append(opened, storeGate{Gate: g, filter: newFilter(g.Region)})
	}
	return opened
}

// judge returns the verdict of one gate, with the evidence against the event, or why there is none.
func (g *storeGate) judge(ctx context.Context, c *Case, event int) (v Verdict, evidence, err error) {
	v = Verdict{Gate: g.Name, Event: event, Outcome: Allowed}
	v.Evidence, evidence = g.ask(ctx, c)
	if err := errors.Join(c.fault, ctx.Err()); err != nil {
		return v, nil, fmt.Errorf("store: gate %q: %w", g.Name, err)
	}
	if evidence == nil {
		return v, nil, nil
	}
	v.Outcome = Denied
	if c.Proposal.Bypass != "" {
		v.Outcome = Bypassed
	}
	return v, evidence, nil
}

// ask calls the program, for the evidence and for its text. A gate that cannot judge lets nothing
// pass, nor does evidence that has no text, such as a nil pointer.
func (g *storeGate) ask(ctx context.Context, c *Case) (text string, evidence error) {
	defer func() {
		if v := recover(); v != nil {
			evidence = fmt.Errorf("the gate panicked: %v", v)
			text = evidence.Error()
		}
	}()
	if evidence = g.Judge(ctx, c); evidence != nil {
		text = evidence.Error()
	}
	return text, evidence
}
