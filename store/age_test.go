package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

const (
	day     = 24 * time.Hour
	century = 100 * 365 * day
)

// agingLog is a log on a machine whose clock may be wrong.
type agingLog struct {
	t    *testing.T
	s    *Store
	disk *vfs.Memory
	now  time.Time // as the machine shows it
	n    int
}

func newAgingLog(t *testing.T, now time.Time) *agingLog {
	l := &agingLog{t: t, disk: vfs.NewMemory(), now: now}
	l.open()
	t.Cleanup(func() { _ = l.s.Close() })
	return l
}

// open opens it again: the clock is believed then, whatever it shows.
func (l *agingLog) open() {
	if l.s != nil {
		require.NoError(l.t, l.s.Close())
	}
	o := smallSegments(SyncAlways)
	o.Clock = func() time.Time { return l.now }
	s, err := open(l.disk, logDir, o, true)
	require.NoError(l.t, err)
	l.s = s
}

// fill fills two segments and some of the next one, within a minute.
func (l *agingLog) fill() {
	for range 60 {
		l.now = l.now.Add(time.Second)
		keyedLogFrom(l.t, l.s, l.n, 2)
		l.n += 2
	}
}

func (l *agingLog) drops(most time.Duration) RetainReport {
	l.t.Helper()
	report, err := Retain(l.t.Context(), l.s, nil, RetainOptions{MaxAge: most})
	require.NoError(l.t, err)
	return report
}

func TestAClockThatWasACenturyAheadForAWhileMakesNothingOld(t *testing.T) {
	l := newAgingLog(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	l.fill()
	before := l.s.Head()
	l.now = l.now.Add(century)
	l.open()
	l.fill()
	ahead := l.s.Head()
	require.Greater(t, l.s.Now().Year(), 2120)
	report := l.drops(day)
	require.Zero(t, report.Segments, "it shows so now")
	require.Greater(t, report.Doubted, century-day)

	l.now = l.now.Add(-century).Add(time.Hour) // it is right again
	l.open()
	l.fill()
	require.Greater(t, l.s.Now().Year(), 2120, "it continues from there")
	report = l.drops(day)
	require.Zero(t, report.Segments)
	require.Greater(t, report.Doubted, century-day)

	l.now = l.now.Add(23 * time.Hour)
	require.Zero(t, l.drops(day).Segments, "a day has not passed since it was wrong")
	l.now = l.now.Add(2 * time.Hour)
	report = l.drops(day)
	require.Greater(t, report.First, before/2, "they grow old from there on")
	require.Positive(t, report.Segments)
	l.now = l.now.Add(2 * day)
	report = l.drops(day)
	require.Greater(t, report.First, ahead, "and so do those that were written in the wrong time")
	report, err := Retain(t.Context(), l.s, nil, RetainOptions{})
	require.NoError(t, err)
	require.Less(t, report.Doubted, time.Minute, "nothing that is left is of before")
}

func TestAClockThatShowsAnotherTimeJustNowMakesNothingOld(t *testing.T) {
	for name, shown := range map[string]time.Duration{"a century ahead": century, "a century behind": -century, "eleven years ahead": 11 * 365 * day} {
		for _, opened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened %t", name, opened), func(t *testing.T) {
				l := newAgingLog(t, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC))
				l.fill()
				l.now = l.now.Add(shown)
				if opened {
					l.open()
				}
				report, err := Retain(t.Context(), l.s, nil, RetainOptions{MaxAge: day, KeyRetention: day, EntityRetention: day})
				require.NoError(t, err)
				require.Zero(t, report.Segments)
				l.fill()
				require.Zero(t, l.drops(day).Segments)
				l.now = l.now.Add(-shown).Add(2 * day)
				if opened {
					l.open()
				}
				l.fill()
				l.now = l.now.Add(2 * day)
				require.Positive(t, l.drops(day).Segments, "two days have passed since")
			})
		}
	}
}

// A machine that begins in 1970 and then learns the time has not waited since.
func TestALogThatBeganBeforeItsClockWasSetIsNotOld(t *testing.T) {
	l := newAgingLog(t, time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC))
	l.fill()
	l.now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	l.fill()
	require.Equal(t, 2030, l.s.Now().Year())
	require.Zero(t, l.drops(day).Segments)
	l.now = l.now.Add(day + time.Hour)
	require.Positive(t, l.drops(day).Segments)
}

// What a clock that was set back for an hour has written is not an hour older than it is.
func TestAClockThatIsSetBackMakesNothingOld(t *testing.T) {
	l := newAgingLog(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	l.fill()
	l.now = l.now.Add(-time.Hour)
	l.fill()
	require.Zero(t, l.drops(time.Hour).Segments)
	l.now = l.now.Add(50 * time.Minute)
	require.Zero(t, l.drops(time.Hour).Segments)
	l.now = l.now.Add(2 * time.Hour)
	require.Positive(t, l.drops(time.Hour).Segments)
}

// Neither do what is carried of dropped events, and the keys, grow old by a wrong clock.
func TestWhatStaysIsNotDiscardedByAWrongClock(t *testing.T) {
	l := newAgingLog(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	l.fill()
	discards := func() {
		t.Helper()
		_, err := Retain(t.Context(), l.s, nil, RetainOptions{Before: l.s.Head(), KeyRetention: day, EntityRetention: day})
		require.NoError(t, err)
	}
	known := func(i int) bool {
		_, key, err := l.s.findKey(fmt.Sprint("key ", i))
		require.NoError(t, err)
		require.Equal(t, key, version(t, l.s, fmt.Sprint("order:", i)) > 0)
		return key
	}
	discards()
	l.now = l.now.Add(century)
	l.open()
	l.fill()
	discards()
	require.True(t, known(0), "a century has not passed")
	l.now = l.now.Add(-century)
	l.open()
	l.fill()
	discards()
	require.True(t, known(0))
	l.now = l.now.Add(2 * day)
	l.fill()
	discards()
	require.False(t, known(0))
	require.True(t, known(l.n-1))
}

// A few years are as long as a machine may be off: but the clock says later that it was not.
func TestAClockThatWasSomeYearsAheadForAWhileMakesNothingOld(t *testing.T) {
	const ahead = 5 * 365 * day
	l := newAgingLog(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	l.fill()
	l.now = l.now.Add(ahead)
	l.fill()
	l.now = l.now.Add(time.Hour - ahead)
	l.fill()
	require.Greater(t, l.s.Now().Year(), 2033)
	report := l.drops(day)
	require.Zero(t, report.Segments)
	require.Greater(t, report.Doubted, ahead-day)
	l.now = l.now.Add(day)
	require.Positive(t, l.drops(day).Segments)
}
