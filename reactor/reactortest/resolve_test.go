package reactortest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// lent gives an order a reference, returned is of whose reference that is.
type lent struct{ Order, Ref string }

func (lent) Kind() string { return "order.lent" }

type returned struct{ Ref string }

func (returned) Kind() string { return "ref.returned" }

// counted says how many events an order, or a reference that is of none, had with this one.
type counted struct {
	Of string
	N  int
}

func (counted) Kind() string { return "out.counted" }

// counts is a worker that counts the events of orders, those by reference included.
func countsOf(lanes int, handled func(e *store.Event) error) cursor.Worker {
	return cursor.Worker{
		Name: "counts", Kinds: []string{lent{}.Kind(), returned{}.Kind()}, Lanes: lanes, Stateful: true,
		Resolve: func(e store.Event, side func(string) ([]byte, bool, error)) (string, bool, error) {
			var b lent
			if err := json.Unmarshal(e.Payload, &b); err != nil || b.Order != "" {
				return b.Order, true, err
			}
			order, known, err := side("ref " + b.Ref)
			if !known {
				return "of " + b.Ref, false, err
			}
			return string(order), true, err
		},
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i := range b.Events {
				b.Begin(i)
				if err := errors.Join(handled(&b.Events[i]), count(b, i)); err != nil {
					return cursor.Continue, cursor.FailedAt(i, err)
				}
			}
			return cursor.Continue, nil
		},
	}
}

func count(b *cursor.Batch, i int) error {
	var e lent
	if err := json.Unmarshal(b.Events[i].Payload, &e); err != nil {
		return err
	}
	of := e.Order
	if of == "" {
		order, known, err := b.Side(i, "ref "+e.Ref)
		if of = string(order); err != nil {
			return err
		}
		if !known {
			of = "of " + e.Ref
		}
	} else if err := b.Put(i, "ref "+e.Ref, []byte(of)); err != nil {
		return err
	}
	value, _, err := b.Side(i, of)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(string(value))
	b.React(i, store.At(of, "out"), counted{Of: of, N: n + 1})
	return b.Put(i, of, []byte(strconv.Itoa(n+1)))
}

func healthy(*store.Event) error { return nil }

// bills returns events of some orders, and what they are counted as if they are handled one after
// the other.
func bills(random *rand.Rand, n int) (list []store.Payload, want map[string]int) {
	want = make(map[string]int)
	owner := make(map[string]string)
	for range n {
		order := []string{"a", "b", "c"}[random.IntN(3)]
		ref := fmt.Sprint(order, random.IntN(4))
		if random.IntN(2) == 0 {
			owner[ref] = order
			want[order]++
			list = append(list, reactortest.At(store.At("order:"+order, "test"), lent{order, ref}))
			continue
		}
		of, known := owner[ref]
		if !known {
			of = "of " + ref
		}
		want[of]++
		list = append(list, reactortest.At(store.At("ref:"+ref, "test"), returned{ref}))
	}
	return list, want
}

func requireCounts(t *testing.T, run *reactortest.Run, want map[string]int) {
	t.Helper()
	got := make(map[string]int)
	for _, c := range reactortest.Of[counted](run) {
		require.Equal(t, got[c.Of]+1, c.N)
		got[c.Of] = c.N
	}
	require.Equal(t, want, got)
}

// In any order of steps, with failures that end, and with panics that restart the worker.
func TestKeysThatAreFoundInTheStateAreThoseOfOneAfterTheOtherInAnyOrder(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(seed, 0))
		list, want := bills(random, 5+random.IntN(30))
		worker := countsOf(1+random.IntN(4), func(*store.Event) error {
			switch random.IntN(12) {
			case 0:
				panic("sick")
			case 1:
				return errors.New("sick")
			}
			return nil
		})
		worker.Policy.Attempts, worker.Policy.Intensity = 100, 1000
		worker.Policy.Outage.Off = true
		run := reactortest.Start(t, worker)
		run.Shuffle(seed)
		for len(list) > 0 {
			n := min(len(list), 1+random.IntN(8))
			run.Given(list[:n]...)
			if list = list[n:]; random.IntN(2) == 0 {
				run.Settle()
			}
		}
		run.Settle()
		run.Advance(24 * time.Hour)
		requireCounts(t, run, want)
	}
}

func TestACrashChangesNoKeyThatIsFoundInTheState(t *testing.T) {
	list, want := bills(rand.New(rand.NewPCG(7, 7)), 8)
	reactortest.EveryCrash(t, func() supervision.Child { return countsOf(3, healthy) }, func(run *reactortest.Run) {
		run.Given(list[:5]...)
		run.Given(list[5:]...)
		run.Settle()
		requireCounts(t, run, want)
	})
}

// In an outage events before it wait, and so does one that is not known; then all are counted.
func TestAnEventThatIsNotKnownWaitsForTheEndOfAnOutageAtMost(t *testing.T) {
	for _, lanes := range []int{1, 4} {
		down := true
		run := reactortest.Start(t, countsOf(lanes, func(e *store.Event) error {
			if down && e.Kind == (lent{}).Kind() {
				return errors.New("down")
			}
			return nil
		}))
		for i := range 8 {
			of := fmt.Sprint("order", i)
			run.Given(lent{of, fmt.Sprint("r", i)}, returned{fmt.Sprint("strange", i)})
		}
		run.Advance(2 * time.Hour)
		down = false
		run.Advance(2 * time.Hour)
		run.Replay("counts", cursor.ParkedFilter{All: true})
		run.Advance(time.Hour)
		require.Len(t, reactortest.Of[counted](run), 16)
		require.Zero(t, run.Status("counts").Parked)
	}
}

// One that is parked, and what its reference is held for, come again with the keys that they had.
func TestWhatIsParkedByAKeyOfTheStateIsReplayedWithIt(t *testing.T) {
	sick := true
	run := reactortest.Start(t, countsOf(3, func(e *store.Event) error {
		if sick && e.Kind == (returned{}).Kind() {
			return supervision.Park(errors.New("sick"))
		}
		return nil
	}))
	run.Given(lent{"a", "p"}, returned{"p"}, returned{"q"})
	run.Settle()
	run.Given(lent{"a", "q"}, lent{"b", "r"})
	run.Settle()
	keys := make(map[string]int)
	for _, e := range run.Parked("counts") {
		keys[e.Key]++
	}
	require.Equal(t, map[string]int{"a": 2, "of q": 1}, keys)
	run.Crash(3)
	sick = false
	require.IsType(t, []checkpoint.Parked{}, run.Replay("counts", cursor.ParkedFilter{All: true}))
	run.Settle()
	require.Zero(t, run.Status("counts").Parked)
	require.Len(t, reactortest.Of[counted](run), 5)
}
