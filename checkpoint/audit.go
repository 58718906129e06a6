package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store"
)

// The kinds of audit events: what was done to a worker, or to an event of it.
const (
	AuditParked    = "penstock.parked"     // an event failed for good and was parked
	AuditSkipped   = "penstock.skipped"    // an event failed for good and was skipped
	AuditGivenUp   = "penstock.given-up"   // an event failed for good, and the worker made something else of it
	AuditReplay    = "penstock.replay"     // parked events are to be handled again
	AuditReplayed  = "penstock.replayed"   // a parked event was handled after all
	AuditDiscarded = "penstock.discarded"  // a parked event was discarded
	AuditPaused    = "penstock.paused"     // the worker was paused
	AuditResumed   = "penstock.resumed"    // its pause ended, or it was halted and is started again
	AuditRewound   = "penstock.rewound"    // the worker went back
	AuditReset     = "penstock.reset"      // the worker starts over at the beginning
	AuditSkippedTo = "penstock.skipped-to" // the worker left events out
	AuditWidened   = "penstock.widened"    // it reads a wider region or more kinds, their past included
	AuditRebound   = "penstock.rebound"    // it reads another region or other kinds from now on
	AuditRenamed   = "penstock.renamed"    // the checkpoint moved here from another name
	AuditDeleted   = "penstock.deleted"    // the checkpoint was removed
	AuditAdded     = "penstock.added"      // the worker was added to a running system
	AuditRemoved   = "penstock.removed"    // it was removed from one; its checkpoint stays
	// AuditInterrupted: the context of its handler was ended.
	AuditInterrupted = "penstock.interrupted"
)

// workerPrefix begins the entities of audit events; the name of the worker follows.
const workerPrefix = "worker:"

// Audit is the payload of an event in the reserved scope that says what was done, at the entity
// "worker:" and the name that the worker had then. The kind of the event says what; [AuditOf] reads
// the rest. It is committed in the same batch as what it
// reports. Read those of a worker with [Audits], and those of all with a region of the scope
// [store.ReservedScope]. A worker that reads them leaves none of its own where it parks, replays or
// skips one: it would read that, too.
type Audit struct {
	Worker   ID             `json:"worker"`
	From     ID             `json:"from,omitempty"`     // the name before a rename
	Position store.Position `json:"position,omitempty"` // of the event, or where the worker was
	To       store.Position `json:"to,omitempty"`       // where it was sent
	Key      string         `json:"key,omitempty"`
	Events   int            `json:"events,omitempty"` // how many it concerns, or of how many it is one
	// Selection says which parked events were to be replayed or discarded, as people read it.
	Selection string     `json:"selection,omitempty"`
	Reason    string     `json:"reason,omitempty"`
	By        string     `json:"by,omitempty"` // who decided, see [Request]; empty for what the worker did
	Error     string     `json:"error,omitempty"`
	Attempts  int        `json:"attempts,omitempty"`
	Until     *time.Time `json:"until,omitempty"`
	Emit      bool       `json:"emit,omitempty"`
	Region    string     `json:"region,omitempty"` // readable
}

// Proposal makes an event of one of the kinds above.
func (a Audit) Proposal(kind string) store.Proposal {
	a.Error, a.Reason, a.Selection = Clip(a.Error), Clip(a.Reason), Clip(a.Selection)
	return store.Audit(workerPrefix+string(a.Worker), audit{a, kind})
}

// audit is an Audit with its kind.
type audit struct {
	Audit

	kind string
}

// Kind returns a.kind.
func (a audit) Kind() string { return a.kind }

// AuditOf returns what an audit event says. Of one that was erased with the event that it is about,
// as it had the text of an error, it returns what is known without: the worker, and the position of
// that event, 0 where the log does not have it. Its Error is [ErasedText].
func AuditOf(ctx context.Context, st *store.Store, e store.Event) (a Audit, err error) {
	if _, erased := e.Erased(); !erased {
		err = e.Decode(&a)
		return a, err
	}
	a = Audit{Worker: ID(strings.TrimPrefix(e.Coordinate.Entity, workerPrefix)), Error: ErasedText}
	about, err := st.Get(ctx, e.Cause)
	switch {
	case err == nil:
		a.Position = about.Position
	case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDropped):
		return a, err
	}
	return a, nil
}

// Audits yields the audit events of exactly one worker that follow a position, in order: of some
// kinds, or of all. What a worker did under its former names is included, and what its
// neighbours did is not, whatever their names look like. After an error it ends.
//
// Where no worker has such events it costs one look into the index.
func Audits(
	ctx context.Context, st *store.Store, id ID, after store.Position, kinds ...string,
) iter.Seq2[store.Event, error] {
	region := store.Region{Scope: store.ReservedScope, Kinds: kinds}
	return func(yield func(store.Event, error) bool) {
		n, err := st.Count(ctx, region, after, 0, 1)
		if n == 0 && err == nil {
			return
		}
		var names []ID
		if err == nil {
			names, err = namesOf(st, id)
		}
		if err != nil {
			yield(store.Event{}, err)
			return
		}
		var sources []iter.Seq2[store.Event, error]
		for _, name := range names {
			sources = append(sources, auditsUnder(ctx, st, region, name, after))
		}
		merge(sources, yield)
	}
}

// auditsUnder yields the audit events that were written under one name. A region selects an entity
// with everything below it, so that of "a" has those of "a:b" too: these are left out here.
func auditsUnder(
	ctx context.Context, st *store.Store, region store.Region, name ID, after store.Position,
) iter.Seq2[store.Event, error] {
	region.Entity = workerPrefix + string(name)
	return func(yield func(store.Event, error) bool) {
		for e, err := range st.Read(ctx, region, store.After(after)) {
			if err == nil && e.Coordinate.Entity != region.Entity {
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// merge yields the events of several ascending sources by position.
func merge(sources []iter.Seq2[store.Event, error], yield func(store.Event, error) bool) {
	if len(sources) == 1 {
		sources[0](yield)
		return
	}
	type head struct {
		event store.Event
		err   error
		next  func() (store.Event, error, bool)
	}
	var heads []*head
	for _, source := range sources {
		next, stop := iter.Pull2(source)
		defer stop()
		if e, err, ok := next(); ok {
			heads = append(heads, &head{event: e, err: err, next: next})
		}
	}
	for len(heads) > 0 {
		first := slices.MinFunc(heads, func(a, b *head) int { return cmp.Compare(a.event.Position, b.event.Position) })
		if !yield(first.event, first.err) || first.err != nil {
			return
		}
		var ok bool
		if first.event, first.err, ok = first.next(); !ok {
			heads = slices.DeleteFunc(heads, func(h *head) bool { return h == first })
		}
	}
}
