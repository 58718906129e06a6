package store

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// fenceOf opens a fence.
func fenceOf(t *testing.T, s *Store) *Fence {
	t.Helper()
	f, err := OpenFence(t.Context(), s, FenceOptions{Deadline: MaxFenceDeadline, Reason: "close October"})
	require.NoError(t, err)
	return f
}

// stage stages events and requires that it works.
func stage(t *testing.T, f *Fence, entities ...string) Receipt {
	t.Helper()
	r, err := f.Stage(t.Context(), Batch{Events: eventsOf(entities...)})
	require.NoError(t, err)
	return r
}

func visible(t *testing.T, s *Store) []string {
	t.Helper()
	return entities(all(t, s, Region{}))
}

func TestWhatIsStagedByOneAndByManyBecomesVisibleTogether(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	f := fenceOf(t, s)
	first := stage(t, f, "b")
	other := put(t, s, "c")
	last := stage(t, f, "d", "b")
	require.Equal(t, []string{"a"}, visible(t, s))
	require.Equal(t, Position(1), s.Head())
	require.Equal(t, []Position{2, 3, 5}, []Position{first.Position(), other.Position(), last.Position()})
	require.Equal(t, uint64(2), last.Events[1].Version, "stages see earlier ones")
	stats := s.Stats().Fences
	require.Len(t, stats, 1)
	require.Equal(t, FenceStats{Reason: "close October", First: 2, Events: 3, Since: stats[0].Since, Deadline: stats[0].Deadline}, stats[0])
	require.NoError(t, f.Publish(t.Context()))
	require.Equal(t, []string{"a", "b", "c", "d", "b"}, visible(t, s))
	require.Empty(t, s.Stats().Fences)
	requireChains(t, all(t, s, Region{}))
	require.NoError(t, f.Publish(t.Context()), "again")
	require.NoError(t, f.Cancel(t.Context()), "deferred")
	_, err := f.Stage(t.Context(), Batch{Events: eventsOf("a")})
	require.ErrorIs(t, err, ErrFenceEnded)
	require.Equal(t, []string{"a", "b", "c", "d", "b"}, visible(t, reopen(t, s)))
}

func TestACancelledFenceHidesItsThreeEventsBeforeAndAfterReopeningAndALaterOneIsVisible(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, "a")
	f := fenceOf(t, s)
	staged := []Receipt{stage(t, f, "a"), stage(t, f, "b"), stage(t, f, "a")}
	require.NoError(t, f.Cancel(t.Context()))
	require.Equal(t, Position(4), s.Head())
	_, err := f.Stage(t.Context(), Batch{Events: eventsOf("a")})
	requireCancelled(t, ByCancel, err)
	requireCancelled(t, ByCancel, f.Publish(t.Context()))
	later := put(t, s, "a")
	require.Equal(t, Recorded{ID: later.Events[0].ID, Position: 5, Version: 2}, later.Events[0], "as if nothing had been staged")
	hidden := func(s *Store) {
		require.Equal(t, []string{"a", "a"}, visible(t, s))
		requireChains(t, all(t, s, Region{}))
		require.Equal(t, []Range{{2, 4}}, CancelledRanges(s, 0, 100))
		for _, r := range staged {
			requireCancelled(t, ByCancel, s.WaitVisible(t.Context(), r))
			require.NoError(t, s.CheckAnchor(t.Context(), r.Anchor()), "the past is common")
			_, err := s.GetAt(t.Context(), r.Position())
			require.ErrorIs(t, err, ErrNotFound)
			_, err = s.Get(t.Context(), r.Events[0].ID)
			require.ErrorIs(t, err, ErrNotFound)
			_, err = s.AnchorAt(t.Context(), r.Position())
			require.NoError(t, err, "where a reader stands may be hidden")
		}
		n, err := s.Count(t.Context(), Region{}, 0, 0, 100)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	}
	hidden(s)
	s = reopen(t, s)
	hidden(s)
	grow(t, s, 4) // the state of the fence lies in a sealed segment now
	s = reopen(t, s)
	require.Equal(t, []Range{{2, 4}}, CancelledRanges(s, 0, 100))
	v, err := s.Version(t.Context(), "b")
	require.NoError(t, err)
	require.Zero(t, v)
	r, err := open(s.fs, logDir, Options{ReadOnly: true}, false)
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, []string{"a", "a"}, visible(t, r)[:2], "a reader beside the writer")
	require.Equal(t, []Range{{2, 4}}, CancelledRanges(r, 0, 100))
}

func requireCancelled(t *testing.T, by FenceEnd, err error) {
	t.Helper()
	var cancelled *FenceCancelledError
	require.ErrorAs(t, err, &cancelled)
	require.ErrorIs(t, err, ErrFenceCancelled)
	require.Equal(t, by, cancelled.By)
	require.ErrorContains(t, err, "was cancelled by "+by.String())
}

