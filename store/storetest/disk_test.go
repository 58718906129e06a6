package storetest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

var errDisk = errors.New("the disk is broken")

func TestADiskKeepsWhatWasAcknowledgedWhenItsPowerIsCut(t *testing.T) {
	for cut := 1; ; cut++ {
		disk := storetest.NewDisk()
		disk.CutAt(cut)
		var acknowledged []store.Position
		st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
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
			require.ErrorIs(t, err, storetest.ErrPowerCut)
		}
		after := disk.Rebooted(uint64(cut))
		st, err = after.Open("data", store.Options{})
		require.NoError(t, err)
		require.GreaterOrEqual(t, st.Head(), store.Position(len(acknowledged)))
		require.NoError(t, st.Close())
	}
}

func TestAnOpenStoreIsReadAfterThePowerOfItsDiskWasCut(t *testing.T) {
	disk := storetest.NewDisk()
	for range 2 {
		st, err := disk.Open("data", store.Options{})
		require.NoError(t, err)
		_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
		require.NoError(t, err)
		disk.Cut()
		_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
		require.ErrorIs(t, err, storetest.ErrPowerCut)
		first, err := st.GetAt(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, "a.made", first.Kind)
		_, err = disk.Open("data", store.Options{ReadOnly: true})
		require.ErrorIs(t, err, storetest.ErrPowerCut)
		_ = st.Close()
		disk = disk.Rebooted(1)
	}
}

func TestADiskFailsAndFillsUpOnDemand(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{})
	require.NoError(t, err)
	disk.FailAt(disk.Ops()+1, errDisk)
	_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
	require.ErrorIs(t, err, errDisk)
	require.Error(t, st.Close())

	disk = storetest.NewDisk()
	disk.SetCapacity(1)
	_, err = disk.Open("data", store.Options{})
	require.ErrorIs(t, err, store.ErrDiskFull)

	_, err = disk.Open("", store.Options{})
	require.Equal(t, &store.InvalidError{Field: "directory", Rule: "must not be empty"}, err)
}

// A weak mode may lose acknowledged commits in a power cut, and positions that were handed out must
// not mean others then.
func TestAPowerCutOfADiskInAWeakModeBeginsANewIncarnation(t *testing.T) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	first := st.Origin()
	_, err = st.Append(t.Context(), store.At("a", "test"), store.Any, store.Raw{Type: "a.made"})
	require.NoError(t, err)
	disk.Cut()
	_ = st.Close()
	st, err = disk.Rebooted(0).Open("data", store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	require.NotEqual(t, first, st.Origin())
	require.NoError(t, st.Close())
}

func TestEachStoreInMemoryIsOneOfItsOwn(t *testing.T) {
	first, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, first.Close()) }()
	_, err = first.Append(t.Context(), store.At("a", "test"), store.Absent, store.Raw{Type: "a.made"})
	require.NoError(t, err)
	second, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, second.Close()) }()
	require.Zero(t, second.Head())
	require.NotEqual(t, first.Origin(), second.Origin())
}
