package store

import (
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// op is one commit on its way through the committer. The caller's goroutine fills and encodes it, so that
// validation, JSON and the content hash cost the committer nothing.
type op struct {
	key        string
	content    [32]byte // digest of the events, set when there is a key
	events     []opEvent
	sides      []opSide
	conditions []Condition
	lazy       bool
	records    []byte // of the events, then of the side values
	size       int    // of all records, the key's included

	// The answer, valid once done.
	receipt Receipt
	err     error

	// wake receives one token when done or lead turns true. done, lead and abandoned are guarded by
	// committer.mu.
	wake      chan struct{}
	done      bool
	lead      bool // the owner must take over the committer's role
	abandoned bool // the owner stopped waiting
}

type opEvent struct {
	terms   index.Terms
	expect  Expect
	size    int // of its record
	content [32]byte
}

type opSide struct {
	write SideWrite
	size  int
}

// maxPooledBytes is the size up to which the memory of an op is kept for the next one.
const maxPooledBytes = 1 << 20

// opPool hands the memory of ops from commit to commit. Each store has its own: a channel made in a testing/synctest
// bubble must not come up outside of it.
type opPool struct{ pool sync.Pool }

func newOp() *op { return &op{wake: make(chan struct{}, 1)} }

func (p *opPool) get() *op {
	if o, ok := p.pool.Get().(*op); ok {
		return o
	}
	return newOp()
}

// put gives an op back once nobody else looks at it: it is done, and its token was taken. The receipt's events are not
// part of it.
func (p *opPool) put(o *op) {
	if cap(o.records) > maxPooledBytes {
		return
	}
	clear(o.events)
	clear(o.sides)
	*o = op{wake: o.wake, events: o.events[:0], sides: o.sides[:0], records: o.records[:0]}
	p.pool.Put(o)
}

// encode checks and encodes b; it is the only place where a caller's input becomes bytes.
func (o *op) encode(b *Batch) error {
	if err := checkBatch(b); err != nil {
		return err
	}
	o.key, o.conditions = b.IdempotencyKey, cloneConditions(b.Conditions)
	o.lazy = b.Lazy && len(b.Events) == 0
	o.events = slices.Grow(o.events, len(b.Events))
	digest := sha256.New()
	for i := range b.Events {
		content, err := o.addEvent(&b.Events[i])
		if err != nil {
			return err
		}
		if b.IdempotencyKey != "" {
			digest.Write(content[:])
		}
		if err := checkMax("batch bytes", len(o.records), MaxBatchBytes); err != nil {
			return err
		}
		if i == 0 { // a guess at the rest
			o.records = slices.Grow(o.records, min((len(b.Events)-1)*(len(o.records)+16), maxGroupBytes))
		}
	}
	digest.Sum(o.content[:0])
	for i := range b.Sides {
		o.addSide(&b.Sides[i])
		if err := checkMax("batch bytes", len(o.records), MaxBatchBytes); err != nil {
			return err
		}
	}
	o.size = len(o.records)
	if o.key != "" {
		o.size += wal.KeySize(o.key)
	}
	return checkMax("batch bytes", o.size, MaxBatchBytes)
}

// cloneConditions makes a copy that stays the same when the caller goes on without waiting for the answer.
func cloneConditions(conditions []Condition) []Condition {
	conditions = slices.Clone(conditions)
	for i := range conditions {
		conditions[i].Region.Kinds = slices.Clone(conditions[i].Region.Kinds)
	}
	return conditions
}

func (o *op) addEvent(p *Proposal) (content [32]byte, err error) {
	d, err := encodeProposal(p)
	if err != nil {
		return content, err
	}
	start := len(o.records)
	o.records = wal.AppendEvent(o.records, &d)
	content = wal.Content(o.records[start:])
	o.events = append(o.events, opEvent{
		terms:   index.Terms{Entity: d.Entity, Scope: d.Scope, Kind: d.Kind},
		expect:  p.Expect,
		size:    len(o.records) - start,
		content: content,
	})
	return content, nil
}

func (o *op) addSide(w *SideWrite) {
	start := len(o.records)
	value := w.Value
	if w.Delete {
		value = nil
	}
	o.records = wal.AppendSide(o.records, w.Key, value, w.Delete)
	o.sides = append(o.sides, opSide{
		write: SideWrite{Key: w.Key, Value: slices.Clone(value), Delete: w.Delete, Expect: w.Expect},
		size:  len(o.records) - start,
	})
}

// encodeProposal checks and encodes a proposal.
func encodeProposal(p *Proposal) (d wal.Draft, err error) {
	if err := checkCoordinate(p); err != nil {
		return d, err
	}
	d = wal.Draft{
		Entity:      p.At.Entity,
		Scope:       p.At.Scope,
		Depth:       p.Causation.Depth,
		Cause:       p.Causation.Cause,
		Correlation: p.Causation.Correlation,
	}
	if d.Correlation == uuid.Nil {
		d.Correlation = d.Cause
	}
	d.Kind, d.Codec, d.SchemaVersion, d.Payload, err = encodePayload(p.Payload)
	if err != nil {
		return d, err
	}
	if err := checkKind(p, d.Kind); err != nil {
		return d, err
	}
	if err := checkText("codec", d.Codec, MaxCodecBytes); err != nil {
		return d, err
	}
	if err := checkMax("payload bytes", len(d.Payload), MaxPayloadBytes); err != nil {
		return d, err
	}
	d.Headers, err = encodeHeaders(p.Headers)
	return d, err
}

// Encode applies the rules of [Store.Commit] to the proposal and returns it with its payload as [Raw]: for who wants to know
// ahead of the commit, and to encode only once. Errors are those of Commit. What [Audit] made stays an audit event.
func (p Proposal) Encode() (Proposal, error) {
	d, err := encodeProposal(&p)
	if err != nil {
		return p, err
	}
	p.Payload = Raw{Type: d.Kind, Codec: d.Codec, SchemaVersion: d.SchemaVersion, Data: d.Payload}
	return p, nil
}

// checkBatch checks what does not need encoding.
func checkBatch(b *Batch) error {
	if len(b.Events) == 0 && len(b.Sides) == 0 {
		return &InvalidError{Field: "batch", Rule: "must hold an event or a side value"}
	}
	if err := checkMax("batch events", len(b.Events), MaxBatchEvents); err != nil {
		return err
	}
	if err := checkMax("batch side values", len(b.Sides), MaxBatchSides); err != nil {
		return err
	}
	if b.IdempotencyKey != "" {
		if err := checkText("idempotency key", b.IdempotencyKey, MaxIdempotencyKeyBytes); err != nil {
			return err
		}
		if len(b.Events) == 0 {
			return &InvalidError{Field: "idempotency key", Rule: "needs an event in the batch", Value: b.IdempotencyKey}
		}
	}
	for _, c := range b.Conditions {
		if err := c.Region.Validate(); err != nil {
			return err
		}
	}
	return checkSides(b.Sides)
}

func checkSides(sides []SideWrite) error {
	for i := range sides {
		w := &sides[i]
		if err := checkText("side key", w.Key, MaxSideKeyBytes); err != nil {
			return err
		}
		if err := checkMax("side value bytes", len(w.Value), MaxSideValueBytes); err != nil {
			return err
		}
	}
	if len(sides) < 2 {
		return nil
	}
	seen := make(map[string]struct{}, len(sides))
	for i := range sides {
		if _, twice := seen[sides[i].Key]; twice {
			return &InvalidError{Field: "side key", Rule: "stands twice in the batch", Value: sides[i].Key}
		}
		seen[sides[i].Key] = struct{}{}
	}
	return nil
}

func encodeHeaders(headers map[string]string) ([]byte, error) {
	if len(headers) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(headers))
	total := 0
	for name, value := range headers {
		if err := checkText("header name", name, MaxHeaderBytes); err != nil {
			return nil, err
		}
		total += len(name) + len(value)
		names = append(names, name)
	}
	if err := checkMax("header bytes", total, MaxHeaderBytes); err != nil {
		return nil, err
	}
	slices.Sort(names)
	b := make([]byte, 0, total+4*len(names))
	for _, name := range names {
		b = wal.AppendPair(b, name, headers[name])
	}
	return b, nil
}
