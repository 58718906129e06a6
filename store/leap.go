package store

import (
	"math"
	"math/bits"
	"sort"

	"github.com/penstock-io/penstock/store/internal/index"
)

// leap passes over segments that have no event of an entity, many at a time: in a log of many
// segments those are nearly all. A nil leap passes over nothing. It belongs to one reader, which
// makes it when one segment was not enough: most readers look at the last one alone.
type leap struct {
	asked   index.Asked
	group   []*segment // that were asked
	perhaps uint64     // a bit for each: it may have events
	end     Position   // of the group
}

// over is a leap to events of an entity, or of what is under it, and nil where there is none.
func over(entity string) *leap {
	if entity == "" {
		return nil
	}
	return &leap{asked: index.AskEntity(entity)}
}

// from returns the position after which a reader has to look that has looked at everything up to
// after and wants what is up to upTo.
func (l *leap) from(s *Store, after, upTo Position) Position {
	if l == nil {
		return after
	}
	for after < upTo {
		if len(l.group) == 0 || after < l.group[0].first-1 || after >= l.end {
			if !l.ask(s, after, upTo) {
				return after
			}
		}
		i := sort.Search(len(l.group), func(i int) bool { return l.group[i].first > after+1 }) - 1
		skip := bits.TrailingZeros64(l.perhaps >> i)
		switch {
		case skip == 0:
			return after
		case i+skip >= len(l.group):
			after = min(upTo, l.end)
		default:
			after = min(upTo, l.group[i+skip].first-1)
		}
	}
	return after
}

// ask asks the segment that holds the position after after and those behind it. It returns false
// where there is no such segment: the read that follows says so.
func (l *leap) ask(s *Store, after, upTo Position) bool {
	segments := *s.segments.Load()
	i := sort.Search(len(segments), func(i int) bool { return segments[i].first > after+1 }) - 1
	if i < 0 {
		return false
	}
	to := i + 1
	for to < len(segments) && to-i < index.AtOnce && segments[to].first <= upTo {
		to++
	}
	l.group, l.end = segments[i:to], math.MaxUint64
	if to < len(segments) {
		l.end = segments[to].first - 1
	}
	l.perhaps = perhapsIn(l.group, &l.asked, nil)
	return true
}
