package storetest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func retentionLaws() []law {
	const about = "retention"
	return []law{
		{about: about, says: "what was dropped is told, and what counts of it stays", needs: needsRetention, test: drops},
		{about: about, says: "what was dropped stays so over a reopening", needs: needsRetention | needsReopen, test: staysDropped},
		{about: about, says: "what a fence has staged is not dropped", needs: needsRetention | needsFences, test: fencesHold},
	}
}

// Segments of what size there are is for the subject to choose, so the log is filled until the
// first can be dropped: that of a store of default options has 4 MiB.
const (
	fillerBytes = 20 << 10
	maxFillers  = 16 << 20 / fillerBytes
)

// fill appends until what comes first can be dropped.
func fill(x *scene) {
	x.Helper()
	filler := store.Raw{Type: "filler", Codec: "raw", Data: make([]byte, fillerBytes)}
	for i := range maxFillers {
		_, err := x.Writer.Append(x.ctx, store.At("filler", "law"), store.Any, filler)
		require.NoError(x, err)
		if i%8 == 0 && retained(x, true).Segments > 0 {
			return
		}
	}
	require.FailNow(x, "nothing can be dropped", "%d MiB were appended", maxFillers*fillerBytes>>20)
}

func retained(x *scene, dry bool) store.RetainReport {
	x.Helper()
	report, err := x.Retain(x.ctx, store.RetainOptions{Before: x.Writer.Head() + 1, DryRun: dry})
	require.NoError(x, err)
	return report
}

// dropFirst drops the first events of a log, and returns the receipt of one with a key among them,
// and the first position that is left.
func dropFirst(x *scene) (keyed store.Receipt, first store.Position) {
	x.Helper()
	keyed = x.commit(store.Batch{
		IdempotencyKey: "key", Events: eventsAt("a", "b", "a"), Sides: []store.SideWrite{{Key: "s", Value: []byte("v")}},
	})
	fill(x)
	first = retained(x, false).First
	require.Greater(x, first, keyed.Position())
	return keyed, first
}

// dropped requires that a log shows what dropFirst has left. The writer is asked: a reader beside
// it may have files open that are gone.
func dropped(x *scene, keyed store.Receipt, first store.Position) {
	x.Helper()
	events, err := collect(x.Writer.Read(x.ctx, store.Region{}, store.Beginning()))
	require.NoError(x, err)
	if len(events) > 0 {
		require.Equal(x, first, events[0].Position, "reading begins at the first that is left")
	}
	require.Len(x, events, int(x.Writer.Head()-first+1))
	_, err = x.Writer.GetAt(x.ctx, 1)
	refused(x, &store.DroppedError{Position: 1, First: first}, err)
	_, err = x.Writer.Get(x.ctx, keyed.Events[0].ID)
	require.ErrorIs(x, err, store.ErrDropped)
	_, err = collect(x.Writer.Read(x.ctx, store.Region{}, store.After(1)))
	require.ErrorIs(x, err, store.ErrDropped)
	_, err = x.Writer.ReadPage(x.ctx, store.Region{}, 1, 0, 10)
	require.ErrorIs(x, err, store.ErrDropped)
	require.ErrorIs(x, x.Writer.CheckAnchor(x.ctx, keyed.Anchor()), store.ErrDropped)
	last, err := x.Writer.AnchorAt(x.ctx, first-1)
	require.NoError(x, err, "the last that was dropped is known")
	require.NoError(x, x.Writer.CheckAnchor(x.ctx, last))
	_, err = x.Writer.Commit(x.ctx, store.Batch{Events: eventsAt("c"), Conditions: []store.Condition{{Region: store.Region{Entity: "c"}}}})
	require.ErrorIs(x, err, store.ErrDropped, "what was there cannot be known")
	version, err := x.Writer.Version(x.ctx, "a")
	require.NoError(x, err)
	require.Equal(x, uint64(2), version)
	_, err = x.Writer.Append(x.ctx, store.At("a", "law"), store.Absent, store.Raw{Type: "thing.done"})
	refused(x, &store.ConflictError{Entity: "a", Expected: store.Absent, Actual: 2}, err)
	repeated(x, keyed, x.commit(store.Batch{IdempotencyKey: "key", Events: eventsAt("a", "b", "a")}))
	v, _, err := x.Writer.Side("s")
	require.NoError(x, err)
	require.Equal(x, store.SideValue{Key: "s", Value: []byte("v"), Revision: keyed.Sequence}, v)
}

func drops(x *scene) {
	keyed, first := dropFirst(x)
	dropped(x, keyed, first)
	require.Equal(x, uint64(3), x.append("a").Events[0].Version)
}

func staysDropped(x *scene) {
	keyed, first := dropFirst(x)
	for range 2 {
		x.reopen()
		dropped(x, keyed, first)
	}
	require.Equal(x, []uint64{3, 2}, func() []uint64 {
		r := x.append("a", "b")
		return []uint64{r.Events[0].Version, r.Events[1].Version}
	}())
}

func fencesHold(x *scene) {
	x.append("a")
	f := x.fence()
	staged := x.stage(f, "b")
	filler := store.Raw{Type: "filler", Codec: "raw", Data: make([]byte, fillerBytes)}
	for range 30 {
		_, err := x.Writer.Append(x.ctx, store.At("filler", "law"), store.Any, filler)
		require.NoError(x, err)
	}
	report, err := x.Retain(x.ctx, store.RetainOptions{Before: 20})
	require.NoError(x, err)
	require.LessOrEqual(x, report.First, staged.Position())
	require.NoError(x, f.Publish(x.ctx))
	e, err := x.Writer.GetAt(x.ctx, staged.Position())
	require.NoError(x, err, fmt.Sprint("event ", staged.Position(), " was dropped before it was visible"))
	require.Equal(x, staged.Events[0].ID, e.ID)
}
