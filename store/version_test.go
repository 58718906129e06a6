package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// version returns the version of an entity and fails on an error.
func version(t *testing.T, s *Store, entity string) uint64 {
	t.Helper()
	v, err := s.Version(t.Context(), entity)
	require.NoError(t, err)
	return v
}

func TestTheVersionOfAnEntityCountsItsEventsInAllScopesAndNotThoseBelowIt(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	require.Zero(t, version(t, s, "order"))
	for _, entity := range []string{"order", "order:1", "order", "order:1:x", "orders"} {
		_, err := s.Append(t.Context(), At(entity, fmt.Sprint("scope ", s.Head())), Any, note{})
		require.NoError(t, err)
	}
	grow(t, s, 4)
	for range 2 {
		for entity, want := range map[string]uint64{
			"order": 2, "order:1": 1, "order:1:x": 1, "orders": 1, "orde": 0, "order:": 0,
		} {
			require.Equal(t, want, version(t, s, entity), entity)
		}
		s = reopen(t, s)
	}
}

func TestTheVersionOfWhatCannotBeAnEntityIsAnError(t *testing.T) {
	s := memoryLog(t)
	for entity, want := range map[string]InvalidError{
		"":                       {Field: "entity", Rule: "must not be empty"},
		"a\nb":                   {Field: "entity", Rule: "must not hold control characters", Value: "a\nb"},
		"\xff":                   {Field: "entity", Rule: "must be UTF-8", Value: "\xff"},
		long(MaxEntityBytes + 1): {Field: "entity bytes", Limit: MaxEntityBytes, Value: int64(MaxEntityBytes + 1)},
	} {
		_, err := s.Version(t.Context(), entity)
		require.Equal(t, &want, err)
	}
}

func TestTheVersionStaysThatOfTheHeadWhileAGroupIsBeingSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		put(t, s, "a")
		put(t, s, "a")
		gate.shut.Store(true)
		t.Cleanup(gate.open)
		hidden := async(t.Context(), s, Batch{Events: eventsOf("a", "a", "a:1", "new", "a")})
		synctest.Wait()
		pending(t, hidden)
		require.Equal(t, uint64(2), version(t, s, "a"))
		require.Zero(t, version(t, s, "new"))
		require.Zero(t, version(t, s, "a:1"))
		gate.open()
		require.NoError(t, (<-hidden).err)
		require.Equal(t, uint64(5), version(t, s, "a"))
		require.Equal(t, uint64(1), version(t, s, "new"))
	})
}

func TestTheVersionIsTheVisibleOneAlsoInTheFirstGroupAfterAReopenOrARollover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, smallSegments(SyncAlways))
		put(t, s, "a")
		s = reopen(t, s)
		for _, prepare := range []func(){func() {}, func() { grow(t, s, s.Stats().Segments+1) }} {
			prepare()
			synctest.Wait() // until the next segment is made and the last is sealed
			before := version(t, s, "a")
			gate.shut.Store(true)
			hidden := async(t.Context(), s, Batch{Events: eventsOf("a", "a")})
			synctest.Wait()
			pending(t, hidden)
			require.Equal(t, before, version(t, s, "a"))
			gate.shut.Store(false)
			gate.step()
			require.NoError(t, (<-hidden).err)
			require.Equal(t, before+2, version(t, s, "a"))
		}
	})
}

func TestTheVersionAfterAFailedWriteIsThatOfWhatIsVisible(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	put(t, s, "a")
	disk.FailAt(disk.Ops()+1, errors.New("broken"))
	_, err := s.Commit(t.Context(), Batch{Events: eventsOf("a", "b")})
	require.ErrorIs(t, err, ErrPoisoned)
	require.Equal(t, uint64(1), version(t, s, "a"))
	require.Zero(t, version(t, s, "b"))
}

