package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// runAsMain makes the test binary behave as the program.
const runAsMain = "ORDERS_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// badDay is much of everything that can go wrong.
var badDay = []string{
	"-refuse", "0.3", "-cancel", "0.15", "-flaky", "0.15", "-slow", "0.03", "-lie", "0.15", "-timeout", "200ms",
}

// ran is the outcome of a run.
type ran struct {
	killed   bool
	underWay int           // orders that it found under way
	took     time.Duration // from when it was up
}

// runKilled runs the program and kills it a while after it was up, unless it ends before.
func runKilled(t *testing.T, dir string, orders, version int, after time.Duration) (r ran) {
	t.Helper()
	args := append([]string{"-dir", dir, "-orders", strconv.Itoa(orders), "-version", strconv.Itoa(version)}, badDay...)
	p := exec.CommandContext(t.Context(), os.Args[0], args...)
	p.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	status, err := p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	var since time.Time
	for lines := bufio.NewScanner(status); lines.Scan(); {
		line := lines.Text()
		require.NotContains(t, line, "orders:", "it should have been killed, and failed instead")
		ended := 0
		if n, _ := fmt.Sscanf(line, "up: %d orders have ended, %d are under way", &ended, &r.underWay); n == 2 {
			since = time.Now()
			timer := time.AfterFunc(after, func() { _ = p.Process.Kill() })
			defer timer.Stop()
		}
	}
	r.killed, r.took = p.Wait() != nil, time.Since(since)
	return r
}

// The services die with the shop, at any moment: before, in and after a transaction, with an answer
// on its way, in the middle of taking something back. Halfway the second version is deployed.
func TestKilledInALoopTheBooksBalanceAndNothingIsDoneTwice(t *testing.T) {
	kills, resumed, orders, wanted := 0, 0, 0, 6
	if os.Getenv("PENSTOCK_SOAK") != "" {
		wanted = 300
	}
	dir := t.TempDir()
	took := 400 * time.Millisecond // when not killed
	for kills < wanted {
		orders += 4
		r := runKilled(t, dir, orders, 1+2*kills/wanted, time.Duration(rand.Int64N(int64(took))))
		if !r.killed {
			took = r.took
			continue
		}
		kills++
		if r.underWay > 0 {
			resumed++
		}
	}
	require.GreaterOrEqual(t, resumed, wanted/4, "it was killed before it had begun, or after it had ended")
	out := complete(t, dir, append([]string{"-orders", strconv.Itoa(orders)}, badDay...)...)
	require.Contains(t, out, "the books balance\n")
	lives := requireOnce(t, dir, orders)
	t.Logf("%d kills, %d of them found orders under way: %v", kills, resumed, lives)
	require.Positive(t, lives[saga.Completed])
	require.Positive(t, lives[saga.Compensated])
}

func complete(t *testing.T, dir string, flags ...string) string {
	t.Helper()
	o, err := parse(append([]string{"-dir", dir}, flags...), io.Discard)
	require.NoError(t, err)
	var out strings.Builder
	require.NoError(t, run(t.Context(), o, &out, null(t)), &out)
	return out.String()
}

