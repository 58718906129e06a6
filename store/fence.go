package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/penstock-io/penstock/store/internal/wal"
)

// Fence stages events over several commits, which become visible at once, or never.
//
//	f, err := store.OpenFence(ctx, st, store.FenceOptions{Reason: "close October"})
//	defer f.Cancel(context.WithoutCancel(ctx)) // after Publish it does nothing
//	r, err := f.Stage(ctx, store.Batch{Events: ...}) // any number of times
//	err = f.Publish(ctx)
//
// A staged event has its position, version and id at once, and is durable as that of any commit. It
// is not visible: while a fence is open the head waits before the first event that is staged in it.
// Others continue to commit, and are acknowledged, but what they append after that position is not
// visible either before the fence has ended: so no reader can pass events that come later, and none
// sees them come one by one. [Store.WaitVisible] waits for that. Side values, of checkpoints for
// example, are visible at once.
//
//	position   1  2  3  4  5  6  7        f staged, x of others
//	           x  x  f  f  x  f  x
//	head          2                       until the fence has ended
//	published                     7
//	cancelled                     7       3, 4 and 6 are hidden forever
//
// The entities and idempotency keys of staged events are reserved: another commit that uses one
// gets a [ReservedError] at once, and so does one with a [Condition] that a staged event breaks.
// That is why a cancelled fence leaves no hole in the versions and hash chains of entities: they
// continue as if the events had never been staged. Within the fence later stages see the earlier
// ones.
//
// A fence ends by Publish, Cancel, or its deadline, which cancels it. It does not survive its
// store: Close and the death of the process cancel it. Its methods may be called from many
// goroutines. It has none of its own, but a timer.
type Fence struct {
	store    *Store
	reason   string
	since    time.Time // by the clock of the store, as deadline
	deadline time.Time
	state    atomic.Uint32 // a fenceState; become changes it
	stages   atomic.Int64  // commits, done or under way, each of which adds one range at most
	timer    *time.Timer   // guarded by fences.mu of the store

	// What is staged. The holder of the committer's role writes it, with fences.mu held as Stats reads
	// it too, and reads it without.
	ranges  ranges
	events  uint64
	deleted bool // the state in the log
}

// FenceOptions of [OpenFence]. The zero value works.
type FenceOptions struct {
	// Deadline is how long the fence may be open, from OpenFence on: 0 for a second, at most
	// [MaxFenceDeadline]. Readers of the whole store wait as long.
	Deadline time.Duration
	// Reason is for people who wonder why the head does not move: at most 256 bytes. See
	// Stats.Fences.
	Reason string
}

const (
	// MaxFenceDeadline is the most that FenceOptions.Deadline may be.
	MaxFenceDeadline     = 30 * time.Second
	defaultFenceDeadline = time.Second
	// fenceRetry is after which time a cancellation is tried again for which there was no room.
	fenceRetry = 100 * time.Millisecond
)

// fenceState says what may still happen to a fence.
type fenceState uint32

const (
	fenceOpen      fenceState = iota
	fenceEnding               // its deadline has passed: it will be cancelled
	fencePublished            // for good
	fenceCancelled            // for good
	fenceLost                 // for good: no fence, but what damage has taken, see [Repair]
	fenceExpired              // for good: cancelled, as its deadline had passed
	fenceStates    = 6
)

// fenceMoves says which state may follow which. The timer of the fence makes it end; the holder of
// the committer's role does the rest, as it admits the commit that makes the change durable: no
// other commit is in that group, and if it fails the writer is poisoned.
//
//nolint:gochecknoglobals // nothing changes it
var fenceMoves = [fenceStates][fenceStates]bool{
	fenceOpen:   {fenceEnding: true, fencePublished: true, fenceCancelled: true},
	fenceEnding: {fenceExpired: true},
}

// become reports false where the present state does not allow the next one.
func (f *Fence) become(next fenceState) bool {
	for {
		now := f.state.Load()
		if !fenceMoves[now][next] {
			return false
		}
		if f.state.CompareAndSwap(now, uint32(next)) {
			return true
		}
	}
}

// fenceStep is what a request does with its fence.
type fenceStep uint8

const (
	fenceStage fenceStep = iota
	fencePublish
	fenceCancel
)

// OpenFence opens a fence. Nothing is written before the first [Fence.Stage]. Any number may be
// open at a time; the head waits for the first of them all.
//
// Errors: [InvalidError] for options that exceed a limit, [ErrReadOnly], [ErrClosed],
// [ErrPoisoned], and that of ctx, which bounds this call alone.
func OpenFence(ctx context.Context, s *Store, o FenceOptions) (*Fence, error) {
	if err := s.commits(ctx); err != nil {
		return nil, err
	}
	if o.Deadline == 0 {
		o.Deadline = defaultFenceDeadline
	}
	if o.Deadline < 0 || o.Deadline > MaxFenceDeadline {
		return nil, &InvalidError{
			Field: "fence deadline", Rule: fmt.Sprintf("must be above 0 and at most %s", MaxFenceDeadline), Value: o.Deadline,
		}
	}
	if err := checkMax("fence reason bytes", len(o.Reason), maxFenceReason); err != nil {
		return nil, err
	}
	if err := s.committer.writer.poisoned(); err != nil {
		return nil, err
	}
	now := s.Now()
	f := &Fence{store: s, reason: o.Reason, since: now, deadline: now.Add(o.Deadline)}
	return f, s.fences.open(f, o.Deadline)
}

