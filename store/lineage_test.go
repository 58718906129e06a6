package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
	"github.com/penstock-io/penstock/store/internal/wal"
)

// collect reads an iterator, up to its error.
func collect(seq iter.Seq2[Event, error]) (events []Event, err error) {
	for e, err := range seq {
		if err != nil {
			return events, err
		}
		events = append(events, e)
	}
	return events, nil
}

// positions are those of the events of an iterator that has no error.
func positions(t *testing.T, seq iter.Seq2[Event, error]) (all []Position) {
	t.Helper()
	events, err := collect(seq)
	require.NoError(t, err)
	for _, e := range events {
		all = append(all, e.Position)
	}
	return all
}

// effect commits an effect of an event and returns it.
func effect(t *testing.T, s *Store, entity string, c Causation) Event {
	t.Helper()
	r := write(t, s, Batch{Events: []Proposal{{At: At(entity, "test"), Payload: note{Text: entity}, Causation: c}}})
	e, err := s.GetAt(t.Context(), r.Position())
	require.NoError(t, err)
	return e
}

// chain commits an event and its effects, each of the one before.
func chain(t *testing.T, s *Store, n int) (events []Event) {
	t.Helper()
	var c Causation
	for i := range n {
		events = append(events, effect(t, s, fmt.Sprint("link:", i), c))
		c = events[i].Causation()
	}
	return events
}

func TestTheCausesOfAnEventAreTheExactReverseChainFromItselfOn(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "another")
	events := chain(t, s, 10)
	put(t, s, "another")
	ctx := t.Context()
	require.Equal(t, []Position{6, 5, 4, 3, 2}, positions(t, Causes(ctx, s, events[4].ID, Reach{})), "and no descendants")
	require.Equal(t, []Position{11, 10}, positions(t, Causes(ctx, s, events[9].ID, Reach{Count: 2})))
	require.Equal(t, []Position{11, 10, 9}, positions(t, Causes(ctx, s, events[9].ID, Reach{Depth: 2})))
	require.Equal(t, []Position{2}, positions(t, Causes(ctx, s, events[0].ID, Reach{})), "the first is alone")
	for e, err := range Causes(ctx, s, events[9].ID, Reach{}) {
		require.NoError(t, err)
		require.Equal(t, events[9].ID, e.ID)
		break // a reader may leave at once
	}
	_, err := collect(Causes(ctx, s, uuid.New(), Reach{}))
	require.ErrorIs(t, err, ErrNotFound, "an unknown event is no empty chain")
}

func TestTheEffectsOfAnEventAreItselfAndWhatFollowed(t *testing.T) {
	s := memoryLog(t)
	events := chain(t, s, 6)
	second := effect(t, s, "link:x", events[1].Causation())
	ctx := t.Context()
	require.Equal(t, []Position{1, 2, 3, 4, 5, 6, 7}, positions(t, Effects(ctx, s, events[0].ID, Reach{})))
	require.Equal(t, []Position{2, 3, 7}, positions(t, Effects(ctx, s, events[1].ID, Reach{Depth: 1})))
	require.Equal(t, []Position{2, 3}, positions(t, Effects(ctx, s, events[1].ID, Reach{Count: 2})))
	require.Equal(t, []Position{7}, positions(t, Effects(ctx, s, second.ID, Reach{})))
	_, err := collect(Effects(ctx, s, uuid.New(), Reach{}))
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, []Position{1, 2, 3, 4, 5, 6, 7}, positions(t, Correlated(ctx, s, events[0].ID, Reach{})))
	require.Equal(t, []Position{1, 2}, positions(t, Correlated(ctx, s, events[0].ID, Reach{Count: 2})))
	_, err = collect(Correlated(ctx, s, events[1].ID, Reach{}))
	require.ErrorIs(t, err, ErrNotFound, "it is the first of no correlation")
}

