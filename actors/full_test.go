package actors_test

import (
	"context"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

// full returns a store on a full disk, and a function that makes room.
func full(t *testing.T, st *store.Store, disk *storetest.Disk) (room func()) {
	t.Helper()
	disk.SetCapacity(1)
	for _, size := range []int{1000, 0} {
		var err error
		for err == nil {
			_, err = st.Append(t.Context(), elsewhere, store.Any, store.Raw{Type: "noise", Data: make([]byte, size)})
		}
		require.ErrorIs(t, err, store.ErrDiskFull)
	}
	return func() { disk.SetCapacity(1 << 30) }
}

func TestAGroupThatIsRestartedOnAFullDiskWaitsForRoom(t *testing.T) {
	for name, stop := range map[string]bool{"comes back": false, "is stopped": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := storetest.NewDisk()
				st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
				require.NoError(t, err)
				defer func() { require.NoError(t, st.Close()) }()
				gate, first := make(chan struct{}), true
				failing := handling("fails", func(context.Context, *cursor.Batch) error {
					if first {
						first = false
						<-gate
						panic("once")
					}
					return nil
				})
				sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
					supervision.Group{Name: "sub", Children: []supervision.Child{reacting("a"), reacting("b")}}, failing,
				}})
				receipt := appendInputs(t, st, 1)
				time.Sleep(time.Minute)
				room := full(t, st, disk)
				close(gate)
				time.Sleep(time.Hour)
				for _, name := range []string{"a", "b", "fails"} {
					s := statusOf(t, sys, name)
					require.Equal(t, actors.Retrying, s.State, name)
					require.ErrorIs(t, s.Reason, store.ErrDiskFull, name)
				}
				if began := time.Now(); stop {
					require.NoError(t, sys.Stop(t.Context()))
					require.Zero(t, time.Since(began))
					room()
					return
				}
				short, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.ErrorIs(t, sys.Pause(short, "a", time.Time{}, checkpoint.Request{}), context.DeadlineExceeded)
				room()
				last := appendInputs(t, st, 1)
				for _, name := range []string{"a", "b", "fails"} {
					require.NoError(t, sys.WaitApplied(t.Context(), name, receipt))
					require.NoError(t, sys.WaitApplied(t.Context(), name, last))
				}
			})
		})
	}
}

// The first commit once there is room must not lose what failed, or was refused, after the events
// it writes.
func TestAFailureThatWaitsForRoomSurvivesTheNextCommit(t *testing.T) {
	for name, lanes := range map[string]int{"in order": 1, "in lanes": 2} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, disk := small(t)
				gate, first := make(chan struct{}), sick()
				w := cursor.Worker{Name: "w", Region: inputs, Lanes: lanes, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
					<-gate
					for i, e := range b.Events {
						if e.Position == 3 && first.Swap(false) {
							return cursor.Continue, cursor.FailedAt(i, errBroken)
						}
						react("w", b, i)
					}
					return cursor.Continue, nil
				}}
				sys := start(t, st, w)
				receipt := appendInputs(t, st, 3)
				room := waitForRoom(t, sys, st, disk, gate)
				room()
				require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "maintenance"}))
				time.Sleep(time.Hour)
				require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{Reason: "done"}))
				requireAllApplied(t, sys, st, receipt)
			})
		})
	}
}

func TestARaceLostInTheCommitOfAnOperatorIsHandledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, disk := small(t)
		gate := make(chan struct{})
		w := cursor.Worker{Name: "w", Region: inputs, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			version, err := st.Version(ctx, "out:w")
			if err != nil {
				return cursor.Continue, err
			}
			<-gate
			for i, e := range b.Events {
				b.Propose(i, store.Proposal{
					At: store.At("out:w", "test"), Expect: store.Exactly(version + uint64(i)), Payload: reacted{For: e.Position},
				})
			}
			return cursor.Continue, nil
		}}
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 3)
		room := waitForRoom(t, sys, st, disk, gate)
		room()
		appendAll(t, st, store.Proposal{At: store.At("out:w", "test"), Payload: reacted{}}) // another writer is faster
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "maintenance"}))
		time.Sleep(time.Hour)
		require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{Reason: "done"}))
		short, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, sys.WaitApplied(short, "w", receipt))
		require.Equal(t, []store.Position{0, 1, 2, 3}, reactions(t, st, "w"))
	})
}

