package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store/internal/index"
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
	// It is called once with a function that says which events are erased. What it returns is
	// written together with the erasure, and what the log had at these keys before is removed from
	// disk. So is what was superseded or deleted at all keys that end with a slash and the position
	// of an erased event in 16 hexadecimal digits, as those of parked events do. nil for none. See
	// checkpoint.ErasedSides.
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
	// Segments that were rewritten.
	Segments int
	// Sequence of the commit that says that no file of the log has it any more, 0 where that is not so
	// yet. Files tells which copies have it still.
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
const erasureEntity = "erasure:"

// ErasureAudit is the payload of the audit events of an erasure.
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

// Kind returns the kind of the audit event.
func (a ErasureAudit) Kind() string { return a.kind }

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
// Errors before it began: [InvalidError]; [ErrNotFound] where there is no such event, or the entity
// has none; a [ReservedError] where one is staged in a [Fence] that is open, as that may be
// published and cancelled still; those of [Store.Commit] and of Sides.
//
// What it does not reach: the envelope, with entity, kind and Meta, which the chain covers: what is
// to be erased one day belongs into the payload or a header. Copies that were made before: [Backup]
// and [Ship] replace the segments in theirs with their next call, and the Files of the report tell
// which have not yet; what is restored of such a one has to be erased again. What handlers have
// sent elsewhere. The memory of processes, and blocks that a file system or a disk has given free
// and not overwritten. Events of a format before salts keep a digest that confirms a guess at a
// short payload.
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
	report.Events, report.Effects = events, found.left
	if err := s.fences.reserve(at); err != nil {
		return report, err
	}
	own, err := s.beginErasure(ctx, e, len(events) > 0, at)
	if err != nil || e.DryRun {
		return report, err
	}
	if own != nil {
		report.ID = own.id
	}
	return report, s.awaitErasures(ctx, own, &report)
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

// targets is the search for what is to be erased. Of what is hidden or not visible yet the content
// is on disk, too.
type targets struct {
	store   *Store
	upTo    Position
	first   Position              // of those that were found
	sources map[uuid.UUID]int     // what was found, for the search of effects
	erased  map[Position]Recorded // what is to be erased and is not yet
	before  []Range               // what was erased before
	left    []Recorded            // effects that are not to be
}

func (s *Store) newTargets() *targets {
	upTo := Position(s.assigned.Load())
	return &targets{store: s, upTo: upTo, first: upTo, sources: make(map[uuid.UUID]int), erased: make(map[Position]Recorded)}
}

func (t *targets) find(ctx context.Context, e *Erasure) error {
	for _, id := range e.Events {
		event, err := t.store.Get(ctx, id)
		if err != nil {
			return err
		}
		t.add(&event)
	}
	if e.Entity != "" {
		if err := t.entity(ctx, e.Entity); err != nil {
			return err
		}
	}
	return t.effects(ctx, e.Effects)
}

// add takes in an event that was asked for.
func (t *targets) add(e *Event) {
	t.first, t.sources[e.ID] = min(t.first, e.Position), 0
	t.erase(e)
}

func (t *targets) erase(e *Event) {
	if _, before := e.Erased(); before {
		t.before = append(t.before, Range{e.Position, e.Position})
	} else {
		t.erased[e.Position] = recorded(e)
	}
}

func recorded(e *Event) Recorded {
	return Recorded{ID: e.ID, Position: e.Position, Version: e.Version}
}

// entity finds the events of exactly this one.
func (t *targets) entity(ctx context.Context, entity string) error {
	s, before := t.store, len(t.sources)
	for scanned := s.first() - 1; scanned < t.upTo; {
		if err := s.readable(ctx); err != nil {
			return err
		}
		var err error
		scanned, err = t.entityIn(entity, scanned)
		if isDropped(err) { // gone in any case
			scanned = s.first() - 1
			continue
		}
		if err != nil && !s.again(&err) {
			return err
		}
	}
	if len(t.sources) == before {
		return fmt.Errorf("entity %q: %w", entity, ErrNotFound)
	}
	return nil
}

// entityIn looks at some events of one segment after a position, and returns how far. A segment
// whose index does not have exactly this entity is passed over.
func (t *targets) entityIn(entity string, scanned Position) (Position, error) {
	g, idx, from, to, err := t.store.segmentRange(scanned, t.upTo)
	if err != nil {
		return scanned, err
	}
	_, has, err := idx.LastOf(entity)
	if err != nil {
		return scanned, err
	}
	if !has {
		return g.first + Position(to) - 1, nil
	}
	ords, next, err := idx.Select(index.Query{Entity: entity}, from, to, readPageEvents, nil)
	if err != nil {
		return scanned, err
	}
	for _, ord := range ords {
		e, err := t.store.eventIn(g, idx, ord)
		if err != nil {
			return scanned, err
		}
		if e.Coordinate.Entity == entity { // else of its namespace
			t.add(&e)
		}
	}
	return g.first + Position(next) - 1, nil
}

// effects finds what followed from the events that were found, also where it cannot be seen. What
// the reserved scope has that points at one of them is about it.
func (t *targets) effects(ctx context.Context, erased bool) error {
	if len(t.sources) == 0 {
		return nil
	}
	w := sweep{
		store: t.store, by: index.Cause, sources: maps.Clone(t.sources), ids: slices.Collect(maps.Keys(t.sources)),
		scanned: t.first, start: t.first, upTo: t.upTo, all: true,
	}
	w.yield = func(e Event, _ error) bool {
		_, asked := t.sources[e.ID]
		_, about := t.sources[e.Cause]
		_, before := e.Erased()
		switch {
		case asked:
		case erased || about && e.Coordinate.Scope == ReservedScope:
			t.erase(&e)
		case !before:
			t.left = append(t.left, recorded(&e))
		}
		return true
	}
	return w.follow(ctx)
}

// events returns what is to be erased, ascending, and the positions of all of it, with what was
// erased before: of that, too, side values may know.
func (t *targets) events() (events []Recorded, at ranges) {
	all := t.before
	for _, p := range slices.Sorted(maps.Keys(t.erased)) {
		events, all = append(events, t.erased[p]), append(all, Range{p, p})
	}
	return events, ranges(nil).with(all...)
}

// reserve returns a ReservedError where one of some events is staged in a fence that is open.
func (o *openFences) reserve(events ranges) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.list {
		for _, in := range f.ranges {
			if staged := events.clip(in.From, in.To); len(staged) > 0 {
				return &ReservedError{Position: staged[0].From, Reason: f.reason}
			}
		}
	}
	return nil
}