func null(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// requireOnce reads the log and the databases without the help of the program's own audit.
func requireOnce(t *testing.T, dir string, orders int) map[saga.Life]int {
	t.Helper()
	st, err := store.Open(filepath.Join(dir, "log"), store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	happened := make(map[string]int) // kinds by entity
	for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		happened[e.Coordinate.Entity+" "+e.Kind]++
	}
	completed, packed, lives := make(map[string]int), make(map[string]int), make(map[saga.Life]int)
	for o, err := range fulfilment(&town{}, 0).In(st).List() {
		require.NoError(t, err)
		lives[o.Life]++
		if o.Life == saga.Completed {
			completed[o.Key] = 1
			if o.Version > 1 {
				packed[o.Key] = 1
			}
		}
		require.Equal(t, 1, happened["saga:checkout:"+o.Key+" saga.checkout.ended"], o.Key)
		require.Equal(t, 1, happened["order:"+o.Key+" order.placed"], o.Key)
	}
	require.Equal(t, orders, lives[saga.Completed]+lives[saga.Compensated], "of %v", lives)
	for _, offer := range offers() {
		for _, action := range offer.actions {
			want := completed
			if action == pack {
				want = packed
			}
			require.Equal(t, want, given(t, dir, offer.service, action), "%s was not done for those that have completed alone", action)
		}
	}
	return lives
}

// given returns the orders for which an action was done and not taken back, and how often.
func given(t *testing.T, dir, name, action string) map[string]int {
	t.Helper()
	s, err := openService(t.Context(), dir, name, faults{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.db.Close()) }()
	rows, err := s.db.QueryContext(t.Context(), "SELECT customer_order, amount FROM entry WHERE action = $1", action)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	net, times := make(map[string]int), make(map[string]int)
	for rows.Next() {
		var id string
		var amount int64
		require.NoError(t, rows.Scan(&id, &amount))
		if amount < 0 {
			net[id]--
		} else {
			net[id]++
			times[id]++
		}
		require.LessOrEqual(t, times[id], 1, "%s of %s was done twice", action, id)
	}
	require.NoError(t, rows.Err())
	for id, n := range net {
		if n == 0 {
			delete(net, id)
		}
	}
	return net
}

// calm is a day on which nothing goes wrong.
func calm(flags ...string) []string {
	return append([]string{"-refuse", "0", "-cancel", "0", "-flaky", "0", "-slow", "0", "-lie", "0", "-timeout", "1m"}, flags...)
}

func TestASecondRunFulfilsOnlyWhatIsNew(t *testing.T) {
	dir := t.TempDir()
	require.Contains(t, complete(t, dir, calm("-orders", "6")...), "orders  6: 6 completed\n")
	require.Contains(t, complete(t, dir, calm("-orders", "3")...), "orders  6: 6 completed\n")
	require.Contains(t, complete(t, dir, calm("-orders", "8", "-refuse", "1")...), "orders  8: 6 completed, 2 compensated\n")
	requireOnce(t, dir, 8)
}

func TestBooksThatDoNotBalanceAreAnError(t *testing.T) {
	dir := t.TempDir()
	complete(t, dir, calm("-orders", "4")...)
	tests := map[string]struct {
		service string
		entry   entry
		action  string
		finding string
	}{
		"money for nothing":         {"payment", entry{"00009", 499}, charge, "00009: the services know an order that was never placed"},
		"stock reserved a 2nd time": {"stock", entry{"00001", 2}, reserve, "00001: reserve was done 2 times, and undone 0 times"},
		"goods, but money refunded": {"payment", entry{"00002", -1497}, charge, "00002 is completed, and has 0 of charge in place of 1497"},
		"a parcel came back":        {"shipping", entry{"00003", -1}, ship, "00003 is completed, and has 0 of ship in place of 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			copied := t.TempDir()
			require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
			tamper(t, copied, test.service, test.action, test.entry)
			var out strings.Builder
			err := run(t.Context(), options{dir: copied, timeout: time.Second}, &out, null(t))
			require.ErrorIs(t, err, errBooks)
			require.Contains(t, out.String(), test.finding+"\n")
		})
	}
}

// tamper writes into the books of a service.
func tamper(t *testing.T, dir, name, action string, e entry) {
	t.Helper()
	s, err := openService(t.Context(), dir, name, faults{})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.db.Close()) }()
	tx, err := s.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, s.book(t.Context(), tx, action, e))
	require.NoError(t, tx.Commit())
}

func TestAnInterruptedRunIsContinuedByTheNext(t *testing.T) {
	dir := t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	o := options{dir: dir, orders: 3, version: 2, timeout: time.Second}
	require.ErrorIs(t, run(ctx, o, io.Discard, null(t)), context.Canceled)
	require.Contains(t, complete(t, dir, "-orders", "3"), "the books balance\n")
}

func TestFlagsThatCannotBeAreRefused(t *testing.T) {
	for _, args := range [][]string{{"-refuse", "1.5"}, {"-flaky", "0.5", "-lie", "0.5"}, {"-slow", "NaN"}, {"-timeout", "0"}, {"-orders", "-1"}, {"-version", "3"}, {"what"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
}
