package store

import (
	"crypto/sha256"
	"hash"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// request is one commit on its way through the committer. The caller's goroutine fills and encodes
// it, so that validation, JSON and the content hash cost the committer nothing.
//
// Ownership passes with the queue: up to submit it is the caller's, from then on that of the holder
// of the committer's role, who stamps the records in place and fills in the answer, and once it is
// done the caller's again. A caller that stops waiting while a group has it never gets it back, and
// so never sees it reused while the committer works on it.
type request struct {
	key        string
	content    [wal.Rules][32]byte // digests of the events by each rule, set when there is a key
	use        wal.Key             // what is stored with the key; the committer adds the place
	events     []requestEvent
	sides      []requestSide
	conditions []Condition
	lazy       bool
	verdicts   []Verdict // of the gates
	denied     error     // by them, unless the commit is a repeated one
	records    []byte    // of the events, then of the side values
	size       int       // of all records, the key's included, and extra
	extra      int       // of what the committer adds
	fence      *Fence    // nil for nearly all
	step       fenceStep
	settles    *settling   // nil for nearly all
	begins     *erasureJob // nil for nearly all
	salts      *saltPool

	// The answer, valid once done. recorded is the room for the events of the receipt: it goes to the
	// caller, and is made on the caller's goroutine, as are all others of the group on theirs.
	receipt  Receipt
	err      error
	recorded []Recorded

	// answer is called with it where the owner does not wait, see Submit; else nil. Set before the
	// request is queued.
	answer func(Receipt, error)

	// wake receives a token when done or lead turns true, and one before it when that takes long: the
	// owner must look at its context, too. The fields after it are guarded by committer.mu.
	wake       chan struct{}
	done       bool
	lead       bool // the owner must take over the committer's role
	queued     bool // no group has taken it yet
	patient    bool // the owner waits, and looks at wake alone
	since      uint // ticks of patience when it began to wait
	prev, next *request
}

// settling is a request about segments, which commits nothing.
type settling struct {
	roll   bool            // the next segment is to become the active one
	sealed <-chan struct{} // the answer: closed when the segment before the active one is sealed, or cannot be
}

// requestEvent is what the committer needs to know of an event beside its record. The content
// digest is made by the caller's goroutine because hashing is the dearest part of a commit: the
// committer hashes only the hundred bytes or so that depend on the place in the log.
type requestEvent struct {
	terms   index.Terms
	expect  Expect
	size    int // of its record
	content [32]byte
	state   *entityState // of its entity, set while the committer admits the request
}

// requestSide keeps what goes into the table of present side values beside the record: the table
// must not keep the records of a whole batch in memory.
type requestSide struct {
	place  index.Side // without what the committer decides
	expect Expect
	size   int // of its record
}

// requestPool hands the memory of requests from commit to commit. Each store has its own: a channel
// made in a testing/synctest bubble must not come up outside of it.
type requestPool struct {
	pool  sync.Pool
	salts saltPool
}

// newRequest makes a request whose channel has room for all tokens that it gets, so that the
// goroutine that answers it never waits for its owner.
func newRequest() *request { return &request{wake: make(chan struct{}, 2), salts: new(saltPool)} }

func (p *requestPool) get() *request {
	if req, ok := p.pool.Get().(*request); ok {
		return req
	}
	return &request{wake: make(chan struct{}, 2), salts: &p.salts}
}

// put returns a request that no other goroutine looks at any more: it is done, and its token was
// taken. The receipt's events, which the caller keeps, are not part of it. One with a fence is
// rare, and so is one that begins an erasure.
//
// It resets field by field: a request of a large group is in no cache any more, and most of one is
// what a commit with a key uses. content and use stay, as they mean nothing without a key.
func (p *requestPool) put(req *request) {
	if req.large() || req.fence != nil || req.begins != nil {
		return
	}
	clear(req.events)
	clear(req.sides)
	req.events, req.sides, req.records = req.events[:0], req.sides[:0], req.records[:0]
	req.key, req.conditions, req.lazy, req.size = "", nil, false, 0
	req.verdicts, req.denied = nil, nil
	req.receipt, req.err, req.recorded, req.answer = Receipt{}, nil, nil, nil
	req.done, req.lead, req.patient = false, false, false
	p.pool.Put(req)
}

// useKey prepares what is stored with the key. The rule is the oldest that will do.
func (req *request) useKey(digests *[wal.Rules]hash.Hash) {
	for rule, digest := range digests {
		digest.Sum(req.content[rule][:0])
	}
	req.use = wal.Key{Events: uint32(len(req.events)), Rule: wal.RuleContent, Salt: req.salts.next()}
	if req.content[wal.RuleContent] != req.content[wal.RuleRetry] {
		req.use.Rule = wal.RuleRetry
	}
	req.use.Digest = req.use.Salted(req.content[req.use.Rule])
}

// large reports whether the request takes more memory than is kept for the next one.
func (req *request) large() bool {
	return cap(req.records) > maxPooledBytes || cap(req.events) > maxPooledItems || cap(req.sides) > maxPooledItems
}

// flushes reports whether the request commits nothing and only waits for a sync.
func (req *request) flushes() bool {
	return len(req.events) == 0 && len(req.sides) == 0 && req.fence == nil
}

// ends reports whether the request publishes or cancels a fence. It is alone in its group: what
// others find depends on it.
func (req *request) ends() bool { return req.fence != nil && req.step != fenceStage }

// encode checks and encodes b; it is the only place, with encodeOne, where a caller's input becomes
// bytes, and what it keeps is a copy: the caller may change b as soon as Commit returns, also when
// the request is still queued then.
//
// The size is checked after each event, so that a batch that is too large is refused before all of
// it was copied.
func (req *request) encode(b *Batch, table *emitterTable) error {
	if err := checkBatch(b); err != nil {
		return err
	}
	req.key, req.conditions = b.IdempotencyKey, cloneConditions(b.Conditions)
	req.lazy = b.Lazy && len(b.Events) == 0
	by := emitters{table: table}
	if len(b.Events) > 0 {
		if err := req.addEvents(b.Events, &by); err != nil {
			return err
		}
	}
	for _, e := range by.missing {
		names := e.introduction()
		req.addSide(&names)
	}
	for i := range b.Sides {
		req.addSide(&b.Sides[i])
		if err := checkMax("batch bytes", len(req.records), MaxBatchBytes); err != nil {
			return err
		}
	}
	req.size = len(req.records) + req.extra
	if req.key != "" {
		req.size += wal.KeySize(req.key)
	}
	return checkMax("batch bytes", req.size, MaxBatchBytes)
}

// encodeOne is encode for a batch of one event that has no emitter, and nothing else. All that
// thousands of callers touch on the way to the queue is in no cache, their stacks too, so the
// common case has small frames and makes no copies of what it is given.
func (req *request) encodeOne(p *Proposal) error {
	req.expect(1)
	if err := req.addEvent(p, nil, nil); err != nil {
		return err
	}
	req.size = len(req.records)
	return checkMax("batch bytes", req.size, MaxBatchBytes)
}

// expect makes room for n events.
func (req *request) expect(n int) {
	req.events = slices.Grow(req.events, n)
	req.recorded = make([]Recorded, 0, n)
}

func (req *request) addEvents(events []Proposal, by *emitters) error {
	req.expect(len(events))
	var digests *[wal.Rules]hash.Hash
	if req.key != "" {
		digests = &[wal.Rules]hash.Hash{sha256.New(), sha256.New()}
	}
	for i := range events {
		if err := req.addEvent(&events[i], by, digests); err != nil {
			return err
		}
		if err := checkMax("batch bytes", len(req.records), MaxBatchBytes); err != nil {
			return err
		}
		if i == 0 { // a guess at the rest
			req.records = slices.Grow(req.records, min((len(events)-1)*(len(req.records)+16), maxGroupBytes))
		}
	}
	if digests != nil {
		req.useKey(digests)
	}
	return nil
}

// cloneConditions makes a copy that stays the same when the caller continues without waiting for
// the answer.
func cloneConditions(conditions []Condition) []Condition {
	conditions = slices.Clone(conditions)
	for i := range conditions {
		conditions[i].Region.Kinds = slices.Clone(conditions[i].Region.Kinds)
	}
	return conditions
}

// addEvent appends the record of an event, with room for what the committer stamps. The extensions
// come after the digests, which do not cover them: a retry by another run of a worker, or as part
// of another trace, has the same content. digests is nil where there is no key.
func (req *request) addEvent(p *Proposal, by *emitters, digests *[wal.Rules]hash.Hash) error {
	var d wal.Draft
	meta, err := encodeProposal(p, &d)
	if err != nil {
		return err
	}
	d.Salt = req.salts.next()
	start := len(req.records)
	req.records = wal.AppendEvent(req.records, &d)
	content := wal.Content(req.records[start:])
	if digests != nil {
		addDigests(digests, req.records[start:], d.SchemaVersion)
	}
	if p.Emitter != nil || len(meta) > 0 {
		req.extend(start, p.Emitter, by, meta)
	}
	req.events = append(req.events, requestEvent{
		terms:   index.Terms{Entity: d.Entity, Scope: d.Scope, Kind: d.Kind},
		expect:  p.Expect,
		size:    len(req.records) - start,
		content: content,
	})
	return nil
}

// addDigests adds those of an event to what a key stands for.
func addDigests(digests *[wal.Rules]hash.Hash, rec []byte, schemaVersion uint16) {
	plain := wal.Plain(rec)
	retry := plain
	if schemaVersion != 0 {
		retry = wal.Retry(rec)
	}
	digests[wal.RuleContent].Write(plain[:])
	digests[wal.RuleRetry].Write(retry[:])
}

// extend appends the extensions of the record that begins at start: those of an emitter, or of
// meta, or both.
func (req *request) extend(start int, e *Emitter, by *emitters, meta []byte) {
	var room [64]byte
	extensions := room[:0]
	if e != nil {
		emitter := wal.Emitter{ID: by.id(e), Epoch: e.Epoch, Attempt: e.Attempt}
		extensions = wal.AppendEmitter(extensions, &emitter)
	}
	if len(meta) > 0 {
		extensions = wal.AppendMeta(extensions, meta)
	}
	req.records = wal.Extend(req.records, start, extensions)
}

// addSide appends the record of a side value, with room for its revision. The key and a short value
// are copied twice: into the record, which the pool gets back, and for the table, which keeps them.
func (req *request) addSide(w *SideWrite) {
	start := len(req.records)
	value := w.Value
	if w.Delete {
		value = nil
	}
	req.records = wal.AppendSide(req.records, w.Key, value, w.Delete)
	req.sides = append(req.sides, requestSide{
		place: index.SideOf(w.Key, value, w.Delete), expect: w.Expect, size: len(req.records) - start,
	})
}

// encodeProposal checks a proposal and encodes its payload, headers and meta. The draft, which is
// empty before, shares the strings of the proposal, which the caller does not change while Commit
// runs; the record that is made of it is a copy. An effect without a correlation continues that of
// its cause.
func encodeProposal(p *Proposal, d *wal.Draft) (meta []byte, err error) {
	if err := checkCoordinate(p); err != nil {
		return nil, err
	}
	if err := checkEmitter(p.Emitter); err != nil {
		return nil, err
	}
	d.Entity, d.Scope = p.At.Entity, p.At.Scope
	d.Depth, d.Cause, d.Correlation = p.Causation.Depth, p.Causation.Cause, p.Causation.Correlation
	if d.Correlation == uuid.Nil {
		d.Correlation = d.Cause
	}
	if err := encodePayload(p.Payload, d); err != nil {
		return nil, err
	}
	if err := checkKind(p, d.Kind); err != nil {
		return nil, err
	}
	if err := checkText("codec", d.Codec, maxCodecBytes); err != nil {
		return nil, err
	}
	if err := checkMax("payload bytes", len(d.Payload), MaxPayloadBytes); err != nil {
		return nil, err
	}
	if d.Headers, err = encodePairs("header", p.Headers); err != nil {
		return nil, err
	}
	if len(p.Meta) == 0 && p.Bypass == "" {
		return nil, nil
	}
	return encodeMeta(p)
}

// Encode applies the rules of [Store.Commit] to the proposal and returns it with its payload as
// [Raw]: for callers that need to know before the commit, and to encode only once. Errors are those
// of Commit. What [Audit] made stays an audit event.
func (p Proposal) Encode() (Proposal, error) {
	var d wal.Draft
	if _, err := encodeProposal(&p, &d); err != nil {
		return p, err
	}
	p.Payload = Raw{Type: d.Kind, Codec: d.Codec, SchemaVersion: d.SchemaVersion, Data: d.Payload}
	return p, nil
}

// encodeMeta encodes what is kept beside the event, the reason for a bypass included.
func encodeMeta(p *Proposal) ([]byte, error) {
	pairs := p.Meta
	for name := range pairs {
		if strings.HasPrefix(name, ReservedScope+".") {
			return nil, &InvalidError{Field: "meta name", Rule: "is reserved", Value: name}
		}
	}
	if p.Bypass != "" {
		if err := checkText("bypass", p.Bypass, maxBypassBytes); err != nil {
			return nil, err
		}
		if pairs = maps.Clone(pairs); pairs == nil {
			pairs = make(map[string]string, 1)
		}
		pairs[bypassMeta] = p.Bypass
	}
	return encodePairs("meta", pairs)
}

// encodePairs sorts headers, or meta, by name, so that the same ones are the same bytes and a retry
// under the same idempotency key has the same content.
func encodePairs(what string, pairs map[string]string) ([]byte, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	names := make([]string, 0, len(pairs))
	total := 0
	for name, value := range pairs {
		if err := checkText(what+" name", name, maxHeaderBytes); err != nil {
			return nil, err
		}
		total += len(name) + len(value)
		names = append(names, name)
	}
	if err := checkMax(what+" bytes", total, maxHeaderBytes); err != nil {
		return nil, err
	}
	slices.Sort(names)
	b := make([]byte, 0, total+4*len(names))
	for _, name := range names {
		b = wal.AppendPair(b, name, pairs[name])
	}
	return b, nil
}
