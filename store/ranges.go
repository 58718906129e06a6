package store

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// Range is a range of positions, both inclusive.
type Range struct{ From, To Position }

// CancelledRanges returns the parts of [from, to] that belong to cancelled fences, or were lost to
// damage, ascending, as far as they are known by now: everything up to the head is. Their events
// are never visible.
// Ranges that touch are one. It reads nothing.
func CancelledRanges(s *Store, from, to Position) []Range {
	return s.cancelled().clip(from, to)
}

// cancelled returns what is hidden. Loaded after a head it has all that is hidden up to there: the
// head moves past a cancelled range only once the range is known.
func (s *Store) cancelled() ranges {
	if r := s.hidden.Load(); r != nil {
		return *r
	}
	return nil
}

// hide replaces what is hidden. Called by the one that advances the log, before the head.
func (s *Store) hide(hidden ranges) {
	if len(hidden) > 0 {
		s.hidden.Store(&hidden)
	}
}

// ranges are disjoint, ascending, and do not touch. A value never changes.
type ranges []Range

// find returns the place of the first range that ends at a position or after it.
func (r ranges) find(p Position) int {
	i, _ := slices.BinarySearchFunc(r, p, func(in Range, p Position) int {
		switch {
		case in.To < p:
			return -1
		case in.From > p:
			return 1
		}
		return 0
	})
	return i
}

// has reports whether a position lies in one of them.
func (r ranges) has(p Position) bool {
	i := r.find(p)
	return i < len(r) && r[i].From <= p
}

// clip returns their parts in [from, to].
func (r ranges) clip(from, to Position) (clipped []Range) {
	if from > to {
		return nil
	}
	for _, in := range r[r.find(from):] {
		if in.From > to {
			break
		}
		clipped = append(clipped, Range{From: max(in.From, from), To: min(in.To, to)})
	}
	return clipped
}

// with returns them with some more, in any order.
func (r ranges) with(more ...Range) ranges {
	all := append(slices.Clone(r), more...)
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	merged := all[:0]
	for _, next := range all {
		if n := len(merged); n > 0 && next.From <= merged[n-1].To+1 {
			merged[n-1].To = max(merged[n-1].To, next.To)
			continue
		}
		merged = append(merged, next)
	}
	return slices.Clip(merged)
}

// without returns what is in none of some others.
func (r ranges) without(others ranges) (left ranges) {
	for _, in := range r {
		for _, out := range others.clip(in.From, in.To) {
			if in.From < out.From {
				left = append(left, Range{in.From, out.From - 1})
			}
			in.From = out.To + 1
		}
		if in.From <= in.To {
			left = append(left, in)
		}
	}
	return left
}

// digest tells them from any others: "0" for none, else the number of positions, and the beginning
// of a SHA-256 in hexadecimal digits.
func (r ranges) digest() string {
	if len(r) == 0 {
		return "0"
	}
	var n Position
	var encoded []byte
	for _, in := range r {
		n += in.To - in.From + 1
		encoded = binary.BigEndian.AppendUint64(encoded, uint64(in.From))
		encoded = binary.BigEndian.AppendUint64(encoded, uint64(in.To))
	}
	sum := sha256.Sum256(encoded)
	return fmt.Sprintf("%d-%x", n, sum[:8])
}

// span is the range from the beginning of the first to the end of the last. There is one.
func (r ranges) span() Range { return Range{From: r[0].From, To: r[len(r)-1].To} }

// visibleAfter returns the first range after a position that no cancelled range shortens, up to
// upTo at most; empty, with From after To, where there is none.
func (r ranges) visibleAfter(after, upTo Position) Range {
	next := Range{From: after + 1, To: upTo}
	i := r.find(next.From)
	if i < len(r) && r[i].From <= next.From {
		next.From = r[i].To + 1
		i++
	}
	if i < len(r) {
		next.To = min(next.To, r[i].From-1)
	}
	return next
}
