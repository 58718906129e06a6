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

func parkedPositions(t *testing.T, st *store.Store, at ...store.Position) (list []store.Position) {
	t.Helper()
	for p, err := range checkpoint.ParkedEvents(st, "index", at...) {
		require.NoError(t, err)
		list = append(list, p.Position)
	}
	return list
}

// lastAudit returns the last audit event of a checkpoint, with its kind.
func lastAudit(t *testing.T, st *store.Store, id checkpoint.ID) (kind string, last checkpoint.Audit) {
	t.Helper()
	for e, err := range checkpoint.Audits(t.Context(), st, id, 0) {
		require.NoError(t, err)
		kind, last = e.Kind, checkpoint.Audit{}
		require.NoError(t, e.Decode(&last))
	}
	return kind, last
}

func requireLastAudit(t *testing.T, st *store.Store, kind string, want checkpoint.Audit) {
	t.Helper()
	gotKind, got := lastAudit(t, st, "index")
	require.Equal(t, kind, gotKind)
	require.Equal(t, want, got)
}

// parkedAt returns the parked event at a position.
func parkedAt(t *testing.T, st *store.Store, at store.Position) checkpoint.Parked {
	t.Helper()
	for p, err := range checkpoint.ParkedEvents(st, "index", at) {
		require.NoError(t, err)
		return p
	}
	require.Fail(t, "nothing is parked there")
	return checkpoint.Parked{}
}

func TestWhatIsKeptBesideACheckpointIsReadAsItWasWritten(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", bound)
	since := time.UnixMilli(1_700_000_000_123).UTC()
	parked := checkpoint.Parked{
		Position: 300, Key: "order:1", Held: true, Replaying: true, Replay: true, EmitAgain: true, Error: "broken", Attempts: 7, Since: since,
	}
	pause := checkpoint.Pause{Since: since, Until: since.Add(time.Hour), Reason: "lunch"}
	keep(t, st, parked.Write("index"), checkpoint.Parked{Position: 20, Error: strings.Repeat("ä", 4000)}.Write("index"),
		checkpoint.Parked{Position: 1}.Write("index2"), pause.Write("index"))
	require.Equal(t, []store.Position{20, 300}, parkedPositions(t, st))
	require.Equal(t, parked, parkedAt(t, st, 300))
	long := parkedAt(t, st, 20)
	require.LessOrEqual(t, len(long.Error), 4096)
	require.True(t, strings.HasSuffix(long.Error, "ä"), "it is cut between characters")

	require.Equal(t, []store.Position{20, 300}, parkedPositions(t, st, 300, 21, 20, 1))

	require.Equal(t, &pause, inspect(t, st, "index").Pause)
	keep(t, st, checkpoint.Resume("index"), checkpoint.Unpark("index", 20))
	require.Nil(t, inspect(t, st, "index").Pause)
	require.Equal(t, []store.Position{300}, parkedPositions(t, st))
	require.Empty(t, parkedPositions(t, st, 20))
}

func TestADamagedSideValueIsAnErrorThatNamesIt(t *testing.T) {
	st := open(t)
	acquire(t, st, "index", bound)
	for _, w := range []store.SideWrite{
		checkpoint.Parked{Position: 5, Key: "k"}.Write("index"), checkpoint.Pause{Reason: "r"}.Write("index"),
	} {
		for bit := range len(w.Value) * 8 {
			bad := slices.Clone(w.Value)
			bad[bit/8] ^= 1 << (bit % 8)
			keep(t, st, store.SideWrite{Key: w.Key, Value: bad})
			var err error
			if strings.HasPrefix(w.Key, "pause") {
				var info checkpoint.Info
				info, err = checkpoint.Inspect(st, "index")
				require.NotZero(t, info.Record.Epoch, "the rest can be read")
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
	requireLastAudit(t, st, checkpoint.AuditRewound, checkpoint.Audit{Worker: "index", Position: 5, To: 3, Emit: true})
	pass := inspect(t, st, "index").Pass
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
	requireLastAudit(t, st, checkpoint.AuditSkippedTo, checkpoint.Audit{Worker: "index", Position: 3, To: 6})
	require.True(t, inspect(t, st, "index").Pass.Empty())

	require.ErrorIs(t, apply(t.Context(), st, "index", checkpoint.Widen{Region: store.Region{Entity: "stock"}}), checkpoint.ErrRebuild)
	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Widen{Region: store.Region{Entity: "order"}}))
	info := inspect(t, st, "index")
	require.Equal(t, store.Position(0), info.Record.Scanned)
	require.Equal(t, store.Region{Entity: "order"}.Identity(), info.Record.Region)
	require.False(t, info.Pass.Delivers(five), "it was handled in the former region")

	require.NoError(t, apply(t.Context(), st, "index", checkpoint.Delete{}))
	require.Empty(t, parkedPositions(t, st))
	requireLastAudit(t, st, checkpoint.AuditDeleted, checkpoint.Audit{Worker: "index"})
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
		require.Equal(t, &checkpoint.MismatchError{
			Err: checkpoint.ErrRebuild, ID: "index", Part: part, Stored: former.String(), Given: wider.String(),
		}, err)
		require.ErrorIs(t, err, checkpoint.ErrRebuild)
		require.ErrorContains(t, err, "the "+part+" of the region")
	}
}

func TestAnotherVersionOfTheKeysIsRefusedWhileEventsWaitForEachOther(t *testing.T) {
	st := open(t)
	b := checkpoint.Binding{KeyVersion: 1}
	acquire(t, st, "index", b)
	keep(t, st, checkpoint.Parked{Position: 1}.Write("index"))
	b.KeyVersion = 2
	_, err := checkpoint.Acquire(t.Context(), st, "index", b)
	require.Equal(t, &checkpoint.MismatchError{Err: checkpoint.ErrKeyVersion, ID: "index", Stored: "1", Given: "2", Events: 1}, err)
	require.ErrorIs(t, err, checkpoint.ErrKeyVersion)
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
	acquire(t, st, "index", bound)
	for _, until := range []time.Time{{}, time.Unix(0, 0).UTC(), time.UnixMilli(-1).UTC(), time.UnixMilli(1 << 40).UTC()} {
		keep(t, st, checkpoint.Pause{Since: until, Until: until}.Write("index"))
		got := inspect(t, st, "index").Pause
		require.Equal(t, &checkpoint.Pause{Since: until, Until: until}, got)
		require.Equal(t, until.IsZero(), got.Until.IsZero())
	}
}
