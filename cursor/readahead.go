package cursor

import (
	"context"

	"github.com/penstock-io/penstock/store"
)

// readAhead serves small batches from pages that are larger: a page costs a system call, a search
// in the index and a buffer, whatever its size. What it keeps is committed, visible and matches the
// region, so it never goes stale; but it is of use only to a reader that continues exactly where
// the last one ended, in the same region. Whatever changes the position or the region by other
// means drops it.
type readAhead struct {
	events  []store.Event  // matching, after the position from
	from    store.Position // where the next reader must continue
	scanned store.Position // everything from there up to here was looked at
	average int            // memory of an event, of the last page
}

// drop forgets what was read, but not how large events are.
func (a *readAhead) drop() { *a = readAhead{average: a.average} }

// next returns at most n events after a position up to another. It returns none only where there
// are none.
func (a *readAhead) next(
	ctx context.Context, own *owner, after, upTo store.Position, n int,
) (store.Page, error) {
	if len(a.events) == 0 || a.from != after {
		a.drop()
		page, err := nextPage(ctx, own.st, *own.region, after, upTo, max(n, a.size()))
		if err != nil || n >= aheadEvents || len(page.Events) == 0 {
			return page, err
		}
		a.measure(page.Events)
		if len(page.Events) <= n {
			return page, nil
		}
		a.events, a.scanned = page.Events, page.Scanned
	}
	return a.take(after, upTo, n), nil
}

// size is how many events to read: as many as aheadBytes hold, if they are like those before. Of a
// first page nothing is known, so it is as small as the batch.
func (a *readAhead) size() int {
	if a.average == 0 {
		return 1
	}
	return min(aheadEvents, max(1, aheadBytes/a.average))
}

func (a *readAhead) measure(events []store.Event) {
	bytes := 0
	for i := range events {
		bytes += eventBytes + len(events[i].Payload)
	}
	a.average = bytes / len(events)
}

// take cuts the next page off what was read.
func (a *readAhead) take(after, upTo store.Position, n int) store.Page {
	n = min(n, len(a.events))
	for n > 0 && a.events[n-1].Position > upTo {
		n--
	}
	page := store.Page{Events: a.events[:n:n], Scanned: min(a.scanned, upTo)}
	if a.events = a.events[n:]; len(a.events) == 0 {
		a.drop()
		return page
	}
	if a.events[0].Position <= upTo { // then n is not 0
		page.Scanned = page.Events[n-1].Position
	}
	a.from = max(after, page.Scanned)
	return page
}
