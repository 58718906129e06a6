package cursor_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func TestWhatIsAskedOfAWorkerThatDoesNotRunIsDoneByItsNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t)
		keyed(t, st, "a", "b", "a", "c", "c")
		ill := true
		w := sickWorker(func(p store.Position) bool { return ill && p != 3 && p != 5 })
		parkEach(t, runner(t, st, w))
		ill = false

		cold, q := cursor.OperatorOf(st, "reserve"), checkpoint.Request{Reason: "a look from outside", By: "ada"}
		epoch := record(t, st, "reserve").Epoch
		until := st.Now().Add(time.Hour)
		require.NoError(t, cold.Pause(t.Context(), until, q))
		info, err := checkpoint.Inspect(st, "reserve")
		require.NoError(t, err)
		require.Equal(t, &checkpoint.Pause{
			Since: st.Now().UTC(), Until: until.UTC(), Reason: q.Reason, By: q.By,
		}, info.Pause)
		require.NoError(t, cold.Resume(t.Context(), q))
		require.NoError(t, cold.Resume(t.Context(), q), "it does nothing")
		_, err = cold.Replay(t.Context(), cursor.ParkedFilter{Key: "order:a"}, q)
		require.NoError(t, err)
		_, err = cold.Discard(t.Context(), cursor.ParkedFilter{Error: "4: "}, q)
		require.NoError(t, err)
		require.Equal(t, epoch+4, record(t, st, "reserve").Epoch)

		drain(t, runner(t, st, w))
		require.Equal(t, []store.Position{1, 3, 5}, reactions(t, st))
		left := parkedIn(t, st)
		require.Len(t, left, 1)
		require.Equal(t, store.Position(2), left[0].Position)
		for kind, n := range map[string]int{
			checkpoint.AuditPaused: 1, checkpoint.AuditResumed: 1, checkpoint.AuditReplay: 1, checkpoint.AuditDiscarded: 1,
		} {
			audits := auditsOf(t, st, kind)
			require.Len(t, audits, n, kind)
			require.Equal(t, [2]string{q.Reason, q.By}, [2]string{audits[0].Reason, audits[0].By}, kind)
		}

		_, err = cold.Apply(t.Context(), checkpoint.Reset{}, q)
		require.NoError(t, err)
		drain(t, runner(t, st, w))
		require.Equal(t, []store.Position{1, 3, 5, 1, 2, 3, 4, 5}, reactions(t, st))
	})
}

// history plays orders at random on a worker, live or cold, and returns what they said, and what
// the log and the checkpoint say in the end.
func history(t *testing.T, seed uint64, cold bool) (said []string) {
	synctest.Test(t, func(t *testing.T) {
		st, random := open(t), rand.New(rand.NewPCG(seed, 1))
		ill := map[store.Position]bool{}
		w := sickWorker(func(p store.Position) bool { return ill[p] })
		r := runner(t, st, w)
		for range 40 {
			time.Sleep(time.Second)
			switch random.IntN(5) {
			case 0, 1:
				keyed(t, st, fmt.Sprint(random.IntN(3)), fmt.Sprint(random.IntN(3)))
				ill[st.Head()-store.Position(random.IntN(2))] = random.IntN(4) > 0
				continue
			case 2:
				clear(ill)
			}
			parkEach(t, r)
			of := cursor.Operator(r)
			if cold {
				of = cursor.OperatorOf(st, "reserve")
			}
			for range 1 + random.IntN(3) {
				said = append(said, ordered(t, of, random, st.Now())...)
			}
			r = trusting(t, st, w) // in both: one that was at work may take new events and parked ones in another turn
		}
		parkEach(t, r)
		require.NoError(t, r.Close(t.Context()))
		for _, region := range []store.Region{{}, {Scope: store.ReservedScope}} {
			for e, err := range st.Read(t.Context(), region, store.Beginning()) {
				require.NoError(t, err)
				said = append(said, fmt.Sprintf("%d %s %s %s", e.Position, e.Coordinate, e.Kind, e.Payload))
			}
		}
		info, err := checkpoint.Inspect(st, "reserve")
		require.NoError(t, err)
		said = append(said, fmt.Sprint(info.Pause, info.Record.Scanned, info.Record.Pending, parkedIn(t, st)))
	})
	return said
}

