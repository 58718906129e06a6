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

func TestAWorkerWithLanesThatWaitsForARetryIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			if b.Events[0].Position <= 2 {
				return errBroken
			}
			return nil
		})
		w.Lanes, w.Policy = 3, steady(5, time.Hour)
		sys := start(t, st, w)
		for range 2 {
			appendInputs(t, st, 7)
			time.Sleep(time.Minute)
			s := statusOf(t, sys, "w")
			require.Equal(t, actors.Retrying, s.State)
			require.ErrorIs(t, s.Reason, errBroken)
			require.ErrorContains(t, s.Reason, "event 1,")
			require.Equal(t, 1, s.Attempt)
		}
		time.Sleep(time.Hour)
		require.Equal(t, 2, statusOf(t, sys, "w").Attempt)
	})
}

func TestAPausedWorkerShowsPausedDespiteFailures(t *testing.T) {
	for name, fail := range map[string]func() error{
		"retries": func() error { return errBroken },
		"parks":   func() error { return supervision.Park(errBroken) },
		"panics":  func() error { panic(errBroken) },
	} {
		for _, lanes := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					entered, release, ill := make(chan struct{}, 10), make(chan struct{}), sick()
					w := handling("w", func(context.Context, *cursor.Batch) error {
						if ill.Load() {
							entered <- struct{}{}
							<-release
							return fail()
						}
						return nil
					})
					w.Lanes, w.Policy = lanes, steady(5, time.Minute)
					sys := start(t, st, w)
					receipt := appendInputs(t, st, 1)
					<-entered
					paused := make(chan error)
					go func() { paused <- sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "look at it"}) }()
					synctest.Wait()
					close(release)
					require.NoError(t, <-paused)
					for range 3 {
						time.Sleep(time.Hour)
						s := statusOf(t, sys, "w")
						require.Equal(t, actors.Paused, s.State)
						require.ErrorContains(t, s.Reason, "look at it")
					}
					require.Empty(t, entered, "it rests")
					ill.Store(false)
					require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
					if name != "parks" {
						require.NoError(t, sys.WaitApplied(t.Context(), "w", receipt))
					}
				})
			})
		}
	}
}

// The end of the pause cannot be written until the disk has room.
func TestAPauseEndsOnAFullDiskWithoutSpinning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
		require.NoError(t, err)
		defer func() { require.NoError(t, st.Close()) }()
		sys := start(t, st, reacting("w"))
		require.NoError(t, sys.Pause(t.Context(), "w", time.Now().Add(time.Hour), checkpoint.Request{Reason: "lunch"}))
		room := full(t, st, disk)
		time.Sleep(2 * time.Hour)
		require.NotEqual(t, actors.Paused, statusOf(t, sys, "w").State)
		room()
		time.Sleep(time.Minute)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 1)))
		require.NoError(t, sys.Stop(t.Context()))
	})
}

func TestARewindResetsTheCountOfAttempts(t *testing.T) {
	for name, back := range map[string]func(context.Context, *actors.System) error{
		"rewound": func(ctx context.Context, sys *actors.System) error {
			return apply(ctx, sys, "w", checkpoint.Rewind{})
		},
		"reset": func(ctx context.Context, sys *actors.System) error { return apply(ctx, sys, "w", checkpoint.Reset{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				ill := sick()
				w := poisoned(ill, 2)
				w.Policy = steady(5, time.Hour)
				sys := start(t, st, w)
				appendInputs(t, st, 3)
				time.Sleep(210 * time.Minute)
				require.Equal(t, 4, statusOf(t, sys, "w").Attempt)
				began := time.Now()
				require.NoError(t, back(t.Context(), sys))
				require.Zero(t, time.Since(began), "it does not wait for the delay of the retry")
				synctest.Wait()
				require.Equal(t, 1, statusOf(t, sys, "w").Attempt)
				time.Sleep(59 * time.Minute)
				require.Equal(t, 1, statusOf(t, sys, "w").Attempt, "the delay restarts, too")
				time.Sleep(2 * time.Minute)
				require.Equal(t, 2, statusOf(t, sys, "w").Attempt)
			})
		})
	}
}

