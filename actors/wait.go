package actors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// WaitApplied returns when the worker has handled every event of the receipt that concerns it, and
// everything before them that it handles in order with them: without lanes that is everything. The
// worker is given by its name, not by its path: names are unique in the whole tree. Where an event
// of the receipt is parked or was skipped it returns an [EventError] that is [ErrParked] or
// [ErrSkipped] at once; while it is being replayed, and after a rewind or a reset to before it, it
// is waited for. It returns at once, too, with a [HaltedError], [ErrEnded], [ErrRemoved] or
// [ErrStopped] when the worker will handle no more events, with [store.ErrForeignHistory] for the
// receipt of events that the log does not have (see [store.Anchor]), with [store.ErrFenceCancelled]
// for events that will never be visible, with [ErrEmptyReceipt], with
// [ErrUnknownWorker], and with [ErrInsideHandler] when the worker would wait for itself; in the
// handler of another worker it may be called with the handler's context. ctx bounds the wait. After
// a commit without events it returns at once. While the worker is paused it waits. When it returns
// nil the checkpoint is durable, but the worker has not necessarily ended its batch: Status may
// still show it as Running for a moment.
//
// It does not wait for what other workers do about the reactions of this one: these come after the
// receipt. To wait for a chain, wait for its first worker, find the reaction, which names what it
// answers as its Cause, and wait for the next worker with a receipt of that event, made of its ID
// and its Position; see the example.
func (s *System) WaitApplied(ctx context.Context, worker string, r store.Receipt) error {
	p, err := awaited(ctx, s, worker)
	if err != nil {
		return err
	}
	if r.Origin == (store.Origin{}) {
		return fmt.Errorf("actors: wait for %q: %w", worker, ErrEmptyReceipt)
	}
	if r.Position() > s.store.Head() { // it may wait for a fence, and no worker handles it before that
		if err := s.store.WaitVisible(ctx, r); err != nil {
			return fmt.Errorf("actors: wait for %q: receipt: %w", worker, err)
		}
	}
	check := receiptCheck{store: s.store, node: p, receipt: r}
	return await(ctx, s, p, r.Position(), check.applied)
}

// WaitCaughtUp returns when the worker has handled every event that concerns it up to the head of
// the log as it is at the call: when an index in memory is complete, for example, or a projection
// that was rebuilt. What was skipped or discarded counts as handled. Where events are parked up to
// there it waits for all others, and for what is being replayed, and then returns an [EventError]
// for the first one that is [ErrParked].
//
// Else it returns as [System.WaitApplied] does: at once where the worker will handle no more
// events, or would wait for itself; when ctx ends. While the worker is paused, or full, it waits.
func (s *System) WaitCaughtUp(ctx context.Context, worker string) error {
	p, err := awaited(ctx, s, worker)
	if err != nil {
		return err
	}
	head := s.store.Head()
	return await(ctx, s, p, head, func(ctx context.Context, v view) (bool, error) {
		return caughtUp(ctx, s.store, p, v, head)
	})
}

// awaited returns a worker that the caller may wait for.
func awaited(ctx context.Context, s *System, worker string) (*node, error) {
	p := s.workers.find(worker)
	if p == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownWorker, worker)
	}
	if waitsForItself(ctx, s, worker) {
		return nil, ErrInsideHandler
	}
	return p, nil
}

// await returns once a check of the worker's state says that all up to a position is done, or once
// the state says that it never will be.
func await(
	ctx context.Context, s *System, p *node, to store.Position, check func(context.Context, view) (done bool, err error),
) error {
	worker := p.name()
	for {
		v := p.published.await()
		done, err := check(ctx, v)
		switch {
		case errors.Is(err, ErrParked), errors.Is(err, ErrSkipped):
			return err
		case errors.Is(err, store.ErrForeignHistory), errors.Is(err, store.ErrFenceCancelled):
			return fmt.Errorf("actors: wait for %q: receipt: %w", worker, err)
		case done:
			return nil
		}
		if reason := never(s, v, worker); reason != nil {
			return reason
		}
		if err != nil {
			return fmt.Errorf("actors: wait for %q to reach %d: %w", worker, to, err)
		}
		stopping := s.stopping
		if v.state == Running {
			stopping = nil // the batch in flight may be what is waited for
		}
		select {
		case <-v.changed:
		case <-stopping:
		case <-s.done:
		case <-ctx.Done():
			return fmt.Errorf("actors: wait for %q to reach %d: %w", worker, to, ctx.Err())
		}
	}
}

// caughtUp reports whether a worker is done with all that concerns it up to a position. What is
// parked there is the error, once nothing else is left.
func caughtUp(ctx context.Context, st *store.Store, p *node, v view, to store.Position) (bool, error) {
	if !v.acquired || len(v.pending) > 0 && v.pending[0] <= to {
		return false, nil
	}
	if v.scanned < to {
		if more, err := waiting(ctx, st, *v.region, v.scanned, to); more || err != nil {
			return false, err
		}
	}
	if p.baton.Worker.Volatile {
		return true, nil
	}
	var first error
	for parked, err := range checkpoint.ParkedEvents(st, checkpoint.ID(p.name())) {
		switch {
		case err != nil || parked.Replaying && parked.Position <= to:
			return false, err
		case parked.Position <= to && first == nil:
			first = &EventError{
				Err: ErrParked, Worker: p.name(), Event: parked.Position, Held: parked.Held, Reason: parked.Error,
			}
		}
	}
	return first == nil, first
}

