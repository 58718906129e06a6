package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func openTestTown(t *testing.T, f faults) *town {
	t.Helper()
	town, err := openTown(t.Context(), options{dir: t.TempDir(), faults: f})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, town.close()) })
	return town
}

// charged returns what is booked of the charge of order 42.
func charged(t *testing.T, town *town) page {
	t.Helper()
	b, err := town.books(t.Context())
	require.NoError(t, err)
	return b["42"][charge]
}

func TestAServiceDoesOnceWhatIsAskedForUnderOneKey(t *testing.T) {
	town, e := openTestTown(t, faults{}), entry{Order: "42", Amount: 900}
	for range 3 {
		said, err := town.put(t.Context(), charge, "a/b?c#d", e)
		require.NoError(t, err)
		require.Equal(t, "charge of 42", said)
	}
	require.Equal(t, page{done: 1, given: 900}, charged(t, town))
	for range 3 {
		require.NoError(t, town.delete(t.Context(), charge, "a/b?c#d"))
	}
	require.Equal(t, page{done: 1, undone: 1, given: 900, back: 900}, charged(t, town))
	_, err := town.put(t.Context(), charge, "a/b?c#d", e)
	require.ErrorIs(t, err, errRefused, "what was taken back is not done again")
}

// A request that its caller waits for no longer may arrive after the one that takes it back.
func TestWhatIsTakenBackBeforeItComesIsNotDone(t *testing.T) {
	town := openTestTown(t, faults{})
	require.NoError(t, town.delete(t.Context(), charge, "k"))
	_, err := town.put(t.Context(), charge, "k", entry{Order: "42", Amount: 900})
	require.ErrorIs(t, err, errRefused)
	require.Zero(t, charged(t, town))
}

func TestAServiceFailsAndLiesAndIsSlow(t *testing.T) {
	e := entry{Order: "42", Amount: 900}
	for name, test := range map[string]struct {
		faults faults
		done   int
	}{
		"flaky": {faults{flaky: 1}, 0},
		"lie":   {faults{lie: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			town := openTestTown(t, test.faults)
			for range 2 {
				_, err := town.put(t.Context(), charge, "k", e)
				require.ErrorContains(t, err, "503 Service Unavailable: payment has a bad moment")
				require.NotErrorIs(t, err, errRefused)
			}
			require.Equal(t, test.done, charged(t, town).done)
		})
	}
	t.Run("slow", func(t *testing.T) {
		town := openTestTown(t, faults{slow: 1})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := town.put(ctx, charge, "k", e)
			ended <- err
		}()
		require.Eventually(t, func() bool { return charged(t, town).done == 1 }, 10*time.Second, time.Millisecond)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestARefusalIsRememberedWhateverTheFlagsSayLater(t *testing.T) {
	dir := t.TempDir()
	answer := func(f faults) error {
		town, err := openTown(t.Context(), options{dir: dir, faults: f})
		require.NoError(t, err)
		defer func() { require.NoError(t, town.close()) }()
		_, err = town.put(t.Context(), refusedOf("42"), "k", entry{Order: "42", Amount: 900})
		return err
	}
	require.ErrorIs(t, answer(faults{refuse: 1}), errRefused)
	require.ErrorIs(t, answer(faults{}), errRefused)
}

// refusedOf returns the action that is refused of an order where all orders are.
func refusedOf(order string) string {
	for _, action := range steps() {
		if (faults{refuse: 1}).refuses(action, order) {
			return action
		}
	}
	return ""
}

func TestSharesAreWhatTheySay(t *testing.T) {
	f := faults{refuse: 0.3, flaky: 0.2, slow: 0.1, lie: 0.3, seed: 7}
	const n = 20_000
	got, refusals := make(map[fault]int), make(map[string]int)
	for i := range n {
		id := strconv.Itoa(i)
		got[f.of("PUT "+id, 1)]++
		for _, action := range steps() {
			if f.refuses(action, id) {
				refusals[action]++
			}
		}
	}
	for of, share := range map[fault]float64{fine: 0.4, flaky: 0.2, slow: 0.1, lie: 0.3} {
		require.InDelta(t, share*n, got[of], 0.02*n, of)
	}
	for _, action := range []string{reserve, charge, label} {
		require.InDelta(t, 0.1*n, refusals[action], 0.02*n, action)
	}
	require.Len(t, refusals, 3, "a parcel is not refused behind the pivot")
}

func TestTheDatabasesAreForTheirOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // permissions say nothing there
	}
	dir := t.TempDir()
	town, err := openTown(t.Context(), options{dir: dir})
	require.NoError(t, err)
	defer func() { require.NoError(t, town.close()) }()
	files, err := filepath.Glob(filepath.Join(dir, "*.db*"))
	require.NoError(t, err)
	require.Len(t, files, 9, "three of SQLite for each service")
	for _, name := range files {
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077, name)
	}
}
