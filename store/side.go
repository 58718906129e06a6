package store

import (
	"context"
	"errors"
	"iter"

	"github.com/penstock-io/penstock/store/internal/index"
)

// Side returns the present value of a side key, and whether there is one. It may be newer than the
// last sync when it was written by a lazy batch.
//
// A value of more than 64 bytes is read from the disk. One that cannot be read is an error, with
// all but the value: a [CorruptError] where it is damaged, [ErrClosed], or the file system's.
func (s *Store) Side(key string) (value SideValue, found bool, err error) {
	s.catchUp()
	if err := s.readable(context.Background()); err != nil {
		return SideValue{}, false, err
	}
	value, found, err = s.sides.read(key)
	return value, found, s.readError(err)
}

// Sides iterates over the side values whose key starts with prefix, by key. It is a
// [Store.SideRange] without a limit.
func (s *Store) Sides(prefix string) iter.Seq2[SideValue, error] {
	return s.SideRange(prefix, prefixEnd(prefix), 0)
}

// SideRange iterates over the side values whose keys are at least from and less than to ("" for all
// from there on), by key: at most limit of them, 0 for all. It looks at no other keys, holds up no
// commit, and has one value in memory at a time. The loop may commit side values itself.
//
// What it yields is as it was when the loop began, unless it is overwritten or deleted before it is
// read: then it may be the later value, or missing.
//
// A value that cannot be read comes with its error, and with all but the value; the others follow.
// Any other error is the last thing that the iteration yields: [ErrClosed], or an [InvalidError]
// for a limit below 0.
func (s *Store) SideRange(from, to string, limit int) iter.Seq2[SideValue, error] {
	return func(yield func(SideValue, error) bool) {
		if limit < 0 {
			yield(SideValue{}, &InvalidError{Field: "limit", Rule: "must not be negative", Value: limit})
			return
		}
		s.catchUp()
		if err := s.readable(context.Background()); err != nil {
			yield(SideValue{}, err)
			return
		}
		left := limit
		s.sides.snapshot().Ascend(sidePivot(from), func(place index.Side) bool {
			if to != "" && place.Key() >= to {
				return false
			}
			more := s.yieldSide(place, yield)
			left--
			return more && left != 0
		})
	}
}

// yieldSide yields the value at a place, and reports whether the loop continues.
func (s *Store) yieldSide(place index.Side, yield func(SideValue, error) bool) bool {
	value, found, err := s.sides.readAt(place)
	if !found {
		return true
	}
	if err = s.readError(err); errors.Is(err, ErrClosed) {
		yield(SideValue{}, err)
		return false
	}
	return yield(value, err)
}

// prefixEnd returns the first key after all that start with prefix, "" where there is none.
func prefixEnd(prefix string) string {
	end := []byte(prefix)
	for n := len(end); n > 0; n-- {
		if end[n-1]++; end[n-1] > 0 { // else it was 0xff
			return string(end[:n])
		}
	}
	return ""
}
