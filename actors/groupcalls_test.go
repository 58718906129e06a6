package actors_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestAGroupIsPausedAndResumedWhateverOneOfItsWorkersDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		release := make(chan struct{})
		slow := handling("slow", func(context.Context, *cursor.Batch) error {
			<-release
			return nil
		})
		halts := handling("halts", func(context.Context, *cursor.Batch) error { return supervision.Halt(errBroken) })
		sys := start(t, st,
			supervision.Group{Name: "in", Children: []supervision.Child{
				slow, supervision.Group{Name: "deep", Children: []supervision.Child{handling("a", quiet)}}, handling("b", quiet), halts,
			}},
			supervision.Group{Name: "inner", Children: []supervision.Child{handling("c", quiet)}})
		appendInputs(t, st, 1)
		synctest.Wait()
		states := func() (list []string) {
			synctest.Wait()
			for _, w := range sys.Status().Workers {
				list = append(list, w.State.String())
			}
			return list
		}
		require.Equal(t, []string{"running", "idle", "idle", "halted", "idle"}, states())
		require.ErrorIs(t, sys.PauseGroup(t.Context(), "in", time.Time{}, why), actors.ErrUnknownGroup, "a path begins at the top")

		dry := why
		dry.DryRun = true
		short, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Error(t, sys.PauseGroup(short, "test/in", time.Time{}, dry))
		require.Equal(t, []string{"running", "idle", "idle", "halted", "idle"}, states())

		short, cancel = context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := sys.PauseGroup(short, "test/in", time.Time{}, why)
		require.ErrorIs(t, err, context.DeadlineExceeded, "of the one that hangs")
		require.ErrorIs(t, err, actors.ErrHalted, "of the one that is halted")
		require.ErrorContains(t, err, `"slow"`)
		require.NotContains(t, err.Error(), `"a"`)
		require.Equal(t, []string{"running", "paused", "paused", "halted", "idle"}, states())
		close(release)
		require.Equal(t, []string{"idle", "paused", "paused", "halted", "idle"}, states(), "its caller did not wait any more")

		require.NoError(t, sys.PauseGroup(t.Context(), "test/in/deep", time.Time{}, why))
		require.NoError(t, sys.ResumeGroup(t.Context(), "test", why))
		require.Equal(t, []string{"idle", "idle", "idle", "halted", "idle"}, states(), "it has halted once more")
	})
}

func quiet(context.Context, *cursor.Batch) error { return nil }