// Stage commits a batch inside the fence: durable as after [Store.Commit], with its errors and what
// it says of ctx, and not visible. Versions count the staged events of this fence. A batch may have
// conditions, which count the staged events of this fence too, and an idempotency key; it must have
// an event. It may not have side values, as these cannot be hidden: the former value is gone once
// the next one is written.
//
// Errors are also [FenceCancelledError] and [ErrFenceEnded], [ReservedError] for what another fence
// has reserved, and an [InvalidError] for the 1,025th commit, those included that are under way.
func (f *Fence) Stage(ctx context.Context, b Batch) (Receipt, error) {
	s := f.store
	if err := s.commits(ctx); err != nil {
		return Receipt{}, err
	}
	if len(b.Events) == 0 || len(b.Sides) > 0 {
		return Receipt{}, &InvalidError{Field: "staged batch", Rule: "must hold events, and nothing but events"}
	}
	n := f.stages.Add(1)
	if n > maxFenceStages {
		f.stages.Add(-1)
		return Receipt{}, &InvalidError{Field: "commits of a fence", Limit: maxFenceStages, Value: n}
	}
	req := s.requests.get()
	req.fence, req.step, req.extra = f, fenceStage, f.recordBytes(n)
	r, err := s.commit(ctx, req, s.prepare(ctx, req, &b))
	if r.Duplicate || err != nil && !errors.Is(err, ErrOutcomeUnknown) {
		f.stages.Add(-1)
	}
	return r, err
}

// recordBytes is the room that the state of the fence may need once so many commits are staged.
// More is for those that were published.
func (f *Fence) recordBytes(stages int64) int {
	return wal.SideSize(fenceKeyBytes, fenceRecordBytes(int(stages), f.reason)) + spentFences*wal.SideSize(fenceKeyBytes, 0)
}

// Publish makes all that was staged visible at once, and returns when that is durable under the
// sync mode. Where another fence is open in which an event was staged before the last one of this,
// all of it becomes visible when that one ends. Once it was published it does nothing.
//
// Errors: [FenceCancelledError], and those of [Store.Commit]. After [ErrOutcomeUnknown] another
// call tells.
func (f *Fence) Publish(ctx context.Context) error { return f.finish(ctx, fencePublish) }

// Cancel hides all that was staged, forever. On a fence that was cancelled, also by its deadline,
// or published it does nothing, so that it may be deferred.
//
// Errors are those of [Store.Commit]. After one the fence is cancelled by its deadline, at the
// latest.
func (f *Fence) Cancel(ctx context.Context) error {
	err := f.finish(ctx, fenceCancel)
	if errors.Is(err, ErrFenceEnded) {
		return nil
	}
	return err
}

// finish ends the fence by a commit, in which no other takes part.
func (f *Fence) finish(ctx context.Context, step fenceStep) error {
	s := f.store
	if err := s.commits(ctx); err != nil {
		return err
	}
	req := s.requests.get()
	req.fence, req.step, req.size = f, step, f.recordBytes(f.stages.Load())
	if err := s.committer.submit(ctx, req); err != nil {
		return err // the committer may still hold req
	}
	err := req.err
	s.requests.put(req)
	return err
}

// expire is called by the timer. Where the disk is full, or too many commits are queued, it is
// called again: nothing staged becomes visible meanwhile.
func (f *Fence) expire() {
	f.become(fenceEnding)
	if err := f.finish(context.Background(), fenceCancel); errors.Is(err, ErrDiskFull) || errors.Is(err, ErrBusy) {
		f.store.fences.retry(f)
	}
}

// FenceStats describes an open fence.
type FenceStats struct {
	Reason string
	// First is the position before which the head waits, 0 where nothing is staged yet.
	First Position
	// Events that are staged.
	Events uint64
	// Since and Deadline, of the store's clock. Zero in a read-only store, which learns of a fence by
	// what is staged.
	Since, Deadline time.Time
}

// openFences describes the fences that are open.
func (s *Store) openFences() []FenceStats {
	f := s.follower
	if f == nil {
		return s.fences.stats()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fences.stats()
}

// openFences are those of a writer. mu is held for a few assignments.
type openFences struct {
	mu     sync.Mutex
	list   []*Fence
	closed bool
}

// open begins the time of a fence.
func (o *openFences) open(f *Fence, deadline time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	f.timer = time.AfterFunc(deadline, f.expire)
	o.list = append(o.list, f)
	return nil
}

func (o *openFences) retry(f *Fence) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		f.timer.Reset(fenceRetry)
	}
}

// ended forgets a fence. A timer that has fired finds that there is nothing to do.
func (o *openFences) ended(f *Fence) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f.timer.Stop()
	o.list = slices.DeleteFunc(o.list, func(other *Fence) bool { return other == f })
}

// close stops the timers. What is open stays so in the log, and is thereby cancelled.
func (o *openFences) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, f := range o.list {
		f.timer.Stop()
	}
	o.list = nil
}

// staged returns the ranges up to a position that are staged in other fences than one.
func (o *openFences) staged(own *Fence, upTo Position) ranges {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Range
	for _, f := range o.list {
		if f != own {
			all = append(all, f.ranges.clip(0, upTo)...)
		}
	}
	return ranges(nil).with(all...)
}

func (o *openFences) stats() (stats []FenceStats) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.list {
		t := FenceStats{Reason: f.reason, Events: f.events, Since: f.since, Deadline: f.deadline}
		if len(f.ranges) > 0 {
			t.First = f.ranges[0].From
		}
		stats = append(stats, t)
	}
	return stats
}