// ordered gives an order at random, dry first, and returns what came of it.
func ordered(t *testing.T, of cursor.Operator, random *rand.Rand, now time.Time) (said []string) {
	t.Helper()
	which := []cursor.ParkedFilter{
		{All: true},
		{All: true, Max: 1 + random.IntN(3)},
		{Key: fmt.Sprint("order:", random.IntN(3))},
		{Error: fmt.Sprint(random.IntN(10)), Max: random.IntN(3)},
		{Kind: "order.placed", Before: now.Add(-time.Duration(random.IntN(20)) * time.Second)},
		{Position: store.Position(1 + random.IntN(30))},
		{Max: 1},
	}[random.IntN(7)]
	turn := []string{"replay", "replay", "discard", "pause", "resume"}[random.IntN(5)]
	for _, dry := range []bool{true, false} {
		q := checkpoint.Request{Reason: "at random", By: "dice", DryRun: dry}
		var chosen []checkpoint.Parked
		var err error
		switch turn {
		case "replay":
			chosen, err = of.Replay(t.Context(), which, q)
		case "discard":
			chosen, err = of.Discard(t.Context(), which, q)
		case "pause":
			err = of.Pause(t.Context(), now.Add(time.Hour), q)
		default:
			err = of.Resume(t.Context(), q)
		}
		said = append(said, fmt.Sprint(turn, which, chosen, err))
	}
	return said
}

func TestOrdersLeaveTheSameLogWhetherTheWorkerRunsOrNot(t *testing.T) {
	for _, seed := range seedsOf(t, 20) {
		require.Equal(t, history(t, seed, false), history(t, seed, true), "seed %d", seed)
	}
}

func TestARunnerBesideAnOrderToItsWorkerIsFenced(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	w := sickWorker(func(p store.Position) bool { return p == 1 })
	for what, order := range map[string]func(cursor.Operator) error{
		"pause":  func(o cursor.Operator) error { return o.Pause(t.Context(), time.Time{}, checkpoint.Request{}) },
		"resume": func(o cursor.Operator) error { return o.Resume(t.Context(), checkpoint.Request{}) },
		"replay": func(o cursor.Operator) error {
			_, err := o.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
			return err
		},
		"discard": func(o cursor.Operator) error {
			_, err := o.Discard(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
			return err
		},
	} {
		r := runner(t, st, w)
		require.NoError(t, apply(t.Context(), r, checkpoint.Reset{}))
		parkEach(t, r)
		require.NoError(t, r.Pause(t.Context(), time.Time{}, checkpoint.Request{}))
		keyed(t, st, "b")
		require.NoError(t, order(cursor.OperatorOf(st, "reserve")))
		before := len(reactions(t, st))
		_, err := r.Step(t.Context(), 0, 0)
		require.ErrorIs(t, err, checkpoint.ErrFenced, what)
		require.Len(t, reactions(t, st), before, what)
	}
}

// rewritten puts other bytes into a side value, with a checksum that fits.
func rewritten(t *testing.T, st *store.Store, key string, change func([]byte)) {
	t.Helper()
	side, found, err := st.Side(key)
	require.NoError(t, err)
	require.True(t, found)
	b := append([]byte{}, side.Value[:len(side.Value)-4]...)
	change(b)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	_, err = st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: key, Value: b}}})
	require.NoError(t, err)
}

