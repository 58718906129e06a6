package store

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

const year = 365 * 24 * time.Hour

// machineClock is a clock whose wall time is set apart from the time that elapses.
type machineClock struct {
	clock
	wall    time.Time
	elapsed time.Duration
}

func newMachineClock(wall time.Time) *machineClock {
	return &machineClock{clock: clock{said: wall, base: wall}, wall: wall}
}

// pass lets time elapse.
func (m *machineClock) pass(d time.Duration) { m.wall, m.elapsed = m.wall.Add(d), m.elapsed+d }

// set moves the wall clock alone: set by a person or a time server, or a machine that has slept.
func (m *machineClock) set(d time.Duration) { m.wall = m.wall.Add(d) }

func (m *machineClock) now() time.Time {
	m.read(m.wall, m.elapsed)
	return m.said
}

func date(y int) time.Time { return time.Date(y, 6, 1, 12, 0, 0, 0, time.UTC) }

func TestTimeFollowsAClockThatIsSetForwards(t *testing.T) {
	m := newMachineClock(date(2026))
	for _, slept := range []time.Duration{time.Second, 8 * time.Hour, 90 * 24 * time.Hour, 9 * year} {
		m.pass(time.Minute)
		m.set(slept)
		require.Equal(t, m.wall, m.now())
		require.Zero(t, m.ahead)
	}
}

func TestTimeGoesOnWithElapsedTimeWhereTheClockIsSetBack(t *testing.T) {
	m := newMachineClock(date(2026))
	m.set(-time.Hour)
	require.Equal(t, date(2026), m.now())
	require.Equal(t, time.Hour, m.ahead)
	for range 36_000 { // however often it is asked
		m.pass(100 * time.Millisecond)
		m.now()
	}
	require.WithinDuration(t, date(2026).Add(time.Hour), m.said, time.Second)
	m.set(time.Hour)
	require.Equal(t, m.wall, m.now())
	require.Zero(t, m.ahead)
}

func TestTimeThatIsAheadMeetsTheClockAgain(t *testing.T) {
	m := newMachineClock(date(2026))
	m.set(-10 * time.Second)
	ahead := 10 * time.Second
	for range 11 {
		m.pass(time.Hour)
		m.now()
		require.Less(t, m.ahead, ahead)
		ahead = m.ahead
	}
	m.pass(time.Hour)
	require.Equal(t, m.wall, m.now())
}

func TestAJumpOfTheClockToAnotherCenturyIsReportedAndNotFollowed(t *testing.T) {
	m := newMachineClock(date(2026))
	m.set(74 * year)
	m.pass(time.Hour)
	require.Equal(t, date(2026).Add(time.Hour), m.now())
	require.Equal(t, -74*year, m.ahead)
	m.pass(time.Hour)
	require.Equal(t, date(2026).Add(2*time.Hour), m.now())
	m.set(-74 * year)
	require.Equal(t, m.wall, m.now())
	require.Zero(t, m.ahead)
}

func TestAClockThatWasNotSetYetIsFollowedWhereverItIsSetTo(t *testing.T) {
	for _, y := range []int{1970, 2000, 2015} {
		m := newMachineClock(date(y))
		m.pass(time.Minute)
		m.set(date(2026).Sub(m.wall))
		require.Equal(t, date(2026), m.now())
	}
}

func TestTimeNeverGoesBackAndNeverStandsStillWhateverTheClockDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachineClock(date(rapid.IntRange(1970, 2100).Draw(t, "year")))
		for range rapid.IntRange(1, 50).Draw(t, "readings") {
			before := m.now()
			if rapid.Bool().Draw(t, "set") {
				m.set(time.Duration(rapid.Int64Range(-int64(80*year), int64(80*year)).Draw(t, "by")))
			}
			passed := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "passed"))
			m.pass(passed)
			now := m.now()
			require.GreaterOrEqual(t, now.Sub(before), passed-passed/catchUp-time.Nanosecond)
			require.Equal(t, now.Sub(m.wall), m.ahead)
		}
	})
}

// handClock is a clock without a monotonic reading, as a test may pass.
type handClock struct{ time.Time }

func (c *handClock) now() time.Time { return c.Time }

func TestEventsHaveTheTimeOfTheClockThatTheStoreWasGiven(t *testing.T) {
	hand := &handClock{date(2031)}
	s := openLog(t, vfs.NewMemory(), Options{Clock: hand.now})
	put(t, s, "a")
	hand.Time = hand.Add(time.Hour)
	put(t, s, "a")
	events := all(t, s, Region{})
	require.Equal(t, date(2031), events[0].Time.Time())
	require.Equal(t, date(2031).Add(time.Hour), events[1].Time.Time())
	require.Equal(t, hand.Time, s.Now())
	requireOrder(t, events)
}

