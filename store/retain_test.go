package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// dropBefore drops what lies before a position, as far as segments go.
func dropBefore(t *testing.T, s *Store, p Position) RetainReport {
	t.Helper()
	s.tasks.Wait()
	report, err := Retain(t.Context(), s, nil, RetainOptions{Before: p})
	require.NoError(t, err)
	return report
}

// keyedLog writes events of entities with names from 0 to n, with a key each, and a side value
// for each tenth.
func keyedLog(t *testing.T, s *Store, n int) (receipts []Receipt) {
	t.Helper()
	for i := range n {
		b := Batch{
			IdempotencyKey: fmt.Sprint("key ", i),
			Events: []Proposal{
				{At: At(fmt.Sprint("order:", i), "shop"), Payload: Raw{Type: "order.placed", Data: make([]byte, 1000)}},
				{At: At("all", "shop"), Payload: Raw{Type: "order.counted"}},
			},
		}
		if i%10 == 0 {
			b.Sides = []SideWrite{{Key: fmt.Sprint("side/", i), Value: make([]byte, 100)}}
		}
		receipts = append(receipts, write(t, s, b))
	}
	s.tasks.Wait()
	return receipts
}

func TestWhatIsDroppedIsGoneAndWhatItMeansStays(t *testing.T) {
	disk := vfs.NewMemory()
	s, err := open(disk, logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	receipts := keyedLog(t, s, 400)
	before := sidesOf(s)
	segments := s.Stats().Segments
	report := dropBefore(t, s, 500)
	require.Positive(t, report.Segments)
	require.Equal(t, segments-report.Segments+1, s.Stats().Segments)
	require.Equal(t, uint64(report.First-1), report.Events)
	require.Less(t, report.First, Position(500))
	require.Greater(t, report.First, Position(400))
	for round := range 2 {
		require.Equal(t, report.First, s.first())
		require.Equal(t, before, sidesOf(s))
		events := all(t, s, Region{})
		require.Equal(t, report.First, events[0].Position)
		require.Len(t, events, int(s.Head()-report.First+1))
		for i, r := range receipts {
			_, err := s.Append(t.Context(), At(fmt.Sprint("order:", i), "shop"), Absent, Raw{Type: "k"})
			require.ErrorIs(t, err, ErrConflict)
			v, err := s.Version(t.Context(), fmt.Sprint("order:", i))
			require.NoError(t, err)
			require.Equal(t, uint64(1), v)
			again, err := s.Commit(t.Context(), Batch{IdempotencyKey: fmt.Sprint("key ", i), Events: []Proposal{
				{At: At(fmt.Sprint("order:", i), "shop"), Payload: Raw{Type: "order.placed", Data: make([]byte, 1000)}},
				{At: At("all", "shop"), Payload: Raw{Type: "order.counted"}},
			}})
			require.NoError(t, err)
			require.True(t, again.Duplicate)
			require.Equal(t, r.Events, again.Events)
			require.Equal(t, r.Sequence, again.Sequence)
		}
		n := 0
		for e, err := range History(t.Context(), s, "all") {
			require.NoError(t, err)
			require.GreaterOrEqual(t, e.Position, report.First)
			n++
		}
		require.Positive(t, n)
		verified, err := Verify(t.Context(), s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, verified.Err(), "%v", verified.Damage)
		require.Zero(t, verified.Unlinked)
		if round == 0 {
			s = reopen(t, s)
		}
	}
	require.NoError(t, s.Close())
}

func sidesOf(s *Store) (text string) {
	for v, err := range s.Sides("") {
		text += fmt.Sprintln(v.Key, v.Revision, len(v.Value), err)
	}
	return text
}

// droppedLog is a log of 400 commits of two events of which the first half is dropped.
func droppedLog(t *testing.T) (s *Store, receipts []Receipt) {
	t.Helper()
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	receipts = keyedLog(t, s, 200)
	dropBefore(t, s, s.Head()/2)
	require.Greater(t, s.first(), Position(100))
	return s, receipts
}

func TestWhateverAsksForWhatWasDroppedIsTold(t *testing.T) {
	s, receipts := droppedLog(t)
	ctx, first := t.Context(), s.first()
	require.Equal(t, first, First(s))
	gone := receipts[10].Events[0]
	told := func(p Position, err error) {
		t.Helper()
		var dropped *DroppedError
		require.ErrorAs(t, err, &dropped)
		require.Equal(t, DroppedError{Position: p, First: first}, *dropped)
		require.ErrorIs(t, err, ErrDropped)
	}
	_, err := s.GetAt(ctx, gone.Position)
	told(gone.Position, err)
	_, err = s.Get(ctx, gone.ID)
	told(0, err)
	require.ErrorIs(t, err, ErrNotFound, "lineage goes by that")
	_, err = s.ReadPage(ctx, Region{}, gone.Position, 0, 10)
	told(gone.Position+1, err)
	_, err = s.ReadPage(ctx, Region{}, 0, gone.Position, 10)
	told(1, err)
	_, err = s.Count(ctx, Region{}, gone.Position, 0, 10)
	told(gone.Position+1, err)
	for _, err = range s.Read(ctx, Region{Entity: "none"}, After(gone.Position)) {
		told(gone.Position+1, err)
	}
	for _, err = range s.Scan(ctx, Region{}, After(gone.Position)) {
		told(gone.Position+1, err)
	}
	for _, err = range Backward(ctx, s, Region{}, gone.Position) {
		told(gone.Position, err)
	}
	_, err = s.Commit(ctx, Batch{Events: eventsOf("a"), Conditions: []Condition{{Region: Region{Entity: "none"}, After: gone.Position}}})
	told(gone.Position+1, err)
	_, err = s.Commit(ctx, Batch{Events: eventsOf("a"), Conditions: []Condition{{Region: Region{Entity: "none"}}}})
	told(1, err)
	_, err = s.AnchorAt(ctx, gone.Position)
	told(gone.Position, err)
	told(gone.Position, s.CheckAnchor(ctx, Anchor{Store: s.Origin().Store, Position: gone.Position, Event: gone.ID}))
	told(gone.Position, SetHold(ctx, s, Hold{Who: "late", From: gone.Position}))
	for _, err = range Causes(ctx, s, gone.ID, Reach{}) {
		told(0, err)
	}
	told(receipts[10].Events[1].Position, s.WaitVisible(ctx, receipts[10]))
	history, err := collect(History(ctx, s, "order:10"))
	told(gone.Position, err)
	require.Empty(t, history)
	history, err = collect(History(ctx, s, "all"))
	require.NoError(t, err)
	require.Greater(t, history[0].Version, uint64(1), "it begins after what was dropped")
	require.Empty(t, positions(t, History(ctx, s, "none")))

	effects := write(t, s, Batch{Events: []Proposal{
		{At: At("a", "shop"), Payload: note{}, Causation: Causation{Cause: gone.ID}},
		{At: At("a", "shop"), Payload: note{}, Causation: Causation{Cause: uuid.Max}},
	}}).Events
	up, err := collect(Causes(ctx, s, effects[0].ID, Reach{}))
	require.Len(t, up, 1)
	told(0, err)
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, fmt.Sprintf("begins at event %d", first))
	_, err = collect(Causes(ctx, s, effects[1].ID, Reach{}))
	require.NotErrorIs(t, err, ErrDropped, "it is of no event before")
	require.Equal(t, &MissingCauseError{Event: effects[1].ID, Position: effects[1].Position, Cause: uuid.Max}, err)
}

