package saga_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// A clock that is set moves the end of a wait by nothing where it is set back, and by no more than
// it was set where it is set forwards, as a machine that has slept cannot be told from that.
func TestASetClockMovesNoTimerBack(t *testing.T) {
	for name, c := range map[string]struct {
		set   func(p *played)
		after time.Duration // after that the timer of 15 minutes is due, 5 of which have passed
	}{
		"back":             {func(p *played) { reactortest.SetClock(p.Run, -time.Hour) }, 10 * time.Minute},
		"back for decades": {func(p *played) { reactortest.SetClock(p.Run, -20*365*24*time.Hour) }, 10 * time.Minute},
		"back and forth": {func(p *played) {
			reactortest.SetClock(p.Run, -time.Hour)
			p.Advance(time.Minute)
			reactortest.SetClock(p.Run, time.Hour)
		}, 9 * time.Minute},
		"a little forwards": {func(p *played) { reactortest.SetClock(p.Run, 4*time.Minute) }, 6 * time.Minute},
		"forwards":          {func(p *played) { reactortest.SetClock(p.Run, time.Hour) }, 0},
		"forth and back": {func(p *played) {
			reactortest.SetClock(p.Run, time.Hour)
			reactortest.SetClock(p.Run, -time.Hour)
		}, 0},
		"forwards between two runs": {func(p *played) {
			reactortest.SetClock(p.Run, time.Hour)
			p.Crash(1)
		}, 0},
		// What has passed since the last event was not kept.
		"back between two runs": {func(p *played) {
			reactortest.SetClock(p.Run, -time.Hour)
			p.Crash(1)
		}, 15 * time.Minute},
		"back and a run later forth": {func(p *played) {
			reactortest.SetClock(p.Run, -time.Hour)
			p.Crash(1)
			p.Advance(5 * time.Minute)
			reactortest.SetClock(p.Run, time.Hour)
			p.Crash(2)
		}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t)
			p.given(placed("42"), stockReserved{"42"})
			p.Advance(5 * time.Minute)
			c.set(p)
			if c.after > 0 {
				p.Advance(c.after - time.Second)
				require.Equal(t, "paying", p.get().Phase)
				require.Equal(t, saga.Running, p.get().Life)
				p.Advance(2 * time.Second)
			}
			p.Settle()
			require.Equal(t, saga.Compensated, p.get().Life)
			p.Advance(3 * time.Hour)
			require.Len(t, firings(t, p.Run), 1)
		})
	}
}

// firings are the timers that have fired, with the times of their events.
func firings(t *testing.T, run *reactortest.Run) (list []firing) {
	t.Helper()
	for e, err := range run.Store().Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		if e.Kind != "saga.checkout.fired" && e.Kind != "saga.clocks.fired" {
			continue
		}
		f := firing{key: e.Coordinate.Entity, at: e.Time.Time()}
		require.NoError(t, json.Unmarshal(e.Payload, &f.Fired))
		list = append(list, f)
	}
	return list
}

type firing struct {
	saga.Fired

	key string
	at  time.Time
}

type (
	wind struct {
		Clock, Timer string
		For          time.Duration
		Absolute     bool
	}
	stop struct{ Clock, Timer string }
	rang struct {
		Clock      string
		Generation uint64
	}
)

func (wind) Kind() string { return "clock.wind" }
func (stop) Kind() string { return "clock.stop" }
func (rang) Kind() string { return "clock.rang" }

// clocks have two timers each, which ring.
func clocks() *saga.Saga[struct{}] {
	set := func(_ context.Context, e reactor.Event[wind], tx *saga.Tx[struct{}]) error {
		if e.Body.Absolute {
			tx.At(e.Body.Timer, tx.Now().Add(e.Body.For))
			return nil
		}
		tx.After(e.Body.Timer, e.Body.For)
		return nil
	}
	ring := func(_ context.Context, f saga.Fired, tx *saga.Tx[struct{}]) error {
		if tx.Now().Before(f.Due) {
			return fmt.Errorf("too early: %v", f)
		}
		tx.Emit(store.At("clocks", "test"), rang{tx.Key(), f.Generation})
		return nil
	}
	return saga.New("clocks",
		saga.Start(func(e wind) string { return e.Clock }, set),
		saga.On(func(e wind) string { return e.Clock }, set),
		saga.On(func(e stop) string { return e.Clock }, func(_ context.Context, e reactor.Event[stop], tx *saga.Tx[struct{}]) error {
			tx.Clear(e.Body.Timer)
			return nil
		}),
		saga.OnTimer("a", ring), saga.OnTimer("b", ring),
	)
}

// Whatever is done to the clock and to the process: each setting of a timer fires once, never
// before its time, unless it was taken back, and its handler is called once.
func TestTimersFireOnceWhateverHappensToTheClock(t *testing.T) {
	for seed := range uint64(less(30)) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			run := reactortest.Start(t, clocks())
			run.Shuffle(seed)
			m := &clockModel{set: make(map[string]uint64)}
			for range 60 {
				m.step(run, random)
			}
			run.Resume("clocks")
			run.Advance(24 * time.Hour)
			m.check(t, run)
		})
	}
}

