package actors_test

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cpuTime is how long the processors have worked for this process: unlike the time on a clock it
// does not depend on what else the machine does.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	process, err := syscall.GetCurrentProcess()
	require.NoError(tb, err)
	var created, ended, kernel, user syscall.Filetime
	require.NoError(tb, syscall.GetProcessTimes(process, &created, &ended, &kernel, &user))
	ticks := func(t syscall.Filetime) time.Duration { // of 100 ns
		return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
	}
	return ticks(kernel) + ticks(user)
}