func TestASiblingThatRestartsWithAnotherShowsNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		failing := fragile("fails", 1)
		failing.Policy = steady(5, time.Hour)
		sys := start(t, st, supervision.Group{Name: "g", Strategy: supervision.OneForAll, Children: []supervision.Child{
			reacting("w"), failing,
		}})
		require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{Reason: "lunch"}))
		appendInputs(t, st, 1)
		time.Sleep(time.Minute)
		s := statusOf(t, sys, "w")
		require.Equal(t, actors.Restarting, s.State)
		require.NoError(t, s.Reason)
		time.Sleep(time.Hour)
		require.Equal(t, actors.Paused, statusOf(t, sys, "w").State)
	})
}

func TestTheWatchdogReportsNoStallOfAWorkerThatWaits(t *testing.T) {
	for name, rest := range map[string]func(*testing.T, *actors.System, *store.Store){
		"idle": func(*testing.T, *actors.System, *store.Store) { time.Sleep(time.Hour) },
		"paused": func(t *testing.T, sys *actors.System, st *store.Store) {
			require.NoError(t, sys.Pause(t.Context(), "w", time.Time{}, checkpoint.Request{}))
			appendInputs(t, st, 1)
			time.Sleep(time.Hour)
			require.NoError(t, sys.Resume(t.Context(), "w", checkpoint.Request{}))
		},
		"all is parked": func(t *testing.T, sys *actors.System, st *store.Store) {
			appendAll(t, st, store.Proposal{At: store.At("in:ill", "test"), Payload: reacted{}})
			time.Sleep(time.Hour)
		},
		"waits for a retry": func(t *testing.T, sys *actors.System, st *store.Store) {
			appendAll(t, st, store.Proposal{At: store.At("in:late", "test"), Payload: reacted{}})
			time.Sleep(time.Hour)
		},
	} {
		for _, lanes := range []int{1, 3} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					st := memory(t, store.Options{})
					late := 0
					w := handling("w", func(_ context.Context, b *cursor.Batch) error {
						time.Sleep(10 * time.Second)
						switch b.Events[0].Coordinate.Entity {
						case "in:ill":
							return supervision.Park(errBroken)
						case "in:late":
							if late++; late == 1 {
								return supervision.RetryAfter(50*time.Minute, errBroken)
							}
						}
						return nil
					})
					w.BatchSize, w.Lanes = 1, lanes
					sys := startWith(t, st, actors.Options{WatchdogInterval: time.Second, StallAfter: time.Minute}, w)
					seen := collect(t, sys)
					rest(t, sys, st)
					require.NoError(t, sys.WaitApplied(t.Context(), "w", appendInputs(t, st, 3)))
					for _, tr := range seen() {
						require.NotErrorIs(t, tr.Reason, actors.ErrStalled)
					}
				})
			})
		}
	}
}

func TestAWorkerIsRunningWhileAnyOfItsLanesIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		ill := sick()
		w := handling("w", func(_ context.Context, b *cursor.Batch) error {
			switch b.Events[0].Coordinate.Entity {
			case "in:0":
				if ill.Load() {
					return supervision.Park(errBroken)
				}
				time.Sleep(time.Hour)
			case "in:2":
				return errBroken
			}
			return nil
		})
		w.Lanes, w.Policy = 3, steady(50, 10*time.Hour)
		sys := start(t, st, w)
		appendAll(t, st, input(0))
		synctest.Wait()
		ill.Store(false)
		_, err := sys.Replay(t.Context(), "w", cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, actors.Running, statusOf(t, sys, "w").State, "what was parked is in flight")
		for i := range 3 {
			appendAll(t, st, input(i+1))
			time.Sleep(time.Minute)
			require.Equal(t, actors.Running, statusOf(t, sys, "w").State, "whatever becomes of other events")
		}
		seen := collect(t, sys)
		time.Sleep(time.Hour)
		require.Equal(t, actors.Retrying, statusOf(t, sys, "w").State, "now it only waits")
		require.Len(t, seen(), 1)
	})
}
