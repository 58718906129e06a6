package store

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// inStory says which events of a story that is being written belong to it: two of three.
func inStory(p Position) bool { return p%3 != 0 }

// tellStory commits events until the log has so many, and side values, most of them superseded at
// once. It returns the id of the first event, of which those of the story are effects.
func tellStory(t *testing.T, s *Store, until Position, first uuid.UUID) uuid.UUID {
	last := Event{ID: first, Correlation: first}
	for p := s.Head() + 1; p <= until; p++ {
		b := Batch{Events: []Proposal{{
			At: At(fmt.Sprint("teller:", p%5), "test"), Payload: Raw{Type: "told", Data: make([]byte, 200+p%7*300)},
		}}}
		if inStory(p) && first != uuid.Nil {
			b.Events[0].Causation = last.Causation()
		}
		if p%2 == 0 {
			b.Sides = []SideWrite{{Key: fmt.Sprint("key", p%4), Value: make([]byte, 16_000)}}
		}
		r, err := s.Commit(t.Context(), b)
		if err != nil {
			t.Error(err)
			break
		}
		if first == uuid.Nil {
			first = r.Events[0].ID
		}
		if inStory(p) && p%4 == 0 || p == 1 {
			last = Event{ID: r.Events[0].ID, Correlation: first, Depth: uint32(p)}
		}
	}
	return first
}

// askStory asks for all that a store shows of the story, and returns what is wrong with an answer.
func askStory(t *testing.T, s *Store, first uuid.UUID) error {
	head := s.Head()
	var story, teller []Position
	for p := Position(1); p <= head; p++ {
		if inStory(p) {
			story = append(story, p)
		}
		if p%5 == 2 {
			teller = append(teller, p)
		}
	}
	ctx := t.Context()
	effects, err := collect(Effects(ctx, s, first, Reach{}))
	if err == nil {
		err = sameUpTo(head, story, effects, "effects")
	}
	if err != nil {
		return err
	}
	told, err := collect(Correlated(ctx, s, first, Reach{}))
	if err == nil {
		err = sameUpTo(head, story, told, "correlated")
	}
	if err != nil {
		return err
	}
	history, err := collect(History(ctx, s, "teller:2"))
	if err == nil {
		err = sameUpTo(head, teller, history, "history")
	}
	if err != nil {
		return err
	}
	causes, err := collect(Causes(ctx, s, effects[len(effects)-1].ID, Reach{}))
	if err == nil && causes[len(causes)-1].ID != first {
		err = fmt.Errorf("the causes end at %d", causes[len(causes)-1].Position)
	}
	return err
}

func sameUpTo(head Position, want []Position, events []Event, what string) error {
	var got []Position
	for _, e := range events {
		if e.Position <= head {
			got = append(got, e.Position)
		}
	}
	if !slices.Equal(want, got) {
		return fmt.Errorf("%s up to %d: %v, want %v", what, head, got, want)
	}
	return nil
}

func TestAStoryIsWholeBesideItsWriterAndWhatRewritesIt(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	first := tellStory(t, s, 10, uuid.Nil)
	beside := diskLog(t, dir, Options{ReadOnly: true})
	var done atomic.Bool
	errs := make([]error, 3)
	race(3, func(i int) error {
		asked := []*Store{s, beside}[i%2]
		for i > 0 && errs[i] == nil && !done.Load() {
			errs[i] = askStory(t, asked, first)
		}
		if i == 0 {
			tellStory(t, s, 200, first)
			done.Store(true)
		}
		return nil
	})
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, askStory(t, s, first))
	require.NoError(t, askStory(t, beside, first))
	s.tasks.Wait()
	require.NotZero(t, slices.Max(generations(s)), "segments were rewritten meanwhile")
	require.NoError(t, s.Close())
	require.NoError(t, askStory(t, diskLog(t, dir, s.options), first))
	require.NoError(t, askStory(t, beside, first))
}