// clockModel knows what was set.
type clockModel struct {
	set    map[string]uint64 // how many settings of a clock there were
	paused bool
}

func (m *clockModel) step(run *reactortest.Run, random *rand.Rand) {
	clock, timer := fmt.Sprint("clock", random.IntN(3)), string(rune('a'+random.IntN(2)))
	switch random.IntN(10) {
	case 0, 1, 2:
		m.set[clock]++
		run.Given(wind{clock, timer, time.Duration(random.IntN(180)) * time.Minute, random.IntN(2) == 0})
	case 3:
		if m.set[clock] > 0 {
			run.Given(stop{clock, timer})
		}
	case 4:
		reactortest.SetClock(run, time.Duration(random.IntN(3)-1)*time.Hour)
	case 5:
		run.Crash(random.Uint64())
	case 6:
		run.CrashAt(1 + random.IntN(20))
	case 7:
		if m.paused = !m.paused; m.paused {
			run.Pause("clocks", time.Time{})
		} else {
			run.Resume("clocks")
		}
	default:
		run.Advance(time.Duration(random.IntN(60)) * time.Minute)
	}
}

func (m *clockModel) check(t *testing.T, run *reactortest.Run) {
	t.Helper()
	require.Empty(t, run.Parked("clocks"))
	fired, calls := make(map[rang]int), make(map[rang]int)
	for _, f := range firings(t, run) {
		fired[rang{f.key[len("saga:clocks:"):], f.Generation}]++
		require.False(t, f.at.Before(f.Due.Truncate(time.Millisecond)), "%v", f)
	}
	for _, one := range reactortest.Of[rang](run) {
		calls[one]++
		require.Equal(t, 1, calls[one], "%v", one)
		require.Equal(t, 1, fired[one], "%v", one)
	}
	require.Equal(t, m.expected(t, run, fired), slices.SortedFunc(maps.Keys(calls), byClock))
}

// expected are the settings whose handler is to be called: by the order of the log, each that was
// not set again or stopped before its firing.
func (m *clockModel) expected(t *testing.T, run *reactortest.Run, fired map[rang]int) (list []rang) {
	t.Helper()
	count, set := make(map[string]uint64), make(map[[2]string]uint64)
	for e, err := range run.Store().Read(t.Context(), store.Region{}, store.Beginning()) {
		require.NoError(t, err)
		switch e.Kind {
		case wind{}.Kind():
			w, err := reactor.Decode[wind](nil, e)
			require.NoError(t, err)
			count[w.Clock]++
			set[[2]string{w.Clock, w.Timer}] = count[w.Clock]
		case stop{}.Kind():
			s, err := reactor.Decode[stop](nil, e)
			require.NoError(t, err)
			delete(set, [2]string{s.Clock, s.Timer})
		case "saga.clocks.fired":
			var f saga.Fired
			require.NoError(t, json.Unmarshal(e.Payload, &f))
			at := [2]string{e.Coordinate.Entity[len("saga:clocks:"):], f.Name}
			if set[at] == f.Generation {
				delete(set, at)
				list = append(list, rang{at[0], f.Generation})
			}
		}
	}
	require.Empty(t, set, "set, and never fired")
	require.Equal(t, m.set, count)
	for one, n := range fired {
		require.LessOrEqual(t, n, 1, "%v", one)
	}
	slices.SortFunc(list, byClock)
	return list
}

func byClock(a, b rang) int {
	if a.Clock != b.Clock {
		return int(a.Clock[5]) - int(b.Clock[5])
	}
	return int(a.Generation) - int(b.Generation)
}

// What was held is on its way to be handled again, and an input comes before that, as the disk was
// full meanwhile: it waits for its turn all the same, however late it is.
func TestWhatWasHeldIsNotLostWhereItsTurnIsCommittedLate(t *testing.T) {
	for name, wait := range map[string]func(p *played){
		"the disk was full": func(p *played) { p.Advance(5 * time.Minute) },
		"the clock was set": func(p *played) { reactortest.SetClock(p.Run, time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			p := play(t)
			p.given(placed("42"))
			in := p.s.In(p.Store())
			_, err := in.Suspend(t.Context(), "42", ana)
			require.NoError(t, err)
			p.Settle()
			p.given(stockReserved{"42"})
			require.Equal(t, 1, p.get().Held)
			_, err = in.Resume(t.Context(), "42", ana)
			require.NoError(t, err)
			p.Disk().SetCapacity(1)
			filler := store.Raw{Type: "filler", Data: make([]byte, 300)}
			for err == nil {
				_, err = p.Store().Append(t.Context(), store.At("filler", "elsewhere"), store.Any, filler)
			}
			require.ErrorIs(t, err, store.ErrDiskFull)
			p.Step("checkout")
			require.Equal(t, saga.Suspended, p.get().Life, "the disk is not full")
			wait(p)
			p.Disk().SetCapacity(1 << 40)
			p.Given(reactortest.At(at("42"), orderCancelled{"42"}))
			p.Advance(10 * time.Minute)
			require.Equal(t, []string{"undo reserve"}, p.m.w.calls)
			require.Empty(t, recorded(t, in, "42"))
		})
	}
}
