package cursor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// forget erases an entity, with what parked events say of it.
func forget(t tb, st *store.Store, entity string) store.ErasureReport {
	t.Helper()
	report, err := store.Erase(t.Context(), st, store.Erasure{
		Entity: entity, Reason: "asked for", By: "an officer", Sides: checkpoint.ErasedSides(st),
	})
	require.NoError(t, err)
	return report
}

func TestAWorkerPassesOverErasedEventsUnlessItAsksForThem(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		for _, asks := range []bool{false, true} {
			st := open(t)
			keyed(t, st, "a", "b", "a", "c", "b", "a")
			forget(t, st, "order:a")
			var seen []store.Position
			w := cursor.Worker{Region: orders, Lanes: lanes, Erased: asks, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					_, erased := e.Erased()
					require.Equal(t, e.Coordinate.Entity == "order:a", erased)
					if seen = append(seen, e.Position); erased {
						require.Empty(t, e.Payload)
						require.ErrorIs(t, e.Decode(new(placed)), store.ErrErased)
					}
					react(b, i)
				}
				return cursor.Continue, nil
			}}
			drain(t, runner(t, st, w))
			want := []store.Position{2, 4, 5}
			if asks {
				want = []store.Position{1, 2, 3, 4, 5, 6}
			}
			require.ElementsMatch(t, want, seen)
			require.Len(t, reactions(t, st), len(want))
			drain(t, runner(t, st, w))
			require.Len(t, seen, len(want), "they count as handled")
		}
	}
}

// What is pending when its content is erased is passed over by the next owner.
func TestAnEventThatWasErasedWhileItWasPendingIsPassedOver(t *testing.T) {
	st := open(t)
	keyed(t, st, "bad", "a", "b")
	w := cursor.Worker{Region: orders, Lanes: 4, Handle: brokenAt(1), Key: func(e store.Event) string {
		return fmt.Sprint(e.Coordinate.Entity == "order:b")
	}}
	r := runner(t, st, w)
	failing(t, r)
	_, err := r.Step(t.Context(), 0, 0)
	require.NoError(t, err)
	require.Equal(t, []store.Position{1, 2}, record(t, st, "reserve").Pending)
	forget(t, st, "order:bad")
	w.Handle = reactAll
	r = trusting(t, st, w)
	keyed(t, st, "a")
	drain(t, r)
	require.Len(t, reactions(t, st), 3)
	require.Empty(t, record(t, st, "reserve").Pending)
}

// The text of an error may quote what failed. It goes with the event: from the side value, the
// audit event, the memory of the worker, and from the disk.
func TestWhatAParkedEventFailedWithIsErasedWithIt(t *testing.T) {
	const secret = "S3CRET"
	dir := t.TempDir()
	st, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	keyed(t, st, "bad", "bad", "a")
	w := cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i, e := range b.Events {
			if e.Coordinate.Entity == "order:bad" {
				return cursor.Continue, cursor.FailedAt(i, errors.New("no such customer: "+secret))
			}
			react(b, i)
		}
		return cursor.Continue, nil
	}}
	r := runner(t, st, w)
	_, err = r.Step(t.Context(), 0, 0)
	require.ErrorContains(t, err, secret)
	require.NoError(t, r.Settle(1, toPark(err, 3)))
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	drain(t, r)
	keyed(t, st, "bad") // is held
	drain(t, r)
	require.Contains(t, inFiles(t, dir), secret)

	report := forget(t, st, "order:bad")
	require.Len(t, report.Events, 4, "with the audit event")
	require.NotContains(t, inFiles(t, dir), secret)
	require.Equal(t, checkpoint.ErasedText, parkedIn(t, st)[0].Error)
	require.Empty(t, forget(t, st, "order:bad").Events)

	// The worker that runs has the text in memory, and writes the entry again.
	_, err = r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	require.Equal(t, checkpoint.ErasedText, parkedIn(t, st)[0].Error)
	keyed(t, st, "a")
	drain(t, r)
	require.Empty(t, parkedIn(t, st))
	require.NotContains(t, inFiles(t, dir), secret)
}

// A replay takes what was erased off the list, and handles what was held after it.
func TestAReplayOfAnErasedEventTakesItOffTheList(t *testing.T) {
	for _, asks := range []bool{false, true} {
		st := open(t)
		keyed(t, st, "bad", "bad", "a", "bad")
		w := cursor.Worker{Region: orders, Handle: brokenAt(1), Erased: asks, Key: func(store.Event) string { return "one" }}
		park(t, runner(t, st, w), 1)
		require.Len(t, parkedIn(t, st), 4)
		forget(t, st, "order:bad")
		handled := 0
		w.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			handled += len(b.Events)
			return reactAll(ctx, b)
		}
		r := trusting(t, st, w)
		_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(t, err)
		drain(t, r)
		require.Empty(t, parkedIn(t, st))
		want := 1
		if asks {
			want = 4
		}
		require.Equal(t, want, handled)
	}
}

func parkedIn(t tb, st *store.Store) (list []checkpoint.Parked) {
	t.Helper()
	for p, err := range checkpoint.ParkedEvents(st, "reserve") {
		require.NoError(t, err)
		list = append(list, p)
	}
	return list
}

// inFiles is all that a directory has.
func inFiles(t tb, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	var all bytes.Buffer
	for _, name := range names {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) { // a segment is rewritten meanwhile
			return inFiles(t, dir)
		}
		require.NoError(t, err)
		fmt.Fprintf(&all, "%s: %s\n", name, bytes.Trim(b, "\x00"))
	}
	return all.String()
}

// What was read, and waits for an attempt or for its turn, is not handed out once it is erased, and
// what a handler said of it before is not written after that.
func TestNothingThatWasErasedMeanwhileReachesAHandlerOrTheLog(t *testing.T) {
	const secret = "S3CRET"
	for _, lanes := range []int{1, 4} {
		for _, batch := range []int{1, 2, 256} {
			dir := t.TempDir()
			st, err := store.Open(dir, store.Options{})
			require.NoError(t, err)
			keyed(t, st, "a", "bad", "a", "bad", "b", "bad")
			forgotten, seen := false, 0
			w := cursor.Worker{Region: orders, Lanes: lanes, BatchSize: batch}
			w.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
				for i, e := range b.Events {
					if b.Begin(i); e.Coordinate.Entity != "order:bad" {
						seen++
						continue
					}
					require.False(t, forgotten)
					return cursor.Continue, cursor.FailedAt(i, errors.New(secret))
				}
				return cursor.Continue, nil
			}
			r := runner(t, st, w)
			for err = nil; err == nil; {
				_, err = r.Step(t.Context(), 0, 0)
			}
			require.ErrorContains(t, err, secret)
			forgotten = true
			forget(t, st, "order:bad")
			if batch == 2 { // the verdict on the attempt before comes only now
				require.NoError(t, r.Settle(2, toPark(err, 3)))
			}
			drain(t, r)
			require.Equal(t, 3, seen)
			require.Empty(t, record(t, st, "reserve").Pending)
			if batch == 2 {
				require.Equal(t, checkpoint.ErasedText, parkedIn(t, st)[0].Error)
				_, err := r.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
				require.NoError(t, err)
				drain(t, r)
			}
			require.Empty(t, parkedIn(t, st))
			require.NotContains(t, inFiles(t, dir), secret)
			require.NoError(t, st.Close())
		}
	}
}
