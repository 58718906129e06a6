package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

func sideLaws() []law {
	const about = "side value"
	return []law{
		{about: about, says: "a side value takes no position and is in no region", test: sidesAreAside},
		{about: about, says: "a revision that does not hold is a conflict with the actual one", test: sideExpectations},
		{about: about, says: "values are listed by key", test: sidesAreListed},
		{about: about, says: "no increment by compare-and-set is lost", test: sidesCount},
		{about: about, says: "revisions are never used again over a reopening", needs: needsReopen, test: revisionsOverReopening},
		{about: about, says: "revisions are never used again over a crash", needs: needsCrash, test: revisionsOverCrash},
	}
}

// set writes a side value, or deletes it.
func (x *scene) set(w store.SideWrite) (store.Receipt, error) {
	return x.Writer.Commit(x.ctx, store.Batch{Sides: []store.SideWrite{w}})
}

// side requires what a side value is: of revision 0 there is none.
func (x *scene) side(key, value string, revision uint64) {
	x.Helper()
	v, found, err := x.Reader.Side(key)
	require.NoError(x, err)
	require.Equal(x, revision != 0, found)
	require.Equal(x, revision, v.Revision)
	require.Equal(x, value, string(v.Value))
}

func sidesAreAside(x *scene) {
	x.append("a")
	for i := range 5 {
		r, err := x.set(store.SideWrite{Key: "a", Value: []byte{byte(i)}})
		require.NoError(x, err)
		require.Empty(x, r.Events)
		lazy, err := x.Writer.Commit(x.ctx, store.Batch{Lazy: true, Sides: []store.SideWrite{{Key: "b"}}})
		require.NoError(x, err)
		require.Greater(x, lazy.Sequence, r.Sequence)
		require.NotEqual(x, store.SyncAlways, lazy.Sync, "a lazy commit promises less")
		x.side("b", "", lazy.Sequence)
	}
	require.Equal(x, store.Position(1), x.Reader.Head())
	require.Equal(x, []store.Position{1}, x.positions(store.Region{}))
	require.Equal(x, store.Position(2), x.append("a").Position())
	both := x.commit(store.Batch{Events: eventsAt("a"), Sides: []store.SideWrite{{Key: "a", Value: []byte("v")}}})
	x.side("a", "v", both.Sequence)
	require.Equal(x, store.Position(3), both.Position())
}

func sideExpectations(x *scene) {
	x.append("filler") // so that revisions and versions differ
	conflict := func(expect store.Expect, actual uint64) {
		x.Helper()
		_, err := x.set(store.SideWrite{Key: "k", Value: []byte("no"), Expect: expect})
		refused(x, &store.ConflictError{SideKey: "k", Expected: expect, Actual: actual}, err)
	}
	conflict(store.Exactly(1), 0)
	first, err := x.set(store.SideWrite{Key: "k", Value: []byte("1"), Expect: store.Absent})
	require.NoError(x, err)
	x.side("k", "1", first.Sequence)
	conflict(store.Absent, first.Sequence)
	conflict(store.Exactly(first.Sequence+1), first.Sequence)
	second, err := x.set(store.SideWrite{Key: "k", Value: []byte("2"), Expect: store.Exactly(first.Sequence)})
	require.NoError(x, err)
	require.Greater(x, second.Sequence, first.Sequence)
	conflict(store.Exactly(first.Sequence), second.Sequence)
	x.side("k", "2", second.Sequence)
	_, err = x.set(store.SideWrite{Key: "k", Delete: true, Expect: store.Exactly(first.Sequence)})
	refused(x, &store.ConflictError{SideKey: "k", Expected: store.Exactly(first.Sequence), Actual: second.Sequence}, err)
	_, err = x.set(store.SideWrite{Key: "k", Delete: true, Expect: store.Exactly(second.Sequence)})
	require.NoError(x, err)
	x.side("k", "", 0)
	conflict(store.Exactly(second.Sequence), 0)
	third, err := x.set(store.SideWrite{Key: "k", Value: []byte("3"), Expect: store.Absent})
	require.NoError(x, err)
	x.side("k", "3", third.Sequence)
}

func sidesAreListed(x *scene) {
	want := make(map[string]string)
	for i, key := range []string{"b/2", "a", "b/1", "c", "b", "b/10", "d"} {
		want[key] = string(make([]byte, i*300))
		_, err := x.set(store.SideWrite{Key: key, Value: []byte(want[key])})
		require.NoError(x, err)
	}
	_, err := x.set(store.SideWrite{Key: "d", Delete: true})
	require.NoError(x, err)
	keys := func(all []store.SideValue, err error) (keys []string) {
		x.Helper()
		require.NoError(x, err)
		for _, v := range all {
			require.Equal(x, want[v.Key], string(v.Value))
			keys = append(keys, v.Key)
		}
		return keys
	}
	require.Equal(x, []string{"a", "b", "b/1", "b/10", "b/2", "c"}, keys(collect(x.Reader.Sides(""))))
	require.Equal(x, []string{"b/1", "b/10", "b/2"}, keys(collect(x.Reader.Sides("b/"))))
	require.Equal(x, []string{"b", "b/1", "b/10", "b/2"}, keys(collect(x.Reader.SideRange("b", "c", 0))))
	require.Equal(x, []string{"b", "b/1"}, keys(collect(x.Reader.SideRange("aa", "", 2))))
	require.Empty(x, keys(collect(x.Reader.SideRange("c", "c", 0))))
	require.Empty(x, keys(collect(x.Reader.Sides("e"))))
	_, err = collect(x.Reader.SideRange("", "", -1))
	require.ErrorIs(x, err, store.ErrInvalid)
}

func sidesCount(x *scene) {
	const callers, increments = 4, 15
	require.NoError(x, inParallel(callers, func(int) error {
		for done := 0; done < increments; {
			v, found, err := x.Reader.Side("counter")
			if err != nil {
				return err
			}
			n, expect := 0, store.Absent
			if found {
				expect = store.Exactly(v.Revision)
				if n, err = strconv.Atoi(string(v.Value)); err != nil {
					return err
				}
			}
			runtime.Gosched() // others count meanwhile
			_, err = x.set(store.SideWrite{Key: "counter", Value: []byte(strconv.Itoa(n + 1)), Expect: expect})
			if err == nil {
				done++
			} else if !errors.Is(err, store.ErrConflict) {
				return err
			}
		}
		return nil
	}))
	v, _, err := x.Reader.Side("counter")
	require.NoError(x, err)
	require.Equal(x, fmt.Sprint(callers*increments), string(v.Value))
}

func revisionsOverReopening(x *scene) {
	last := uint64(0)
	for range 3 {
		for _, w := range []store.SideWrite{{Key: "a", Value: []byte("v")}, {Key: "b"}, {Key: "b", Delete: true}} {
			r, err := x.set(w)
			require.NoError(x, err)
			require.Greater(x, r.Sequence, last)
			last = r.Sequence
		}
		x.reopen()
		x.side("b", "", 0)
		x.side("a", "v", last-2)
	}
}

func revisionsOverCrash(x *scene) {
	last := uint64(0)
	for range 3 {
		for lazy := range 4 {
			r, err := x.Writer.Commit(x.ctx, store.Batch{Lazy: lazy > 1, Sides: []store.SideWrite{{Key: "a"}}})
			require.NoError(x, err)
			require.Greater(x, r.Sequence, last, "a revision of before the crash comes again")
			last = r.Sequence
		}
		x.take(x.Crash(x))
	}
}
