package store

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Expect is the version that an entity (or the revision that a side value) must have for a commit
// to be accepted. The zero value accepts any. The version of an entity counts its events in all
// scopes: an order:1 in another scope is the same order:1.
type Expect uint64

const (
	// Any accepts every state.
	Any Expect = 0
	// Absent requires that the entity has no event, or that the side value does not exist.
	Absent Expect = ^Expect(0)
)

// Exactly requires version v; Exactly(0) is [Absent].
func Exactly(v uint64) Expect {
	if v == 0 {
		return Absent
	}
	return Expect(v)
}

// accepts reports whether the actual version (0: none) satisfies the expectation.
func (x Expect) accepts(actual uint64) bool {
	switch x {
	case Any:
		return true
	case Absent:
		return actual == 0
	default:
		return uint64(x) == actual
	}
}

// String returns "any", "absent" or the version.
func (x Expect) String() string {
	switch x {
	case Any:
		return "any"
	case Absent:
		return "absent"
	default:
		return fmt.Sprintf("%d", uint64(x))
	}
}

// Proposal is an event that a caller proposes to commit.
type Proposal struct {
	At      Coordinate
	Payload Payload
	// Expect is compared with the entity's version at this place of the batch: events of the same
	// entity that precede in the batch count.
	Expect Expect
	// Headers are part of what the event says: they are kept with it, sorted by name, and a retry
	// under an idempotency key must have the same. At most 64 KiB in all.
	Headers map[string]string
	// Meta is kept beside the event and says nothing of its content, such as the traceparent of the
	// request that led to it: a retry may have another, and that of the first commit stays. The
	// hash chain covers it. At most 64 KiB in all, beside the headers. Names that begin with
	// "penstock." are reserved.
	Meta map[string]string
	// Causation links it to the event it reacts to.
	Causation Causation
	// Emitter says which worker reacted. It is read during the commit and never changed. Package
	// cursor sets it in the reactions of a worker; elsewhere it is nil.
	Emitter *Emitter
	// Bypass is a reason, for people, to let the event pass gates that deny it: at most 1,024
	// bytes; "" for none. It is kept with the event, see [Event.Bypass], whether a gate denied it
	// or not.
	Bypass string

	// reserved is the entity that Audit set, "" for a proposal of a caller.
	reserved string
}

// Decode decodes the payload into the value that into points to, as [Event.Decode] will once it is
// committed, whether it is encoded already or not.
func (p Proposal) Decode(into any) error {
	var d wal.Draft
	if err := encodePayload(p.Payload, &d); err != nil {
		return err
	}
	e := Event{Kind: d.Kind, Codec: d.Codec, SchemaVersion: d.SchemaVersion, Payload: d.Payload}
	return e.Decode(into)
}

// auditKinds is how the kinds of audit events begin.
const auditKinds = ReservedScope + "."

// Audit proposes an event in [ReservedScope], at an entity. It is for Penstock's own packages,
// which record what was done to a worker or with an event in the same batch as the change itself,
// and the only way into that scope: a proposal that a caller makes there is refused.
//
// The other fields may be set as for any proposal, and every rule and limit of [Store.Commit]
// holds. Two more are applied there and in [Proposal.Encode], with an [InvalidError]: the kind must
// begin with "penstock.", and the coordinate must be the one that Audit set. Events of that entity
// count its versions like those of any other, in whatever scope.
func Audit(entity string, p Payload) Proposal {
	return Proposal{At: At(entity, ReservedScope), Payload: p, reserved: entity}
}

// Condition requires that the log holds no event of Region after position After.
type Condition struct {
	Region Region
	After  Position

	upTo Position // of one that a gate has made, see [Case.Require]; 0 for no bound
}

// SideWrite sets or deletes a side value: a last-write-wins record in the same log that takes no
// position, matches no region and does not move [Store.Head]. Checkpoints live there.
type SideWrite struct {
	Key    string // 1 to 1,024 bytes of UTF-8 without control characters; "emitter/", "fence/", "erasure/" are reserved
	Value  []byte // at most 1 MiB
	Delete bool
	// Expect is compared with the value's revision.
	Expect Expect
}

// Batch is the unit of a commit: all of it becomes durable, or nothing of it, over crashes too.
type Batch struct {
	// IdempotencyKey of the commit, unique in the whole store; "" for none. A second commit with the
	// same key and the same content (coordinate, kind, codec, payload and headers of each event)
	// answers with the first one's receipt and changes nothing, side values included; one with other
	// content is refused with an [IdempotencyKeyReusedError]. Neither Meta nor the schema version
	// counts, which a deploy between two tries may have raised; for a key that was stored before that
	// was so, a schema version other than 0 does. A payload whose [Codec] is not deterministic
	// excludes a key. JSON is as deterministic as encoding/json: Go 1.27 writes what is not UTF-8 in
	// a string in another way than releases before it.
	IdempotencyKey string
	Events         []Proposal
	Sides          []SideWrite
	Conditions     []Condition
	// Lazy lets a batch of nothing but side values be acknowledged once it is written to the operating
	// system: it forces no sync of its own but rides the next one, at most 10 ms later. It survives
	// the death of the process at once, a power cut after that sync. A batch with events is never
	// lazy.
	Lazy bool
}

// Recorded is the outcome for one event of a batch.
type Recorded struct {
	ID       uuid.UUID
	Position Position
	Version  uint64
}

// Receipt is the answer to a commit. It may leave the process, and its [Receipt.Anchor] tells later
// whether a log has the events that it speaks of.
type Receipt struct {
	// Origin is the store that committed, and its incarnation then.
	Origin Origin
	// Sequence is the number of the commit, which is also the revision of the side values it wrote. It
	// counts every commit of the store, and is never used twice: after a crash it leaps, over those
	// that the crash may have taken.
	Sequence uint64
	// Events in the order of the batch, nil when it had none. Read-only.
	Events []Recorded
	// Sync is the mode under which the commit was acknowledged; [SyncInterval] for a lazy one under
	// [SyncAlways].
	Sync SyncMode
	// Duplicate says that the idempotency key was known, and that this is the first commit's receipt.
	Duplicate bool
	// Verdicts are what the gates of the store said of the events, nil for a duplicate. Read-only.
	Verdicts []Verdict
}

// Position of the last event of the batch, 0 when it had none.
func (r Receipt) Position() Position {
	if len(r.Events) == 0 {
		return 0
	}
	return r.Events[len(r.Events)-1].Position
}

// Anchor of the last event of the batch; when it had none, that of position 0. It needs no reading:
// ids are assigned with the positions. It does not say what is hidden.
func (r Receipt) Anchor() Anchor {
	a := Anchor{Store: r.Origin.Store}
	if n := len(r.Events); n > 0 {
		a.Position, a.Event = r.Events[n-1].Position, r.Events[n-1].ID
	}
	return a
}

// SideValue is the present state of a side value.
type SideValue struct {
	Key   string
	Value []byte // read-only
	// Revision is the sequence of the commit that wrote it.
	Revision uint64
}
