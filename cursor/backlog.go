package cursor

import (
	"context"
	"fmt"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// Backlog is what waits for a worker.
type Backlog struct {
	// Events is how many events wait. What is parked does not, nor does what a worker that was widened
	// or rewound has handled before.
	Events int
	// AtLeast says that there may be more: counting ended at the limit.
	AtLeast bool
	// Oldest is the one that waits longest; a zero one where none does, or none was found up to the
	// limit.
	Oldest store.Event
}

// maxBacklogPages bounds how much of the log Backlog reads, where it has to read.
const maxBacklogPages = 16

// Backlog counts what waits for the worker in the log up to a head, at most limit events. Where the
// index does not tell them from others (see [store.Region.Indexed]; and after a widening, or a
// rewind over what was pending) it looks at no more than limit events of the region, and 16 pages.
// Errors are those of reading: damage is one, since what it hides cannot be counted. Beside an
// error stands what was found before it.
func (p *Progress) Backlog(ctx context.Context, st *store.Store, head store.Position, limit int) (Backlog, error) {
	b := Backlog{Events: min(len(p.Pending), limit)}
	if len(p.Pending) > 0 {
		oldest, err := st.GetAt(ctx, p.Pending[0])
		if err != nil {
			return b, fmt.Errorf("cursor: event %d that is pending: %w", p.Pending[0], err)
		}
		b.Oldest = oldest
	}
	if p.Region.Indexed() && !p.Pass.Skips() && len(p.ParkedAhead) == 0 {
		err := p.count(ctx, st, head, limit, &b)
		return b, err
	}
	err := p.look(ctx, st, head, limit, &b)
	return b, err
}

// count adds what lies after Scanned, where the index tells. The oldest is read.
func (p *Progress) count(ctx context.Context, st *store.Store, head store.Position, limit int, b *Backlog) error {
	if p.Scanned >= head {
		return nil
	}
	n, err := st.Count(ctx, *p.Region, p.Scanned, head, limit)
	if err != nil {
		return fmt.Errorf("cursor: count after %d: %w", p.Scanned, err)
	}
	b.AtLeast = n >= limit-b.Events
	b.Events = min(limit, b.Events+n)
	if n == 0 || len(p.Pending) > 0 {
		return nil
	}
	page, err := nextPage(ctx, st, *p.Region, p.Scanned, head, 1)
	if len(page.Events) > 0 {
		b.Oldest = page.Events[0]
	}
	return err
}

// look adds what lies after Scanned, where only the events tell.
func (p *Progress) look(ctx context.Context, st *store.Store, head store.Position, limit int, b *Backlog) error {
	at := p.Scanned
	for pages, looked := 0, 0; at < head && b.Events < limit && looked < limit && pages < maxBacklogPages; pages++ {
		page, err := st.ReadPage(ctx, *p.Region, at, head, min(MaxBatchSize, limit-looked))
		if err != nil {
			return fmt.Errorf("cursor: read after %d: %w", at, err)
		}
		for i := range page.Events {
			if e := &page.Events[i]; p.waits(e) {
				if b.Events++; b.Oldest.Position == 0 {
					b.Oldest = *e
				}
			}
		}
		at, looked = page.Scanned, looked+len(page.Events)
	}
	b.AtLeast = at < head || b.Events >= limit
	b.Events = min(b.Events, limit)
	return nil
}

// waits reports whether an event of the region after Scanned is still to be handled.
func (p *Progress) waits(e *store.Event) bool {
	_, parked := slices.BinarySearch(p.ParkedAhead, e.Position)
	return !parked && p.Pass.Delivers(*e)
}
