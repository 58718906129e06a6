package actors_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// wallClock is the clock of a machine that can be set, and that moved while the machine slept:
// timers know of neither.
type wallClock struct{ ahead atomic.Int64 }

func (c *wallClock) set(by time.Duration) { c.ahead.Add(int64(by)) }

func (c *wallClock) now() time.Time { return time.Now().Round(0).Add(time.Duration(c.ahead.Load())) }

func TestAPauseEndsAtItsTimeAlsoWhereTheMachineSleptMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wallClock
		st := memory(t, store.Options{Clock: clock.now})
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.Pause(t.Context(), "w", st.Now().Add(24*time.Hour), checkpoint.Request{Reason: "night"}))
		time.Sleep(time.Hour)
		require.Equal(t, actors.Paused, statusOf(t, sys, "w").State)
		clock.set(23 * time.Hour)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, actors.Idle, statusOf(t, sys, "w").State)
	})
}

func TestARestartIsNotLateWhereTheMachineSleptMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wallClock
		st := memory(t, store.Options{Clock: clock.now})
		var calls atomic.Int32
		w := handling("w", func(context.Context, *cursor.Batch) error {
			if calls.Add(1) == 1 {
				panic("fragile")
			}
			return nil
		})
		w.Policy = steady(10, 24*time.Hour)
		sys := start(t, st, w)
		receipt := appendInputs(t, st, 1)
		synctest.Wait()
		require.Equal(t, actors.Restarting, statusOf(t, sys, "w").State)
		clock.set(30 * time.Hour)
		began := time.Now()
		require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
		require.LessOrEqual(t, time.Since(began), time.Minute)
	})
}

func TestStatesHaveTheTimeOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wallClock
		clock.set(1000 * time.Hour)
		st := memory(t, store.Options{Clock: clock.now})
		sys := start(t, st, reacting("w"))
		seen := collect(t, sys)
		time.Sleep(time.Minute)
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "lunch"}))
		require.Equal(t, st.Now(), statusOf(t, sys, "w").Since)
		transitions := seen()
		require.Equal(t, st.Now(), transitions[len(transitions)-1].Time)
		info, err := checkpoint.Inspect(st, "w")
		require.NoError(t, err)
		require.Equal(t, st.Now(), info.Pause.Since)
	})
}

// aheadLog is a disk with a log whose only event is of the year 2100, by mistake.
func aheadLog(t *testing.T) *storetest.Disk {
	t.Helper()
	disk := storetest.NewDisk()
	mistaken := func() time.Time { return time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) }
	st, err := disk.Open("data", store.Options{Clock: mistaken})
	require.NoError(t, err)
	appendInputs(t, st, 1)
	require.NoError(t, st.Close())
	return disk
}

func TestLagTimeAndTheWatchdogSeeAWorkerThatStandsWhereTheLogIsAheadOfTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st, err := aheadLog(t).Open("data", store.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		core, logs := observer.New(zapcore.WarnLevel)
		w, entered, release := deaf()
		sys := startWith(t, st, actors.Options{Logger: zap.New(core)}, w)
		require.Equal(t, 1, logs.FilterMessageSnippet("clock of the store is ahead").Len())
		require.InDelta(t, 100*365*24, sys.Status().ClockAhead.Hours(), 24*365)
		<-entered
		appendInputs(t, st, 1)
		time.Sleep(time.Hour)
		s := statusOf(t, sys, w.Name)
		require.InDelta(t, time.Hour.Seconds(), s.LagTime.Seconds(), 1)
		require.True(t, s.Stalled)
		require.Equal(t, 1, logs.FilterMessageSnippet("does not move").Len())
		require.Equal(t, 1, logs.FilterMessageSnippet("clock of the store").Len(), "said once")
		close(release)
	})
}

func TestClocksThatComeApartAreLoggedAndThatTheyMeetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clock wallClock
		st := memory(t, store.Options{Clock: clock.now})
		core, logs := observer.New(zapcore.InfoLevel)
		startWith(t, st, actors.Options{Logger: zap.New(core)}, reacting("w"))
		require.Zero(t, logs.FilterMessageSnippet("clock").Len())
		clock.set(-70 * time.Second)
		st.Now() // a clock without elapsed time: what it was set back by is seen once it is read
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, logs.FilterMessageSnippet("clock of the store is ahead").Len())
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.Equal(t, 1, logs.FilterMessageSnippet("clock of the store is ahead").Len(), "said once")
		require.Equal(t, 1, logs.FilterMessageSnippet("within a minute of that of the machine again").Len())
	})
}