func TestThePastUpToTheLastDroppedEventIsProvenAndReadersGoOnFromThere(t *testing.T) {
	s, receipts := droppedLog(t)
	for range 2 {
		ctx, first := t.Context(), s.first()
		last := receipts[(first-2)/2].Events[(first-2)%2]
		require.Equal(t, first-1, last.Position)
		anchor, err := s.AnchorAt(ctx, last.Position)
		require.NoError(t, err)
		require.Equal(t, Anchor{Store: s.Origin().Store, Position: last.Position, Event: last.ID, Hidden: "0"}, anchor)
		require.NoError(t, s.CheckAnchor(ctx, anchor))
		anchor.Event = uuid.New()
		require.ErrorIs(t, s.CheckAnchor(ctx, anchor), ErrForeignHistory)
		for _, from := range []From{Beginning(), After(0), After(last.Position), Since(time.Unix(0, 0))} {
			p, err := s.Resolve(ctx, from)
			require.NoError(t, err)
			require.Equal(t, last.Position, p)
			for e, err := range s.Read(ctx, Region{}, from) {
				require.NoError(t, err)
				require.Equal(t, first, e.Position)
				break
			}
		}
		n, err := s.Count(ctx, Region{}, 0, 0, 1000)
		require.NoError(t, err)
		require.Equal(t, int(s.Head()-first+1), n)
		names, _, err := Names(ctx, s, ScopeNames, "", 10)
		require.NoError(t, err)
		require.Equal(t, n, total(names))
		at := s.Head()
		for e, err := range Backward(ctx, s, Region{}, 0) {
			require.NoError(t, err)
			require.Equal(t, at, e.Position)
			at--
		}
		require.Equal(t, last.Position, at)
		_, err = s.Commit(ctx, Batch{Events: eventsOf("a"), Conditions: []Condition{{Region: Region{Entity: "none"}, After: last.Position}}})
		require.NoError(t, err)
		s = reopen(t, s)
	}
	require.NoError(t, s.Close())
}