func TestAnOrderIsRefusedWhereTheLogDoesNotSayWhatItWouldChange(t *testing.T) {
	newer := func(b []byte) { b[4] = 200 }
	for name, c := range map[string]struct {
		prepare func(*store.Store)
		want    error
		pauses  bool // a pause is possible
	}{
		"no checkpoint":      {func(st *store.Store) { require.NoError(t, applyCold(t.Context(), st, "reserve", checkpoint.Delete{})) }, checkpoint.ErrNotFound, false},
		"of a newer program": {func(st *store.Store) { rewritten(t, st, "checkpoint/reserve", newer) }, checkpoint.ErrNewerFormat, false},
		"parked by a newer program": {
			func(st *store.Store) { rewritten(t, st, "parked/reserve/0000000000000001", newer) }, checkpoint.ErrNewerFormat, true,
		},
		"of another log": {func(st *store.Store) { rewritten(t, st, "checkpoint/reserve", func(b []byte) { b[5]++ }) }, store.ErrForeignHistory, false},
		"pulled": {func(st *store.Store) {
			require.NoError(t, applyCold(t.Context(), st, "reserve", checkpoint.Delete{}))
			_, err := cursor.Open(t.Context(), st, orders, cursor.Options{ID: "reserve"})
			require.NoError(t, err)
		}, cursor.ErrPulled, false},
	} {
		st := open(t)
		keyed(t, st, "a")
		parkEach(t, runner(t, st, sickWorker(func(store.Position) bool { return true })))
		c.prepare(st)
		cold, head := cursor.OperatorOf(st, "reserve"), st.Head()
		for _, dry := range []bool{true, false} {
			q := checkpoint.Request{DryRun: dry}
			_, err := cold.Replay(t.Context(), cursor.ParkedFilter{All: true}, q)
			require.ErrorIs(t, err, c.want, name)
			_, err = cold.Discard(t.Context(), cursor.ParkedFilter{All: true}, q)
			require.ErrorIs(t, err, c.want, name)
			if !c.pauses {
				require.ErrorIs(t, cold.Pause(t.Context(), time.Time{}, q), c.want, name)
				require.ErrorIs(t, cold.Resume(t.Context(), q), c.want, name)
			}
		}
		require.Equal(t, head, st.Head(), name)
	}
}

func TestAnOrderThatBreaksARuleIsRefusedWithoutALook(t *testing.T) {
	st := open(t)
	cold := cursor.OperatorOf(st, "nothing")
	bad := checkpoint.Request{By: "a\nb"}
	_, err := cold.Replay(t.Context(), cursor.ParkedFilter{All: true}, bad)
	require.ErrorIs(t, err, store.ErrInvalid)
	require.ErrorIs(t, cold.Pause(t.Context(), time.Time{}, bad), store.ErrInvalid)
	require.ErrorIs(t, cold.Resume(t.Context(), bad), store.ErrInvalid)
	runner(t, st, cursor.Worker{Name: "nothing", Region: orders, Handle: nothing})
	require.ErrorIs(t, cold.Pause(t.Context(), time.Unix(1, 0), checkpoint.Request{}), store.ErrInvalid)
}

