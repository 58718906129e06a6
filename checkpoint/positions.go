package checkpoint

import (
	"encoding/binary"
	"slices"

	"github.com/penstock-io/penstock/store"
)

// appendPositions adds ascending positions: their number, the first, and the steps to each that
// follows.
func appendPositions(b []byte, list []store.Position) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	var last store.Position
	for _, p := range list {
		b = binary.AppendUvarint(b, uint64(p-last))
		last = p
	}
	return b
}

// positions is the reverse. The count in the bytes is not trusted: nothing is allocated for
// positions that are not there.
func (r *reader) positions() []store.Position {
	n := r.number()
	var list []store.Position
	var last store.Position
	for ; n > 0 && !r.bad; n-- {
		step := store.Position(r.number())
		if step == 0 || last+step < last {
			r.rest, r.bad = nil, true
			return nil
		}
		last += step
		list = append(list, last)
	}
	if r.bad {
		return nil
	}
	return list
}

func contains(list []store.Position, p store.Position) bool {
	_, found := slices.BinarySearch(list, p)
	return found
}

// union returns the positions of both lists, ascending, each once.
func union(a, b []store.Position) []store.Position {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(a, b))))
}

// within returns the positions of an ascending list after from, up to upTo.
func within(list []store.Position, from, upTo store.Position) []store.Position {
	var part []store.Position
	for _, p := range list {
		if from < p && p <= upTo {
			part = append(part, p)
		}
	}
	return part
}
