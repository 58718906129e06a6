package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// unfinished begins an erasure that the files do not follow.
func unfinished(t *testing.T, s *Store, e Erasure) {
	t.Helper()
	hooks := hook(s)
	hooks.renames = func(string) error { return errors.New("no") }
	defer func() {
		s.tasks.Wait() // the rewriter may continue with other files
		hooks.renames = nil
	}()
	report, err := Erase(t.Context(), s, e)
	require.Error(t, err)
	require.NotEqual(t, uuid.Nil, report.ID)
}

// What a key knows of an erased event confirms no guess, also where the files have it still.
func TestAKeyIsNotComparedWhileAnErasureIsUnfinished(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	b := Batch{IdempotencyKey: "k", Events: eventsOf("a", "b")}
	write(t, s, b)
	other := Batch{IdempotencyKey: "l", Events: eventsOf("b")}
	write(t, s, other)
	unfinished(t, s, forgets("a"))
	_, err := s.Commit(t.Context(), b)
	var reused *IdempotencyKeyReusedError
	require.ErrorAs(t, err, &reused)
	require.True(t, reused.Erased)
	require.True(t, write(t, s, other).Duplicate)
	s = reopen(t, s)
	_, err = s.Commit(t.Context(), b)
	require.ErrorAs(t, err, &reused)
	require.True(t, reused.Erased)
}

// Who sees that something was erased sees it erased.
func TestAnErasureShowsWithItsAuditEvent(t *testing.T) {
	s := memoryLog(t)
	for i := range 40 {
		entity := fmt.Sprint("customer:", i)
		at := write(t, s, Batch{Events: []Proposal{personal(entity, 30)}}).Position()
		var group sync.WaitGroup
		group.Go(func() {
			_, err := Erase(t.Context(), s, forgets(entity))
			checkBeside(t, err)
		})
		for s.Head() == at { // until it is visible
			runtime.Gosched()
		}
		e, err := s.GetAt(t.Context(), at)
		require.NoError(t, err)
		_, erased := e.Erased()
		require.True(t, erased)
		group.Wait()
	}
}

// A context that ends while an erasure begins does not leave it for the next opening.
func TestAnErasureThatIsBeingCommittedIsNotCutShort(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	personalLog(t, s)
	s.tasks.Wait()
	before := visibleEvents(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	e := forgets("customer:7")
	e.Sides = func(context.Context, func(Position) bool) ([]SideWrite, error) {
		cancel() // the commit is next
		return nil, nil
	}
	report, err := Erase(ctx, s, e)
	require.ErrorIs(t, err, context.Canceled)
	require.NotEqual(t, uuid.Nil, report.ID)
	requireForgotten(t, before, visibleEvents(t, s), "begun")
	_, err = Erase(t.Context(), s, forgets("customer:7"))
	require.NoError(t, err)
	require.Empty(t, filesWithSecrets(t, disk, logDir))
}

// What is said of the events while the erasure begins, by one who does not know of it yet.
func TestWhatIsWrittenWhileAnErasureBeginsIsErasedToo(t *testing.T) {
	disk := vfs.NewMemory()
	s := openLog(t, disk, smallSegments(SyncAlways))
	of := write(t, s, Batch{Events: []Proposal{personal("customer:7", 30)}})
	key, calls := namedAfter(of.Position()), 0
	about := Audit("worker:w", Raw{Type: "penstock.parked", Codec: "raw", Data: []byte("failed at " + secret)})
	about.Causation = Causation{Cause: of.Events[0].ID, Depth: 1}
	e := forgets("customer:7")
	e.Sides = func(context.Context, func(Position) bool) (sides []SideWrite, err error) {
		if v, found, err := s.Side(key); found && string(v.Value) != "clean" || err != nil {
			sides = []SideWrite{{Key: key, Value: []byte("clean"), Expect: Exactly(v.Revision)}}
		}
		if calls++; calls == 1 {
			write(t, s, Batch{Events: []Proposal{about}, Sides: []SideWrite{{Key: key, Value: []byte(secret)}}})
		}
		return append(sides, SideWrite{Key: "always", Value: []byte("written")}), nil
	}
	report, err := Erase(t.Context(), s, e)
	require.NoError(t, err)
	require.Len(t, report.Events, 2)
	require.Equal(t, 2, calls)
	require.Equal(t, "clean", sideText(s, key))
	require.Empty(t, filesWithSecrets(t, disk, logDir))
	audits := all(t, s, Region{Scope: ReservedScope, Kinds: []string{AuditErased}})
	require.Len(t, audits, 2, "one of what was written meanwhile")
	report, err = Erase(t.Context(), s, e)
	require.NoError(t, err)
	require.Empty(t, report.Events)
	requireWhole(t, s)
}

// A commit that looked at events before an erasure, and says something of them, is refused after
// it.
func TestAConditionFailsWhereAnErasureWasCommitted(t *testing.T) {
	s := openLog(t, vfs.NewMemory(), smallSegments(SyncAlways))
	put(t, s, "a")
	f := fenceOf(t, s)
	stage(t, f, "staged")
	c := UnlessErased(s)
	b := Batch{Events: eventsOf("b"), Conditions: []Condition{c}}
	write(t, s, b)
	_, err := Erase(t.Context(), s, forgets("a")) // which is not visible, as its head waits
	require.NoError(t, err)
	var conflict *ConflictError
	_, err = s.Commit(t.Context(), b)
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, c, *conflict.Condition)
	b.Conditions[0] = UnlessErased(s)
	write(t, s, b)
	require.NoError(t, f.Publish(t.Context()))
	write(t, s, b)
}
