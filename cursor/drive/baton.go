package drive

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// A Baton is what the incarnations of one worker pass on, each to the next: what it reads, the
// epoch of its checkpoint, where it is if it has none. With it the present incarnation has its
// runner, and is operated: it is the [cursor.Operator] that knows what an order means for the
// worker.
//
// It belongs to the goroutine of the present incarnation, and between two of them to the one that
// starts the next. Store and Worker never change: any goroutine may read them.
type Baton struct {
	Store *store.Store
	// Worker as declared, with the policy that it inherits. Runners keep a pointer to it, and hand out
	// one to its region; a Widen or Rebind puts another worker in its place, see Rebind.
	Worker cursor.Worker
	// Random is the source of jitter as in supervision.NewJudge; nil means none. It never changes.
	Random func() float64

	*cursor.Runner // of the present incarnation, nil while it has no checkpoint

	rebound  *cursor.Worker    // Worker after a Widen or Rebind, nil before the first
	limiter  *rate.Limiter     // nil where it has no rate, and before the first incarnation
	pause    *checkpoint.Pause // as it is in the store, nil for none
	epoch    uint64            // of the checkpoint as acquired last; 0: it may be taken over
	limit    int32             // of its first batch; 0: the worker's own
	moved    bool              // by an order since the last Operation
	ran      bool              // an incarnation had its checkpoint
	guarded  bool              // the last one had not passed what may have killed the process before
	position store.Position    // of the last one, for a volatile worker
}

var _ cursor.Operator = (*Baton)(nil)

// Spawn begins the incarnation that a tree ordered; it has no checkpoint yet. The one before has
// left.
func (b *Baton) Spawn(e Effect) *Worker {
	if b.limit = int32(e.Limit); e.Cause != Restart { // at most cursor.MaxBatchSize
		b.epoch = 0
	}
	if e.Cause == Resumed { // an operator has seen what happened
		b.guarded = false
	}
	if b.limiter == nil {
		b.limiter = b.Worker.Limiter()
	}
	return NewWorker(Incarnation{
		Lanes: b.Worker.Lanes, Limit: e.Limit, Later: e.Later, Failing: e.Failing, Policy: &b.Worker.Policy, Random: b.Random,
		Limiter: b.limiter, GivesUp: b.Worker.GiveUp != nil,
	})
}

// Acquire takes over the checkpoint, and so fences its previous owner. After a failure that must be
// the previous incarnation of this worker: from any other owner a restart takes nothing back.
//
// A worker without a checkpoint continues at the position of the incarnation before it: from its
// Start events would be skipped, or handled again at each restart, with their reactions. One that
// was widened while it ran stays so.
func (b *Baton) Acquire(ctx context.Context) error {
	w := &b.Worker
	if b.rebound != nil {
		w = b.rebound
	}
	if w.Volatile && b.ran {
		again := *w
		again.Start = store.After(b.position)
		w = &again
	}
	former := cursor.Former{Epoch: &b.epoch, Limit: int(b.limit), Seen: b.ran && !b.guarded}
	runner, err := cursor.RestartRunner(ctx, b.Store, w, former)
	if err != nil {
		return err
	}
	if err := b.loadPause(); err != nil {
		return err
	}
	b.Runner, b.ran = runner, true
	return nil
}

// Leave ends the incarnation.
func (b *Baton) Leave() {
	if b.Runner != nil {
		p := b.Progress()
		b.position, b.guarded, b.Runner = p.Position, p.Guarded, nil
	}
}

// Paused returns the pause of the worker, nil for none.
func (b *Baton) Paused() *checkpoint.Pause { return b.pause }

func (b *Baton) loadPause() error {
	if b.Worker.Volatile {
		return nil
	}
	info, err := checkpoint.Inspect(b.Store, checkpoint.ID(b.Worker.Name))
	b.pause = info.Pause
	return err
}

// Pause implements [cursor.Operator].
func (b *Baton) Pause(ctx context.Context, until time.Time, q checkpoint.Request) error {
	if err := b.Runner.Pause(ctx, until, q); err != nil {
		return err
	}
	return b.loadPause()
}

// Resume implements [cursor.Operator].
func (b *Baton) Resume(ctx context.Context, q checkpoint.Request) error {
	if err := b.Runner.Resume(ctx, q); err != nil {
		return err
	}
	return b.loadPause()
}

// Unpause ends a pause whose time is over. It is over also where that cannot be written now, as
// unwritten says if it is set: each reader of the pause sees its time.
func (b *Baton) Unpause(ctx context.Context, unwritten error) error {
	if b.pause = nil; unwritten != nil {
		return unwritten
	}
	return b.Runner.Resume(ctx, checkpoint.Request{Reason: "its time was over"})
}

// Apply implements [cursor.Operator].
func (b *Baton) Apply(ctx context.Context, c checkpoint.Change, q checkpoint.Request) (checkpoint.Outcome, error) {
	out, err := b.Runner.Apply(ctx, c, q)
	if err != nil || q.DryRun {
		return out, err
	}
	switch c := c.(type) {
	case checkpoint.Rewind, checkpoint.Reset:
		b.moved = true
	case checkpoint.Widen:
		b.moved = true
		b.Rebind(c.Region, c.Kinds)
	case checkpoint.Rebind:
		b.Rebind(c.Region, c.Kinds)
	}
	return out, nil
}

// Rebind has the next incarnations read something else. The region of those before stays as it is:
// other goroutines may still look at it.
func (b *Baton) Rebind(region store.Region, kinds []string) {
	next := b.Worker
	next.Region, next.Kinds = region, kinds
	b.rebound = &next
}

// Operation returns the result of the orders since the last call: err is of one that failed.
func (b *Baton) Operation(err error) Operation {
	o := Operation{Pause: b.pause, Moved: b.moved, Head: b.Store.Head(), Err: err}
	b.moved = false
	return o
}

// Record writes who resumed a halted worker, added one or removed one, and why, by an audit event
// of a kind. It follows what it reports, which lasts no longer than its system, so a crash in
// between leaves no other trace of either.
func Record(ctx context.Context, st *store.Store, worker, kind string, q checkpoint.Request) error {
	a := checkpoint.Audit{Worker: checkpoint.ID(worker), Reason: q.Reason, By: q.By}
	if _, err := st.Commit(ctx, store.Batch{Events: []store.Proposal{a.Proposal(kind)}}); err != nil {
		return fmt.Errorf("worker %q: done, but %s is not recorded: %w", worker, kind, err)
	}
	return nil
}
