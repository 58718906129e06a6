package actors_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// breakFiles makes every write to files of the directory fail that this process has open.
func breakFiles(t *testing.T, dir string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	broken := 0
	for _, fd := range fds {
		name, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err != nil || !strings.HasPrefix(name, dir+"/") || strings.HasSuffix(name, "LOCK") {
			continue
		}
		var n int
		_, err = fmt.Sscan(fd.Name(), &n)
		require.NoError(t, err)
		require.NoError(t, syscall.Dup3(int(full.Fd()), n, syscall.O_CLOEXEC))
		broken++
	}
	require.NotZero(t, broken)
}

func TestAPoisonedStoreStopsAllWorkersAndErrReportsIt(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	defer st.Close()
	entered, release := make(chan struct{}), make(chan struct{})
	sys := startWith(t, st, actors.Options{DrainTimeout: time.Hour}, reacting("idle"),
		handling("busy", func(context.Context, *cursor.Batch) error {
			close(entered)
			<-release
			return nil
		}))
	receipt := appendInputs(t, st, 1)
	<-entered
	require.NoError(t, sys.WaitApplied(t.Context(), "idle", receipt))
	breakFiles(t, dir)
	close(release) // its reactions cannot be written
	<-sys.Done()
	require.ErrorIs(t, sys.Err(), store.ErrPoisoned)
	require.NotErrorIs(t, sys.Err(), actors.ErrHalted)
	require.ErrorIs(t, sys.WaitApplied(t.Context(), "busy", receipt), actors.ErrStopped)
	require.ErrorIs(t, sys.Stop(t.Context()), store.ErrPoisoned)
	require.Equal(t, actors.Stopped, statusOf(t, sys, "idle").State)
	require.Equal(t, actors.Stopped, statusOf(t, sys, "busy").State)
}
