package cursor

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// owner is what the parts of a runner share: the worker, the log that it reads and the checkpoint
// that it moves. Tasks read it on other goroutines. That is safe because only [Runner.Apply]
// replaces worker and region, when no task is in flight.
type owner struct {
	st       *store.Store
	worker   *Worker           // not written to: it may be its supervisor's
	region   *store.Region     // of the worker, less the kinds that it does not handle; not written to
	lease    *checkpoint.Lease // nil for a volatile worker
	batches  *batchOwner
	emission *emission
}

// hold takes a lease over, nil for a volatile worker. The reactions of its batches name it.
func (o *owner) hold(l *checkpoint.Lease) {
	o.lease, o.emission, o.batches = l, o.worker.emission, &batchOwner{
		st: o.st, newChains: o.worker.NewChains, lasting: o.worker.Impersonal,
	}
	if l != nil {
		record := l.Record()
		o.batches.ownership = Ownership{
			ID: l.ID(), FirstName: record.FirstName(l.ID()), Epoch: record.Epoch, Origin: o.st.Origin(),
		}
		o.batches.stateful = o.worker.Stateful
	}
	o.batches.emitter = o.worker.emitter(o.batches.ownership.Epoch)
}

// bounded is a position to read up to, not beyond the head.
func (o *owner) bounded(upTo store.Position) store.Position {
	if head := o.st.Head(); upTo == 0 || upTo > head {
		return head
	}
	return upTo
}

// failed is what the runner could not do, about no event.
func (o *owner) failed(what, err error) error {
	return &RunnerError{Worker: o.worker.Name, Err: what, Reason: o.capture(err)}
}

// failedAt is failed, about an event.
func (o *owner) failedAt(event store.Position, what, err error) error {
	return &RunnerError{Worker: o.worker.Name, Err: what, Event: event, Reason: o.capture(err)}
}

// capture keeps an error as it may be shown: one of the program, or one of the store, which may
// quote what the program wrote.
func (o *owner) capture(err error) error { return supervision.Capture(err, o.worker.redact.Text) }

// noted is the error of a commit, nil for none.
func (o *owner) noted(err error) error {
	if err == nil {
		return nil
	}
	return o.failed(ErrCommit, err)
}

// wrap adds the name of the worker and what it was doing to an error.
func (o *owner) wrap(doing string, err error) error {
	return fmt.Errorf("cursor: worker %q: %s: %w", o.worker.Name, doing, err)
}

func (o *owner) record() checkpoint.Record {
	if o.lease == nil {
		return checkpoint.Record{}
	}
	return o.lease.Record()
}

func (o *owner) pass() checkpoint.Pass {
	if o.lease == nil {
		return checkpoint.Pass{}
	}
	return o.lease.Pass()
}

// external reports whether the worker keeps its position itself.
func (o *owner) external() bool { return o.worker.ExternalPosition != nil }

// laned reports whether each key has a queue of its own. Where keys are found in the state they are
// asked for once, and kept with the events.
func (o *owner) laned() bool { return o.worker.Lanes > 1 || o.worker.Resolve != nil }

// windowSize is how many events may be read and not done at once.
func (o *owner) windowSize() int {
	if !o.laned() {
		return o.worker.batchSize(0)
	}
	return min(maxWindow, max(1, o.worker.Lanes)*o.worker.batchSize(0))
}

// mostInFlight is how many events may be with a handler, or handled and not written, at once: a
// second batch while the first one is written, see [Runner.Submit].
func (o *owner) mostInFlight() int {
	if o.laned() || o.external() {
		return o.windowSize()
	}
	return 2 * o.windowSize()
}

// attempts is how often the process may end while one event is handled, before the event is taken
// for the reason.
func (o *owner) attempts() int { return o.worker.Policy.WithDefaults().Attempts }

// looping reports whether the process ended so often at an event that it is not handled any more.
func (o *owner) looping(crashes int) bool { return crashes > 0 && crashes >= o.attempts() }

// lazy reports whether a batch need not wait for its sync.
func (o *owner) lazy(b store.Batch) bool { return len(b.Events) == 0 && !o.worker.SyncCheckpoints }

// keys of some events, in their order. Worker.Key runs in one frame for all of them, since a frame
// costs more than most keys. Where it panics or ends its goroutine, or returns a key that is too
// long, the error names the event, and the keys are those of the events before it.
func (o *owner) keys(events []store.Event) (keys []string, err error) {
	keys = make([]string, 0, len(events))
	if o.worker.Key == nil {
		for i := range events {
			keys = append(keys, events[i].Coordinate.Entity)
		}
	} else {
		err = isolate(context.Background(), o.worker.redact, func() error {
			for i := range events {
				keys = append(keys, o.worker.Key(events[i]))
			}
			return nil
		})
	}
	long := slices.IndexFunc(keys, func(key string) bool { return len(key) > maxKeyBytes })
	if long >= 0 {
		err = &store.InvalidError{Field: "key bytes", Limit: maxKeyBytes, Value: int64(len(keys[long]))}
		keys = keys[:long]
	}
	if err != nil {
		return keys, o.failedAt(events[len(keys)].Position, ErrKey, err)
	}
	return keys, nil
}

// replayed reports whether the reactions to an event were written in an earlier pass, and whether
// it emits again.
func (o *owner) replayed(e *store.Event) (before, again bool) {
	pass := o.pass()
	before = pass.Replayed(*e)
	return before, before && !pass.Mutes(*e)
}

// isAudited reports whether it is audited that an event is parked, replayed or skipped. For an
// audit event it is not: a worker that fails at these would make itself another one with each.
func isAudited(e *store.Event) bool { return e.Coordinate.Scope != store.ReservedScope }

// audited is the audit event of something that happened to an event, or to none.
func (o *owner) audited(e *store.Event, kind string, a checkpoint.Audit) store.Proposal {
	a.Worker = checkpoint.ID(o.worker.Name)
	p := a.Proposal(kind)
	if e != nil {
		p.Causation = e.Causation()
	}
	return p
}

// commit writes a batch that has its checkpoint. The context cannot end the wait: a runner that
// does not know the outcome of its commit does not know the revision either, and would take itself
// for fenced.
func (o *owner) commit(ctx context.Context, b store.Batch) error {
	return commitStaged(ctx, o.st, o.lease, b)
}
