package cursor

import (
	"cmp"
	"slices"
	"sort"
	"sync"

	"github.com/penstock-io/penstock/store"
)

// staged are the reactions of a batch: two lists of one order, since a commit takes the first as it
// is; and what its worker keeps. It belongs to the handler until that returns, then to the runner,
// and to no batch once what was staged is committed or dropped: the commit has copied it by then.
type staged struct {
	proposals []store.Proposal // encoded
	of        []origin
	data      []byte // of payloads that came encoded
	kept      *kept  // nil in most workers
}

// origin is what a reaction was before it was encoded.
type origin struct {
	event   int // that it is a reaction to, by its index in the batch
	payload store.Payload
}

// stagedBuffers are the memory of what was staged, for the next batch of any runner.
//
//nolint:gochecknoglobals // as eventBuffers
var stagedBuffers sync.Pool

// stage returns what the batch has staged, to add to it.
func (b *Batch) stage() *staged {
	if b.staged == nil {
		if b.staged, _ = stagedBuffers.Get().(*staged); b.staged == nil {
			b.staged = new(staged)
		}
	}
	return b.staged
}

// unstage forgets what is staged, which is committed or dropped. A handler that uses its batch
// after it returned, which it must not, may meet the reactions of another.
func (b *Batch) unstage() {
	s := b.staged
	if s == nil {
		return
	}
	b.staged = nil
	clear(s.proposals) // or the pool keeps payloads alive
	clear(s.of)
	s.proposals, s.of, s.data = s.proposals[:0], s.of[:0], s.data[:0]
	if s.kept != nil {
		s.kept.reset()
	}
	if cap(s.data) > maxStagedData {
		s.data = nil
	}
	stagedBuffers.Put(s)
}

func (s *staged) add(event int, p store.Proposal, original store.Payload) {
	s.proposals = append(s.proposals, p)
	s.of = append(s.of, origin{event: event, payload: original})
}

// keep returns a copy of the data of a payload.
func (s *staged) keep(data []byte) []byte {
	from := len(s.data)
	s.data = append(s.data, data...) // where that moves, copies that were returned stay where they are
	return s.data[from:len(s.data):len(s.data)]
}

// Len, Less and Swap are those of [sort.Interface], by event.
func (s *staged) Len() int           { return len(s.of) }
func (s *staged) Less(i, j int) bool { return s.of[i].event < s.of[j].event }
func (s *staged) Swap(i, j int) {
	s.of[i], s.of[j] = s.of[j], s.of[i]
	s.proposals[i], s.proposals[j] = s.proposals[j], s.proposals[i]
}

// proposals returns the reactions to Events[from:to], nil when there are none. They are valid until
// the batch is unstaged, and not to be written to.
func (b *Batch) proposals(from, to int) []store.Proposal {
	s := b.staged
	if s == nil {
		return nil
	}
	if !sort.IsSorted(s) {
		sort.Stable(s)
	}
	at := func(event int) int {
		i, _ := slices.BinarySearchFunc(s.of, event, func(o origin, event int) int { return cmp.Compare(o.event, event) })
		return i
	}
	lo, hi := at(from), at(to)
	if lo == hi {
		return nil
	}
	return s.proposals[lo:hi:hi]
}

// expects reports whether what is staged may lose a race.
func (s *staged) expects() bool {
	return s != nil && slices.ContainsFunc(s.proposals, func(p store.Proposal) bool { return p.Expect != store.Any })
}

// refused returns the error of the first event with a reaction that cannot be written, or with more
// of them than are written together; nil where there is none.
func (b *Batch) refused() *eventError {
	if b.staged == nil || len(b.staged.of) <= MaxReactions {
		return b.invalid
	}
	counts := make([]int, len(b.events))
	for _, o := range b.staged.of {
		counts[o.event]++
	}
	i := slices.IndexFunc(counts, func(n int) bool { return n > MaxReactions })
	if i < 0 || b.invalid != nil && b.invalid.index <= i {
		return b.invalid
	}
	return &eventError{index: i, err: &store.InvalidError{Field: "reactions", Limit: MaxReactions, Value: int64(counts[i])}}
}
