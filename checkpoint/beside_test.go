package checkpoint_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

// keep commits side values.
func keep(t *testing.T, st *store.Store, sides ...store.SideWrite) {
	t.Helper()
	_, err := st.Commit(t.Context(), store.Batch{Sides: sides})
	require.NoError(t, err)
}

func parkedPositions(t *testing.T, st *store.Store) (list []store.Position) {
	t.Helper()
	for p, err := range checkpoint.ParkedEvents(st, "index") {
		require.NoError(t, err)
		list = append(list, p.Position)
	}
	return list
}

func lastAudit(t *testing.T, st *store.Store) (last checkpoint.Audit) {
	t.Helper()
	for e, err := range checkpoint.Audits(t.Context(), st, "index", 0) {
		require.NoError(t, err)
		last, err = checkpoint.DecodeAudit(e)
		require.NoError(t, err)
	}
	return last
}

func TestWhatIsKeptBesideACheckpointIsReadAsItWasWritten(t *testing.T) {
	st := open(t)
	since := time.UnixMilli(1_700_000_000_123).UTC()
	parked := checkpoint.Parked{
		Position: 300, Key: "order:1", Held: true, Replaying: true, Replay: true, EmitAgain: true, Error: "broken", Attempts: 7, Since: since,
	}
	pause := checkpoint.Pause{Since: since, Until: since.Add(time.Hour), Reason: "lunch"}
	keep(t, st, parked.Write("index"), checkpoint.Parked{Position: 20, Error: strings.Repeat("ä", 4000)}.Write("index"),
		checkpoint.Parked{Position: 1}.Write("index2"), pause.Write("index"))
	require.Equal(t, []store.Position{20, 300}, parkedPositions(t, st))
	got, found, err := checkpoint.ParkedAt(st, "index", 300)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, parked, got)
	long, _, err := checkpoint.ParkedAt(st, "index", 20)
	require.NoError(t, err)
	require.LessOrEqual(t, len(long.Error), 4096)
	require.True(t, strings.HasSuffix(long.Error, "ä"), "it is cut between characters")

	rest, found, err := checkpoint.PauseOf(st, "index")
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, pause, rest)
	keep(t, st, checkpoint.Resume("index"), checkpoint.Unpark("index", 20))
	_, found, err = checkpoint.PauseOf(st, "index")
	require.NoError(t, err)
	require.False(t, found)
	require.Equal(t, []store.Position{300}, parkedPositions(t, st))
	require.Error(t, checkpoint.Pause{Reason: strings.Repeat("x", 1024+1)}.Validate())
}

func TestADamagedSideValueIsAnErrorThatNamesIt(t *testing.T) {
	st := open(t)
	for _, w := range []store.SideWrite{
		checkpoint.Parked{Position: 5, Key: "k"}.Write("index"), checkpoint.Pause{Reason: "r"}.Write("index"),
	} {
		for bit := range len(w.Value) * 8 {
			bad := slices.Clone(w.Value)
			bad[bit/8] ^= 1 << (bit % 8)
			keep(t, st, store.SideWrite{Key: w.Key, Value: bad})
			var err error
			if strings.HasPrefix(w.Key, "pause") {
				_, _, err = checkpoint.PauseOf(st, "index")
			} else {
				var p checkpoint.Parked
				for p, err = range checkpoint.ParkedEvents(st, "index") {
				}
				require.Equal(t, store.Position(5), p.Position)
			}
			require.ErrorIs(t, err, checkpoint.ErrCorrupt, "bit %d", bit)
		}
	}
}

