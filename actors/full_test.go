package actors_test

import (
	"context"
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

// full is a store on a disk that has no room any more, and what gives it room.
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