func TestACauseThatIsNotThereIsABoundaryAndNoShortChain(t *testing.T) {
	s := memoryLog(t)
	foreign := uuid.New()
	first := effect(t, s, "a", Causation{Cause: foreign, Correlation: foreign, Depth: 7})
	second := effect(t, s, "b", first.Causation())
	events, err := collect(Causes(t.Context(), s, second.ID, Reach{}))
	require.Len(t, events, 2)
	var missing *MissingCauseError
	require.ErrorAs(t, err, &missing)
	require.ErrorIs(t, err, ErrNotFound)
	require.Equal(t, &MissingCauseError{Event: first.ID, Position: 1, Cause: foreign}, missing)
	require.Equal(t, []Position{1, 2}, positions(t, Effects(t.Context(), s, foreign, Reach{})), "its effects are found")
	require.Equal(t, []Position{1, 2}, positions(t, Correlated(t.Context(), s, foreign, Reach{})))
}

func TestLineageOfAClosedStoreOrAnEndedContextIsAnError(t *testing.T) {
	s := memoryLog(t)
	events := chain(t, s, 3)
	ended, end := context.WithCancel(t.Context())
	end()
	for name, ask := range map[string]func(ctx context.Context) iter.Seq2[Event, error]{
		"causes":     func(ctx context.Context) iter.Seq2[Event, error] { return Causes(ctx, s, events[2].ID, Reach{}) },
		"effects":    func(ctx context.Context) iter.Seq2[Event, error] { return Effects(ctx, s, events[0].ID, Reach{}) },
		"correlated": func(ctx context.Context) iter.Seq2[Event, error] { return Correlated(ctx, s, events[0].ID, Reach{}) },
		"history":    func(ctx context.Context) iter.Seq2[Event, error] { return History(ctx, s, "link:1") },
	} {
		during, stop := context.WithCancel(t.Context())
		defer stop()
		var err error
		for _, err = range ask(during) {
			stop()
		}
		if name != "history" { // of one event, which is the last
			require.ErrorIs(t, err, context.Canceled, name)
		}
		_, err = collect(ask(ended))
		require.ErrorIs(t, err, context.Canceled, name)
	}
	require.NoError(t, s.Close())
	_, err := collect(Effects(t.Context(), s, events[0].ID, Reach{}))
	require.ErrorIs(t, err, ErrClosed)
}

// forest is a log as plain slices, and the store that it is compared with.
type forest struct {
	t      *testing.T
	random *rand.Rand
	disk   *vfs.Memory
	store  *Store
	events []Event
}

// grow commits a batch of events, some of which have a cause, and sometimes side values that will
// be superseded.
func (f *forest) grow() {
	b := Batch{}
	for range 1 + f.random.IntN(4) {
		p := Proposal{At: At(fmt.Sprint("entity:", f.random.IntN(9)), "test"), Payload: Raw{Type: "grown", Data: make([]byte, f.random.IntN(6000))}}
		switch n := len(f.events); f.random.IntN(6) {
		case 0:
		case 1:
			p.Causation = Causation{Cause: uuid.UUID{byte(f.random.IntN(3)), 1}, Correlation: uuid.UUID{2, byte(f.random.IntN(3))}}
		case 2:
			p.Causation.Correlation = uuid.UUID{2, byte(f.random.IntN(3))}
		default:
			if n > 0 {
				p.Causation = f.events[max(0, n-1-f.random.IntN(30))].Causation()
			}
		}
		b.Events = append(b.Events, p)
	}
	for i := range f.random.IntN(3) {
		b.Sides = append(b.Sides, SideWrite{Key: fmt.Sprint("key", i), Value: make([]byte, 20_000)})
	}
	r := write(f.t, f.store, b)
	for _, rec := range r.Events {
		e, err := f.store.GetAt(f.t.Context(), rec.Position)
		require.NoError(f.t, err)
		f.events = append(f.events, e)
	}
}

// walk is the naive answer: what follows from an event, cut at a depth and a count.
func (f *forest) walk(of uuid.UUID, reach Reach) (all []Position) {
	depths := map[uuid.UUID]int{of: 0}
	for _, e := range f.events {
		depth, known := depths[e.Cause]
		if reach.Count > 0 && len(all) == reach.Count {
			break
		}
		if e.ID == of {
			all = append(all, e.Position)
		} else if known && (reach.Depth == 0 || depth < reach.Depth) {
			depths[e.ID] = depth + 1
			all = append(all, e.Position)
		}
	}
	return all
}

