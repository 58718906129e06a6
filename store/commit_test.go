package store

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func TestAReceiptHoldsIDPositionAndVersionOfEachEvent(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "b")
	r := write(t, s, Batch{Events: eventsOf("a", "b", "a"), Sides: []SideWrite{{Key: "k"}}})
	require.Equal(t, s.Origin(), r.Origin)
	require.Equal(t, uint64(2), r.Sequence)
	require.Equal(t, SyncAlways, r.Sync)
	require.False(t, r.Duplicate)
	require.Equal(t, Position(4), r.Position())
	events := all(t, s, Region{})[1:]
	require.Len(t, r.Events, 3)
	for i, want := range []struct {
		position Position
		version  uint64
	}{{2, 1}, {3, 2}, {4, 2}} {
		require.Equal(t, want.position, r.Events[i].Position)
		require.Equal(t, want.version, r.Events[i].Version)
		require.Equal(t, events[i].ID, r.Events[i].ID)
		require.Equal(t, want.version, events[i].Version)
	}

	r = write(t, s, Batch{Sides: []SideWrite{{Key: "k", Value: []byte("v")}}})
	require.Equal(t, uint64(3), r.Sequence, "a commit of side values counts")
	require.Nil(t, r.Events)
	require.Zero(t, r.Position())
	require.Equal(t, Position(4), s.Head(), "and moves no head")
	v, ok, err := s.Side("k")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, r.Sequence, v.Revision)
	stats := s.Stats()
	require.Equal(t, []any{Position(4), 1, uint32(1), uint64(3), 1},
		[]any{stats.Head, stats.Segments, stats.Segment, stats.Sequence, stats.SideValues})
}

func TestAnExpectationThatDoesNotHoldNamesTheActualVersionAndWritesNothing(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "two")
	put(t, s, "two")
	for _, c := range []struct {
		entity string
		expect Expect
		actual uint64
		holds  bool
	}{
		{"two", Any, 2, true},
		{"new", Any, 0, true},
		{"none", Absent, 0, true},
		{"nil", Exactly(0), 0, true},
		{"two", Exactly(3), 3, true}, // the first row made it three
		{"two", Absent, 4, false},
		{"two", Exactly(0), 4, false},
		{"two", Exactly(3), 4, false},
		{"two", Exactly(5), 4, false},
		{"other", Exactly(1), 0, false},
		{"tw", Exactly(4), 0, false},
	} {
		propose := func() error {
			_, err := s.Append(t.Context(), At(c.entity, "test"), c.expect, note{})
			return err
		}
		if c.holds {
			require.NoError(t, propose(), c)
			continue
		}
		untouched(t, s, func() {
			err := propose()
			require.ErrorIs(t, err, ErrConflict)
			var conflict *ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, ConflictError{Entity: c.entity, Expected: c.expect, Actual: c.actual}, *conflict)
			require.NotEmpty(t, err.Error())
		})
	}
}

func TestVersionsOfAnEntityAreSharedByItsScopesAndSurviveSegmentsAndReopening(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, "old")
	_, err := s.Append(t.Context(), At("old", "other"), Exactly(1), note{})
	require.NoError(t, err)
	grow(t, s, 4)
	_, err = s.Append(t.Context(), At("old", "test"), Exactly(2), note{})
	require.NoError(t, err)
	grow(t, s, 5)
	s = reopen(t, s)
	_, err = s.Append(t.Context(), At("old", "test"), Exactly(3), note{})
	require.NoError(t, err)
	requireChains(t, all(t, s, Region{}))
}

func TestAnExpectationInsideABatchCountsTheEventsBeforeIt(t *testing.T) {
	s := memoryLog(t)
	chain := func(expects ...Expect) (b Batch) {
		for _, x := range expects {
			b.Events = append(b.Events, Proposal{At: At("a", "test"), Expect: x, Payload: note{}})
		}
		return b
	}
	write(t, s, chain(Absent, Exactly(1), Any, Exactly(3)))
	untouched(t, s, func() {
		_, err := s.Commit(t.Context(), chain(Exactly(4), Exactly(4)))
		var conflict *ConflictError
		require.ErrorAs(t, err, &conflict)
		require.Equal(t, uint64(5), conflict.Actual)
		_, err = s.Commit(t.Context(), chain(Any, Absent))
		require.ErrorAs(t, err, &conflict)
	})
	write(t, s, chain(Exactly(4)))
	requireChains(t, all(t, s, Region{}))
}