// A dry run may look at a log that another process writes.
func TestADryRunOfAnOrderNeedsNoRightToWrite(t *testing.T) {
	dir := t.TempDir()
	st, err := store.Open(dir, store.Options{Sync: store.SyncNever})
	require.NoError(t, err)
	keyed(t, st, "a", "a")
	parkEach(t, runner(t, st, sickWorker(func(p store.Position) bool { return p == 1 })))
	require.NoError(t, st.Close())
	st, err = store.Open(dir, store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	cold := cursor.OperatorOf(st, "reserve")
	chosen, err := cold.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{DryRun: true})
	require.NoError(t, err)
	require.Len(t, chosen, 2)
	_, err = cold.Replay(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.Error(t, err)
}

// An order is there whole after a power cut, or not at all; given again, it is done.
func TestAnOrderIsWholeOrNotThereAfterAPowerCut(t *testing.T) {
	everyCut(t, func(lanes int) func(*storetest.Disk) error {
		var asked bool
		return func(disk *storetest.Disk) error {
			st, err := disk.Open("data", store.Options{SegmentBytes: 64 << 10})
			if err != nil {
				return err
			}
			defer func() { _ = st.Close() }()
			return cutOrders(t, st, lanes, &asked)
		}
	})
}

// cutOrders has 1 and 3 parked, with 2 and 4 held for them, and then 1 replayed and 3 discarded
// while the worker is not run.
func cutOrders(t *testing.T, st *store.Store, lanes int, asked *bool) error {
	ctx := t.Context()
	if st.Head() == 0 {
		var b store.Batch
		for _, key := range []string{"a", "a", "b", "b"} {
			b.Events = append(b.Events, store.Proposal{At: store.At("order:"+key, "shop"), Payload: placed{}})
		}
		if _, err := st.Commit(ctx, b); err != nil {
			return err
		}
	}
	w := sickWorker(func(p store.Position) bool { return !*asked && (p == 1 || p == 3) })
	w.Name, w.Lanes = "reserve", lanes
	if !*asked {
		if err := tryParkEach(ctx, st, w); err != nil {
			return err
		}
	}
	*asked = true
	cold := cursor.OperatorOf(st, "reserve")
	dropped := auditsOf(t, st, checkpoint.AuditDiscarded)
	if len(dropped) == 0 {
		require.Len(t, parkedIn(t, st), 4)
		if _, err := cold.Discard(ctx, cursor.ParkedFilter{Error: "3: "}, checkpoint.Request{}); err != nil {
			return err
		}
	}
	again := auditsOf(t, st, checkpoint.AuditReplay)
	for _, p := range parkedIn(t, st) {
		require.Equal(t, p.Position == 4 || len(again) > 0, p.Replaying, p.Position)
	}
	if len(again) == 0 {
		if _, err := cold.Replay(ctx, cursor.ParkedFilter{Key: "order:a"}, checkpoint.Request{}); err != nil {
			return err
		}
	}
	if err := tryParkEach(ctx, st, w); err != nil {
		return err
	}
	require.ElementsMatch(t, []store.Position{1, 2, 4}, reactions(t, st))
	require.Empty(t, parkedIn(t, st))
	require.Len(t, auditsOf(t, st, checkpoint.AuditDiscarded), 1)
	require.Len(t, auditsOf(t, st, checkpoint.AuditReplay), 1)
	return nil
}

// tryParkEach is parkEach of a new runner on a disk that may fail.
func tryParkEach(ctx context.Context, st *store.Store, w cursor.Worker) error {
	r, err := cursor.RestartRunner(ctx, st, &w, cursor.Former{Seen: true})
	for caughtUp := false; err == nil && !caughtUp; {
		var out cursor.Outcome
		out, err = r.Step(ctx, 0, 0)
		var failed *cursor.HandlerError
		if errors.As(err, &failed) {
			if err = r.Settle(failed.Event, toPark(failed.Err, 3)); err == nil {
				_, err = r.Commit(ctx)
			}
			continue
		}
		caughtUp = out.CaughtUp
	}
	return err
}

func TestWhatItsProgramAnswersIsDiscardedByThatAlone(t *testing.T) {
	st := open(t)
	keyed(t, st, "a")
	w := sickWorker(func(store.Position) bool { return true })
	w.Discarded = func(store.Event) ([]store.Proposal, error) { return nil, nil }
	r := runner(t, st, w)
	parkEach(t, r)
	cold, head := cursor.OperatorOf(st, "reserve"), st.Head()
	_, err := cold.Discard(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.ErrorIs(t, err, cursor.ErrAnswers)
	require.Equal(t, head, st.Head())
	_, err = r.Discard(t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(t, err)
	require.Empty(t, parkedIn(t, st))
}
