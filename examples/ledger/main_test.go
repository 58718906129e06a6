package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// runAsMain makes the test binary behave as the program.
const runAsMain = "LEDGER_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// obey runs the program in this process and returns what it prints.
func obey(t *testing.T, args ...string) (string, error) {
	t.Helper()
	o, err := parse(args, io.Discard)
	require.NoError(t, err)
	var out strings.Builder
	err = run(t.Context(), o, &out)
	return out.String(), err
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := obey(t, args...)
	require.NoError(t, err)
	return out
}

// killed runs the program and kills it after a while, unless it ends before.
func killed(t *testing.T, after time.Duration, args ...string) bool {
	t.Helper()
	p := exec.CommandContext(t.Context(), os.Args[0], args...)
	p.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	var said bytes.Buffer
	p.Stderr = &said
	require.NoError(t, p.Start())
	timer := time.AfterFunc(after, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	err := p.Wait()
	require.Empty(t, said.String(), "it should have been killed, and failed instead")
	return err != nil
}

// accounts opens some accounts with money on them.
func accounts(t *testing.T, data string) {
	t.Helper()
	for _, name := range []string{"bank", "ann", "bob", "cyd"} {
		must(t, "-data", data, "-open", name+"="+strings.ToUpper(name))
	}
	for _, name := range []string{"ann", "bob", "cyd"} {
		must(t, "-data", data, "-transfer", "bank:"+name+":100000")
	}
}

func TestKilledAnywhereTheBooksAreRight(t *testing.T) {
	dir := t.TempDir()
	data, backup := filepath.Join(dir, "ledger"), filepath.Join(dir, "backup")
	accounts(t, data)
	kills, wanted, took := 0, 20, 300*time.Millisecond
	if os.Getenv("PENSTOCK_SOAK") != "" {
		wanted = 500
	}
	for round := 0; kills < wanted; round++ {
		name := fmt.Sprint("guest", round) // after the busy ones
		must(t, "-data", data, "-open", name+"="+strings.ToUpper(name), "-transfer", "bank:"+name+":5000")
		began := time.Now()
		if killed(t, rand.N(took), "-data", data, "-traffic", fmt.Sprint(40*(round+1)), "-close", fmt.Sprintf("%04d-12", round),
			"-erase", strings.ToUpper(name), "-reason", "left", "-by", "a test", "-backup", backup) {
			kills++
		} else {
			took = time.Since(began)
		}
		requireRight(t, data)
	}
	_, err := obey(t, "-data", data, "-erase", "GUEST0", "-reason", "left", "-by", "a test", "-backup", backup, "-verify")
	require.NoError(t, err)
	requireNowhere(t, "GUEST0@", data, backup)

	restored := filepath.Join(dir, "restored")
	must(t, "-data", restored, "-restore", backup, "-verify")
	require.Equal(t, must(t, "-data", data), must(t, "-data", restored))
	requireRight(t, restored)
}

// requireRight reads the whole log: each transfer was made once, no account but the bank was ever
// overdrawn, and a month that is closed is closed for all, with the balances of one moment.
func requireRight(t *testing.T, data string) {
	t.Helper()
	st, err := store.Open(data, store.Options{})
	require.NoError(t, err)
	defer st.Close()
	now := map[string]int64{}
	entries := map[string]int{}
	months := map[string]map[string]int64{}
	for e, err := range st.Read(t.Context(), store.Region{Scope: scope}, store.Beginning()) {
		require.NoError(t, err)
		entity := e.Coordinate.Entity
		switch e.Kind {
		case credited{}.Kind(), debited{}.Kind():
			var b balance
			require.NoError(t, b.add(&e))
			now[entity] += b.cents
			require.True(t, now[entity] >= 0 || entity == account(bank).Entity, "%s is overdrawn", entity)
			if key, _ := e.Header("transfer"); key != "" {
				entries[key]++
			}
		case balanced{}.Kind():
			var b balanced
			require.NoError(t, e.Decode(&b))
			if months[b.Month] == nil {
				months[b.Month] = map[string]int64{}
			}
			require.Equal(t, now[entity], b.Cents, "%s in %s", entity, b.Month)
			months[b.Month][entity] = b.Cents
		case monthClosed{}.Kind():
			var m monthClosed
			require.NoError(t, e.Decode(&m))
			month := strings.TrimPrefix(entity, "month:")
			require.Len(t, months[month], m.Accounts)
			require.Zero(t, m.Cents)
			for account, cents := range months[month] {
				m.Cents += cents
				require.Contains(t, now, account)
			}
			require.Zero(t, m.Cents, "what is on all accounts together")
			delete(months, month)
		}
	}
	require.Empty(t, months, "half of a month was closed")
	for key, n := range entries {
		require.Equal(t, 2, n, key)
	}
}

// requireNowhere searches all files for a text.
func requireNowhere(t *testing.T, text string, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			require.NotContains(t, string(content), text, path)
			return err
		}))
	}
}

func TestAnOverdraftIsRefusedWithItsEvidence(t *testing.T) {
	data := t.TempDir()
	accounts(t, data)
	_, err := obey(t, "-data", data, "-transfer", "ann:bob:100001")
	require.ErrorIs(t, err, store.ErrDenied)
	var evidence overdraft
	require.ErrorAs(t, err, &evidence)
	require.Equal(t, overdraft{Balance: 100_000, Cents: 100_001}, evidence)
	must(t, "-data", data, "-transfer", "ann:bob:100000")
}

func TestOfManyThatWantTheSameMoneyOneGetsIt(t *testing.T) {
	data := t.TempDir()
	accounts(t, data)
	st, err := store.Open(data, store.Options{Gates: []store.Gate{noOverdrafts()}})
	require.NoError(t, err)
	defer st.Close()
	var all sync.WaitGroup
	var got, denied atomic.Int64
	for range 8 {
		all.Go(func() {
			switch err := transfer(t.Context(), st, "ann", "bob", 60_000, ""); {
			case err == nil:
				got.Add(1)
			case errors.Is(err, store.ErrDenied):
				denied.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, got.Load())
	require.EqualValues(t, 7, denied.Load())
}

func TestWhatMakesNoSenseIsRefused(t *testing.T) {
	data := t.TempDir()
	accounts(t, data)
	must(t, "-data", data, "-close", "2026-11")
	for _, args := range [][]string{
		{"-open", "ann=Someone else"},
		{"-close", "2026-11"},
		{"-transfer", "ann:bob"},
		{"-transfer", "ann:bob:-5"},
		{"-transfer", "ann:ann:5"},
		{"-erase", "ZED", "-reason", "none", "-by", "a test"},
		{"-restore", data},
	} {
		_, err := obey(t, append(args, "-data", data)...)
		require.Error(t, err, "%q", args)
	}
	require.Contains(t, must(t, "-data", data), "sum                          0.00\n")
}