func TestABatchIsRefusedAsAWhole(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	good := eventsOf("b")
	for name, b := range map[string]Batch{
		"version":   {Events: append(eventsOf("b"), Proposal{At: At("a", "test"), Expect: Absent, Payload: note{}})},
		"condition": {Events: good, Conditions: []Condition{{}}},
		"side":      {Events: good, Sides: []SideWrite{{Key: "x"}, {Key: "y", Expect: Exactly(1)}}},
		"key":       {Events: append(eventsOf("b"), Proposal{At: At("", "test"), Payload: note{}}), IdempotencyKey: "key"},
	} {
		untouched(t, s, func() {
			_, err := s.Commit(t.Context(), b)
			require.Error(t, err, name)
			require.Empty(t, sideKeys(s, ""), name)
		})
	}
	r := write(t, s, Batch{IdempotencyKey: "key", Events: good})
	require.False(t, r.Duplicate, "the key of a refused batch is free")
	require.Equal(t, uint64(1), r.Events[0].Version)
}

func TestAConditionHoldsWhileNoEventOfItsRegionIsAfterItsPosition(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	first := put(t, s, "stock:lamp").Position()
	grow(t, s, 3)
	last := put(t, s, "stock:sofa").Position()
	put(t, s, "order:1")
	commit := func(conditions ...Condition) error {
		_, err := s.Commit(t.Context(), Batch{Events: eventsOf("checked"), Conditions: conditions})
		return err
	}
	stock := Region{Entity: "stock"}
	require.NoError(t, commit(Condition{Region: stock, After: last}))
	require.NoError(t, commit(Condition{Region: Region{Entity: "nothing"}}))
	require.NoError(t, commit(Condition{After: s.Head()}))
	require.NoError(t, commit(Condition{After: s.Head() + 100}))
	for after, breaker := range map[Position]Position{0: first, first: last, last - 1: last} {
		untouched(t, s, func() {
			err := commit(Condition{Region: Region{Entity: "nothing"}}, Condition{Region: stock, After: after})
			require.ErrorIs(t, err, ErrConflict)
			require.Equal(t, &ConflictError{Condition: &Condition{Region: stock, After: after}, Position: breaker}, err)
		})
	}
}

func TestOneOfTheWritersQueuedWithTheSameConditionWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, gate := gatedLog(t, Options{})
		leader := async(t.Context(), s, Batch{Events: eventsOf("leader")})
		synctest.Wait()
		var rivals []<-chan answer
		for range 8 {
			rivals = append(rivals, async(t.Context(), s, Batch{
				Events: eventsOf("seat:1"), Conditions: []Condition{{Region: Region{Entity: "seat:1"}}},
			}))
		}
		synctest.Wait()
		gate.open()
		require.NoError(t, (<-leader).err)
		won := 0
		for _, rival := range rivals {
			if err := (<-rival).err; err == nil {
				won++
			} else {
				require.ErrorIs(t, err, ErrConflict)
			}
		}
		require.Equal(t, 1, won)
		require.Equal(t, Position(2), s.Head())
	})
}

// race runs f on n goroutines at once and counts those that returned no error.
func race(n int, f func(i int) error) (won int) {
	var group sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		group.Go(func() { errs[i] = f(i) })
	}
	group.Wait()
	for _, err := range errs {
		if err == nil {
			won++
		}
	}
	return won
}