func total(names []Name) (n int) {
	for _, name := range names {
		n += name.Events
	}
	return n
}

func TestWhatHoldsEventsIsNamedAndKept(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	keyedLog(t, s, 200)
	ctx := t.Context()
	require.NoError(t, SetHold(ctx, s, Hold{Who: "export", From: 150, Note: "nightly"}))
	require.NoError(t, SetHold(ctx, s, Hold{Who: "slow", From: 70}))
	others := func(of *Store, ignore []string) ([]Hold, error) {
		require.Equal(t, s, of)
		require.Equal(t, []string{"slow"}, ignore)
		return []Hold{{Kind: "checkpoint", Who: "mail", From: 200}, {Kind: "checkpoint", Who: "ahead", From: 4000}}, nil
	}
	ignore := RetainOptions{Before: 300, Ignore: []string{"slow"}}
	dry := ignore
	dry.DryRun = true
	want, err := Retain(ctx, s, others, dry)
	require.NoError(t, err)
	require.Equal(t, Position(1), s.first())
	report, err := Retain(ctx, s, others, ignore)
	require.NoError(t, err)
	require.Equal(t, []Hold{
		{Kind: "hold", Who: "export", From: 150, Note: "nightly"}, {Kind: "checkpoint", Who: "mail", From: 200},
	}, report.Holds)
	require.Positive(t, report.Carried)
	require.Zero(t, want.Carried)
	want.Carried = report.Carried
	require.Equal(t, want, report)
	require.Greater(t, report.First, Position(70))
	require.LessOrEqual(t, report.First, Position(150))

	require.NoError(t, ReleaseHold(ctx, s, "export"))
	require.NoError(t, ReleaseHold(ctx, s, "export"), "there is none")
	report, err = Retain(ctx, s, nil, RetainOptions{Before: 300})
	require.NoError(t, err)
	require.Equal(t, "slow", report.Holds[0].Who)
	require.Zero(t, report.Segments)
	s = reopen(t, s)
	var held []Hold
	for h, err := range Holds(s) {
		require.NoError(t, err)
		held = append(held, h)
	}
	require.Equal(t, []Hold{{Kind: "hold", Who: "slow", From: 70}}, held)
	require.NoError(t, ReleaseHold(ctx, s, "slow"))
	report, err = Retain(ctx, s, nil, RetainOptions{Before: 300})
	require.NoError(t, err)
	require.Empty(t, report.Holds)
	require.Greater(t, report.First, Position(250))
	write(t, s, sideOf(SideWrite{Key: "hold/torn", Value: []byte("{")}))
	_, err = Retain(ctx, s, nil, RetainOptions{})
	require.ErrorContains(t, err, "torn", "it may need anything")
	require.NoError(t, s.Close())
}

func TestAnOpenFenceHoldsWhatIsStagedAndOneThatWasCancelledLeavesNoTrace(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	ctx := t.Context()
	put(t, s, "before")
	f, err := OpenFence(ctx, s, FenceOptions{Deadline: MaxFenceDeadline, Reason: "close October"})
	require.NoError(t, err)
	for _, entity := range []string{"before", "inside", "inside"} {
		_, err = f.Stage(ctx, Batch{IdempotencyKey: "key of " + entity + fmt.Sprint(s.assigned.Load()), Events: eventsOf(entity)})
		require.NoError(t, err)
	}
	keyedLog(t, s, 100)
	report, err := Retain(ctx, s, nil, RetainOptions{Before: 1000})
	require.NoError(t, err)
	require.Zero(t, report.Segments)
	require.NoError(t, f.Cancel(ctx))
	report, err = Retain(ctx, s, nil, RetainOptions{Before: 1000})
	require.NoError(t, err)
	require.Greater(t, report.First, Position(100))
	for range 2 {
		require.Equal(t, uint64(1), version(t, s, "before"))
		require.Zero(t, version(t, s, "inside"))
		verified, err := Verify(ctx, s, VerifyOptions{})
		require.NoError(t, err)
		require.NoError(t, verified.Err())
		s = reopen(t, s)
	}
	r := write(t, s, Batch{IdempotencyKey: "key of inside2", Events: eventsOf("inside")})
	require.False(t, r.Duplicate)
	require.Equal(t, uint64(1), r.Events[0].Version)
	require.NoError(t, s.Close())
}

