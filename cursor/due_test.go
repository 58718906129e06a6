package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// wall is a clock that a test sets.
type wall struct{ at atomic.Int64 }

func newWall() *wall {
	w := &wall{}
	w.at.Store(time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return w
}

func (w *wall) now() time.Time        { return time.Unix(0, w.at.Load()).UTC() }
func (w *wall) move(by time.Duration) { w.at.Add(int64(by)) }

func openAt(t *testing.T, w *wall) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{Clock: w.now})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

// overdue says that the time of an order is over.
type overdue struct{ Order int }

func (overdue) Kind() string { return "stock.overdue" }

var bills = store.At("bill:1", "shop")

// remind schedules an event for each order, so many minutes later as it says.
func remind(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
	for i, e := range b.Events {
		b.Begin(i)
		var body placed
		err := e.Decode(&body)
		if err == nil {
			due := b.Now(i).Add(time.Duration(body.N) * time.Minute)
			_, err = b.Schedule(i, due, store.Proposal{At: bills, Payload: overdue{Order: body.N}, Headers: map[string]string{"h": "v"}})
		}
		if err != nil {
			return cursor.Continue, cursor.FailedAt(i, err)
		}
	}
	return cursor.Continue, nil
}

func reminding() cursor.Worker { return cursor.Worker{Region: orders, Handle: remind} }

func order(t tb, st *store.Store, minutes ...int) {
	t.Helper()
	for _, n := range minutes {
		_, err := st.Append(t.Context(), store.At(fmt.Sprint("order:", n), "shop"), store.Any, placed{N: n})
		require.NoError(t, err)
	}
}

// ring writes all that is due, and returns how many events that were.
func ring(t tb, st *store.Store, r *cursor.Runner) (n int) {
	t.Helper()
	for {
		written, err := cursor.Ring(t.Context(), r, st.Now())
		require.NoError(t, err)
		if n += written; written == 0 {
			return n
		}
	}
}

// reminded returns the orders that are overdue by now.
func reminded(t tb, st *store.Store) (list []int) {
	t.Helper()
	for e, err := range st.Read(t.Context(), store.Region{Entity: bills.Entity}, store.Beginning()) {
		require.NoError(t, err)
		var body overdue
		require.NoError(t, e.Decode(&body))
		list = append(list, body.Order)
	}
	return list
}

func TestAScheduledEventIsWrittenOnceWhenItsTimeHasCome(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	r := runner(t, st, reminding())
	require.Zero(t, cursor.Due(r))
	order(t, st, 10)
	drain(t, r)
	require.Empty(t, reminded(t, st))
	require.Equal(t, w.now().Add(10*time.Minute), cursor.Due(r))
	w.move(10*time.Minute - time.Millisecond)
	require.Zero(t, ring(t, st, r))
	n, err := cursor.Ring(t.Context(), r, st.Now())
	require.NoError(t, err)
	require.Zero(t, n)
	w.move(time.Millisecond)
	require.Equal(t, 1, ring(t, st, r))
	require.Zero(t, cursor.Due(r))
	require.Equal(t, []int{10}, reminded(t, st))
	require.Zero(t, ring(t, st, runner(t, st, reminding())))

	cause, err := st.GetAt(t.Context(), 1)
	require.NoError(t, err)
	e, err := st.GetAt(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, bills, e.Coordinate)
	require.Equal(t, cause.ID, e.Cause)
	require.Equal(t, cause.Correlation, e.Correlation)
	require.Equal(t, uint32(1), e.Depth)
	require.Equal(t, map[string]string{"h": "v"}, e.Headers())
	by, ok := e.Emitter()
	require.True(t, ok)
	require.Equal(t, "reserve", by.Worker)
	require.False(t, e.Time.Time().Before(w.now().Truncate(time.Millisecond)))
}