func TestOneOfTheWritersWithTheSameExpectationWins(t *testing.T) {
	s := memoryLog(t)
	require.Equal(t, 1, race(16, func(int) error {
		_, err := s.Append(t.Context(), At("a", "test"), Absent, note{})
		return err
	}))
	require.Equal(t, 1, race(16, func(i int) error {
		_, err := s.Commit(t.Context(), Batch{Sides: []SideWrite{{Key: "k", Value: []byte{byte(i)}, Expect: Absent}}})
		return err
	}))
}

func TestASideValueIsComparedAndSetByItsRevision(t *testing.T) {
	s := memoryLog(t)
	set := func(value string, expect Expect) (Receipt, error) {
		return s.Commit(t.Context(), Batch{Sides: []SideWrite{{Key: "k", Value: []byte(value), Expect: expect}}})
	}
	first, err := set("one", Absent)
	require.NoError(t, err)
	second, err := set("two", Exactly(first.Sequence))
	require.NoError(t, err)
	for _, wrong := range []Expect{Absent, Exactly(first.Sequence), Exactly(second.Sequence + 1)} {
		untouched(t, s, func() {
			_, err := set("three", wrong)
			var conflict *ConflictError
			require.ErrorAs(t, err, &conflict)
			require.ErrorIs(t, err, ErrConflict)
			require.Equal(t, ConflictError{SideKey: "k", Expected: wrong, Actual: second.Sequence}, *conflict)
		})
	}
	require.Equal(t, "two", sideText(s, "k"))

	write(t, s, Batch{Sides: []SideWrite{{Key: "k", Delete: true, Expect: Exactly(second.Sequence), Value: []byte("ignored")}}})
	require.Equal(t, "-", sideText(s, "k"))
	third, err := set("again", Absent)
	require.NoError(t, err)
	require.Greater(t, third.Sequence, second.Sequence, "a revision is never used twice")
}

func TestSideValuesSurviveSegmentsDeletionsAndReopening(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	side := func(key, value string) {
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(value), Delete: value == ""}}})
	}
	side("a", "old")
	side("b", "kept")
	side("c", "gone")
	grow(t, s, 2)
	side("a", "new")
	side("c", "")
	side("d", "gone too")
	grow(t, s, 3)
	side("d", "")
	for range 2 {
		require.Equal(t, []string{"a", "b"}, sideKeys(s, ""))
		require.Equal(t, "new", sideText(s, "a"))
		require.Equal(t, "kept", sideText(s, "b"))
		require.Equal(t, 2, s.Stats().SideValues)
		s = reopen(t, s)
	}
}

func TestSidesListsASnapshotInOrderOfKeys(t *testing.T) {
	s := memoryLog(t)
	for _, key := range []string{"b/2", "a", "b/1", "b", "c"} {
		write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(key)}}})
	}
	require.Equal(t, []string{"a", "b", "b/1", "b/2", "c"}, sideKeys(s, ""))
	require.Equal(t, []string{"b/1", "b/2"}, sideKeys(s, "b/"))
	require.Empty(t, sideKeys(s, "x"))
	n := 0
	for v, err := range s.Sides("b") {
		require.NoError(t, err)
		require.Equal(t, v.Key, string(v.Value))
		if n++; n == 1 {
			write(t, s, Batch{Sides: []SideWrite{{Key: "b/1", Delete: true}, {Key: "b/2", Value: []byte("changed")}}})
		}
	}
	require.Equal(t, 3, n)
	require.Equal(t, "changed", sideText(s, "b/2"))
}

func TestARangeOfSideValuesBeginsAtAKeyEndsBeforeAnotherAndHasALimit(t *testing.T) {
	s := memoryLog(t)
	for _, key := range []string{"a", "b", "b/1", "b/2", "\xff", "c"} {
		if key != "\xff" { // no caller can write it
			write(t, s, Batch{Sides: []SideWrite{{Key: key, Value: []byte(key)}}})
		}
	}
	between := func(from, to string, limit int) (keys []string) {
		for v, err := range s.SideRange(from, to, limit) {
			require.NoError(t, err)
			keys = append(keys, string(v.Value))
		}
		return keys
	}
	require.Equal(t, []string{"a", "b", "b/1", "b/2", "c"}, between("", "", 0))
	require.Equal(t, []string{"b", "b/1"}, between("b", "b/2", 0))
	require.Equal(t, []string{"b/1", "b/2"}, between("b/", "", 2))
	require.Empty(t, between("c", "b", 0))
	require.Empty(t, between("d", "", 0))
	for _, err := range s.SideRange("", "", -1) {
		require.ErrorIs(t, err, ErrInvalid)
	}
}

