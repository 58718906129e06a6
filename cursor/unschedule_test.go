package cursor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// deadlines schedules an event for each order that is placed, takes it back when that is placed
// again or cancelled, and reacts to both at once, so that the log says in which order they were
// done.
func deadlines(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i := range b.Events {
		b.Begin(i)
		if err := deadline(b, i); err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
	}
	return cursor.Continue, nil
}

func deadline(b *cursor.Batch, i int) error {
	e := &b.Events[i]
	var body placed
	if err := json.Unmarshal(e.Payload, &body); err != nil {
		return err
	}
	react(b, i)
	key := fmt.Sprint(body.N)
	former, _, err := b.Side(i, key)
	if err = errors.Join(err, b.Unschedule(i, cursor.Ticket(former))); err != nil || e.Kind != (placed{}).Kind() {
		return err
	}
	due := b.Now(i).Add(time.Duration(body.N) * time.Minute)
	ticket, err := b.Schedule(i, due, store.Proposal{At: bills, Payload: overdue{Order: body.N}})
	return errors.Join(err, b.Put(i, key, []byte(ticket)))
}

func deadlining() cursor.Worker {
	return cursor.Worker{Name: "reserve", Region: orders, Handle: deadlines, Stateful: true}
}

func cancelOrder(t tb, st *store.Store, list ...int) {
	t.Helper()
	for _, n := range list {
		_, err := st.Append(t.Context(), store.At(fmt.Sprint("order:", n), "shop"), store.Any, cancelled{N: n})
		require.NoError(t, err)
	}
}

// due lists what is scheduled.
func due(t tb, st *store.Store) (list []int) {
	t.Helper()
	var before time.Time
	for s, err := range cursor.ScheduledEvents(st, "reserve") {
		require.NoError(t, err)
		var body overdue
		require.NoError(t, s.Proposal.Decode(&body))
		require.False(t, s.Due.Before(before))
		require.Equal(t, s.Due, s.Ticket.Due())
		cause, err := st.GetAt(t.Context(), s.Event)
		require.NoError(t, err)
		require.Equal(t, cause.ID, s.Proposal.Causation.Cause)
		before, list = s.Due, append(list, body.Order)
	}
	return list
}

// leftDue reads in the log which deadlines stand, and makes sure that none was written which did
// not.
func leftDue(t tb, st *store.Store) (list []int) {
	t.Helper()
	stand := make(map[int]bool)
	for e, err := range st.Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		switch e.Kind {
		case overdue{}.Kind():
			var body overdue
			require.NoError(t, e.Decode(&body))
			require.True(t, stand[body.Order], "order %d", body.Order)
			delete(stand, body.Order)
		case reserved{}.Kind():
			cause, err := st.Get(t.Context(), e.Cause)
			require.NoError(t, err)
			var body placed
			require.NoError(t, json.Unmarshal(cause.Payload, &body))
			if cause.Kind == (placed{}).Kind() {
				stand[body.N] = true
			} else {
				delete(stand, body.N)
			}
		}
	}
	for n := range stand {
		list = append(list, n)
	}
	slices.Sort(list)
	return list
}

func TestWhatIsTakenBackIsNotWritten(t *testing.T) {
	for _, size := range []int{1, 2, 256} {
		w := newWall()
		st := openAt(t, w)
		worker := deadlining()
		worker.BatchSize = size
		r := runner(t, st, worker)
		order(t, st, 3, 1, 2, 4)
		cancelOrder(t, st, 1, 4, 4, 9)
		drain(t, r)
		require.Equal(t, []int{2, 3}, due(t, st))
		w.move(time.Hour)
		require.Equal(t, 2, ring(t, st, r))
		require.Empty(t, due(t, st))
		require.Equal(t, []int{2, 3}, reminded(t, st))
		cancelOrder(t, st, 2)
		drain(t, r)
		require.Equal(t, []int{2, 3}, reminded(t, st), "what is written stays")
		require.Zero(t, cursor.Due(runner(t, st, worker)))
	}
}

// The event that takes back fails, in a batch with the one that has scheduled, or after it.
func TestWhatAnEventThatFailsTakesBackIsWritten(t *testing.T) {
	for _, size := range []int{1, 3} {
		w := newWall()
		st := openAt(t, w)
		sick := true
		worker := deadlining()
		worker.BatchSize = size
		worker.Handle = func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			last := len(b.Events) - 1
			kind := b.Events[last].Kind
			if a, err := deadlines(ctx, b); err != nil || !sick || kind != (cancelled{}).Kind() {
				return a, err
			}
			return cursor.Continue, cursor.FailedAt(last, errBroken)
		}
		r := runner(t, st, worker)
		order(t, st, 1, 2)
		cancelOrder(t, st, 1)
		for range 3 {
			_, _ = r.Step(t.Context(), 0, 0)
		}
		require.Equal(t, []int{1, 2}, due(t, st))
		w.move(time.Minute)
		require.Equal(t, 1, ring(t, st, r))
		sick = false
		drain(t, r)
		w.move(time.Minute)
		ring(t, st, r)
		require.Equal(t, []int{1, 2}, reminded(t, st))
	}
}

func TestAnEventMayScheduleTakeBackAndScheduleAgain(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	order(t, st, 1)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		at := b.Now(0).Add(time.Minute)
		var tickets []cursor.Ticket
		for n := range 3 {
			ticket, err := b.Schedule(0, at, store.Proposal{At: bills, Payload: overdue{Order: n}})
			require.NoError(t, err)
			require.NotContains(t, tickets, ticket)
			tickets = append(tickets, ticket)
			if n == 0 {
				require.NoError(t, b.Unschedule(0, ticket))
			}
		}
		require.NoError(t, b.Unschedule(0, ""))
		require.Equal(t, tickets[:1], b.Unscheduled(0))
		require.Len(t, b.StagedFor(0), 2)
		return cursor.Continue, nil
	}})
	drain(t, r)
	w.move(time.Hour)
	require.Equal(t, 2, ring(t, st, r))
	require.Equal(t, []int{1, 2}, reminded(t, st))
}

