package cursor

import (
	"context"
	"slices"

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

// next returns the next n events after a position, less where there are no more up to another, and
// none only where there are none. So what a batch holds does not depend on how the log was read,
// but for the bytes that a page may have.
func (a *readAhead) next(
	ctx context.Context, own *owner, after, upTo store.Position, n int,
) (store.Page, error) {
	if a.from != after {
		a.drop()
	}
	if len(a.events) < n && (len(a.events) == 0 || a.scanned < upTo) {
		missing := n - len(a.events)
		page, err := own.worker.pages.next(ctx, own, max(after, a.scanned), upTo, missing, max(missing, a.size()))
		if len(a.events) == 0 && (err != nil || len(page.Events) == 0) {
			return page, err
		}
		if err == nil { // else what is good before it comes first
			a.add(after, page)
		}
	}
	return a.take(after, upTo, n), nil
}

// add puts a page behind what is left of the one before.
func (a *readAhead) add(after store.Position, page store.Page) {
	if len(page.Events) > 0 {
		a.average = memoryOf(page.Events) / len(page.Events)
	}
	if len(a.events) == 0 {
		a.events = page.Events
	} else {
		a.events = append(slices.Clip(a.events), page.Events...)
	}
	a.from, a.scanned = after, page.Scanned
}

// size is how many events to read: as many as aheadBytes hold, if they are like those before. Of a
// first page nothing is known, so it is as small as the batch.
func (a *readAhead) size() int {
	if a.average == 0 {
		return 1
	}
	return min(aheadEvents, max(1, aheadBytes/a.average))
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
