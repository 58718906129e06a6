package actors_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// everything is a worker over the whole log that does nothing with it.
func everything(name string) cursor.Worker {
	return cursor.Worker{Name: name, Handle: func(context.Context, *cursor.Batch) (cursor.Action, error) {
		return cursor.Continue, nil
	}}
}

func TestAuditEventsDoNotWaitForAWorkerThatNeverSeesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, everything("all"), everything("other"))
		require.NoError(t, sys.WaitApplied(t.Context(), "all", appendInputs(t, st, 3)))
		for range 20 {
			require.NoError(t, sys.Pause(t.Context(), "other", time.Time{}, checkpoint.Request{}))
			require.NoError(t, sys.Resume(t.Context(), "other", checkpoint.Request{}))
		}
		require.Equal(t, store.Position(43), st.Head())
		require.NoError(t, sys.Pause(t.Context(), "all", time.Time{}, checkpoint.Request{}))
		appendInputs(t, st, 2)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, "all")
		require.Equal(t, 2, s.Lag)
		require.Equal(t, store.Position(45), s.OldestPending)
		require.Zero(t, statusOf(t, sys, "other").Lag)
	})
}

func TestTheLagOfAWorkerWithARangeOfVersionsIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := reacting("w")
		w.Region.MaxVersion = 2
		sys := start(t, st, w)
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		appendInputs(t, st, 70) // ten of each entity
		s := statusOf(t, sys, "w")
		require.Equal(t, 14, s.Lag)
		require.False(t, s.LagAtLeast)
	})
}

// The index tells an entity's namespace by its first eight levels.
func TestTheLagOfAWorkerWithADeepRegionIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		const shared = "a:b:c:d:e:f:g:h:"
		w := everything("w")
		w.Region = store.Region{Entity: shared + "mine"}
		sys := start(t, st, w)
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		made := store.Raw{Type: "in.made", Data: []byte("1")}
		for range 10 {
			appendAll(t, st,
				store.Proposal{At: store.At(shared+"yours", "test"), Payload: made},
				store.Proposal{At: store.At(shared+"mine:1", "test"), Payload: made})
		}
		s := statusOf(t, sys, "w")
		require.Equal(t, 10, s.Lag)
		require.False(t, s.LagAtLeast)
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		synctest.Wait()
		require.Zero(t, statusOf(t, sys, "w").Lag)
	})
}

func TestALagIsCountedUpToTenThousandAndThenAtLeastThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		appendInputs(t, st, 9_999)
		s := statusOf(t, sys, "w")
		require.Equal(t, 9_999, s.Lag)
		require.False(t, s.LagAtLeast)
		appendInputs(t, st, 2)
		s = statusOf(t, sys, "w")
		require.Equal(t, 10_000, s.Lag)
		require.True(t, s.LagAtLeast)
	})
}

func TestWhatAWidenedWorkerHandledBeforeDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 10)))
		receipt := appendAll(t, st, noise(1), noise(1), noise(1))
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
		_, err := sys.Apply(t.Context(), "w", checkpoint.Widen{}, checkpoint.Request{})
		require.NoError(t, err)
		want := 0
		for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
			require.NoError(t, err)
			if !inputs.Matches(e) {
				want++
			}
		}
		s := statusOf(t, sys, "w")
		require.Equal(t, want, s.Lag, "its own reactions and the noise")
		require.Greater(t, s.OldestPending, store.Position(10))
	})
}

// damagedLog is a log of which the events and the index of the first of several segments are
// damaged.
func damagedLog(t *testing.T, w cursor.Worker) *store.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	o := store.Options{SegmentBytes: 64 << 10, Sync: store.SyncNever}
	st, err := store.Open(dir, o)
	require.NoError(t, err)
	runner, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	require.NoError(t, runner.Pause(t.Context(), time.Time{}, checkpoint.Request{}))
	require.NoError(t, runner.Close(t.Context()))
	for range 40 {
		appendInputs(t, st, 100)
	}
	require.NoError(t, st.Close())

	file, err := os.OpenFile(filepath.Join(dir, "0000000001.seg"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	info, err := file.Stat()
	require.NoError(t, err)
	for at := int64(8 << 10); at < info.Size()-256; at += 1 << 10 { // all but the header and the trailer
		_, err = file.WriteAt([]byte("damage damage damage"), at)
		require.NoError(t, err)
	}
	st, err = store.Open(dir, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func TestALagThatDamageHidesIsAnErrorAndNotZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := damagedLog(t, reacting("w"))
		sys := start(t, st, reacting("w"))
		synctest.Wait()
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Paused, s.State)
		require.ErrorIs(t, s.LagErr, store.ErrCorrupt)
		require.NoError(t, sys.Status().Err, "nothing has failed yet")
	})
}

func TestTheLagInAStoreThatIsClosedIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w, entered, release := deaf()
		sys := start(t, st, w)
		appendInputs(t, st, 1)
		<-entered
		require.NoError(t, st.Close())
		require.ErrorIs(t, statusOf(t, sys, w.Name).LagErr, store.ErrClosed)
		close(release)
	})
}
