package store

import (
	"cmp"
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Erasure says what [Erase] erases, why, and who decided that.
type Erasure struct {
	// Entity is one all events of which are erased that it has by now, in whatever scope; "" for
	// none. It is exactly this one: those below it in its namespace are others. It may have further
	// events.
	Entity string
	// Events are ids of events that are erased, beside those of the entity.
	Events []uuid.UUID
	// Effects are what followed from these events, see the function of that name: what reacted to
	// an event may have a copy of what it said. With true they are erased, too; without, they are
	// only listed in the report. What the reserved scope says about an event, as that it was
	// parked, with the text of the error, is erased in any case.
	Effects bool
	// Sides returns what is to become of side values that may have a copy, at most 65,536 of them.
	// It is called with a function that says which events are erased. What it returns is written
	// together with the erasure, and what the log had at these keys before is removed from disk. So
	// is what was superseded or deleted at all keys that end with a slash and the position, in 16
	// hexadecimal digits, of an erased event, as those of parked events do, or of the cause of one
	// that a worker emitted, as those of scheduled events do. It is called again where one of these
	// values was changed meanwhile, and once more when the erasure is in the log: for values that
	// were written while it began. nil for none. See checkpoint.ErasedSides.
	Sides func(ctx context.Context, erased func(Position) bool) ([]SideWrite, error)
	// Reason says why, in at most 1,024 bytes, and By names the person or the program that decided,
	// in at most 255. Neither may be empty or have control characters. Both stand in the audit
	// event, and with each erased event.
	Reason, By string
	// DryRun says what would be done, and does nothing.
	DryRun bool
}

const (
	maxErasureReasonBytes = 1024
	maxErasureByBytes     = 255
)

// ErasureReport says what [Erase] has done.
type ErasureReport struct {
	// ID of the erasure, [uuid.Nil] where there was nothing left to erase.
	ID uuid.UUID
	// Events that were erased, effects and audit events among them, ascending. Read-only.
	Events []Recorded
	// Effects that may have a copy and were not erased, ascending. Read-only.
	Effects []Recorded
	// Dropped is how many of the events that were asked for [Retain] had dropped: so many of the
	// entity, and each id that is of no event and as old as one that was dropped. Of these nothing
	// is left to erase, and what followed from them is neither looked for nor listed.
	Dropped int
	// Segments that were rewritten.
	Segments int
	// Sequence of the commit that says that no file of the log has it any more, 0 where that is not so
	// yet. Files tells which copies have it still, also of what erasures of before have removed.
	Sequence uint64
	Files    ErasedFiles
}

// The kinds of audit events of an erasure. They are in the reserved scope, at the entity
// "erasure:" and the id of the erasure, with an [ErasureAudit].
const (
	AuditErased   = "penstock.erased"           // readers see the events as erased from now on
	AuditUnlinked = "penstock.erasure-finished" // what they said is in no file of the log any more
)

// erasureEntity begins the entities of audit events of erasures.
const (
	erasuresNamespace = "erasure"
	erasureEntity     = erasuresNamespace + ":"
)

// ErasureAudit is the payload of the audit events of an erasure. A worker of the region of the
// reserved scope gets them, so that what has copies outside the log, such as tables, learns of
// events that it has handled long ago:
//
//	forget := reactor.New("forget", reactor.On(forgotten)) // of Event[store.ErasureAudit]
//	forget.Region.Scope = store.ReservedScope
//
// Where Entity is "", ids of events were given. Then, and where effects were included, the events
// are those from First to Last of which [Event.Erased] has the id of this Erasure. What has got
// such an event before it was erased may be at work with it still when this is handled.
type ErasureAudit struct {
	Erasure uuid.UUID `json:"erasure"`
	Entity  string    `json:"entity,omitempty"`
	Events  int       `json:"events"`           // how many were erased
	First   Position  `json:"first"`            // position of the first of them
	Last    Position  `json:"last"`             // and of the last
	Reason  string    `json:"reason,omitempty"` // why
	By      string    `json:"by,omitempty"`     // who decided that
	// Files of an erasure that is finished.
	Files ErasedFiles `json:"files,omitempty"`

	kind string
}

// Kind returns the kind of the audit event: of the zero value, by which a reactor knows the type,
// [AuditErased].
func (a ErasureAudit) Kind() string { return cmp.Or(a.kind, AuditErased) }

// Erase removes what some events say from the log for good: their payloads and headers, what
// idempotency keys know of them, and side values that name them. Envelope, digest and chain stay,
// so that [Verify] and [History] find all in order, and readers see an erased event in its place,
// never a hole: see [Event.Erased].
//
// The erasure is a commit, with an audit event; from then on all readers see the events as erased,
// those in other processes once they know that commit, and over a crash. Then each segment that
// holds one of them is written again without, takes the place of the former file, and that is
// unlinked; an active segment is sealed for it. A second commit says that this is done, and Erase
// returns. The cost is that of writing these segments, beside commits and readers. What a crash
// interrupts the next opening for writing finishes in the background. So does the writer where ctx
// ends or Close comes: an erasure that has begun is not taken back. After any other error, such as
// [ErrDiskFull], or a [CorruptError] for damage in such a segment, it stays to be finished, is
// tried again each time that a segment is sealed, by the next opening and the next Erase, and
// Stats.Erasing has the reason.
//
// Errors before it began: [InvalidError]; [ErrNotFound] where there was no such event, or the
// entity had none; a [ReservedError] where one is staged in a [Fence] that is open, as that may be
// published and cancelled still; those of [Store.Commit] and of Sides.
//
// What a handler failed with may quote the event, and is kept where that is parked; a reactor with
// a state keeps what it made of the event. Both go only with the Sides of the erasure: a program
// with reactors or sagas gives reactor.ErasedSides, one with other workers checkpoint.ErasedSides.
//
// What it does not reach: the envelope, with entity, kind and Meta, which the chain covers: what is
// to be erased one day belongs into the payload or a header. Copies that were made before: [Backup]
// and [Ship] replace the segments in theirs with their next call, and the Files of the report tell
// which have not yet; what is restored of such a one has to be erased again. What handlers have
// sent elsewhere. The memory of processes, and blocks that a file system or a disk has given free
// and not overwritten. Events of a format before salts keep a digest that confirms a guess at a
// short payload, and so does, until it is discarded, what [Retain] has kept of the idempotency keys
// of events that it has dropped. What is said of the events while the erasure begins is erased with
// it; where a crash comes between, by the next Erase: it is to be called until it returns nil.
func Erase(ctx context.Context, st *Store, e Erasure) (ErasureReport, error) {
	report, err := st.erase(ctx, &e)
	if err != nil {
		return report, fmt.Errorf("erase: %w", st.readError(err))
	}
	return report, nil
}

func (s *Store) erase(ctx context.Context, e *Erasure) (report ErasureReport, err error) {
	if err := s.commits(ctx); err != nil {
		return report, err
	}
	if err := e.check(); err != nil {
		return report, err
	}
	found := s.newTargets()
	if err := found.find(ctx, e); err != nil {
		return report, err
	}
	events, at := found.events()
	report.Events, report.Effects, report.Dropped = events, found.left, found.dropped
	if err := s.fences.reserve(at); err != nil {
		return report, err
	}
	drafts, err := found.drafts()
	if err != nil {
		return report, err
	}
	own, err := s.beginErasure(ctx, e, len(events) > 0, at, drafts)
	if err != nil || e.DryRun {
		return report, err
	}
	var jobs []*erasureJob
	if own != nil {
		report.ID, jobs = own.id, append(jobs, own)
		var later *erasureJob
		if later, err = s.eraseLater(ctx, e, found, own, &report); later != nil {
			jobs = append(jobs, later)
		}
	}
	if err := cmp.Or(s.awaitErasures(ctx, jobs, &report), err); err != nil {
		return report, err
	}
	former, err := s.formerFiles(ctx, found.former)
	if report.Files = append(report.Files, former...); len(former) == 0 && len(found.former) > 0 {
		report.Files = nil
	}
	return report, err
}

// eraseLater erases what was said of the events between the search for that and the first commit,
// as by a worker that has parked one meanwhile. Who says something after the commit knows of it:
// see UnlessErased. nil where there is nothing, as nearly always.
func (s *Store) eraseLater(
	ctx context.Context, e *Erasure, found *targets, first *erasureJob, report *ErasureReport,
) (*erasureJob, error) {
	if err := found.later(ctx); err != nil {
		return nil, err
	}
	events, at := found.events()
	again := *e
	if again.Sides = nil; e.Sides != nil {
		again.Sides = func(ctx context.Context, erased func(Position) bool) ([]SideWrite, error) {
			sides, err := e.Sides(ctx, erased)
			return first.unwritten(sides), err
		}
	}
	drafts, err := found.drafts()
	if err != nil {
		return nil, err
	}
	job, err := s.beginErasure(ctx, &again, len(events) > 0, at, drafts)
	if job != nil {
		report.Events = append(report.Events, events...)
	}
	return job, err
}

func (e *Erasure) check() error {
	if e.Entity == "" && len(e.Events) == 0 {
		return &InvalidError{Field: "erasure", Rule: "must name an entity or an event"}
	}
	if e.Entity != "" {
		if err := checkTerm("entity", e.Entity, MaxEntityBytes); err != nil {
			return err
		}
	}
	if err := checkText("reason", e.Reason, maxErasureReasonBytes); err != nil {
		return err
	}
	return checkText("by", e.By, maxErasureByBytes)
}

// sides returns the side values that are written with the erasure.
func (e *Erasure) sides(ctx context.Context, erased ranges) ([]SideWrite, error) {
	if e.Sides == nil || len(erased) == 0 {
		return nil, nil
	}
	sides, err := e.Sides(ctx, erased.has)
	if err == nil {
		err = checkMax("side values", len(sides), maxBatchSides)
	}
	if err == nil {
		err = checkSides(sides)
	}
	return sides, err
}
