package actors_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

type ordered struct{ N int }

func (ordered) Kind() string { return "order.ordered" }

type payBy struct{ N int }

func (payBy) Kind() string { return "order.pay-by" }

// deadlines has an order be paid within so many minutes as it says.
func deadlines() *reactor.Reactor {
	return reactor.New("deadlines", reactor.On(func(_ context.Context, e reactor.Event[ordered], out *reactor.Reactions) error {
		out.After(time.Duration(e.Body.N)*time.Minute, e.Coordinate, payBy(e.Body))
		return nil
	}))
}

func appendOrders(tb testing.TB, st *store.Store, orders ...int) store.Receipt {
	tb.Helper()
	var batch []store.Proposal
	for _, n := range orders {
		batch = append(batch, store.Proposal{At: store.At(fmt.Sprint("order:", n), "test"), Payload: ordered{N: n}})
	}
	return appendAll(tb, st, batch...)
}

// overdue returns when each order became overdue.
func overdue(tb testing.TB, st *store.Store) map[int]time.Time {
	tb.Helper()
	at := make(map[int]time.Time)
	for e, err := range st.Read(tb.Context(), store.Region{Kinds: []string{payBy{}.Kind()}}, store.Beginning()) {
		require.NoError(tb, err)
		var body payBy
		require.NoError(tb, e.Decode(&body))
		require.NotContains(tb, at, body.N, "twice")
		at[body.N] = e.Time.Time()
	}
	return at
}

func TestAScheduledEventWakesItsWorkerWhenItIsDue(t *testing.T) {
	for _, lanes := range []int{0, 4} {
		synctest.Test(t, func(t *testing.T) {
			st := memory(t, store.Options{})
			r := deadlines()
			r.Lanes = lanes
			sys := start(t, st, r)
			began := st.Now()
			require.NoError(t, sys.WaitApplied(t.Context(), "deadlines", appendOrders(t, st, 30, 10, 600)))
			time.Sleep(10*time.Minute - time.Second)
			require.Empty(t, overdue(t, st))
			time.Sleep(time.Hour)
			at := overdue(t, st)
			require.Len(t, at, 2)
			require.WithinDuration(t, began.Add(10*time.Minute), at[10], 5*time.Millisecond)
			require.WithinDuration(t, began.Add(30*time.Minute), at[30], 5*time.Millisecond)

			// What becomes due while nothing runs is written by the next start.
			require.NoError(t, sys.Stop(t.Context()))
			time.Sleep(24 * time.Hour)
			start(t, st, r)
			synctest.Wait()
			require.Len(t, overdue(t, st), 3)
		})
	}
}

// The clock of the machine is set an hour forwards or back while the system runs: nothing is lost,
// doubled, or before its time in the store.
func TestAClockThatIsSetLosesAndDoublesNoDeadline(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			var clock wallClock
			st := memory(t, store.Options{Clock: clock.now})
			sys := start(t, st, deadlines())
			began := st.Now()
			require.NoError(t, sys.WaitApplied(t.Context(), "deadlines", appendOrders(t, st, 30, 90)))
			clock.set(jump)
			time.Sleep(4 * time.Hour)
			at := overdue(t, st)
			require.Len(t, at, 2)
			for n, written := range at {
				require.False(t, written.Before(began.Add(time.Duration(n)*time.Minute).Truncate(time.Millisecond)))
			}
		})
	}
}

func TestAPausedWorkerWritesWhatIsDueOnceItIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memory(t, store.Options{})
		sys := start(t, st, deadlines())
		require.NoError(t, sys.WaitApplied(t.Context(), "deadlines", appendOrders(t, st, 1)))
		require.NoError(t, sys.Pause(t.Context(), "deadlines", st.Now().Add(time.Hour), checkpoint.Request{Reason: "lunch"}))
		time.Sleep(59 * time.Minute)
		require.Empty(t, overdue(t, st))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Len(t, overdue(t, st), 1)
		require.Equal(t, actors.Idle, statusOf(t, sys, "deadlines").State)
	})
}

func TestWhatIsDueIsWrittenOnceThereIsRoomOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, st.Close()) })
		sys := start(t, st, deadlines())
		require.NoError(t, sys.WaitApplied(t.Context(), "deadlines", appendOrders(t, st, 1)))
		disk.SetCapacity(0)
		time.Sleep(time.Hour)
		disk.SetCapacity(1 << 40)
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, overdue(t, st), 1)
		require.Equal(t, actors.Idle, statusOf(t, sys, "deadlines").State)
	})
}

// lamps is what is left of them.
type lamps struct{ Left, Taken int }

func (lamps) Kind() string { return "test.lamps" }

// A hundred orders for ten lamps, by handlers that run beside each other.
func TestAReactorWithStateReservesWhatThereIs(t *testing.T) {
	for _, lanes := range []int{0, 8} {
		st := memory(t, store.Options{})
		var calls atomic.Int32
		r := reactor.New("lamps", reactor.OnState(func(o ordered) string { return fmt.Sprint("sku ", o.N%2) }, func(
			_ context.Context, e reactor.Event[ordered], s *lamps, out *reactor.Reactions,
		) error {
			calls.Add(1)
			if s.Left+s.Taken == 0 {
				s.Left = 10
			}
			if s.Left > 0 {
				s.Left, s.Taken = s.Left-1, s.Taken+1
				out.Append(store.At("lamps", "test"), payBy(e.Body))
			}
			return nil
		}))
		r.Lanes = lanes
		sys := start(t, st, r)
		var last store.Receipt
		for n := range 100 {
			last = appendOrders(t, st, 2*n, 2*n+1)
		}
		require.NoError(t, sys.WaitApplied(t.Context(), "lamps", last))
		require.Len(t, overdue(t, st), 20)
		require.LessOrEqual(t, int(calls.Load()), 230)
		for _, key := range []string{"sku 0", "sku 1"} {
			s, err := reactor.State[lamps](st, nil, "lamps", key)
			require.NoError(t, err)
			require.Equal(t, lamps{Taken: 10}, s)
		}
	}
}

// A key that is too long, or a key function that panics, is the fault of one event: it is parked,
// and all others go on.
func TestAnEventWithoutAKeyForItsStateIsParked(t *testing.T) {
	for _, lanes := range []int{0, 4} {
		for bad, key := range map[int]func() string{
			-1: func() string { return strings.Repeat("x", 1500) },
			-2: func() string { panic("no key") },
			-3: func() string { return strings.Repeat("x", 1020) },
		} {
			synctest.Test(t, func(t *testing.T) {
				st := memory(t, store.Options{})
				r := reactor.New("lamps", reactor.OnState(func(o ordered) string {
					if o.N < 0 {
						return key()
					}
					return "all"
				}, func(_ context.Context, _ reactor.Event[ordered], s *lamps, _ *reactor.Reactions) error {
					s.Taken++
					return nil
				}))
				r.Lanes = lanes
				sys := start(t, st, r)
				appendOrders(t, st, 1, bad, 2)
				time.Sleep(time.Hour)
				require.Equal(t, actors.Idle, statusOf(t, sys, "lamps").State)
				s, err := reactor.State[lamps](st, nil, "lamps", "all")
				require.NoError(t, err)
				require.Equal(t, 2, s.Taken)
				parked := 0
				for entry, err := range checkpoint.ParkedEvents(st, "lamps") {
					require.NoError(t, err)
					require.Equal(t, store.Position(2), entry.Position)
					parked++
				}
				require.Equal(t, 1, parked)
			})
		}
	}
}