func (f *forest) correlated(id uuid.UUID) (all []Position) {
	for _, e := range f.events {
		if e.Correlation == id {
			all = append(all, e.Position)
		}
	}
	return all
}

// causes is the naive answer upwards.
func (f *forest) causes(e Event) (all []Position, missing bool) {
	byID := make(map[uuid.UUID]Event)
	for _, e := range f.events {
		byID[e.ID] = e
	}
	for {
		all = append(all, e.Position)
		cause, ok := byID[e.Cause]
		if !ok {
			return all, e.Cause != uuid.Nil
		}
		e = cause
	}
}

// compare asks a store about some events.
func (f *forest) compare(s *Store) {
	t, ctx := f.t, f.t.Context()
	for range 6 {
		e := f.events[f.random.IntN(len(f.events))]
		reach := Reach{Depth: f.random.IntN(4), Count: f.random.IntN(8)}
		require.Equal(t, f.walk(e.ID, reach), positions(t, Effects(ctx, s, e.ID, reach)))
		require.Equal(t, f.walk(e.ID, Reach{}), positions(t, Effects(ctx, s, e.ID, Reach{})))
		if e.Cause != uuid.Nil {
			require.Equal(t, f.walk(e.Cause, Reach{}), positions(t, Effects(ctx, s, e.Cause, Reach{})))
		}
		require.Equal(t, f.correlated(e.Correlation), positions(t, Correlated(ctx, s, e.Correlation, Reach{})))
		want, missing := f.causes(e)
		events, err := collect(Causes(ctx, s, e.ID, Reach{}))
		var at []Position
		for _, e := range events {
			at = append(at, e.Position)
		}
		require.Equal(t, want, at)
		require.Equal(t, missing, err != nil, "%v", err)
		var history []Event
		for _, known := range f.events {
			if known.Coordinate.Entity == e.Coordinate.Entity {
				history = append(history, known)
			}
		}
		events, err = collect(History(ctx, s, e.Coordinate.Entity))
		require.NoError(t, err)
		require.Equal(t, len(history), len(events))
	}
}

func TestLineageIsWhatAWalkOverAllEventsFinds(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			if seed%2 == 1 {
				cachesOfOne(t)
			}
			f := forest{t: t, random: rand.New(rand.NewPCG(seed, 8)), disk: vfs.NewMemory()}
			f.store = openLog(t, f.disk, smallSegments(SyncNever))
			beside := openLog(t, f.disk, Options{ReadOnly: true})
			rewritten := uint32(0)
			for round := range 5 {
				for range 12 {
					f.grow()
				}
				f.compare(f.store)
				f.compare(beside)
				f.store.tasks.Wait()
				for _, generation := range generations(f.store) {
					rewritten += generation
				}
				if round%2 == 1 {
					f.store = reopen(t, f.store)
				}
			}
			require.Greater(t, f.store.Stats().Segment, uint32(5))
			require.Positive(t, rewritten, "segments were rewritten on the way")
			f.compare(openLog(t, f.disk, Options{ReadOnly: true}))
		})
	}
}

func TestSegmentsOfOlderFormatsAnswerFromTheirEvents(t *testing.T) {
	for name, dir := range map[string]string{"version 1": goldenDir(t), "version 2": goldenCopy(t)} {
		for _, readOnly := range []bool{true, false} {
			s := diskLog(t, dir, Options{ReadOnly: readOnly, SegmentBytes: minSegmentBytes})
			f := forest{t: t, random: rand.New(rand.NewPCG(1, 1)), store: s, events: all(t, s, Region{})}
			f.compare(s)
			if name == "version 1" {
				require.Equal(t, []Position{1, 2}, positions(t, Effects(t.Context(), s, f.events[0].ID, Reach{})))
			}
			if !readOnly {
				f.grow()
				f.compare(s)
			}
			require.Positive(t, s.Stats().IndexMemory, "%s: an index was made", name)
			require.NoError(t, s.Close())
		}
	}
}

