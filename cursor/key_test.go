package cursor_test

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// goroutine is the number of the goroutine that calls it. None is used twice.
func goroutine() string {
	buffer := make([]byte, 64)
	return string(bytes.Fields(buffer[:runtime.Stack(buffer, false)])[1])
}

// framed is a worker whose events have keys of their own. It counts the goroutines on which the key
// function was called; at the event end, that calls what ends it.
func framed(lanes int, end store.Position, how func()) (w cursor.Worker, frames map[string]int, handled *[]store.Position) {
	frames, handled = make(map[string]int), new([]store.Position)
	w = cursor.Worker{Name: "framed", Lanes: lanes, BatchSize: 50}
	w.Key = func(e store.Event) string {
		frames[goroutine()]++
		if e.Position == end {
			how()
		}
		return strconv.FormatUint(uint64(e.Position), 10)
	}
	w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		*handled = append(*handled, at(b.Events)...)
		return cursor.Continue, nil
	}
	return w, frames, handled
}

func TestTheKeysOfAPageAreMadeInOneFrame(t *testing.T) {
	st := open(t)
	fill(t, st, 100, 0)
	w, frames, handled := framed(2, 0, nil)
	r, err := cursor.NewRunner(t.Context(), st, w)
	require.NoError(t, err)
	_, err = r.Fill(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, frames, 1)
	for id := range frames {
		require.NotEqual(t, goroutine(), id)
		require.Equal(t, 100, frames[id])
	}
	for range 100 {
		_, err := r.Step(t.Context(), 0, 0)
		require.NoError(t, err)
	}
	require.ElementsMatch(t, matching(t, st, store.Region{}), *handled)
	require.Len(t, frames, 1)
}

func TestAKeyThatFailsInThePageIsChargedToItsEventAndTheOthersKeepTheirs(t *testing.T) {
	for name, end := range map[string]func(){"goexit": runtime.Goexit, "panic": func() { panic("no key") }} {
		for _, bad := range []store.Position{1, 42, 100} {
			t.Run(name+strconv.FormatUint(uint64(bad), 10), func(t *testing.T) {
				st := open(t)
				fill(t, st, 100, 0)
				w, frames, handled := framed(2, bad, end)
				r, err := cursor.NewRunner(t.Context(), st, w)
				require.NoError(t, err)
				var key *cursor.RunnerError
				_, err = r.Fill(t.Context(), 0)
				require.ErrorAs(t, err, &key)
				require.ErrorIs(t, err, cursor.ErrKey)
				require.Equal(t, bad, key.Event)
				require.Len(t, frames, 1)
				for task, err := r.Next(t.Context(), 0); task != nil; task, err = r.Next(t.Context(), 0) {
					require.NoError(t, err)
					task.Run(t.Context())
					r.Finish(task)
				}
				_, err = r.Commit(t.Context())
				require.NoError(t, err)
				require.Len(t, *handled, int(bad)-1)
				require.Equal(t, bad-1, r.Progress().Position)
			})
		}
	}
}

func TestTheKeyOfTheOldestEventIsAskedForOnceAndTellsNothingWhereItFails(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		st := open(t)
		fill(t, st, 4, 0)
		var asked []store.Position
		r := runner(t, st, cursor.Worker{Region: orders, Lanes: lanes, BatchSize: 2, Handle: reactAll, Key: func(e store.Event) string {
			asked = append(asked, e.Position)
			return "key " + strconv.FormatUint(uint64(e.Position), 10)
		}})
		event, _ := r.OldestKey()
		require.Zero(t, event, "nothing is read")
		_, err := r.Fill(t.Context(), 0)
		require.NoError(t, err)
		asked = nil
		for range 3 {
			event, key := r.OldestKey()
			require.Equal(t, store.Position(1), event)
			require.Equal(t, "key 1", key)
		}
		require.LessOrEqual(t, len(asked), 1)
		drain(t, r)
		event, _ = r.OldestKey()
		require.Zero(t, event, "all of it is done")
	}

	st := open(t)
	fill(t, st, 1, 0)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: reactAll, Key: func(store.Event) string { panic("no key") }})
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	event, _ := r.OldestKey()
	require.Zero(t, event)
}
