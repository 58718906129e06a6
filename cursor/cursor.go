package cursor

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// Canal is what events can be pulled from.
type Canal interface {
	// PullBatch returns at least one and at most limit events, waiting for the first at most the
	// given time; none when the wait is over, or when limit is 0, which moves nothing. An error is
	// terminal when it wraps [store.ErrClosed].
	PullBatch(ctx context.Context, limit int, wait time.Duration) ([]store.Event, error)
}

// Options of a [Cursor]. The zero value reads from the beginning and remembers nothing.
type Options struct {
	// ID names the checkpoint. Empty means none: Commit and Rollback work within the life of the
	// cursor.
	ID checkpoint.ID
	// Start is where a cursor without a checkpoint begins.
	Start store.From
	// SyncCheckpoints makes Commit wait until a power cut cannot undo it. Otherwise it survives the
	// death of the process at once, and a power cut some 10 ms later.
	SyncCheckpoints bool
	// Gaps is how many gap observations are kept until [Cursor.TakeGaps]; 0 keeps none.
	Gaps int
}

// Cursor reads the events of a region in order, pulled by hand. It is not safe for concurrent use.
type Cursor struct {
	st     *store.Store
	region store.Region
	lease  *checkpoint.Lease // nil without an ID
	lazy   bool
	at     place
	kept   place // as of the last Commit
	gaps   gaps
}

// Open returns a cursor. With an ID it acquires the checkpoint, a commit that fences the cursor
// that used the ID before, and resumes where that one committed last; the errors are those of
// [checkpoint.Acquire]. Without one, a start beyond the head is [checkpoint.ErrAhead]. There is
// nothing to close.
func Open(ctx context.Context, st *store.Store, region store.Region, o Options) (*Cursor, error) {
	if err := region.Validate(); err != nil {
		return nil, fmt.Errorf("cursor: %w", err)
	}
	if err := checkRange("Gaps", o.Gaps, maxGaps); err != nil {
		return nil, fmt.Errorf("cursor: %w", err)
	}
	c := &Cursor{st: st, region: region, lazy: !o.SyncCheckpoints, gaps: gaps{limit: o.Gaps}}
	if o.ID == "" {
		start, err := startAt(ctx, st, o.Start)
		if err != nil {
			return nil, fmt.Errorf("cursor: %w", err)
		}
		c.at = start
	} else {
		lease, err := checkpoint.Acquire(ctx, st, o.ID, checkpoint.Binding{Region: region, Start: o.Start, Pulled: true})
		if err != nil {
			return nil, fmt.Errorf("cursor: %w", err)
		}
		c.lease, c.at = lease, placeOf(lease.Record())
	}
	c.kept = c.at
	return c, nil
}

// Position up to which everything that matches was delivered.
func (c *Cursor) Position() store.Position { return c.at.scanned }

// All is one pass: the events between the position and the head as it is when the loop begins. An
// event counts as delivered when the body of the loop gets it, so a Commit in the body covers it,
// and a loop that is left can be resumed. After a Rollback in the body the pass continues from the
// committed position. An error ends the pass.
func (c *Cursor) All(ctx context.Context) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		head := c.st.Head()
		for c.at.scanned < head {
			page, err := nextPage(ctx, c.st, c.region, c.at.scanned, head, defaultBatchSize)
			if err != nil {
				yield(store.Event{}, err)
				return
			}
			if !c.deliver(page, yield) {
				return
			}
		}
	}
}

// deliver hands out a page event by event. It stops early, without an end of the loop, when the
// body of the loop moved the cursor: the page is of no use then.
func (c *Cursor) deliver(page store.Page, yield func(store.Event, error) bool) (more bool) {
	for i, e := range page.Events {
		c.gaps.observe(c.st, c.at.delivered, e.Position)
		here := c.at.pass(page.Events[i:i+1], e.Position)
		c.at = here
		if !yield(e, nil) {
			return false
		}
		if c.at != here {
			return true
		}
	}
	c.at = c.at.pass(nil, page.Scanned)
	return true
}

// Poll returns the next event, or false when there is none up to the present head.
func (c *Cursor) Poll(ctx context.Context) (store.Event, bool, error) {
	events, err := c.PollBatch(ctx, 1)
	if err != nil || len(events) == 0 {
		return store.Event{}, false, err
	}
	return events[0], true, nil
}

// PollBatch returns up to limit of the next events, at most [MaxBatchSize]; none when there are
// none up to the present head. Limit 0 returns none and moves nothing, a negative one is a
// [store.InvalidError]. Its cost grows with what it returns, not with the log.
func (c *Cursor) PollBatch(ctx context.Context, limit int) ([]store.Event, error) {
	if limit < 0 {
		return nil, &store.InvalidError{Field: "limit", Rule: "must not be negative", Value: limit}
	}
	if limit == 0 {
		return nil, nil
	}
	head := c.st.Head()
	page, err := nextPage(ctx, c.st, c.region, c.at.scanned, head, limit)
	if err != nil {
		return nil, err
	}
	for i := range page.Events {
		c.gaps.observe(c.st, c.at.delivered, page.Events[i].Position)
		c.at.delivered = page.Events[i].Position
	}
	c.at = c.at.pass(page.Events, page.Scanned)
	return page.Events, nil
}

// TakeGaps returns the gaps observed since the last call, oldest first, and how many were dropped
// since to make room.
func (c *Cursor) TakeGaps() (taken []Gap, dropped uint64) { return c.gaps.take() }

// PullBatch is [Cursor.PollBatch], but waits up to the given time for the first event; a wait of 0
// or less only looks. It sleeps until the head moves, and does not poll meanwhile. A context that
// ends is an error, a wait that is over is not.
func (c *Cursor) PullBatch(ctx context.Context, limit int, wait time.Duration) ([]store.Event, error) {
	if limit <= 0 || wait <= 0 {
		return c.PollBatch(ctx, limit)
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		events, err := c.PollBatch(ctx, limit)
		if err != nil || len(events) > 0 {
			return events, err
		}
		// Nothing is lost between the look and the wait: it returns at once if the head is beyond
		// by now.
		if _, err = c.st.Wait(waiting, c.at.scanned); err == nil {
			continue
		}
		if waiting.Err() != nil && ctx.Err() == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("cursor: wait: %w", err)
	}
}

// Commit makes the present position the one to resume from: after a [Cursor.Rollback], and with an
// ID after a restart too. It does nothing when nothing moved. Once begun it is not cut short by
// ctx. An error that wraps [checkpoint.ErrFenced] means that the ID belongs to another owner now.
func (c *Cursor) Commit(ctx context.Context) error {
	if c.at == c.kept {
		return nil
	}
	if c.lease != nil {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("cursor: commit: %w", err)
		}
		b := store.Batch{Lazy: c.lazy}
		c.lease.Stage(&b, c.at.move())
		if err := commitStaged(ctx, c.st, c.lease, b); err != nil {
			return fmt.Errorf("cursor: commit: %w", err)
		}
	}
	c.kept = c.at
	return nil
}

// Rollback goes back to the position committed last, or to the start.
func (c *Cursor) Rollback() { c.at = c.kept }