func TestACallerMayReuseItsBatchAfterCommit(t *testing.T) {
	s := memoryLog(t)
	data, value := []byte(`{"n":1}`), []byte("value")
	headers := map[string]string{"h": "v"}
	b := Batch{
		Events: []Proposal{{At: At("a", "test"), Payload: Raw{Type: "raw", Data: data}, Headers: headers}},
		Sides:  []SideWrite{{Key: "k", Value: value}},
	}
	r := write(t, s, b)
	copy(data, "-------")
	copy(value, "-----")
	headers["h"] = "X"
	b.Events[0].At.Entity = "X"
	for range 2 {
		e, err := s.GetAt(t.Context(), r.Position())
		require.NoError(t, err)
		require.Equal(t, `{"n":1}`, string(e.Payload))
		require.Equal(t, map[string]string{"h": "v"}, e.Headers())
		require.Equal(t, "value", sideText(s, "k"))
		s = reopen(t, s)
	}
}

func TestAnAbandonedCommitKeepsItsConditions(t *testing.T) {
	o := newRequest()
	conditions := []Condition{{Region: Region{Kinds: []string{"kind"}}, After: 7}}
	require.NoError(t, o.encode(&Batch{Events: eventsOf("a"), Conditions: conditions}, new(emitterTable)))
	conditions[0].Region.Kinds[0] = "changed"
	conditions[0].After = 0
	require.Equal(t, []Condition{{Region: Region{Kinds: []string{"kind"}}, After: 7}}, o.conditions)
}

func TestABatchLargerThanASegmentIsWrittenWhole(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, "before")
	var b Batch
	for i := range 40 {
		b.Events = append(b.Events, Proposal{
			At: At(fmt.Sprint("e:", i), "test"), Payload: Raw{Type: "large", Data: make([]byte, 10<<10)},
		})
	}
	r := write(t, s, b)
	put(t, s, "after")
	for range 2 {
		events := all(t, s, Region{})
		require.Len(t, events, 42)
		require.Equal(t, r.Position(), events[40].Position)
		requireChains(t, events)
		s = reopen(t, s)
	}
}

func TestACommitThatIsRefusedLeavesNothingOfItsEntitiesInMemory(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "known")
	for i := range 10 {
		stranger := fmt.Sprint("stranger:", i)
		for _, b := range []Batch{
			{Events: []Proposal{{At: At(stranger, "test"), Expect: Exactly(1), Payload: note{}}}},
			{Events: []Proposal{
				{At: At(stranger, "test"), Payload: note{}},
				{At: At("known", "test"), Payload: note{}},
				{At: At(stranger, "test"), Expect: Exactly(2), Payload: note{}},
			}},
			{Events: eventsOf(stranger), Sides: []SideWrite{{Key: "k", Expect: Exactly(7)}}},
			{Events: eventsOf(stranger), Conditions: []Condition{{}}},
		} {
			_, err := s.Commit(t.Context(), b)
			require.ErrorIs(t, err, ErrConflict)
		}
	}
	require.Len(t, s.committer.writer.entities.states, 1)
	r := write(t, s, Batch{Events: []Proposal{
		{At: At("known", "test"), Expect: Exactly(1), Payload: note{}},
		{At: At("stranger:0", "test"), Expect: Absent, Payload: note{}},
		{At: At("stranger:0", "test"), Expect: Exactly(1), Payload: note{}},
		{At: At("known", "test"), Expect: Exactly(2), Payload: note{}},
	}})
	require.Equal(t, []uint64{2, 1, 2, 3}, []uint64{r.Events[0].Version, r.Events[1].Version, r.Events[2].Version, r.Events[3].Version})
}