// forge changes the record of an event where it lies.
func forge(t *testing.T, s *Store, dir string, p Position, change func(rec []byte)) {
	t.Helper()
	g, idx, ord, _, err := s.segmentRange(p-1, p)
	require.NoError(t, err)
	at, err := idx.Offset(ord)
	require.NoError(t, err)
	rec, err := g.record(int64(at))
	require.NoError(t, err)
	b, err := os.ReadFile(segmentPath(dir, g.number))
	require.NoError(t, err)
	stored := b[at:][:len(rec)]
	change(stored)
	require.NoError(t, os.WriteFile(segmentPath(dir, g.number), b, 0o600))
}

func TestALineageThatCannotBeReadIsAnErrorAndNoShortChain(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	events := chain(t, s, 5)
	grow(t, s, 2)
	s = reopenDir(t, s, dir)
	forge(t, s, dir, 3, func(rec []byte) { rec[len(rec)-1] ^= 1 })
	s = reopenDir(t, s, dir)
	up, err := collect(Causes(t.Context(), s, events[4].ID, Reach{}))
	require.ErrorIs(t, err, ErrCorrupt)
	require.Len(t, up, 2)
	down, err := collect(Effects(t.Context(), s, events[0].ID, Reach{}))
	require.ErrorIs(t, err, ErrCorrupt)
	require.Len(t, down, 2)
	_, err = collect(Correlated(t.Context(), s, events[0].ID, Reach{}))
	require.ErrorIs(t, err, ErrCorrupt)
	_, err = collect(History(t.Context(), s, "link:2"))
	require.ErrorIs(t, err, ErrCorrupt)
}

func reopenDir(t *testing.T, s *Store, dir string) *Store {
	t.Helper()
	require.NoError(t, s.Close())
	return diskLog(t, dir, s.options)
}

func TestAHistoryIsCheckedAgainstItsChain(t *testing.T) {
	dir := t.TempDir()
	s := diskLog(t, dir, smallSegments(SyncNever))
	for range 4 {
		put(t, s, "order:1")
		put(t, s, "order:1:item") // is another entity
	}
	write(t, s, Batch{Events: []Proposal{Audit("order:1", Raw{Type: "penstock.asked"})}}) // counts its versions, too
	grow(t, s, 2)
	s = reopenDir(t, s, dir)
	require.Equal(t, []Position{1, 3, 5, 7, 9}, positions(t, History(t.Context(), s, "order:1")))
	require.Empty(t, positions(t, History(t.Context(), s, "order:2")))
	_, err := collect(History(t.Context(), s, ""))
	require.ErrorIs(t, err, ErrInvalid)

	forge(t, s, dir, 5, func(rec []byte) {
		at := bytes.Index(rec, []byte("about"))
		copy(rec[at:], "abort")
		wal.SealRecord(rec, true)
	})
	s = reopenDir(t, s, dir)
	events, err := collect(History(t.Context(), s, "order:1"))
	var broken *BrokenChainError
	require.ErrorAs(t, err, &broken)
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, &BrokenChainError{Entity: "order:1", Position: 5, Version: 3, Previous: 2}, broken)
	require.Len(t, events, 2)
	require.Len(t, positions(t, History(t.Context(), s, "order:1:item")), 4)
}

func TestACauseIsFoundAtAnyDistance(t *testing.T) {
	const events = 70
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	absent, err := uuid.NewV7()
	require.NoError(t, err)
	var ids []uuid.UUID
	for i := range events {
		ids = append(ids, put(t, s, fmt.Sprint("e:", i)).Events[0].ID)
	}
	for before := Position(1); before <= events; before++ {
		for at, id := range ids {
			e, err := s.findBefore(before, id)
			if Position(at+1) >= before {
				require.ErrorIs(t, err, ErrNotFound, "%d before %d", at+1, before)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, Position(at+1), e.Position)
		}
		for _, id := range []uuid.UUID{absent, {}, uuid.Max} {
			_, err := s.findBefore(before, id)
			require.ErrorIs(t, err, ErrNotFound)
		}
	}
}
