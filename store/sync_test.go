package store

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// afterPowerCut opens what a power cut at this moment would leave of a log whose disk kept nothing
// unsynced.
func afterPowerCut(t *testing.T, gate *syncGate, o Options) *Store {
	t.Helper()
	return openLog(t, gate.disk().Image(vfs.KeepNothing), o)
}

// requireNoSyncs requires that an idle store does not sync: not once in an hour.
func requireNoSyncs(t *testing.T, gate *syncGate) {
	t.Helper()
	syncs := gate.syncs.Load()
	time.Sleep(time.Hour)
	synctest.Wait()
	require.Equal(t, syncs, gate.syncs.Load())
}

func TestALazyBatchForcesNoSyncAndIsSyncedTenMillisecondsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		syncs := gate.syncs.Load()
		r := write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: []byte("v")}}})
		require.Equal(t, uint64(1), r.Sequence)
		require.Equal(t, "v", sideText(s, "k"))
		require.Zero(t, s.Head())

		time.Sleep(lazySyncDelay - time.Nanosecond)
		synctest.Wait()
		require.Equal(t, syncs, gate.syncs.Load())
		require.Equal(t, "-", sideText(afterPowerCut(t, gate, Options{}), "k"))
		syncs = gate.syncs.Load()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, syncs+1, gate.syncs.Load())
		require.Equal(t, "v", sideText(afterPowerCut(t, gate, Options{}), "k"))
		requireNoSyncs(t, gate)
	})
}

func TestLazyBatchesRideTheSyncOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		syncs := gate.syncs.Load()
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: []byte("v")}}})
		put(t, s, "a")
		require.Equal(t, syncs+1, gate.syncs.Load())
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, syncs+1, gate.syncs.Load(), "it is durable already")
	})
}

func TestAStreamOfLazyBatchesIsSyncedEveryTenMilliseconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		syncs := gate.syncs.Load()
		for range 100 {
			write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k"}}})
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if unsynced := s.committer.writer.unsyncedSince; !unsynced.IsZero() {
				require.LessOrEqual(t, time.Since(unsynced), lazySyncDelay)
			}
		}
		synctest.Wait()
		require.InDelta(t, 10, gate.syncs.Load()-syncs, 1)
	})
}

func TestABatchWithEventsIsNeverLazy(t *testing.T) {
	gate := newSyncGate()
	s := openLog(t, gate, Options{})
	syncs := gate.syncs.Load()
	write(t, s, Batch{Lazy: true, Events: eventsOf("a")})
	require.Equal(t, syncs+1, gate.syncs.Load())
	write(t, s, Batch{Sides: []SideWrite{{Key: "k"}}})
	require.Equal(t, syncs+2, gate.syncs.Load(), "side values are lazy on demand only")
}

func TestSyncIntervalAcknowledgesAtOnceAndSyncsWhenTheIntervalIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Sync: SyncInterval, SyncEvery: 50 * time.Millisecond}
		gate := newSyncGate()
		s := openLog(t, gate, o)
		syncs := gate.syncs.Load()
		r := put(t, s, "a")
		require.Equal(t, SyncInterval, r.Sync)
		require.Equal(t, Position(1), s.Head())
		require.Equal(t, syncs, gate.syncs.Load())
		require.Zero(t, afterPowerCut(t, gate, o).Head())

		syncs = gate.syncs.Load()
		time.Sleep(o.SyncEvery)
		synctest.Wait()
		require.Equal(t, syncs+1, gate.syncs.Load())
		require.Equal(t, Position(1), afterPowerCut(t, gate, o).Head())

		syncs = gate.syncs.Load()
		for range 100 { // five intervals of steady writing
			put(t, s, "a")
			time.Sleep(o.SyncEvery / 20)
		}
		synctest.Wait()
		require.InDelta(t, 5, gate.syncs.Load()-syncs, 1)
		time.Sleep(time.Second)
		synctest.Wait()
		requireNoSyncs(t, gate)
	})
}

func TestSyncNeverSyncsAtSegmentChangesAndAtClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, smallSegments(SyncNever))
		syncs := gate.syncs.Load()
		require.Equal(t, SyncNever, put(t, s, "a").Sync)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, syncs, gate.syncs.Load())
		require.Zero(t, afterPowerCut(t, gate, s.options).Head())

		grow(t, s, 2)
		synctest.Wait()
		head := s.Head()
		require.Equal(t, head-1, afterPowerCut(t, gate, s.options).Head(), "all but the event that opened the segment")
		require.NoError(t, s.Close())
		require.Equal(t, head, afterPowerCut(t, gate, s.options).Head())
	})
}

func TestTheIncarnationThatALossBeginsOutlastsReopening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, smallSegments(SyncNever))
		put(t, s, "a")
		first := s.Origin()

		disk := gate.disk().Image(vfs.KeepNothing)
		s = openLog(t, disk, smallSegments(SyncAlways))
		second := s.Origin()
		require.Equal(t, first.Store, second.Store)
		require.Greater(t, second.Incarnation, first.Incarnation)
		// The segment that began in the first incarnation ends in the second. When it is the last one
		// with anything in it, only its trailer can tell.
		grow(t, s, 2)
		require.NoError(t, s.Close())
		require.NoError(t, disk.Remove(segmentPath(logDir, 2)))
		s = openLog(t, disk, smallSegments(SyncAlways))
		require.Greater(t, s.Origin().Incarnation, second.Incarnation)
	})
}

// A full disk does not keep what was written from being synced, however many commits are refused.
func TestARefusalForWantOfRoomDoesNotPutOffASyncThatIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		s := openLog(t, disk, smallSegments(SyncAlways))
		put(t, s, "a")
		write(t, s, Batch{Lazy: true, Sides: []SideWrite{{Key: "k", Value: []byte("v")}}})
		disk.SetCapacity(0)
		large := Batch{Events: []Proposal{{At: At("b", "test"), Payload: Raw{Type: "large", Data: make([]byte, 70<<10)}}}}
		refused, flush := newRequest(), newRequest()
		require.NoError(t, refused.encode(&large, &s.emitters))
		refused.lazy = true // as a side value would be: it waits for no sync of its own
		s.committer.writer.commit([]*request{refused, flush})
		require.ErrorIs(t, refused.err, ErrDiskFull)
		require.NoError(t, flush.err)
		require.Equal(t, "v", sideText(openLog(t, disk.Image(vfs.KeepNothing), Options{}), "k"))
		require.Zero(t, s.committer.writer.unsyncedSince)
	})
}
