package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// isOpen reports whether a fence has not ended.
func (l *plainLog) isOpen(fence int) bool { return fence > 0 && l.fences[fence] == fenceOpen }

// openFences are those in which something is staged.
func (l *plainLog) openFences() (open []int) {
	for i := range l.events {
		if fence := l.events[i].fence; l.isOpen(fence) && !slices.Contains(open, fence) {
			open = append(open, fence)
		}
	}
	return open
}

// reserved reports whether another fence than this one has an entity.
func (l *plainLog) reserved(entity string, fence int) bool {
	return slices.ContainsFunc(l.events, func(e plainEvent) bool {
		return e.At.Entity == entity && e.fence != fence && l.isOpen(e.fence)
	})
}

// assigned is the version of an entity, with what is staged.
func (l *plainLog) assigned(entity string) (version uint64) {
	for i := range l.events {
		e := &l.events[i]
		if e.At.Entity == entity && l.fences[e.fence] != fenceCancelled && e.Position > l.unknown[entity] {
			version = e.Version
		}
	}
	return version
}

// head is before the first open fence, and before each published one of which that would show a
// part.
func (l *plainLog) head() store.Position {
	head := store.Position(len(l.events))
	spans := make(map[int]store.Range)
	for i := range l.events {
		e := &l.events[i]
		if l.isOpen(e.fence) {
			head = min(head, e.Position-1)
		}
		if span, begun := spans[e.fence]; begun {
			spans[e.fence] = store.Range{From: span.From, To: e.Position}
		} else if e.fence > 0 && l.fences[e.fence] == fencePublished {
			spans[e.fence] = store.Range{From: e.Position, To: e.Position}
		}
	}
	for range spans { // each may move it before another one
		for _, span := range spans {
			if span.From <= head && head < span.To {
				head = span.From - 1
			}
		}
	}
	return head
}

// visible are the events up to the head that are not hidden.
func (l *plainLog) visible() (events []plainEvent) {
	for _, e := range l.events[:l.head()] {
		if l.fences[e.fence] != fenceCancelled {
			events = append(events, e)
		}
	}
	return events
}

// version is what a reader is told.
func (l *plainLog) version(entity string) (version uint64) {
	version, _ = l.shown(entity)
	return version
}

// shown returns version and position of the last event of an entity that a reader knows of.
func (l *plainLog) shown(entity string) (version uint64, at store.Position) {
	for _, e := range l.visible() {
		if e.At.Entity == entity && e.Position > l.unknown[entity] {
			version, at = e.Version, e.Position
		}
	}
	return version, at
}

// outline is what a region matches.
func (e *plainEvent) outline() store.Event {
	return store.Event{Position: e.Position, Version: e.Version, Coordinate: e.At, Kind: e.Payload.Kind()}
}

// in returns the visible events of a region in (after, upTo].
func (l *plainLog) in(r store.Region, after, upTo store.Position) (events []plainEvent) {
	for _, e := range l.visible() {
		if e.Position > max(after, l.gone) && e.Position <= upTo && within(r, e.outline()) {
			events = append(events, e)
		}
	}
	return events
}

// compare reads all that there is, and returns the first difference.
func (l *plainLog) compare(ctx context.Context, r Reader) error {
	if head := r.Head(); head != l.head() {
		return fmt.Errorf("the head is %d, not %d", head, l.head())
	}
	events, err := collect(r.Read(ctx, store.Region{}, store.Beginning()))
	if err == nil {
		err = sameEvents(l.in(store.Region{}, 0, math.MaxUint64), events)
	}
	for _, entity := range entityNames() {
		version, failed := r.Version(ctx, entity)
		err = errors.Join(err, differs("version of "+entity, l.version(entity), version, failed))
	}
	sides, failed := collect(r.SideRange(firstSide, "", 0))
	return errors.Join(err, failed, l.compareSides(sides))
}

// firstSide comes after the keys that the store has for itself, which are no part of a plain log.
const firstSide = "p"

func (l *plainLog) compareSides(sides []store.SideValue) error {
	keys := slices.Sorted(maps.Keys(l.sides))
	if len(keys) != len(sides) {
		return fmt.Errorf("there are %d side values, not %d", len(sides), len(keys))
	}
	for i, key := range keys {
		want, got := l.sides[key], sides[i]
		if got.Key != key || got.Revision != want.Revision || !bytes.Equal(got.Value, want.Value) {
			return fmt.Errorf("side value %q of revision %d and %d bytes is %q of revision %d and %d bytes",
				key, want.Revision, len(want.Value), got.Key, got.Revision, len(got.Value))
		}
	}
	return nil
}

// sameEvents compares events as they were proposed and recorded with what was read.
func sameEvents(want []plainEvent, got []store.Event) error {
	for i := range min(len(want), len(got)) {
		if err := want[i].compare(&got[i]); err != nil {
			return fmt.Errorf("event %d, read at position %d: %w", want[i].Position, got[i].Position, err)
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("there are %d events, not %d", len(got), len(want))
	}
	return nil
}

func (e *plainEvent) compare(got *store.Event) error {
	raw, _ := e.Payload.(store.Raw)
	headers := e.Headers
	if _, erased := got.Erased(); erased != e.erased {
		return fmt.Errorf("it is erased: %t", erased)
	}
	if e.erased {
		raw.Data, headers = nil, nil
	}
	correlation := e.Causation.Correlation
	if correlation == uuid.Nil {
		correlation = e.ID
	}
	switch {
	case got.Position != e.Position || got.ID != e.ID || got.Version != e.Version:
		return fmt.Errorf("recorded as %+v, it has id %s and version %d", e.Recorded, got.ID, got.Version)
	case got.Coordinate != e.At || got.Kind != raw.Type || got.SchemaVersion != raw.SchemaVersion:
		return fmt.Errorf("it is %s of %s, schema version %d", got.Kind, got.Coordinate, got.SchemaVersion)
	case got.Codec != raw.Codec || !bytes.Equal(got.Payload, raw.Data):
		return fmt.Errorf("it has another payload, in %s", got.Codec)
	case !maps.Equal(got.Headers(), headers) || !maps.Equal(got.Meta(), e.Meta):
		return fmt.Errorf("it has headers %v and meta %v", got.Headers(), got.Meta())
	case got.Cause != e.Causation.Cause || got.Correlation != correlation || got.Depth != e.Causation.Depth:
		return fmt.Errorf("it has cause %s, correlation %s, depth %d", got.Cause, got.Correlation, got.Depth)
	}
	return nil
}
