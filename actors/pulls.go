package actors

import "iter"

// pulls are the parked pulls of one term, see [parkedPulls]. The first needs no map: in a system
// with a worker for each of very many entities, most terms have one only.
type pulls struct {
	first *pull
	more  map[*pull]struct{}
}

func (s pulls) empty() bool { return s.first == nil && len(s.more) == 0 }

func (s pulls) with(p *pull) pulls {
	switch {
	case s.first == nil:
		s.first = p
	case s.more == nil:
		s.more = map[*pull]struct{}{p: {}}
	default:
		s.more[p] = struct{}{}
	}
	return s
}

func (s pulls) without(p *pull) pulls {
	if s.first == p {
		s.first = nil
	} else {
		delete(s.more, p)
	}
	return s
}

// all iterates over the pulls. Meanwhile any of them may be removed.
func (s pulls) all() iter.Seq[*pull] {
	return func(yield func(*pull) bool) {
		if s.first != nil && !yield(s.first) {
			return
		}
		for p := range s.more {
			if !yield(p) {
				return
			}
		}
	}
}
