package cursor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// counted is what an event adds to a number.
type counted struct {
	event int
	key   string // of the side value
	n     int64
}

// Count stages that n is added to a number that the worker keeps under a key, in decimal digits; 0
// is nothing that is kept. It is added in the commit of the reactions to Events[i], once, whatever
// crashes, or dropped with them.
//
// Unlike a value that is read by [Batch.Side] and put by [Batch.Put] it makes nothing wait and
// nothing be handled again: any number of lanes may add to the same one. So it is not known before
// the commit, and Side has what the last one left. A key is either counted or put.
//
// It needs Worker.Stateful, or it is an [ErrStateless]; a key that the store would refuse is a
// [store.InvalidError]. It panics when there is no Events[i].
func (b *Batch) Count(i int, key string, n int64) error {
	_ = b.events[i]
	key, err := b.own.keptKey(key)
	if err != nil {
		return err
	}
	w := store.SideWrite{Key: key}
	if err := w.Validate(); err != nil || n == 0 || b.muted(i) {
		return err
	}
	k := b.keeps()
	k.counts = append(k.counts, counted{event: i, key: key, n: n})
	return nil
}

// tally sums what events add to numbers, by key. nil is an empty one.
type tally map[string]int64

// tally adds what is staged for Events[from:to].
func (s *staged) tally(all tally, from, to int) tally {
	if s == nil || s.kept == nil {
		return all
	}
	for _, c := range s.kept.counts {
		if c.event < from || c.event >= to {
			continue
		}
		if all == nil {
			all = make(tally)
		}
		all[c.key] += c.n
	}
	return all
}

// write adds the side writes of the numbers as they are afterwards. Only the owner writes them, one
// commit after the other, but for an erasure, which has this commit refused.
func (all tally) write(sides []store.SideWrite, st *store.Store) ([]store.SideWrite, error) {
	if len(all) == 0 { // most workers count nothing, and sorting the keys allocates
		return sides, nil
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		side, found, err := st.Side(key)
		if err != nil {
			return nil, err
		}
		w := store.SideWrite{Key: key, Expect: store.Exactly(side.Revision)}
		now := all[key]
		if found {
			was, err := strconv.ParseInt(string(side.Value), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%w: the number %q is %.40q", checkpoint.ErrCorrupt, key, side.Value)
			}
			now += was
		}
		if w.Delete = now == 0; !w.Delete {
			w.Value = strconv.AppendInt(nil, now, 10)
		}
		sides = append(sides, w)
	}
	return sides, nil
}
