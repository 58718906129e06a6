package cursor

import (
	"context"
	"fmt"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// place is how far a reader has come.
type place struct {
	scanned   store.Position // up to here nothing is left to deliver
	delivered store.Position // the last event delivered
}

// pass moves over the events, and over what follows them up to scanned.
func (p place) pass(events []store.Event, scanned store.Position) place {
	if n := len(events); n > 0 {
		p.delivered = events[n-1].Position
	}
	return place{scanned: max(p.scanned, scanned), delivered: p.delivered}
}

// move is the checkpoint of a reader that has nothing in flight.
func (p place) move() checkpoint.Move {
	return checkpoint.Move{Scanned: p.scanned, Delivered: p.delivered, Clean: true}
}

func placeOf(r checkpoint.Record) place { return place{scanned: r.Scanned, delivered: r.Delivered} }

// startAt is where a reader without a checkpoint begins. A position that the log has not reached is
// of another log, or wrong: to wait until it is reached would be to skip what comes before.
func startAt(ctx context.Context, st *store.Store, from store.From) (place, error) {
	start, err := st.Resolve(ctx, from)
	if err != nil {
		return place{}, fmt.Errorf("find the start: %w", err)
	}
	if head := st.Head(); start > head {
		return place{}, &checkpoint.PositionError{Err: checkpoint.ErrAhead, Position: start, Bound: head}
	}
	return place{scanned: start, delivered: start}, nil
}

// nextPage reads on until it has an event or has looked at everything up to upTo, at least once: a
// closed store is noticed although there is nothing to read.
func nextPage(
	ctx context.Context, st *store.Store, region store.Region, after, upTo store.Position, limit int,
) (store.Page, error) {
	// To the store 0 means the head. It is what upTo is in an empty log, where 1 means as little.
	upTo = max(upTo, 1)
	limit = min(limit, MaxBatchSize)
	for at := after; ; {
		page, err := st.ReadPage(ctx, region, at, upTo, limit)
		if err != nil {
			return store.Page{}, fmt.Errorf("cursor: read after %d: %w", at, err)
		}
		if len(page.Events) > 0 || page.Scanned >= upTo || page.Scanned == at {
			return page, nil
		}
		at = page.Scanned
	}
}

// commitStaged writes a batch that has the checkpoint of a lease. The context cannot end the wait:
// an owner that does not know the outcome of its commit does not know the revision either, and
// would take itself for fenced.
func commitStaged(ctx context.Context, st *store.Store, lease *checkpoint.Lease, b store.Batch) error {
	return lease.Committed(st.Commit(context.WithoutCancel(ctx), b))
}