func TestATicketThatIsNoneIsRefused(t *testing.T) {
	b := cursor.NewBatch(handmade(1), cursor.Ownership{})
	good, err := b.Schedule(0, time.Now(), store.Proposal{At: bills, Payload: overdue{}})
	require.NoError(t, err)
	require.NoError(t, b.Unschedule(0, good))
	for _, bad := range []cursor.Ticket{"x", good + "0", good[1:], "due/" + good, good[:17] + "\x00000" + good[21:]} {
		var invalid *store.InvalidError
		require.ErrorAs(t, b.Unschedule(0, bad), &invalid, "%q", bad)
		require.Zero(t, bad.Due())
	}
	require.Panics(t, func() { _ = b.Unschedule(1, good) })
}

// What is erased and what cannot be read is told apart from what is scheduled.
func TestAListOfWhatIsScheduledShowsWhatCannotBeReadAndTheRest(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	order(t, st, 1, 2, 3)
	drain(t, runner(t, st, reminding()))
	var keys []string
	for side, err := range st.Sides("due/") {
		require.NoError(t, err)
		keys = append(keys, side.Key)
	}
	_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{{Key: keys[1], Value: []byte("{")}}})
	require.NoError(t, err)
	var good, bad []store.Position
	for s, err := range cursor.ScheduledEvents(st, "reserve") {
		require.Equal(t, w.now().Add(time.Duration(s.Event)*time.Minute), s.Due)
		if err != nil {
			bad = append(bad, s.Event)
			continue
		}
		good = append(good, s.Event)
	}
	require.Equal(t, []store.Position{1, 3}, good)
	require.Equal(t, []store.Position{2}, bad)
	for _, err := range cursor.ScheduledEvents(st, "unknown") {
		require.ErrorIs(t, err, checkpoint.ErrNotFound)
	}
}

// planner is a runner in whose lanes orders are placed and cancelled while others are due.
type planner struct {
	busy
	wall *wall
}

func (p *planner) place() { order(p.t, p.st, 1+p.random.IntN(6)) }
func (p *planner) cancel() {
	cancelOrder(p.t, p.st, 1+p.random.IntN(6))
}

func (p *planner) ring() {
	p.wall.move(time.Duration(p.random.IntN(120)) * time.Second)
	_, err := cursor.Ring(p.t.Context(), p.runner, p.st.Now())
	require.NoError(p.t, err)
	leftDue(p.t, p.st)
}

// Whatever is in flight meanwhile, the log says that what was taken back before it was written was
// never written, and that all else was.
func TestWithLanesNothingThatIsTakenBackIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWall()
		st, err := storetest.Open(store.Options{Sync: store.SyncNever, Clock: w.now})
		require.NoError(t, err)
		defer st.Close()
		p := &planner{wall: w, busy: busy{t: t, st: st, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))}}
		p.worker = deadlining()
		p.worker.Lanes, p.worker.BatchSize = rapid.IntRange(1, 4).Draw(t, "lanes"), rapid.IntRange(1, 4).Draw(t, "batch size")
		p.open()
		turns := []func(){
			p.place, p.place, p.cancel, p.take, p.take, p.take, p.giveBack, p.giveBack, p.commit, p.ring, p.open,
		}
		for range rapid.IntRange(1, 100).Draw(t, "turns") {
			turns[p.random.IntN(len(turns))]()
		}
		p.settle()
		drain(t, p.runner)
		stand := due(t, st)
		slices.Sort(stand)
		require.Equal(t, leftDue(t, st), slices.Compact(stand))
		w.move(time.Hour)
		ring(t, st, p.runner)
		require.Empty(t, leftDue(t, st))
		require.Empty(t, due(t, st))
	})
}

func TestAPowerCutLeavesNothingThatIsTakenBackAndNothingElseUndone(t *testing.T) {
	everyCut(t, func(lanes int) func(*storetest.Disk) error {
		w, n := newWall(), 0
		return func(disk *storetest.Disk) error { return cancelAll(t, disk, w, lanes, &n) }
	})
}

// cancelAll places and cancels what is not yet, and has it handled and written when it is due,
// until the power fails.
func cancelAll(t *testing.T, disk *storetest.Disk, w *wall, lanes int, appended *int) error {
	t.Helper()
	st, err := disk.Open("data", store.Options{Clock: w.now})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	worker := deadlining()
	worker.Lanes = lanes
	r, err := cursor.NewRunner(t.Context(), st, worker)
	step := func() {
		if err == nil {
			_, err = r.Step(t.Context(), 0, 0)
		}
		if err == nil {
			_, err = cursor.Ring(t.Context(), r, st.Now())
		}
		leftDue(t, st)
	}
	script := []store.Payload{placed{2}, placed{1}, cancelled{2}, placed{4}, cancelled{4}, cancelled{1}}
	for err == nil && *appended < len(script) {
		_, err = st.Commit(t.Context(), store.Batch{
			IdempotencyKey: fmt.Sprint(*appended),
			Events:         []store.Proposal{{At: store.At("order:1", "shop"), Payload: script[*appended]}},
		})
		if err == nil {
			*appended++
			w.move(20 * time.Second)
			step()
		}
	}
	for range 2 * len(script) {
		w.move(time.Minute)
		step()
	}
	if err == nil {
		require.Empty(t, leftDue(t, st))
		require.Empty(t, due(t, st))
		require.NotContains(t, reminded(t, st), 4)
	}
	return err
}