// Times are kept in milliseconds, and events are late by less than one rather than early.
func TestAScheduledEventIsNotEarlyByAPartOfAMillisecond(t *testing.T) {
	w := newWall()
	w.move(time.Microsecond)
	st := openAt(t, w)
	r := runner(t, st, reminding())
	order(t, st, 1)
	drain(t, r)
	w.move(time.Minute - time.Nanosecond)
	require.Zero(t, ring(t, st, r))
	w.move(time.Millisecond)
	require.Equal(t, 1, ring(t, st, r))
}

func TestScheduledEventsAreWrittenInTheOrderOfTheirTimes(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	r := runner(t, st, reminding())
	var want, given []int
	for n := range 600 {
		want = append(want, n+1)
		given = append(given, 1+(n*7)%600)
	}
	order(t, st, given...)
	drain(t, r)
	require.Equal(t, w.now().Add(time.Minute), cursor.Due(r))
	w.move(1000 * time.Minute)
	require.Equal(t, 600, ring(t, st, r), "several at a time, and all of them")
	require.Equal(t, want, reminded(t, st))
}

func TestWhatIsScheduledOutlivesTheOwner(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	former := runner(t, st, reminding())
	order(t, st, 10, 5)
	drain(t, former)
	renamed := reminding()
	renamed.Name, renamed.Formerly = "hold", []string{"reserve"}
	next := runner(t, st, renamed)
	require.Equal(t, w.now().Add(5*time.Minute), cursor.Due(next))
	w.move(time.Hour)
	_, err := cursor.Ring(t.Context(), former, st.Now())
	require.ErrorIs(t, err, checkpoint.ErrFenced)
	require.Empty(t, reminded(t, st))
	require.Equal(t, 2, ring(t, st, next))
	require.Equal(t, []int{5, 10}, reminded(t, st))
}

func TestWhatIsScheduledForAnEventThatFailsIsDropped(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	sick := true
	r := runner(t, st, cursor.Worker{Region: orders, Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
		if _, err := remind(ctx, b); err != nil || !sick {
			return cursor.Continue, err
		}
		return cursor.Continue, cursor.FailedAt(1, errors.New("sick"))
	}})
	order(t, st, 3, 2, 1)
	_, err := r.Step(t.Context(), 0, 0)
	require.Error(t, err)
	w.move(time.Hour)
	require.Equal(t, 1, ring(t, st, r))
	require.Equal(t, []int{3}, reminded(t, st))
	sick = false
	drain(t, r)
	w.move(time.Hour)
	require.Equal(t, 2, ring(t, st, r))
	require.Equal(t, []int{3, 1, 2}, reminded(t, st))
}

// Tasks may be in flight when something is due, and have it that they are done afterwards.
func TestWhatIsDueIsWrittenBesideTheHandlersOfLanes(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	worker := reminding()
	worker.Lanes = 2
	r := runner(t, st, worker)
	order(t, st, 1)
	drain(t, r)
	order(t, st, 7, 8)
	task := handled(t, r)
	w.move(time.Minute)
	require.Equal(t, 1, ring(t, st, r))
	require.Equal(t, store.Position(1), record(t, st, "reserve").Scanned)
	r.Finish(task)
	drain(t, r)
	w.move(time.Hour)
	require.Equal(t, 2, ring(t, st, r))
	require.Equal(t, []int{1, 7, 8}, reminded(t, st))
}

// A clock that is set while the program runs, or between two runs, neither loses an event nor
// doubles it, and none is written before its time.
func TestAClockThatIsSetLosesNothingThatIsScheduled(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		for _, running := range []bool{true, false} {
			w := newWall()
			disk := storetest.NewDisk()
			open := func() (*store.Store, *cursor.Runner) {
				st, err := disk.Open("data", store.Options{Clock: w.now})
				require.NoError(t, err)
				return st, trusting(t, st, reminding())
			}
			st, r := open()
			order(t, st, 30, 90)
			drain(t, r)
			began := st.Now()
			if !running {
				require.NoError(t, st.Close())
			}
			w.move(jump)
			if !running {
				st, r = open()
			}
			for range 40 {
				w.move(5 * time.Minute)
				ring(t, st, r)
				for i, n := range reminded(t, st) {
					require.Equal(t, []int{30, 90}[i], n)
					require.False(t, st.Now().Before(began.Add(time.Duration(n)*time.Minute)), "too early")
				}
			}
			require.Equal(t, []int{30, 90}, reminded(t, st))
			require.NoError(t, st.Close())
		}
	}
}