func TestChangesLeaveAnAuditEventAndDealWithWhatIsParked(t *testing.T) {
	st := open(t)
	for range 6 {
		_, err := st.Append(t.Context(), store.At("order:1", "shop"), store.Any, placed())
		require.NoError(t, err)
	}
	region := store.Region{Entity: "order:1"}
	l := acquire(t, st, "index", checkpoint.Binding{Region: region})
	require.NoError(t, move(t, st, l, 5))
	keep(t, st, checkpoint.Parked{Position: 2}.Write("index"), checkpoint.Parked{Position: 4}.Write("index"))

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Rewind{To: 3, Emit: true}))
	require.Equal(t, []store.Position{2}, parkedPositions(t, st), "what lies after it comes again in its place")
	require.Equal(t, checkpoint.Audit{Action: checkpoint.AuditRewound, Worker: "index", Position: 5, To: 3, Emit: true}, lastAudit(t, st))
	pass, err := checkpoint.PassOf(st, "index")
	require.NoError(t, err)
	four, err := st.GetAt(t.Context(), 4)
	require.NoError(t, err)
	five, err := st.GetAt(t.Context(), 5)
	require.NoError(t, err)
	require.False(t, pass.Replayed(four), "it was parked, and never emitted")
	require.True(t, pass.Replayed(five))
	require.False(t, pass.Mutes(five))

	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.SkipTo{To: 1}), checkpoint.ErrNotForward)
	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.SkipTo{To: 1 << 40}), checkpoint.ErrAhead)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.SkipTo{To: 6}))
	require.Equal(t, checkpoint.AuditSkippedTo, lastAudit(t, st).Action)
	pass, err = checkpoint.PassOf(st, "index")
	require.NoError(t, err)
	require.True(t, pass.Empty())

	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Widen{Region: store.Region{Entity: "stock"}}), checkpoint.ErrRebuild)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Widen{Region: store.Region{Entity: "order"}}))
	r := inspect(t, st, "index").Record
	require.Equal(t, store.Position(0), r.Scanned)
	require.Equal(t, store.Region{Entity: "order"}.Identity(), r.Region)
	pass, err = checkpoint.PassOf(st, "index")
	require.NoError(t, err)
	require.False(t, pass.Delivers(five), "it was handled in the former region")

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	require.Empty(t, parkedPositions(t, st))
	require.Equal(t, checkpoint.AuditDeleted, lastAudit(t, st).Action)
}

func TestARegionThatLeavesSomethingOutNeedsARebuild(t *testing.T) {
	former := store.Region{Entity: "order:1", Scope: "shop", Kinds: []string{"order.placed"}, MinVersion: 2, MaxVersion: 9}
	for part, wider := range map[string]store.Region{
		"entity":   {Entity: "order:2", Scope: "shop", Kinds: []string{"order.placed"}, MinVersion: 2, MaxVersion: 9},
		"scope":    {Entity: "order:1", Scope: "mall", Kinds: []string{"order.placed"}, MinVersion: 2, MaxVersion: 9},
		"versions": {Entity: "order:1", Scope: "shop", Kinds: []string{"order.placed"}, MinVersion: 3, MaxVersion: 9},
		"kinds":    {Entity: "order:1", Scope: "shop", Kinds: []string{"order.shipped"}, MinVersion: 2, MaxVersion: 9},
		"":         {Entity: "order", Category: "order", MinVersion: 1},
	} {
		st := open(t)
		acquire(t, st, "index", checkpoint.Binding{Region: former})
		err := apply(t.Context(), st, "index", checkpoint.Widen{Region: wider})
		if part == "" {
			require.NoError(t, err)
			continue
		}
		var rebuild *checkpoint.RegionError
		require.ErrorAs(t, err, &rebuild)
		require.ErrorIs(t, err, checkpoint.ErrRebuild)
		require.Equal(t, part, rebuild.Part)
	}
}

func TestAnotherVersionOfTheKeysIsRefusedWhileEventsWaitForEachOther(t *testing.T) {
	st := open(t)
	b := checkpoint.Binding{KeyVersion: 1}
	acquire(t, st, "index", b)
	keep(t, st, checkpoint.Parked{Position: 1}.Write("index"))
	b.KeyVersion = 2
	_, err := checkpoint.Acquire(t.Context(), st, "index", b)
	require.Equal(t, &checkpoint.KeyVersionError{ID: "index", Stored: 1, Given: 2, Events: 1}, err)
	keep(t, st, checkpoint.Unpark("index", 1))
	acquire(t, st, "index", b)
	require.Equal(t, uint32(2), inspect(t, st, "index").Record.KeyVersion)
}

func TestAnOwnerThatDidNotEndInGoodOrderIsKnown(t *testing.T) {
	st := open(t)
	require.False(t, acquire(t, st, "index", checkpoint.Binding{}).Unclean(), "there was none before")
	l := acquire(t, st, "index", checkpoint.Binding{})
	require.True(t, l.Unclean())
	require.NoError(t, move(t, st, l, 0)) // says clean
	require.False(t, acquire(t, st, "index", checkpoint.Binding{}).Unclean())
}

func TestEveryEndOfAPauseIsKeptAsItIs(t *testing.T) {
	st := open(t)
	for _, until := range []time.Time{{}, time.Unix(0, 0).UTC(), time.UnixMilli(-1).UTC(), time.UnixMilli(1 << 40).UTC()} {
		keep(t, st, checkpoint.Pause{Since: until, Until: until}.Write("index"))
		got, _, err := checkpoint.PauseOf(st, "index")
		require.NoError(t, err)
		require.Equal(t, checkpoint.Pause{Since: until, Until: until}, got)
		require.Equal(t, until.IsZero(), got.Until.IsZero())
	}
}