func TestAClockThatATestSetsBackMovesTheTimeFromThere(t *testing.T) {
	hand := &handClock{date(2031)}
	s := openLog(t, vfs.NewMemory(), Options{Clock: hand.now})
	hand.Time = date(2026)
	require.Equal(t, date(2031), s.Now())
	hand.Time = hand.Add(time.Hour)
	require.WithinDuration(t, date(2031).Add(time.Hour), s.Now(), time.Second)
	require.Equal(t, s.Now().Sub(hand.Time).Truncate(time.Millisecond), s.Stats().ClockAhead)
}

func TestTimeNeverGoesBackWhereATestSetsItsClockBackMoreThanOnce(t *testing.T) {
	hand := &handClock{date(2031)}
	s := openLog(t, vfs.NewMemory(), Options{Clock: hand.now})
	last := s.Now()
	for _, by := range []time.Duration{-time.Hour, 30 * time.Minute, -20 * time.Minute, 10 * time.Minute, -time.Minute} {
		hand.Time = hand.Add(by)
		now := s.Now()
		require.WithinDuration(t, last.Add(max(by, 0)), now, time.Second)
		require.False(t, now.Before(last), "%s", by)
		last = now
	}
}

func TestAClockThatShowsTheZeroTimeForAWhileDoesNotMoveTheTimeByCenturies(t *testing.T) {
	hand := &handClock{}
	s := openLog(t, vfs.NewMemory(), Options{Clock: hand.now})
	hand.Time = hand.Add(time.Hour)
	require.WithinDuration(t, firstMoment.Add(time.Hour), s.Now(), time.Second, "elapsed time counts wherever it begins")
	hand.Time = date(2026)
	require.Equal(t, date(2026), s.Now())
	hand.Time = date(2026).Add(time.Hour)
	require.Equal(t, date(2026).Add(time.Hour), s.Now())
	hand.Time = time.Time{}
	require.Equal(t, date(2026).Add(time.Hour), s.Now())
	hand.Time = date(2026).Add(2 * time.Hour)
	require.Equal(t, date(2026).Add(2*time.Hour), s.Now())
}

func TestTimesBeyondWhatCanBeWrittenAreNotBelieved(t *testing.T) {
	for wrong, bound := range map[time.Time]time.Time{date(12_000): lastMoment, date(1): firstMoment} {
		hand := &handClock{wrong}
		s := openLog(t, vfs.NewMemory(), Options{Clock: hand.now})
		put(t, s, "a")
		put(t, s, "a")
		require.Equal(t, bound, s.Now())
		requireOrder(t, all(t, s, Region{}))
	}
}

func TestAStoreWhoseLogIsAheadOfTheClockSaysSoAndGoesOnFromThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMemory()
		hand := &handClock{date(2100)}
		s := openLog(t, disk, Options{Clock: hand.now})
		put(t, s, "a")
		require.NoError(t, s.Close())

		ahead := time.Until(date(2100))
		for _, o := range []Options{{}, {ReadOnly: true}} {
			s = openLog(t, disk, o)
			require.Equal(t, ahead, s.Stats().ClockAhead)
			before := s.Now()
			require.Equal(t, date(2100), before)
			time.Sleep(time.Minute)
			require.WithinDuration(t, before.Add(time.Minute), s.Now(), time.Second)
			require.NoError(t, s.Close())
			ahead = time.Until(date(2100))
		}
		s = openLog(t, disk, Options{})
		time.Sleep(time.Minute)
		put(t, s, "a")
		events := all(t, s, Region{})
		require.WithinDuration(t, date(2100).Add(time.Minute), events[1].Time.Time(), time.Second)
		requireOrder(t, events)
	})
}

func TestAReaderBesideAWriterIsNeverBeforeTheEventsThatItSees(t *testing.T) {
	disk, hand := vfs.NewMemory(), &handClock{date(2026)}
	s := openLog(t, disk, Options{Clock: hand.now})
	behind := &handClock{date(2025)}
	reader := openLog(t, disk, Options{ReadOnly: true, Clock: behind.now})
	require.Equal(t, date(2025), reader.Now())
	r := put(t, s, "a")
	head, err := reader.Wait(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, r.Events[0].Position, head)
	require.Equal(t, date(2026), reader.Now())
	require.Equal(t, year, reader.Stats().ClockAhead)
}
