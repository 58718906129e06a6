package growth

import (
	"fmt"
	"iter"

	"github.com/google/uuid"

	"github.com/penstock-io/penstock/store"
)

// Story is the lineage of the first event of a log: a chain of events of which each is the cause of
// the next, and effects of the first, all of them spread over the whole log.
type Story struct {
	root, last store.Causation // what an effect of the first and of the last one carries
}

// How many events a story has beside its first one: in the chain, and effects of the first.
const (
	chainEvents  = 100
	effectEvents = 1000
)

// next returns the cause of the i-th of so many events, if it is one of the story.
func (s *Story) next(i, events int) (c store.Causation) {
	due := func(n int) bool { return i > 0 && i*n/events != (i-commitEvents)*n/events }
	switch {
	case due(chainEvents):
		return s.last
	case due(effectEvents):
		return s.root
	}
	return c
}

// tell takes in that an event with a cause was committed.
func (s *Story) tell(cause store.Causation, id uuid.UUID) {
	switch {
	case s.root.Cause == uuid.Nil:
		s.root = store.Causation{Cause: id, Correlation: id, Depth: 1}
		s.last = s.root
	case cause.Cause == uuid.Nil:
	case cause == s.last:
		s.last = store.Causation{Cause: id, Correlation: cause.Correlation, Depth: cause.Depth + 1}
	}
}

// lineage asks for the story from its first event down, and from its last one up.
func (a asking) lineage() ([]Sample, error) {
	first, err := a.st.GetAt(a.ctx, 1)
	if err != nil {
		return nil, err
	}
	last := first
	for e, err := range store.Effects(a.ctx, a.st, first.ID, store.Reach{}) {
		if err != nil {
			return nil, err
		}
		if e.Depth > last.Depth {
			last = e
		}
	}
	n := max(1, a.Samples/20)
	up, err := sample("the causes of an event: a hundred", n, func(int) error {
		return counted(store.Causes(a.ctx, a.st, last.ID, store.Reach{}), chainEvents*9/10)
	})
	if err != nil {
		return nil, err
	}
	down, err := sample("the effects of an event: a thousand and more", n, func(int) error {
		return counted(store.Effects(a.ctx, a.st, first.ID, store.Reach{}), effectEvents*9/10)
	})
	return []Sample{up, down}, err
}

// counted reads events, of which there must be some number.
func counted(events iter.Seq2[store.Event, error], atLeast int) error {
	n := 0
	for _, err := range events {
		if err != nil {
			return err
		}
		n++
	}
	if n < atLeast {
		return fmt.Errorf("%d events of the story, want %d", n, atLeast)
	}
	return nil
}