func TestAFenceThatIsForgottenIsCancelledAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memoryLog(t)
		f, err := OpenFence(t.Context(), s, FenceOptions{})
		require.NoError(t, err)
		r := stage(t, f, "a")
		b := put(t, s, "b")
		began := time.Now()
		requireCancelled(t, ByDeadline, s.WaitVisible(t.Context(), r))
		require.Equal(t, time.Second, time.Since(began))
		require.NoError(t, s.WaitVisible(t.Context(), b))
		require.Equal(t, []string{"b"}, visible(t, s))
		require.Empty(t, s.Stats().Fences)
		put(t, s, "a")
		_, err = f.Stage(t.Context(), Batch{Events: eventsOf("c")})
		requireCancelled(t, ByDeadline, err)
		requireCancelled(t, ByDeadline, f.Publish(t.Context()))
		require.NoError(t, f.Cancel(t.Context()))
		s = reopen(t, s)
		requireCancelled(t, ByDeadline, s.WaitVisible(t.Context(), r))
	})
}

func TestACloseAndADeathOfTheProcessCancelWhatIsOpen(t *testing.T) {
	for name, end := range map[string]func(*Store){"close": func(s *Store) { _ = s.Close() }, "death": killStore} {
		t.Run(name, func(t *testing.T) {
			disk := vfs.NewMemory()
			s := mustOpen(t, disk, SyncAlways)
			reader, err := open(disk, crashDir, Options{ReadOnly: true}, true)
			require.NoError(t, err)
			f := fenceOf(t, s)
			r := stage(t, f, "a")
			put(t, s, "b")
			require.Zero(t, reader.Head())
			require.Equal(t, []FenceStats{{Reason: "close October", First: 1, Events: 1}}, reader.Stats().Fences)
			end(s)
			require.Equal(t, []string{"b"}, visible(t, reader), "no writer can publish it any more")
			require.Empty(t, reader.Stats().Fences)
			requireCancelled(t, ByClose, reader.WaitVisible(t.Context(), r))
			s = mustOpen(t, disk, SyncAlways)
			require.Equal(t, []string{"b"}, visible(t, s))
			require.ErrorIs(t, f.Publish(t.Context()), ErrClosed)
			next := fenceOf(t, s)
			stage(t, next, "c")
			require.Equal(t, Position(2), reader.Head(), "what is open belongs to the present writer")
			require.NoError(t, next.Publish(t.Context()))
			require.Equal(t, []string{"b", "c"}, visible(t, reader))
			require.NoError(t, errors.Join(s.Close(), reader.Close()))
		})
	}
}

func TestWhatAFenceUsesIsReservedUntilItEnds(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	f, g := fenceOf(t, s), fenceOf(t, s)
	r, err := f.Stage(t.Context(), Batch{IdempotencyKey: "k", Events: eventsOf("a", "seat:1")})
	require.NoError(t, err)
	again, err := f.Stage(t.Context(), Batch{IdempotencyKey: "k", Events: eventsOf("a", "seat:1")})
	require.NoError(t, err)
	require.True(t, again.Duplicate)
	require.Equal(t, r.Events, again.Events)
	seats := Condition{Region: Region{Entity: "seat"}}
	for name, b := range map[string]Batch{
		"entity":    {Events: eventsOf("b", "a")},
		"key":       {IdempotencyKey: "k", Events: eventsOf("b")},
		"condition": {Events: eventsOf("b"), Conditions: []Condition{seats}},
	} {
		_, stagedErr := g.Stage(t.Context(), b)
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), b)
			require.ErrorIs(t, err, ErrReserved, name)
			require.NotErrorIs(t, err, ErrConflict, name)
			require.Equal(t, err, stagedErr, "another fence is no better")
		})
	}
	_, err = f.Stage(t.Context(), Batch{Events: eventsOf("c"), Conditions: []Condition{seats}})
	require.ErrorIs(t, err, ErrConflict, "its own events count for it")
	require.NoError(t, f.Cancel(t.Context()))
	put(t, s, "a")
	reused := write(t, s, Batch{IdempotencyKey: "k", Events: eventsOf("b"), Conditions: []Condition{seats}})
	require.False(t, reused.Duplicate, "a key of a cancelled fence was never used")
	again = write(t, reopen(t, s), Batch{IdempotencyKey: "k", Events: eventsOf("b")})
	require.Equal(t, reused.Events, again.Events)
}

// A root, a batch and a reaction to it: all of them, or none, and what they say of each other.
func TestAReactionInAFenceKeepsItsCauseAndCorrelation(t *testing.T) {
	for _, publish := range []bool{true, false} {
		s := memoryLog(t)
		f := fenceOf(t, s)
		root := stage(t, f, "root").Events[0]
		stage(t, f, "b", "c")
		reaction := eventsOf("effect")
		reaction[0].Causation = Causation{Cause: root.ID, Correlation: root.ID, Depth: 1}
		reaction[0].Emitter = &Emitter{Worker: "w", Build: "1"}
		r, err := f.Stage(t.Context(), Batch{Events: reaction})
		require.NoError(t, err)
		require.Empty(t, everything(t, s))
		if !publish {
			require.NoError(t, f.Cancel(t.Context()))
			require.Empty(t, everything(t, reopen(t, s)))
			continue
		}
		require.NoError(t, f.Publish(t.Context()))
		e, err := s.Get(t.Context(), r.Events[0].ID)
		require.NoError(t, err)
		require.Equal(t, root.ID, e.Cause)
		require.Equal(t, root.ID, e.Correlation)
		by, ok := e.Emitter()
		require.True(t, ok)
		require.Equal(t, "w", by.Worker)
		require.Len(t, everything(t, reopen(t, s)), 4)
	}
}