// At a new segment waiting workers write how far they have read.
func TestAFailureThatWaitsForRoomSurvivesANewSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, disk := small(t)
		gate, first := make(chan struct{}), sick()
		w := cursor.Worker{Name: "w", Region: inputs, Lanes: 2, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			<-gate
			if b.Events[0].Position == 2 && first.Swap(false) {
				return cursor.Continue, cursor.FailedAt(0, errBroken)
			}
			reactAll("w", b)
			return cursor.Continue, nil
		}}
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 2)
		room := waitForRoom(t, sys, st, disk, gate)
		room()
		appendAll(t, st, noise(1000)) // starts a segment
		requireAllApplied(t, sys, st, receipt)
	})
}

// Descriptors and quotas come back as room does.
func TestAWorkerWaitsForDescriptorsAndQuotaAsForRoom(t *testing.T) {
	for cause, want := range map[syscall.Errno]error{
		syscall.ENOSPC: store.ErrDiskFull, syscall.EDQUOT: store.ErrDiskFull,
		syscall.EMFILE: store.ErrBusy, syscall.ENFILE: store.ErrBusy,
	} {
		t.Run(cause.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, disk := small(t)
				gate := make(chan struct{})
				w := cursor.Worker{Name: "w", Region: inputs, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
					<-gate
					reactAll("w", b)
					b.React(0, elsewhere, store.Raw{Type: "noise", Data: make([]byte, 100<<10)}) // needs a segment
					return cursor.Continue, nil
				}}
				sys := start(t, st, w)
				receipt := appendInputs(t, st, 1)
				synctest.Wait()
				const failures = 40 // none of which leaves more than the name of a segment
				for i := range failures {
					disk.FailAt(disk.Ops()+1+i, cause)
				}
				close(gate)
				time.Sleep(10 * time.Second)
				s := statusOf(t, sys, "w")
				require.Equal(t, actors.Retrying, s.State)
				require.ErrorIs(t, s.Reason, want)
				require.ErrorIs(t, s.Reason, cause)
				require.Zero(t, s.Restarts)
				time.Sleep(24 * time.Hour)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
				require.Equal(t, []store.Position{1}, reactions(t, st, "w"))
			})
		})
	}
}

// small is a store with small segments, on a disk that may fill up.
func small(t *testing.T) (*store.Store, *storetest.Disk) {
	disk := storetest.NewDisk()
	st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st, disk
}

// waitForRoom lets the handlers of a worker return when there is no room for what they did.
func waitForRoom(t *testing.T, sys *actors.System, st *store.Store, disk *storetest.Disk, gate chan struct{}) (room func()) {
	t.Helper()
	synctest.Wait()
	room = full(t, st, disk)
	close(gate)
	synctest.Wait()
	s := statusOf(t, sys, "w")
	require.Equal(t, actors.Retrying, s.State)
	require.ErrorIs(t, s.Reason, store.ErrDiskFull)
	return room
}

// requireAllApplied requires that a day is enough for everything, also for events appended later.
func requireAllApplied(t *testing.T, sys *actors.System, st *store.Store, receipt store.Receipt) {
	t.Helper()
	time.Sleep(24 * time.Hour)
	more := appendInputs(t, st, 5)
	short, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	require.NoError(t, sys.WaitApplied(short, "w", receipt))
	require.NoError(t, sys.WaitApplied(short, "w", more))
	require.ElementsMatch(t, positions(t, st, inputs), reactions(t, st, "w"))
}
