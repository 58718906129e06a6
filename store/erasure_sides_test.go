package store

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// Each of them alone makes a segment one that is rewritten: it has no event of the customer.
func TestWhatSideValuesSaidBeforeIsErasedInWhateverSegmentItLies(t *testing.T) {
	named, given := namedAfter(1), "profile/7"
	set := func(key, value string) SideWrite { return SideWrite{Key: key, Value: []byte(value)} }
	long := fmt.Sprintf("%s%0100d", secret, 7) // longer than what the memory keeps
	for name, writes := range map[string][]SideWrite{
		"superseded":          {set(named, secret), set(named, "new")},
		"superseded and long": {set(named, long), set(named, "new")},
		"deleted":             {set(named, secret), {Key: named, Delete: true}},
		"present":             {set(given, secret)},
		"present and long":    {set(given, long)},
		"both":                {set(given, long), set(named, long), set(named, "new")},
	} {
		for _, place := range []string{"sealed", "active", "apart"} {
			t.Run(name+"/"+place, func(t *testing.T) {
				disk := vfs.NewMemory()
				s := openLog(t, disk, smallSegments(SyncAlways))
				write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
				grow(t, s, 3)
				for _, w := range writes {
					write(t, s, Batch{Sides: []SideWrite{w}})
					if place == "apart" {
						grow(t, s, s.Stats().Segments+1)
					}
				}
				if place != "active" {
					grow(t, s, s.Stats().Segments+1)
				}
				e := forgets("customer:7")
				e.Sides = func(_ context.Context, erased func(Position) bool) ([]SideWrite, error) {
					require.True(t, erased(1))
					require.False(t, erased(2))
					return []SideWrite{set(given, "redacted")}, nil
				}
				_, err := Erase(t.Context(), s, e)
				require.NoError(t, err)
				require.Empty(t, filesWithSecrets(t, disk, logDir))
				require.Equal(t, "redacted", sideText(s, given))
				s = reopen(t, s)
				require.Equal(t, "redacted", sideText(s, given))
				requireWhole(t, s)
			})
		}
	}
}

// A worker keeps what it schedules in a side value, named after the event that it reacts to. What
// it then writes has a cause, and may be all that is erased.
func TestWhatAnEventWasBeforeItWasWrittenIsErasedWithIt(t *testing.T) {
	for _, place := range []string{"sealed", "active"} {
		for _, crash := range []bool{false, true} {
			t.Run(fmt.Sprint(place, "/", crash), func(t *testing.T) {
				disk := vfs.NewMemory()
				s := openLog(t, disk, smallSegments(SyncAlways))
				cause := write(t, s, Batch{Events: []Proposal{crashProposal("order:1", 1, 30), crashProposal("order:2", 1, 30)}}).Events
				draft := namedAfter(1)
				write(t, s, Batch{Sides: []SideWrite{{Key: draft, Value: []byte(secret)}, {Key: namedAfter(2), Value: []byte("b")}}})
				if place == "sealed" {
					grow(t, s, 3)
				}
				reminder := personal("customer:7", 30)
				reminder.Causation, reminder.Emitter = Causation{Cause: cause[0].ID, Depth: 1}, &Emitter{Worker: "w", Epoch: 1}
				write(t, s, Batch{Events: []Proposal{reminder}, Sides: []SideWrite{{Key: draft, Delete: true}, {Key: namedAfter(2), Value: []byte("c")}}})
				if place == "sealed" {
					grow(t, s, s.Stats().Segments+1)
				}
				e := forgets("customer:7")
				if crash {
					unfinished(t, s, e)
					s = reopen(t, s)
				}
				_, err := Erase(t.Context(), s, e)
				require.NoError(t, err)
				require.Empty(t, filesWithSecrets(t, disk, logDir))
				require.Equal(t, "c", sideText(s, namedAfter(2)))
				requireWhole(t, reopen(t, s))
			})
		}
	}
}

func TestAnErrorOfSidesLeavesEverythingAsItWas(t *testing.T) {
	s := memoryLog(t)
	put(t, s, "a")
	failed := errors.New("no")
	for _, sides := range [][]SideWrite{nil, {{Key: "fence/1"}}, {{Key: "a"}, {Key: "a"}}} {
		e := forgets("a")
		e.Sides = func(context.Context, func(Position) bool) ([]SideWrite, error) {
			if sides == nil {
				return nil, failed
			}
			return sides, nil
		}
		_, err := Erase(t.Context(), s, e)
		require.True(t, errors.Is(err, failed) || errors.Is(err, ErrInvalid), "%v", err)
	}
	require.EqualValues(t, 1, s.Head())
}

// What a crash brought back of files that were replaced is gone when an erasure is finished.
func TestFilesThatCountNoMoreAreGoneWhenAnErasureIsFinished(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	for i := range 3 { // become one
		write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
		checkpoints(t, s, i, 200, 1, 600)
	}
	s.tasks.Wait()
	merged := (*s.segments.Load())[0]
	require.Greater(t, merged.last, merged.number)
	for _, name := range []string{segmentName(merged.last), idxName(merged.number), segmentName(merged.number) + rewrittenSuffix} {
		file, err := s.dir.Create(name)
		require.NoError(t, err)
		_, err = file.WriteAt([]byte(secret), 0)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	_, err := Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	requireWhole(t, reopen(t, s))
}

// A value that is written all the time is superseded in each segment that becomes the active one,
// and what it is since the erasure is not to go.
func TestAnErasureEndsThoughASideValueOfItIsWrittenAllTheTime(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	again := func(value string) {
		for range 2 {
			write(t, s, Batch{Sides: []SideWrite{{Key: "k", Value: []byte(value)}}})
		}
	}
	write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
	again(secret)
	e := forgets("customer:7")
	e.Sides = func(context.Context, func(Position) bool) ([]SideWrite, error) {
		return []SideWrite{{Key: "k", Value: []byte("redacted")}}, nil
	}
	unfinished(t, s, e)
	r := openLog(t, disk, Options{ReadOnly: true})
	require.NotZero(t, s.erasing.pending()[0].revision)
	require.Equal(t, s.erasing.pending()[0].revision, r.erasing.pending()[0].revision)
	require.NoError(t, r.Close())

	segments := s.Stats().Segments
	hooks := hook(s)
	hooks.renamed = func() {
		hooks.renamed = nil
		again("since")
	}
	_, err := Erase(t.Context(), s, e)
	require.NoError(t, err)
	require.Nil(t, hooks.renamed)
	require.Equal(t, segments, s.Stats().Segments, "nothing that was written since is sealed for it")
	require.NoError(t, s.Stats().Erasing)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	requireWhole(t, s)
}
