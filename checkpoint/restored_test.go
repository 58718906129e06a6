package checkpoint_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// The checkpoints that the log has come back with it, and never say more than the events that are
// there. A file is outside of it, and may.
func TestWhatIsKeptInAndBesideALogThatIsRestored(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	files, r := filesIn(t, t.TempDir()), sample()
	save := func(id checkpoint.ID) {
		r.Scanned, r.Delivered, r.Pending, r.Origin = st.Head(), 0, nil, st.Origin()
		require.NoError(t, files.Save(t.Context(), st, id, r))
	}
	l := acquire(t, st, "worker", bound)
	fill(t, st, 5)
	require.NoError(t, move(t, st, l, 5))
	save("before")
	report, err := store.Backup(t.Context(), st, "copy", store.BackupOptions{})
	require.NoError(t, err)
	require.EqualValues(t, 5, report.Anchor.Position)
	fill(t, st, 5)
	require.NoError(t, move(t, st, l, 10))
	save("after")

	report, err = disk.Restore(t.Context(), "copy", "back", store.RestoreOptions{})
	require.NoError(t, err)
	back, err := disk.Open("back", store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	require.Equal(t, report.Origin, back.Origin())
	require.Equal(t, st.Origin().Incarnation+1, back.Origin().Incarnation)
	for range 2 {
		_, err = files.Load(t.Context(), back, "before", sampleBinding)
		require.NoError(t, err)
		_, err = files.Load(t.Context(), back, "after", sampleBinding)
		require.ErrorIs(t, err, store.ErrForeignHistory)
		fill(t, back, 10) // then there are other events at its position
	}
	require.EqualValues(t, 5, inspect(t, back, "worker").Record.Scanned)
	again := acquire(t, back, "worker", bound)
	require.NoError(t, move(t, back, again, 20))
}

// The follower has seen what a fence had staged, and what the copy hides: that is made while the
// fence is open.
func TestAFileOfWhatACopyHidesIsForeignThere(t *testing.T) {
	for _, publish := range []bool{true, false} {
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{})
		require.NoError(t, err)
		fill(t, st, 3)
		f, err := store.OpenFence(t.Context(), st, store.FenceOptions{Deadline: store.MaxFenceDeadline})
		require.NoError(t, err)
		_, err = f.Stage(t.Context(), store.Batch{Events: []store.Proposal{{At: store.At("staged", "shop"), Payload: store.Raw{Type: "k"}}}})
		require.NoError(t, err)
		fill(t, st, 2)
		_, err = store.Backup(t.Context(), st, "copy", store.BackupOptions{})
		require.NoError(t, err)
		end := f.Cancel
		if publish {
			end = f.Publish
		}
		require.NoError(t, end(t.Context()))
		files, r := filesIn(t, t.TempDir()), sample()
		r.Scanned, r.Delivered, r.Pending, r.Origin = st.Head(), 0, nil, st.Origin()
		require.NoError(t, files.Save(t.Context(), st, "follower", r))
		_, err = files.Load(t.Context(), st, "follower", sampleBinding)
		require.NoError(t, err)
		_, err = disk.Restore(t.Context(), "copy", "back", store.RestoreOptions{})
		require.NoError(t, err)
		back, err := disk.Open("back", store.Options{})
		require.NoError(t, err)
		_, err = files.Load(t.Context(), back, "follower", sampleBinding)
		require.Equal(t, publish, errors.Is(err, store.ErrForeignHistory))
		require.True(t, publish || err == nil)
		require.NoError(t, back.Close())
		require.NoError(t, st.Close())
	}
}
