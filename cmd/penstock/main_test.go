package main

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

type placed struct{}

func (placed) Kind() string { return "order.placed" }

// The program as it is installed: its exit codes, and that its output in a pipe has no colours.
func TestTheProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "penstock")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	built, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, "%s", built)

	dir := filepath.Join(t.TempDir(), "data")
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	_, err = st.Append(t.Context(), store.At("order:1", "shop"), store.Any, placed{})
	require.NoError(t, err)
	run := func(args ...string) (out string, code int) {
		t.Helper()
		said, err := exec.CommandContext(t.Context(), program, args...).Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return string(said), exit.ExitCode()
		}
		require.NoError(t, err)
		return string(said), 0
	}
	out, code := run("tail", dir)
	require.Zero(t, code)
	require.Contains(t, out, "beside "+dir)
	require.Contains(t, out, "order:1@shop")
	require.NoError(t, st.Close())
	out, code = run("status", dir)
	require.Zero(t, code)
	require.Contains(t, out, "cold "+dir+" as of 1: no process has it open\n")
	require.NotContains(t, out, "\x1b")
	out, code = run("get", "--json", dir, "2")
	require.Equal(t, 3, code)
	require.True(t, json.Valid([]byte(out)))
	_, code = run("worker", "pause", dir, "mail")
	require.Equal(t, 2, code)
}
