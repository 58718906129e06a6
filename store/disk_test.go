package store_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

var errDisk = errors.New("the disk is broken")

func TestADiskKeepsWhatWasAcknowledgedWhenItsPowerIsCut(t *testing.T) {
	for cut := 1; ; cut++ {
		disk := store.NewDisk()
		disk.CutAt(cut)
		var acknowledged []store.Position
		st, err := store.Open("data", store.Options{Disk: disk, SegmentBytes: 64 << 10})
		for err == nil && len(acknowledged) < 5 {
			var r store.Receipt
			if r, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"}); err == nil {
				acknowledged = append(acknowledged, r.Position())
			}
		}
		if st != nil {
			_ = st.Close()
		}
		if err == nil && disk.Ops() < cut {
			return
		}
		if err != nil {
			require.ErrorIs(t, err, store.ErrPowerCut)
		}
		after := disk.Rebooted(uint64(cut))
		st, err = store.Open("data", store.Options{Disk: after})
		require.NoError(t, err)
		require.GreaterOrEqual(t, st.Head(), store.Position(len(acknowledged)))
		require.NoError(t, st.Close())
	}
}

func TestADiskFailsAndFillsUpWhenTold(t *testing.T) {
	disk := store.NewDisk()
	st, err := store.Open("data", store.Options{Disk: disk})
	require.NoError(t, err)
	disk.FailAt(disk.Ops()+1, errDisk)
	_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
	require.ErrorIs(t, err, errDisk)
	require.Error(t, st.Close())

	disk = store.NewDisk()
	disk.SetCapacity(1)
	_, err = store.Open("data", store.Options{Disk: disk})
	require.ErrorIs(t, err, store.ErrDiskFull)

	_, err = store.Open("data", store.Options{Disk: disk, InMemory: true})
	require.ErrorIs(t, err, store.ErrInvalid)
}

// A weak mode may lose acknowledged commits in a power cut, and positions that were handed out must not mean others then.
func TestAPowerCutOfADiskInAWeakModeBeginsANewIncarnation(t *testing.T) {
	disk := store.NewDisk()
	st, err := store.Open("data", store.Options{Disk: disk, Sync: store.SyncNever})
	require.NoError(t, err)
	first := st.Origin()
	_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
	require.NoError(t, err)
	disk.Cut()
	_ = st.Close()
	st, err = store.Open("data", store.Options{Disk: disk.Rebooted(0), Sync: store.SyncNever})
	require.NoError(t, err)
	require.NotEqual(t, first, st.Origin())
	require.NoError(t, st.Close())
}