func TestWhatAGateDeniesWhenItIsDueIsRecorded(t *testing.T) {
	w := newWall()
	gate := store.Gate{Name: "bills", Region: store.Region{Entity: bills.Entity}, Judge: func(_ context.Context, c *store.Case) error {
		var body overdue
		if err := c.Proposal.Decode(&body); err != nil || body.Order != 2 {
			return err
		}
		return errSoldOut
	}}
	st, err := storetest.Open(store.Options{Clock: w.now, Gates: []store.Gate{gate}})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	r := runner(t, st, reminding())
	order(t, st, 1, 2, 3)
	drain(t, r)
	w.move(time.Hour)
	require.Equal(t, 3, ring(t, st, r))
	require.Equal(t, []int{1, 3}, reminded(t, st))
	var audits []checkpoint.Audit
	for e, err := range st.Read(t.Context(), store.Region{Scope: store.ReservedScope, Kinds: []string{checkpoint.AuditSkipped}}, store.Beginning()) {
		require.NoError(t, err)
		var a checkpoint.Audit
		require.NoError(t, e.Decode(&a))
		audits = append(audits, a)
	}
	require.Len(t, audits, 1)
	require.Equal(t, store.Position(2), audits[0].Position)
	require.Contains(t, audits[0].Error, errSoldOut.Error())
	require.Zero(t, ring(t, st, runner(t, st, reminding())))
}

// A condition of a gate that does not hold is a race, which the next try may win.
func TestWhatLosesARaceWhenItIsDueIsTriedAgain(t *testing.T) {
	w := newWall()
	var st *store.Store
	raced := false
	gate := store.Gate{Name: "bills", Region: store.Region{Entity: bills.Entity}, Judge: func(ctx context.Context, c *store.Case) error {
		c.Require(store.Region{Entity: "rival"})
		if !raced {
			raced = true
			_, err := st.Append(ctx, store.At("rival", "shop"), store.Any, placed{})
			return err
		}
		return nil
	}}
	st, err := storetest.Open(store.Options{Clock: w.now, Gates: []store.Gate{gate}})
	require.NoError(t, err)
	defer func() { require.NoError(t, st.Close()) }()
	r := runner(t, st, reminding())
	order(t, st, 1)
	drain(t, r)
	w.move(time.Hour)
	_, err = cursor.Ring(t.Context(), r, st.Now())
	require.ErrorIs(t, err, cursor.ErrCommit)
	require.ErrorIs(t, err, store.ErrConflict)
	require.Equal(t, 1, ring(t, st, r))
	require.Equal(t, []int{1}, reminded(t, st))
}

func TestAnErasureReachesWhatIsScheduled(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	r := runner(t, st, reminding())
	order(t, st, 1, 2)
	drain(t, r)
	forget(t, st, "order:1")
	w.move(time.Hour)
	require.Equal(t, 1, ring(t, st, r))
	require.Equal(t, []int{2}, reminded(t, st))
}

func TestAResetSchedulesAgainWhatItRemoves(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	r := runner(t, st, reminding())
	order(t, st, 1, 60)
	drain(t, r)
	w.move(time.Minute)
	ring(t, st, r)
	require.NoError(t, apply(t.Context(), r, checkpoint.Reset{}))
	w.move(time.Hour)
	require.Zero(t, ring(t, st, r))
	drain(t, r)
	w.move(time.Hour)
	require.Equal(t, 2, ring(t, st, r))
	require.Equal(t, []int{1, 1, 60}, reminded(t, st))
	require.NoError(t, applyCold(t.Context(), st, "reserve", checkpoint.Delete{}))
	require.Zero(t, cursor.Due(runner(t, st, cursor.Worker{Region: stocks, Handle: remind})))
}