func TestEachOptionDropsWhatExceedsIt(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return now }
	for name, test := range map[string]struct {
		options RetainOptions
		keeps   func(s *Store) bool // what is left
	}{
		"nothing": {RetainOptions{}, func(s *Store) bool { return s.first() == 1 }},
		"age": {RetainOptions{MaxAge: 100 * time.Hour}, func(s *Store) bool {
			e, err := s.GetAt(t.Context(), s.first())
			return err == nil && now.Sub(e.Time.Time()) < 135*time.Hour && now.Sub(e.Time.Time()) > 80*time.Hour
		}},
		"bytes": {RetainOptions{MaxBytes: 5 * minSegmentBytes}, func(s *Store) bool {
			segments := *s.segments.Load()
			n := len(segments) - droppedOf(segments)
			return n == 4 || n == 5
		}},
		"position": {RetainOptions{Before: 200}, func(s *Store) bool { return s.first() <= 200 && s.first() > 100 }},
		"all of it": {RetainOptions{Before: 10000}, func(s *Store) bool {
			segments := *s.segments.Load()
			return droppedOf(segments) == len(segments)-1
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := open(vfs.NewMemory(), logDir, o, true)
			require.NoError(t, err)
			for i := range 200 {
				now = now.Add(time.Hour)
				write(t, s, Batch{Events: []Proposal{{At: At(fmt.Sprint(i), "s"), Payload: Raw{Type: "k", Data: make([]byte, 1900)}}}, Sides: []SideWrite{{Key: "s", Value: make([]byte, 10)}}})
				put(t, s, "a")
			}
			report, err := Retain(t.Context(), s, nil, test.options)
			require.NoError(t, err)
			require.Equal(t, s.first(), report.First)
			require.True(t, test.keeps(s), "first %d", s.first())
			require.NoError(t, s.Close())
		})
	}
	s := memoryLog(t)
	var invalid *InvalidError
	_, err := Retain(t.Context(), s, nil, RetainOptions{MaxAge: -1})
	require.ErrorAs(t, err, &invalid)
	_, err = Retain(t.Context(), s, func(*Store, []string) ([]Hold, error) { return nil, errBadFence }, RetainOptions{})
	require.ErrorIs(t, err, errBadFence)
	o = s.options
	o.ReadOnly = true
	_, err = Retain(t.Context(), openLog(t, s.fs, o), nil, RetainOptions{})
	require.ErrorIs(t, err, ErrReadOnly)
	require.NoError(t, s.Close())
	_, err = Retain(t.Context(), s, nil, RetainOptions{})
	require.ErrorIs(t, err, ErrClosed)
}

// A hold that is set while a file is written that would take the place of what it needs counts.
func TestAHoldThatIsSetMeanwhileCounts(t *testing.T) {
	s, err := open(vfs.NewMemory(), logDir, smallSegments(SyncAlways), true)
	require.NoError(t, err)
	keyedLog(t, s, 200)
	ctx, calls := t.Context(), 0
	late := func(*Store, []string) ([]Hold, error) {
		if calls++; calls == 2 {
			write(t, s, sideOf(Hold{Who: "late", From: 10}.Write()))
		}
		return nil, nil
	}
	report, err := Retain(ctx, s, late, RetainOptions{Before: 300})
	require.NoError(t, err)
	require.Equal(t, 2, calls)
	require.Zero(t, report.Segments)
	require.Equal(t, []Hold{{Kind: "hold", Who: "late", From: 10}}, report.Holds)
	require.Equal(t, Position(1), s.first())
	require.Empty(t, unfinishedFiles(t, s.fs.(*vfs.Memory), logDir))
	require.NoError(t, s.Close())
}
