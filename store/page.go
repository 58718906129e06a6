package store

import (
	"context"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Page is a part of the log as a region sees it.
type Page struct {
	// Events that match, in order of position.
	Events []Event
	// Scanned is the position up to which everything was looked at: a reader continues after it.
	Scanned Position
}

// ReadPage returns the events of r after after and up to upTo (0 or beyond the head: up to the
// head), at most limit of them. It does a bounded amount of work: a page may hold fewer events, or
// none, with Scanned below upTo; a reader continues from there. A limit below 1 is refused with an
// [InvalidError], a bad region with its error; damage that it meets is a [CorruptError].
func (s *Store) ReadPage(ctx context.Context, r Region, after, upTo Position, limit int) (Page, error) {
	if err := r.Validate(); err != nil {
		return Page{}, err
	}
	if limit < 1 {
		return Page{}, &InvalidError{Field: "limit", Rule: "must be at least 1", Value: limit}
	}
	if err := s.readable(ctx); err != nil {
		return Page{}, err
	}
	head := s.Head()
	if upTo == 0 || upTo > head {
		upTo = head
	}
	if after >= upTo {
		return Page{Scanned: after}, nil
	}
	return s.readPage(r, after, upTo, limit)
}

// readPage is ReadPage with checked arguments. It makes room for what the page may hold, but for no
// more than a page of Read: limit may be huge.
//
// Four bounds end it: the events that are asked for, the bytes read, the segments looked at, and
// upTo; so a region that matches next to nothing does not keep its reader away from ctx. It fails
// only if the very next event cannot be read: what is good before a bad one is returned first, and
// the next call, which begins where this one ended, meets the same damage.
func (s *Store) readPage(r Region, after, upTo Position, limit int) (Page, error) {
	events := make([]Event, 0, min(uint64(limit), uint64(upTo-after), readPageEvents))
	w := s.walk(r, after, upTo)
	defer w.end()
	w.budget = maxPageBytes
	w.take = func(e Event, _ error) bool {
		events = append(events, e)
		return len(events) < limit
	}
	more, err := true, error(nil)
	for hops := 0; more && err == nil && w.scanned < upTo && w.budget > 0 && hops < maxPageHops; hops++ {
		more, err = w.step(limit - len(events))
	}
	if err != nil && w.scanned == after {
		return Page{}, s.readError(err)
	}
	return Page{Events: events, Scanned: w.scanned}, nil
}

// filter is a region ready for use. The index is queried with its terms; what the index cannot
// know, or knows by hash only, is checked on the event.
type filter struct {
	region  Region
	query   index.Query
	any     bool // the query has no term
	indexed bool // see Region.Indexed
}

// newFilter copies nothing: the region's kinds must not change while the filter is used, which is
// no longer than the call that was given the region.
func newFilter(r Region) filter {
	q := r.query()
	return filter{
		region: r, query: q, indexed: r.Indexed(),
		any: q.Entity == "" && q.Scope == "" && q.Category == "" && len(q.Kinds) == 0,
	}
}

func (f *filter) admits(at Coordinate, kind string, version uint64) bool {
	return f.region.admits(at.Scope, version) &&
		(f.any || f.query.Matches(index.Terms{Entity: at.Entity, Scope: at.Scope, Kind: kind}))
}