func TestWhatCannotBeScheduledIsAnErrorAtOnce(t *testing.T) {
	b := cursor.NewBatch([]store.Event{{ID: uuid.UUID{1}, Position: 1, Correlation: uuid.UUID{1}}}, cursor.Ownership{})
	due := time.Now()
	large := store.Raw{Type: "large", Data: make([]byte, 1<<20)}
	for _, p := range []store.Proposal{
		{At: bills, Payload: oversized()}, {At: bills, Payload: overdue{}, Expect: store.Absent}, {At: bills, Payload: large},
	} {
		ticket, err := b.Schedule(0, due, p)
		require.ErrorIs(t, err, store.ErrInvalid)
		require.Empty(t, ticket)
	}
	require.Panics(t, func() { _, _ = b.Schedule(1, due, store.Proposal{At: bills, Payload: overdue{}}) })
	require.Empty(t, b.StagedFor(0))
	ticket, err := b.Schedule(0, due, store.Proposal{At: bills, Payload: overdue{Order: 1}})
	require.NoError(t, err)
	b.React(0, bills, overdue{Order: 2})
	got := b.StagedFor(0)
	require.Len(t, got, 2)
	require.Equal(t, cursor.Scheduled{Due: due, Ticket: ticket, Event: 1, Proposal: store.Proposal{At: bills, Payload: overdue{Order: 1}}}, got[1])

	st := open(t)
	order(t, st, 1)
	volatile := reminding()
	volatile.Volatile = true
	_, err = runner(t, st, volatile).Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrNoCheckpoint)
}

func TestAPowerCutLosesAndDoublesNothingThatIsScheduled(t *testing.T) {
	everyCut(t, func(int) func(*storetest.Disk) error {
		w, n := newWall(), 0
		return func(disk *storetest.Disk) error { return remindAll(t, disk, w, &n) }
	})
}

// remindAll appends what is not appended yet, and has it handled and reminded of, until the power
// fails.
func remindAll(t *testing.T, disk *storetest.Disk, w *wall, appended *int) error {
	t.Helper()
	st, err := disk.Open("data", store.Options{Clock: w.now})
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	worker := reminding()
	worker.Name = "reserve"
	r, err := cursor.NewRunner(t.Context(), st, worker)
	for err == nil && *appended < 3 {
		_, err = st.Commit(t.Context(), store.Batch{
			IdempotencyKey: fmt.Sprint(*appended),
			Events:         []store.Proposal{{At: store.At("order:1", "shop"), Payload: placed{N: 1 + *appended}}},
		})
		if err == nil {
			*appended++
			w.move(30 * time.Second)
			if _, err = r.Step(t.Context(), 0, 0); err == nil {
				_, err = cursor.Ring(t.Context(), r, st.Now())
			}
		}
	}
	for range 8 {
		w.move(time.Minute)
		if err == nil {
			_, err = r.Step(t.Context(), 0, 0)
		}
		if err == nil {
			_, err = cursor.Ring(t.Context(), r, st.Now())
		}
	}
	if err == nil {
		got := reminded(t, st)
		slices.Sort(got)
		require.Equal(t, []int{1, 2, 3}, got)
	}
	return err
}

