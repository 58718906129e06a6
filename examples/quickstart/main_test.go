package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// runAsMain makes the test binary behave as the program.
const runAsMain = "QUICKSTART_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestEachRunInOneDirectoryContinuesWhereTheOneBeforeStopped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	reservations := ""
	for run := range 3 {
		order := 2*run + 1
		reservations += fmt.Sprintf("%d stock:lamp@shop stock.reserved because of %d order:%d@shop order.placed\n",
			order+1, order, order)
		begin := fmt.Sprintf("%s holds %d events, reserve-stock continues after %d\n", dir, 2*run, 2*run)
		require.Equal(t, begin+reservations, quickstart(t, dir))
	}
}

func TestWithoutADirectoryTheLogIsAmongTheCachesOfTheUser(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, home)
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	require.Contains(t, quickstart(t), filepath.Join(cache, "penstock-quickstart")+" holds 0 events")
	require.Contains(t, quickstart(t), filepath.Join(cache, "penstock-quickstart")+" holds 2 events")
}

func quickstart(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	return string(out)
}

func TestAnOrderIsReservedOnceWheneverThePowerFails(t *testing.T) {
	tree := func() supervision.Child { return reactor.New("reserve-stock", reactor.On(reserve)) }
	reactortest.EveryCrash(t, tree, func(run *reactortest.Run) {
		for _, order := range []string{"order:1", "order:2"} {
			run.Given(reactortest.At(store.At(order, "shop"), Placed{SKU: "lamp"}))
			run.Settle()
			run.Then(reactortest.At(store.At("stock:lamp", "shop"), Reserved{Order: order}))
		}
	})
}

func TestADirectoryThatCannotBeOneIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Error(t, run(t.Context(), file))
}

func TestAWordThatLooksLikeAnOptionIsNotADirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--data")
	cmd.Env = append(os.Environ(), runAsMain+"=1")
	printed, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(printed), "-data")
	require.NoDirExists(t, "--data")
}

func TestTheCodeInTheReadmeIsThisProgram(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	program, err := os.ReadFile("main.go")
	require.NoError(t, err)

	_, rest, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	code, _, found := strings.Cut(rest, "```")
	require.True(t, found)
	require.Contains(t, string(program), code)
}
