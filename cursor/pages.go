package cursor

import (
	"context"
	"sort"
	"sync"

	"github.com/penstock-io/penstock/store"
)

// Pages are what workers of one store have read of the log last, kept for those that come by the
// same place: a thousand that read the same region decode each event once, not a thousand times.
// The zero value is empty. It is safe for concurrent use, and machinery of those that run workers,
// as a [Runner] is.
//
//	one worker    |--- page ---|--- page ---|--- page ---|
//	another one         ^ continues here: it is served what is left of the page
//
// What is kept was visible when it was read, matches its region and never changes, so it cannot go
// stale; but when events are erased nothing of what was read before is served or kept any longer.
// Events are read-only to all that share them. The oldest page goes where there are too many
// bytes, also if a slower worker is to come by it yet: that reads it again.
type Pages struct {
	mu    sync.Mutex // held for a look at the list, never while the log is read
	list  []sharedPage
	bytes int

	erasures uint64 // that all of the list knows of
}

// sharedPage is a page with what it answers: which events of a region there are after from.
type sharedPage struct {
	store.Page

	region store.Region
	from   store.Position
	bytes  int
}

// next is nextPage for one that needs n events, if there are so many, and takes up to limit. A nil
// *Pages keeps nothing.
func (p *Pages) next(ctx context.Context, own *owner, after, upTo store.Position, n, limit int) (store.Page, error) {
	if p == nil || upTo <= after {
		return nextPage(ctx, own.st, *own.region, after, upTo, limit)
	}
	erasures := store.Erasures(own.st)
	if page, found := p.find(own.region, after, upTo, n, limit, erasures); found {
		return page, nil
	}
	page, err := nextPage(ctx, own.st, *own.region, after, upTo, limit)
	if err == nil && len(page.Events) > 0 {
		p.add(sharedPage{Page: page, region: *own.region, from: after, bytes: memoryOf(page.Events)}, erasures)
	}
	return page, err
}

// know drops what was read before so many erasures were known. mu is held.
func (p *Pages) know(erasures uint64) {
	if erasures > p.erasures {
		clear(p.list)
		p.list, p.bytes, p.erasures = p.list[:0], 0, erasures
	}
}

// find returns what a page that is kept has after a position. A rest of less than n events is of no
// use, unless there are no more: batches would be small because others had read before.
func (p *Pages) find(
	region *store.Region, after, upTo store.Position, n, limit int, erasures uint64,
) (found store.Page, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.know(erasures)
	for i := len(p.list) - 1; i >= 0; i-- { // the newest first: workers are mostly close together
		kept := &p.list[i]
		if kept.from > after || kept.Scanned <= after || !same(kept.region, *region) {
			continue
		}
		if found = kept.part(after, upTo, limit); len(found.Events) >= n || found.Scanned >= upTo {
			return found, true
		}
	}
	return store.Page{}, false
}

// part is the page of (after, upTo] with at most limit events.
func (p *sharedPage) part(after, upTo store.Position, limit int) store.Page {
	following := func(at store.Position) int {
		return sort.Search(len(p.Events), func(i int) bool { return p.Events[i].Position > at })
	}
	first, end := following(after), following(upTo)
	part := store.Page{Scanned: min(p.Scanned, upTo)}
	if end-first > limit {
		end = first + limit
		part.Scanned = p.Events[end-1].Position
	}
	part.Events = p.Events[first:end:end]
	return part
}

// add keeps a page, unless it is large: a batch of its own is no better for being shared.
func (p *Pages) add(page sharedPage, erasures uint64) {
	if page.bytes > pagesBytes/4 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.know(erasures); erasures < p.erasures { // it was read before the last one
		return
	}
	p.list = append(p.list, page)
	p.bytes += page.bytes
	old := 0
	for ; p.bytes > pagesBytes || len(p.list)-old > maxPages; old++ {
		p.bytes -= p.list[old].bytes
	}
	if old > 0 {
		n := copy(p.list, p.list[old:])
		clear(p.list[n:])
		p.list = p.list[:n]
	}
}

// same reports whether two regions have the same events.
func same(a, b store.Region) bool { return a.Contains(b) && b.Contains(a) }

// memoryOf is about what events take.
func memoryOf(events []store.Event) (bytes int) {
	for i := range events {
		bytes += eventBytes + len(events[i].Payload)
	}
	return bytes
}

// WithPages returns the worker as one that shares what it reads with all others that have the same
// pages. They are of one store.
func (w Worker) WithPages(p *Pages) Worker {
	w.pages = p
	return w
}