// never returns why a worker will handle no more events, nil if it may.
func never(s *System, v view, worker string) error {
	switch {
	case v.removed:
		return fmt.Errorf("actors: worker %q: %w", worker, ErrRemoved)
	case v.state == Halted:
		return &HaltedError{Worker: worker, Reason: v.reason}
	case v.state == Ended:
		return endedError(worker)
	case s.isDone(), v.state != Running && s.isStopping():
		return fmt.Errorf("actors: worker %q: %w", worker, errors.Join(ErrStopped, s.failed()))
	}
	return nil
}

// receiptCheck finds out which events of a receipt a worker is done with.
type receiptCheck struct {
	store   *store.Store
	node    *node
	receipt store.Receipt
	ours    bool // the log has its events
}

// applied reports whether the events of the receipt that concern the worker are done. A parked pull
// does not move with the head, so the worker's position alone does not decide that. One that is
// parked or was skipped is the error, whether the others are done or not; while it is being
// replayed it is not done.
func (c *receiptCheck) applied(ctx context.Context, v view) (done bool, err error) {
	if !c.ours {
		if err := c.store.CheckAnchor(ctx, c.receipt.Anchor()); err != nil {
			return false, err
		}
		c.ours = true
	}
	if len(c.receipt.Events) == 0 {
		return true, nil
	}
	if to := c.receipt.Position(); len(store.CancelledRanges(c.store, to, to)) > 0 {
		return false, fmt.Errorf("event %d: %w", to, store.ErrFenceCancelled)
	}
	done = true
	if to := c.receipt.Position(); v.scanned < to {
		waiting, err := waiting(ctx, c.store, *v.region, v.scanned, to)
		if err != nil {
			return false, err
		}
		done = !waiting
	}
	volatile := c.node.baton.Worker.Volatile
	for _, e := range c.receipt.Events {
		if _, pending := slices.BinarySearch(v.pending, e.Position); pending {
			done = false
		} else if e.Position <= v.scanned && !volatile {
			replaying, err := c.parked(e.Position)
			if err != nil {
				return false, err
			}
			done = done && !replaying
		}
	}
	if volatile {
		return done, nil
	}
	return done, c.skipped(ctx, v)
}

// parked returns an [*EventError] for an event that is parked or held, unless it is being handled
// again.
func (c *receiptCheck) parked(event store.Position) (replaying bool, err error) {
	name := c.node.name()
	for parked, err := range checkpoint.ParkedEvents(c.store, checkpoint.ID(name), event) {
		switch {
		case err != nil:
			return false, err
		case !parked.Replaying:
			return false, &EventError{Err: ErrParked, Worker: name, Event: event, Held: parked.Held, Reason: parked.Error}
		}
		replaying = true
	}
	return replaying, nil
}

// skipped returns an [*EventError] for the first event of the receipt that was skipped or
// discarded, unless the worker was rewound to before it since.
func (c *receiptCheck) skipped(ctx context.Context, v view) error {
	name, first := c.node.name(), c.receipt.Events[0].Position
	why := make(map[store.Position]string) // by event
	audits := checkpoint.Audits(ctx, c.store, checkpoint.ID(name), first,
		checkpoint.AuditSkipped, checkpoint.AuditDiscarded,
		checkpoint.AuditRewound, checkpoint.AuditReset, checkpoint.AuditDeleted)
	for e, err := range audits {
		if err != nil {
			return err
		}
		a, err := checkpoint.AuditOf(ctx, c.store, e)
		if err != nil {
			return err
		}
		switch e.Kind {
		case checkpoint.AuditSkipped, checkpoint.AuditDiscarded:
			why[a.Position] = a.Error
		default: // To is 0 but for a rewind
			maps.DeleteFunc(why, func(p store.Position, _ string) bool { return p > a.To })
		}
	}
	for _, e := range c.receipt.Events {
		if reason, ok := why[e.Position]; ok && e.Position <= v.scanned {
			return &EventError{Err: ErrSkipped, Worker: name, Event: e.Position, Reason: reason}
		}
	}
	return nil
}

// waiting reports whether there is an event of r after one position and up to another. Where the
// index does not tell them from others they are read. A worker that stands before events which were
// dropped is not done with them: it will halt, or was resumed behind them and has not begun yet.
func waiting(ctx context.Context, st *store.Store, r store.Region, after, upTo store.Position) (more bool, err error) {
	defer func() {
		if errors.Is(err, store.ErrDropped) {
			more, err = true, nil
		}
	}()
	n, err := st.Count(ctx, r, after, upTo, 1)
	if n == 0 || err != nil || r.Indexed() {
		return n > 0 && err == nil, err
	}
	for after < upTo {
		page, err := st.ReadPage(ctx, r, after, upTo, 1)
		if len(page.Events) > 0 || err != nil {
			return err == nil, err
		}
		after = page.Scanned
	}
	return false, nil
}

// waitsForItself reports whether the caller is a handler of the worker. A handler that passes a
// context of its own is taken for one.
func waitsForItself(ctx context.Context, s *System, name string) bool {
	if w, ok := ctx.Value(insideKey{}).(*worker); ok {
		return w.sys == s && w.node.name() == name
	}
	return onHandlerStack()
}