func TestVersionBesideWritersIsAlwaysThatOfAHead(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncNever))
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last uint64
			for ctx.Err() == nil {
				v, err := s.Version(t.Context(), "a")
				if err != nil || v < last || v%3 != 0 {
					t.Errorf("version %d after %d: %v", v, last, err) // a batch holds three: no reader may see a part of it
					return
				}
				last = v
			}
		})
	}
	for i := range uint64(3000) {
		b := Batch{Events: eventsOf("a", "b", "a", "a")}
		b.Events[1].Payload = Raw{Type: "filler", Data: make([]byte, i%512)}
		write(t, s, b)
		require.Equal(t, 3*(i+1), version(t, s, "a"), "what was acknowledged counts")
	}
	cancel()
	readers.Wait()
	require.Greater(t, s.Stats().Segments, 3)
}

func TestAReadOnlyStoreKnowsTheVersionAsOfItsHead(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	put(t, s, "a")
	o := s.options
	o.ReadOnly = true
	reader := openLog(t, disk, o)
	for i := range uint64(5) {
		require.Equal(t, i+1, version(t, reader, "a"))
		put(t, s, "a")
		grow(t, s, s.Stats().Segments+int(i%2))
	}
}

func TestAReadOnlyStoreShowsNothingThatItsWriterDoesNotVouchFor(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	put(t, s, "a")
	o := s.options
	o.ReadOnly = true
	reader := openLog(t, disk, o)
	put(t, s, "a")
	put(t, s, "b")
	for range 2 {
		// As if no writer had been there when it began to read.
		sure, err := reader.follower.extend(reader, limit{})
		require.NoError(t, err)
		require.False(t, sure)
		for entity, want := range map[string]uint64{"a": 1, "b": 0} {
			last, err := reader.lastOfEntity(entity, &reader.head)
			require.NoError(t, err)
			require.Equal(t, want, last.Version, entity)
		}
		put(t, s, "a")
	}
	require.Equal(t, uint64(4), version(t, reader, "a"))
	require.Equal(t, uint64(1), version(t, reader, "b"))
}

// What is taken in at once may be visible in part: up to the first event of a fence.
func TestTheVersionIsThatOfTheHeadWhereAFenceDividesAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := newSyncGate()
		s := openLog(t, gate, Options{})
		f := fenceOf(t, s)
		put(t, s, "a")
		gate.shut.Store(true)
		first := async(t.Context(), s, Batch{Events: eventsOf("x")})
		synctest.Wait()
		before := async(t.Context(), s, Batch{Events: eventsOf("a", "b")})
		synctest.Wait()
		staged := make(chan error)
		go func() {
			_, err := f.Stage(t.Context(), Batch{Events: eventsOf("y")})
			staged <- err
		}()
		synctest.Wait()
		after := async(t.Context(), s, Batch{Events: eventsOf("a", "b")})
		synctest.Wait()
		gate.open()
		for _, answered := range []<-chan answer{first, before, after} {
			require.NoError(t, (<-answered).err)
		}
		require.NoError(t, <-staged)
		require.Equal(t, Position(4), s.Head())
		require.Equal(t, uint64(2), version(t, s, "a"))
		require.Equal(t, uint64(1), version(t, s, "b"))
		require.NoError(t, f.Cancel(t.Context()))
		require.Equal(t, uint64(3), version(t, s, "a"))
		require.Equal(t, uint64(2), version(t, s, "b"))
	})
}

func TestTheVersionInAReadOnlyStoreIsThatOfTheHeadWhereAFenceDividesWhatItCatchesUpWith(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, Options{})
	put(t, s, "a")
	reader := openLog(t, disk, Options{ReadOnly: true})
	require.Equal(t, uint64(1), version(t, reader, "a"))
	f := fenceOf(t, s)
	write(t, s, Batch{Events: eventsOf("a", "b")})
	stage(t, f, "y")
	write(t, s, Batch{Events: eventsOf("a", "b")})
	require.Equal(t, uint64(2), version(t, reader, "a"))
	require.Equal(t, uint64(1), version(t, reader, "b"))
	require.NoError(t, f.Publish(t.Context()))
	require.Equal(t, uint64(3), version(t, reader, "a"))
}