func TestTheHeadWaitsForTheFirstOfAllFences(t *testing.T) {
	s := memoryLog(t)
	f, g := fenceOf(t, s), fenceOf(t, s)
	empty := fenceOf(t, s)
	stage(t, f, "a")
	put(t, s, "x")
	stage(t, g, "b")
	stage(t, f, "c")
	require.NoError(t, empty.Publish(t.Context()))
	require.Zero(t, s.Head())
	require.NoError(t, f.Publish(t.Context()))
	require.Empty(t, visible(t, s), "no part of it is visible while the second holds back the rest")
	put(t, s, "c") // it is published, so nothing of it is reserved
	last := fenceOf(t, s)
	stage(t, last, "b2")
	require.NoError(t, g.Cancel(t.Context()))
	require.Equal(t, []string{"a", "x", "c", "c"}, visible(t, s))
	require.Len(t, sideKeys(s, fencePrefix), 3, "of the published one, too")
	require.NoError(t, last.Publish(t.Context()))
	require.Equal(t, []string{fenceKey(3)}, sideKeys(s, fencePrefix), "what is of no use is deleted")
}

func TestSideValuesAreVisibleAtOnceBesideAFence(t *testing.T) {
	s := memoryLog(t)
	f := fenceOf(t, s)
	stage(t, f, "a")
	write(t, s, Batch{Events: eventsOf("b"), Sides: []SideWrite{{Key: "checkpoint", Value: []byte("7")}}})
	v, found, err := s.Side("checkpoint")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, "7", string(v.Value))
	for _, b := range []Batch{{}, {Events: eventsOf("a"), Sides: []SideWrite{{Key: "x"}}}} {
		_, err = f.Stage(t.Context(), b)
		require.ErrorIs(t, err, ErrInvalid)
	}
	_, err = s.Commit(t.Context(), Batch{Sides: []SideWrite{{Key: fenceKey(1), Delete: true}}})
	require.ErrorIs(t, err, ErrInvalid)
}

func TestOptionsOfAFenceHaveLimits(t *testing.T) {
	s := memoryLog(t)
	for _, o := range []FenceOptions{{Deadline: -1}, {Deadline: MaxFenceDeadline + 1}, {Reason: strings.Repeat("x", maxFenceReason+1)}} {
		_, err := OpenFence(t.Context(), s, o)
		require.ErrorIs(t, err, ErrInvalid)
	}
	f := fenceOf(t, s)
	absent := Batch{Events: []Proposal{{At: At("a", "test"), Expect: Exactly(7), Payload: note{}}}}
	for range maxFenceStages {
		_, err := f.Stage(t.Context(), absent)
		require.ErrorIs(t, err, ErrConflict, "what is refused does not count")
	}
	for range maxFenceStages {
		stage(t, f, "a")
	}
	_, err := f.Stage(t.Context(), Batch{Events: eventsOf("a")})
	require.ErrorIs(t, err, ErrInvalid)
	require.NoError(t, s.Close())
	_, err = OpenFence(t.Context(), s, FenceOptions{})
	require.ErrorIs(t, err, ErrClosed)
	_, err = OpenFence(t.Context(), openLog(t, s.fs, Options{ReadOnly: true}), FenceOptions{})
	require.ErrorIs(t, err, ErrReadOnly)
}

// A watcher is told once the events are visible, whatever was committed meanwhile.
func TestAWatcherIsToldWhenAFenceEnds(t *testing.T) {
	s := memoryLog(t)
	var told []Publication
	stop, err := Watch(s, watching(func(p *Publication) {
		told = append(told, Publication{After: p.After, Head: p.Head, Late: p.Late})
		if p.Late {
			for range p.Outlines() {
				t.Error("what was committed by others is not here")
			}
		}
	}))
	require.NoError(t, err)
	defer stop()
	put(t, s, "a")
	f := fenceOf(t, s)
	stage(t, f, "b")
	put(t, s, "c")
	require.NoError(t, f.Publish(t.Context()))
	put(t, s, "d")
	require.Equal(t, []Publication{{Head: 1}, {After: 1, Head: 3, Late: true}, {After: 3, Head: 4}}, told)
}

type watching func(*Publication)

func (w watching) Published(p *Publication) { w(p) }
func (watching) Ended(error)                {}

func everything(t *testing.T, s *Store) []Event { return all(t, s, Region{}) }
