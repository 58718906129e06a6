package storetest

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// read compares the ways to read a region, from anywhere.
func (h *history) read() (about string, err error) {
	region, after, limit := h.region(), h.position(), []int{1, 2, 7, 1000}[h.random.IntN(4)]
	about = fmt.Sprintf("read %s after %d in pages of %d", region, after, limit)
	if h.log.beginsLater(after, math.MaxUint64) {
		return about, h.readDropped(region, after)
	}
	want := h.log.in(region, after, math.MaxUint64)
	events, err := collect(h.Reader.Read(h.ctx, region, store.After(after)))
	if err == nil {
		err = sameEvents(want, events)
	}
	if err != nil {
		return about, err
	}
	if err := h.scan(region, after, want); err != nil {
		return about, fmt.Errorf("scan: %w", err)
	}
	if err := h.pages(region, after, limit); err != nil {
		return about, fmt.Errorf("pages: %w", err)
	}
	n, err := h.Reader.Count(h.ctx, region, after, 0, limit)
	if exact := min(limit, len(want)); err != nil || n < exact || n > exact && region.Indexed() {
		return about, fmt.Errorf("%d of %d are counted: %w", n, exact, err)
	}
	return about, nil
}

// readDropped requires that a reader is told what it misses.
func (h *history) readDropped(r store.Region, after store.Position) error {
	want := []error{h.log.dropped(after + 1)}
	_, err := collect(h.Reader.Read(h.ctx, r, store.After(after)))
	failed := h.log.oneOf(want, err)
	if after < h.log.head() {
		_, err = h.Reader.ReadPage(h.ctx, r, after, 0, 1)
		failed = errors.Join(failed, h.log.oneOf(want, err))
		for after < h.log.gone && h.log.fences[h.log.events[after].fence] == fenceCancelled { // counting begins after it
			after++
		}
		if _, err = h.Reader.Count(h.ctx, r, after, 0, 1); after < h.log.gone {
			failed = errors.Join(failed, h.log.oneOf([]error{h.log.dropped(after + 1)}, err))
		}
	}
	return failed
}

func (h *history) scan(r store.Region, after store.Position, want []plainEvent) error {
	for e, err := range h.Reader.Scan(h.ctx, r, store.After(after)) {
		if err != nil {
			return err
		}
		if len(want) == 0 {
			return fmt.Errorf("there is an event %d", e.Position)
		}
		if err := want[0].compare(e); err != nil {
			return fmt.Errorf("event %d: %w", e.Position, err)
		}
		want = want[1:]
	}
	return sameEvents(want, nil)
}

func (h *history) pages(r store.Region, after store.Position, limit int) error {
	head := h.log.head()
	upTo := after + store.Position(h.random.IntN(20))
	if upTo == 0 || h.oneIn(2) {
		upTo = head
	}
	if h.log.beginsLater(after, min(upTo, head)) {
		return nil
	}
	want := h.log.in(r, after, min(upTo, head))
	var got []store.Event
	for at := after; at < min(upTo, head); {
		page, err := h.Reader.ReadPage(h.ctx, r, at, upTo, limit)
		if err != nil {
			return err
		}
		if page.Scanned <= at || page.Scanned > upTo || len(page.Events) > limit {
			return fmt.Errorf("a page after %d up to %d has %d events and ends at %d", at, upTo, len(page.Events), page.Scanned)
		}
		got, at = append(got, page.Events...), page.Scanned
	}
	return sameEvents(want, got)
}

// lookUp asks for single things.
func (h *history) lookUp() (about string, err error) {
	switch h.random.IntN(4) {
	case 0:
		return h.play(&call{do: askVersion, name: h.pick(entityNames()...)})
	case 1:
		return h.play(&call{do: askSide, name: h.pick(sideNames()...)})
	}
	p := h.position()
	about = fmt.Sprint("get event ", p)
	want := slices.DeleteFunc(h.log.visible(), func(e plainEvent) bool { return e.Position != p })
	if len(want) == 1 && want[0].At.Scope == store.ReservedScope {
		return about, nil // an audit, of which the log knows no more
	}
	e, err := h.Reader.GetAt(h.ctx, p)
	if gone := h.log.dropped(p); gone != nil && p > 0 {
		refusals := []error{gone}
		if h.log.fences[h.log.events[p-1].fence] == fenceCancelled { // it was not there before
			refusals = append(refusals, store.ErrNotFound)
		}
		return about, h.log.oneOf(refusals, err)
	}
	if len(want) == 0 {
		return about, h.log.oneOf([]error{store.ErrNotFound}, err)
	}
	if err == nil {
		err = sameEvents(want, []store.Event{e})
	}
	if err != nil {
		return about, err
	}
	byID, err := h.Reader.Get(h.ctx, e.ID)
	if err == nil {
		err = sameEvents(want, []store.Event{byID})
	}
	if err != nil {
		return about, err
	}
	since, err := h.Reader.Resolve(h.ctx, store.Since(e.Time.Time()))
	if err == nil && since >= p {
		err = fmt.Errorf("its time lies after position %d", since)
	}
	return about, err
}

// list compares a range of side values.
func (h *history) list() (about string, err error) {
	from, to, limit := h.pick(firstSide, "p/1", "p/2", "q"), h.pick("", "p/2", "q", "r"), h.random.IntN(3)
	about = fmt.Sprintf("list at most %d side values from %q to %q", limit, from, to)
	want := *h.log
	want.sides = make(map[string]store.SideValue)
	for _, key := range sideNames() {
		v, found := h.log.sides[key]
		if found && key >= from && (to == "" || key < to) && (limit == 0 || len(want.sides) < limit) {
			want.sides[key] = v
		}
	}
	got, err := collect(h.Reader.SideRange(from, to, limit))
	if err == nil {
		err = want.compareSides(got)
	}
	return about, err
}