// What a log has stays readable: this is how a scheduled event is kept.
func TestAScheduledEventIsKeptAsItsFormatSays(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	order(t, st, 1)
	drain(t, runner(t, st, reminding()))
	cause, err := st.GetAt(t.Context(), 1)
	require.NoError(t, err)
	n := 0
	for side, err := range st.Sides("due/") {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("due/reserve/%016x/0000/0000000000000001", w.now().Add(time.Minute).UnixMilli()), side.Key)
		want := "\x01\x01\x06bill:1\x02\x04shop\x03\x0dstock.overdue\x04\x04json\x06\x0b{\"Order\":1}\x07\x01\x01h\x02\x01v\x00"
		want += "\x0a\x10" + string(cause.ID[:]) + "\x0b\x10" + string(cause.Correlation[:]) + "\x0c\x01"
		require.Equal(t, want, string(side.Value))
		n++
	}
	require.Equal(t, 1, n)
}

// One that cannot be read holds up no other, and an audit event says so.
func TestWhatIsDueAndCannotBeReadIsPassedOver(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	r := runner(t, st, reminding())
	order(t, st, 1, 2, 3)
	drain(t, r)
	spoilt := store.SideWrite{Value: []byte("{")}
	for side, err := range st.Sides("due/") {
		require.NoError(t, err)
		if strings.HasSuffix(side.Key, "2") {
			spoilt.Key = side.Key
		}
	}
	strange := store.SideWrite{Key: "due/reserve/0", Value: []byte("{}")}
	_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{spoilt, strange}})
	require.NoError(t, err)
	r = runner(t, st, reminding())
	require.Equal(t, w.now().Add(time.Minute), cursor.Due(r), "a key that says no time is not the first")
	w.move(time.Hour)
	ring(t, st, r)
	require.Equal(t, []int{1, 3}, reminded(t, st))
	var about []store.Position
	audits := store.Region{Scope: store.ReservedScope, Kinds: []string{checkpoint.AuditSkipped}}
	for e, err := range st.Read(t.Context(), audits, store.Beginning()) {
		require.NoError(t, err)
		a, err := checkpoint.AuditOf(t.Context(), st, e)
		require.NoError(t, err)
		require.Contains(t, a.Error, "cannot be read")
		about = append(about, a.Position)
	}
	require.Equal(t, []store.Position{0, 2}, about)
	for side, err := range st.Sides("due/") {
		require.NoError(t, err)
		t.Error("is still there", side.Key)
	}
}

func TestMuchThatIsDueIsReadInParts(t *testing.T) {
	w := newWall()
	st := openAt(t, w)
	worker := reminding()
	worker.Handle = func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
		for i := range b.Events {
			large := store.Raw{Type: "stock.large", Codec: "raw", Data: make([]byte, 700<<10)}
			if _, err := b.Schedule(i, b.Now(i).Add(time.Minute), store.Proposal{At: bills, Payload: large}); err != nil {
				return cursor.Continue, cursor.FailedAt(i, err)
			}
		}
		return cursor.Continue, nil
	}
	r := runner(t, st, worker)
	order(t, st, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	drain(t, r)
	w.move(time.Hour)
	var parts []int
	for !cursor.Due(r).IsZero() {
		n, err := cursor.Ring(t.Context(), r, st.Now())
		require.NoError(t, err)
		parts = append(parts, n)
	}
	require.Equal(t, []int{6, 4}, parts, "less than 5 MiB each")
}

// An erasure comes between the look at the event and the commit of what was made of it.
func TestWhatIsErasedWhileItIsRungIsNotWritten(t *testing.T) {
	w := newWall()
	var st *store.Store
	erase := false
	st, err := storetest.Open(store.Options{Clock: w.now, Gates: []store.Gate{{
		Name: "late", Region: store.Region{Kinds: []string{overdue{}.Kind()}},
		Judge: func(ctx context.Context, _ *store.Case) error {
			if !erase {
				return nil
			}
			erase = false
			_, err := store.Erase(ctx, st, store.Erasure{Entity: "order:2", Reason: "asked for", By: "an officer"})
			return err
		},
	}}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	r := runner(t, st, reminding())
	order(t, st, 1, 2, 3)
	drain(t, r)
	w.move(time.Hour)
	erase = true
	ring(t, st, r)
	require.Equal(t, []int{1, 3}, reminded(t, st))
}
