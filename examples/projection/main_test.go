package main

import (
	"bufio"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// runAsMain makes the test binary behave as the program.
const runAsMain = "PROJECTION_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// What the program prints when everything is open, and when the projector has begun.
const (
	isUp         = "up"
	isProjecting = "the tables have"
)

// ran is the outcome of a run.
type ran struct {
	killed     bool
	projecting bool          // the projector had begun
	took       time.Duration // since it printed the line
}

// runKilled runs the program and kills it a while after it has printed a line, unless it ends
// before.
func runKilled(t *testing.T, data string, entries int, said string, after time.Duration) (r ran) {
	t.Helper()
	p := exec.CommandContext(t.Context(), os.Args[0], "-data", data, "-entries", strconv.Itoa(entries))
	p.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	status, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	var since time.Time
	for lines := bufio.NewScanner(status); lines.Scan(); {
		line := lines.Text()
		require.NotContains(t, line, "projection:", "it should have been killed, and failed instead")
		r.projecting = r.projecting || strings.Contains(line, isProjecting)
		if since.IsZero() && strings.Contains(line, said) {
			since = time.Now()
			timer := time.AfterFunc(after, func() { _ = p.Process.Kill() })
			defer timer.Stop()
		}
	}
	r.killed, r.took = p.Wait() != nil, time.Since(since)
	return r
}

func TestKilledInALoopItBooksEachEntryOnce(t *testing.T) {
	kills, projecting, entries, wanted := 0, 0, 0, 25
	if os.Getenv("PENSTOCK_SOAK") != "" {
		wanted = 500
	}
	data := t.TempDir()
	took := map[string]time.Duration{isUp: 100 * time.Millisecond, isProjecting: 50 * time.Millisecond} // when not killed
	for round := 0; kills < wanted; round++ {
		entries += 1000
		said := []string{isUp, isProjecting}[round%2]
		r := runKilled(t, data, entries, said, time.Duration(rand.Int64N(int64(took[said]))))
		switch {
		case !r.killed:
			took[said] = r.took
		case r.projecting:
			projecting++
			fallthrough
		default:
			kills++
		}
	}
	require.GreaterOrEqual(t, projecting, wanted/5)
	var out strings.Builder
	require.NoError(t, run(t.Context(), data, store.Position(entries), &out, null(t)))
	require.Contains(t, out.String(), strconv.Itoa(entries)+" entries         0.00\n")
	requireExact(t, data, entries)
	t.Logf("%d kills, %d of them with the projector at work, %d entries", kills, projecting, entries)
}

func TestTheTablesAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // permissions say nothing there
	}
	data := t.TempDir()
	db, err := openDatabase(t.Context(), filepath.Join(data, "balances.db"))
	require.NoError(t, err)
	defer db.Close()
	files, err := filepath.Glob(filepath.Join(data, "*"))
	require.NoError(t, err)
	require.Len(t, files, 3, "of SQLite")
	for _, name := range files {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, name)
	}
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// requireExact compares the tables with the log.
func requireExact(t *testing.T, data string, entries int) {
	t.Helper()
	st, err := store.Open(filepath.Join(data, "log"), store.Options{})
	require.NoError(t, err)
	defer st.Close()
	db, err := openDatabase(t.Context(), filepath.Join(data, "balances.db"))
	require.NoError(t, err)
	defer db.Close()
	want, sums := []store.Position{}, map[string]int64{}
	for e, err := range st.Read(t.Context(), store.Region{Entity: "account"}, store.Beginning()) {
		require.NoError(t, err)
		var body credited
		require.NoError(t, e.Decode(&body))
		if e.Kind == "account.debited" {
			body.Cents = -body.Cents
		}
		want = append(want, e.Position)
		sums[e.Coordinate.Entity] += body.Cents
	}
	require.Len(t, want, entries)

	rows, err := db.QueryContext(t.Context(), "SELECT position FROM entry ORDER BY position")
	require.NoError(t, err)
	defer rows.Close()
	got := []store.Position{}
	for rows.Next() {
		var p int64
		require.NoError(t, rows.Scan(&p))
		got = append(got, store.Position(p))
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got)
	for account, cents := range sums {
		var kept int64
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT cents FROM balance WHERE account = $1", account).Scan(&kept))
		require.Equal(t, cents, kept, account)
	}
}

func TestItContinuesWhereItStopped(t *testing.T) {
	data := t.TempDir()
	for _, entries := range []store.Position{100, 1000} {
		require.NoError(t, run(t.Context(), data, entries, io.Discard, null(t)))
		requireExact(t, data, int(entries))
	}
}
