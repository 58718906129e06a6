package storetest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// smallest is the size of segments that roll over within a history.
const smallest = 64 << 10

func TestTheLawsHoldOverCrashes(t *testing.T) {
	for name, o := range map[string]store.Options{
		"in larger segments":   {SegmentBytes: 4 * smallest},
		"in small segments":    {SegmentBytes: smallest},
		"synced in intervals":  {SegmentBytes: smallest, Sync: store.SyncInterval},
		"synced by the system": {SegmentBytes: smallest, Sync: store.SyncNever},
	} {
		t.Run(name, func(t *testing.T) { storetest.Run(t, storetest.OnDisk(o, storetest.Of)) })
	}
}

func TestTheLawsHoldBesideAWriterOverCrashes(t *testing.T) {
	storetest.Run(t, func(tb testing.TB, o store.Options) storetest.Subject {
		tb.Helper()
		o.SegmentBytes = smallest
		return beside(tb, storetest.NewDisk(), o)
	})
}

// beside opens a writer, and a reader that follows it over a reopening.
func beside(tb testing.TB, disk *storetest.Disk, o store.Options) storetest.Subject {
	tb.Helper()
	open := func(o store.Options) *store.Store {
		st, err := disk.Open("data", o)
		require.NoError(tb, err)
		tb.Cleanup(func() { _ = st.Close() })
		return st
	}
	var pair func(writer, reader *store.Store) storetest.Subject
	pair = func(writer, reader *store.Store) storetest.Subject {
		s := storetest.Of(writer)
		s.Reader, s.Store = reader, reader
		s.Reopen = func(tb testing.TB) storetest.Subject {
			tb.Helper()
			require.NoError(tb, writer.Close())
			return pair(open(o), reader)
		}
		s.Crash = func(tb testing.TB) storetest.Subject {
			tb.Helper()
			disk.Cut()
			_, _ = writer.Close(), reader.Close()
			return beside(tb, disk.Rebooted(uint64(disk.Ops())), o)
		}
		return s
	}
	writer := open(o)
	return pair(writer, open(store.Options{ReadOnly: true}))
}

// What takes time here is the disk, so it is asked for all at once.
func TestTheLawsHoldOnARealDisk(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]store.SyncMode{
		"synced": store.SyncAlways, "synced in intervals": store.SyncInterval, "synced by the system": store.SyncNever,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(tb testing.TB, o store.Options) storetest.Subject {
				tb.Helper()
				o.Sync, o.SegmentBytes = mode, smallest
				return onRealDisk(tb, tb.TempDir(), o)
			})
		})
	}
}

func onRealDisk(tb testing.TB, dir string, o store.Options) storetest.Subject {
	tb.Helper()
	st, err := store.Open(dir, o)
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = st.Close() })
	s := storetest.Of(st)
	s.Reopen = func(tb testing.TB) storetest.Subject {
		tb.Helper()
		require.NoError(tb, st.Close())
		return onRealDisk(tb, dir, o)
	}
	return s
}
