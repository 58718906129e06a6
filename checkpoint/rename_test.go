package checkpoint_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// busy makes a checkpoint at 5 with everything that can lie beside one: a pass, a pause, and what
// is parked and held.
func busy(t *testing.T, st *store.Store, id checkpoint.ID) *checkpoint.Lease {
	t.Helper()
	fill(t, st, 6)
	require.NoError(t, move(t, st, acquire(t, st, id, bound), 6))
	require.NoError(t, apply(t.Context(), st, id, checkpoint.Rewind{To: 4}))
	l := acquire(t, st, id, bound)
	require.NoError(t, move(t, st, l, 5))
	keep(t, st, checkpoint.Parked{Position: 1, Key: "k", Error: "broken"}.Write(id),
		checkpoint.Parked{Position: 2, Key: "k", Held: true}.Write(id),
		checkpoint.Pause{Since: time.UnixMilli(1).UTC(), Reason: "lunch", By: "ann"}.Write(id))
	return l
}

// state is all that the store keeps of a checkpoint, under whatever name.
type state struct {
	record checkpoint.Record
	pass   checkpoint.Pass
	pause  *checkpoint.Pause
	parked []checkpoint.Parked
}

func stateOf(t *testing.T, st *store.Store, id checkpoint.ID) (s state) {
	t.Helper()
	info := inspect(t, st, id)
	s.record, s.pass, s.pause = info.Record, info.Pass, info.Pause
	s.record.Formerly, s.record.Epoch, s.record.Clean = nil, 0, false
	for p, err := range checkpoint.ParkedEvents(st, id) {
		require.NoError(t, err)
		s.parked = append(s.parked, p)
	}
	return s
}

// requireNothing checks that no side value has the name of a checkpoint.
func requireNothing(t *testing.T, st *store.Store, id checkpoint.ID) {
	t.Helper()
	for _, kind := range []string{"checkpoint/", "pass/", "pause/", "parked/"} {
		for side, err := range st.Sides(kind + string(id)) {
			require.NoError(t, err)
			rest := strings.TrimPrefix(side.Key, kind+string(id))
			require.False(t, rest == "" || rest[0] == '/', "%s is left", side.Key)
		}
	}
}

func TestARenameMovesAllThatBelongsToACheckpointAndFencesItsOwner(t *testing.T) {
	for name, rename := range map[string]func(*testing.T, *store.Store){
		"by an operator": func(t *testing.T, st *store.Store) {
			out, err := checkpoint.Apply(t.Context(), st, "ship", checkpoint.Rename{To: "deliver"}, checkpoint.Request{By: "ann"})
			require.NoError(t, err)
			require.Equal(t, checkpoint.Rename{To: "ship"}, out.Undo)
			_, a := lastAudit(t, st, "deliver")
			require.Equal(t, "ann", a.By)
		},
		"by the program": func(t *testing.T, st *store.Store) {
			b := bound
			b.Formerly = []checkpoint.ID{"mail", "ship", "deliver"}
			l := acquire(t, st, "deliver", b)
			require.False(t, l.Unclean(), "it resumes as if it had had the name before")
			require.Equal(t, checkpoint.ID("ship"), l.Record().FirstName(l.ID()))
			require.NoError(t, move(t, st, l, 5))
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t)
			zombie := busy(t, st, "ship")
			busyToo := busy(t, st, "ship:2") // a neighbour
			before, neighbour := stateOf(t, st, "ship"), stateOf(t, st, "ship:2")
			epoch := inspect(t, st, "ship").Record.Epoch
			rename(t, st)

			requireNothing(t, st, "ship")
			require.Equal(t, before, stateOf(t, st, "deliver"))
			require.Len(t, before.parked, 2)
			require.False(t, before.pass.Empty())
			require.Equal(t, neighbour, stateOf(t, st, "ship:2"))
			r := inspect(t, st, "deliver").Record
			require.Equal(t, []checkpoint.ID{"ship"}, r.Formerly)
			require.Equal(t, epoch+1, r.Epoch)
			kind, a := lastAudit(t, st, "deliver")
			require.Equal(t, checkpoint.AuditRenamed, kind)
			require.Equal(t, [2]checkpoint.ID{"ship", "deliver"}, [2]checkpoint.ID{a.From, a.Worker})

			require.ErrorIs(t, move(t, st, zombie, 6), checkpoint.ErrFenced)
			requireNothing(t, st, "ship")
			require.NoError(t, move(t, st, busyToo, 6))
			again := bound
			again.Epoch = epoch
			_, err := checkpoint.Acquire(t.Context(), st, "ship", again) // one that starts again is fenced, too
			requireState(t, err, checkpoint.ErrFenced, fmt.Sprintf(`checkpoint "ship": owner of epoch %d is fenced by a newer one`, epoch))
			_, err = checkpoint.Acquire(t.Context(), st, "ship", bound)
			requireState(t, err, checkpoint.ErrRenamed, renamedText("ship", "deliver"))
			requireNothing(t, st, "ship")
		})
	}
}

// renamedText is how a name that was left is refused.
func renamedText(name, now checkpoint.ID) string {
	return fmt.Sprintf("checkpoint %q: was renamed to %q, and the former name stays with it", name, now)
}

func TestTheFirstNameAndTheAuditsStayOverManyRenames(t *testing.T) {
	st := open(t)
	fill(t, st, 3)
	acquire(t, st, "a", bound)
	name := checkpoint.ID("a")
	for i, to := range []checkpoint.ID{"b", "c", "a", "d", "b"} {
		keep := checkpoint.Audit{Worker: name, Position: store.Position(i + 1)}
		_, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{keep.Proposal(checkpoint.AuditSkipped)}})
		require.NoError(t, err)
		require.NoError(t, apply(t.Context(), st, name, checkpoint.Rename{To: to}))
		name = to
		r := inspect(t, st, name).Record
		require.Equal(t, checkpoint.ID("a"), r.FirstName(name))
		require.Equal(t, checkpoint.ID("a"), acquire(t, st, name, bound).Record().FirstName(name))
		for _, former := range []checkpoint.ID{"a", "b", "c", "d"} {
			if former != name && slices.Contains(r.Formerly, former) {
				require.ErrorIs(t, checkpoint.CheckName(st, former), checkpoint.ErrRenamed)
				_, err := checkpoint.Acquire(t.Context(), st, former, bound)
				requireState(t, err, checkpoint.ErrRenamed, renamedText(former, name))
			}
		}
		require.NoError(t, checkpoint.CheckName(st, name))
	}
	require.Equal(t, []checkpoint.ID{"a", "b", "c", "d"}, inspect(t, st, "b").Record.Formerly)
	var skipped []store.Position
	for e, err := range checkpoint.Audits(t.Context(), st, "b", 0, checkpoint.AuditSkipped) {
		require.NoError(t, err)
		var a checkpoint.Audit
		require.NoError(t, e.Decode(&a))
		skipped = append(skipped, a.Position)
	}
	require.Equal(t, []store.Position{1, 2, 3, 4, 5}, skipped, "in order, from all its names")
}

func TestAuditsAreThoseOfOneWorkerWhateverItsNeighboursAreCalled(t *testing.T) {
	st := open(t)
	for i, name := range []checkpoint.ID{"a", "a:b", "a:b:c", "b", "a", "ab"} {
		a := checkpoint.Audit{Worker: name, Position: store.Position(i)}
		_, err := st.Commit(t.Context(), store.Batch{Events: []store.Proposal{a.Proposal(checkpoint.AuditSkipped)}})
		require.NoError(t, err)
	}
	count := func(name checkpoint.ID, after store.Position, kinds ...string) (n int) {
		for e, err := range checkpoint.Audits(t.Context(), st, name, after, kinds...) {
			require.NoError(t, err)
			require.Greater(t, e.Position, after)
			n++
		}
		return n
	}
	require.Equal(t, []int{2, 1, 1, 1, 1, 0}, []int{
		count("a", 0), count("a", 1), count("a:b", 0, checkpoint.AuditSkipped), count("a:b:c", 0), count("b", 0), count("c", 0),
	})
	require.Zero(t, count("a", 0, checkpoint.AuditParked))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range checkpoint.Audits(ctx, st, "a", 0) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestANameThatIsTakenIsRefused(t *testing.T) {
	st := open(t)
	fill(t, st, 2)
	for _, name := range []checkpoint.ID{"a", "b", "c"} {
		acquire(t, st, name, bound)
	}
	rename := func(from, to checkpoint.ID) error { return apply(t.Context(), st, from, checkpoint.Rename{To: to}) }
	requireState(t, rename("a", "b"), checkpoint.ErrExists, `checkpoint "b": exists already`)
	requireState(t, rename("a", "a"), checkpoint.ErrExists, `checkpoint "a": exists already`)
	requireBadID(t, rename("a", badID))
	require.ErrorIs(t, rename("unknown", "x"), checkpoint.ErrNotFound)
	require.NoError(t, rename("b", "d"))
	requireState(t, rename("a", "b"), checkpoint.ErrExists, `checkpoint "b": is a former name of "d"`) // its effects would be mixed up
	keep(t, st, checkpoint.Parked{Position: 1}.Write("left"))
	require.ErrorIs(t, rename("a", "left"), checkpoint.ErrExists)

	b := bound
	b.Formerly = []checkpoint.ID{"c"}
	_, err := checkpoint.Acquire(t.Context(), st, "a", b)
	requireState(t, err, checkpoint.ErrExists, // which of the two it is cannot be known
		`checkpoint "a": exists, and its former name "c" does too: delete one of them`)
	b.Formerly = []checkpoint.ID{"b"}
	_, err = checkpoint.Acquire(t.Context(), st, "e", b)
	requireState(t, err, checkpoint.ErrRenamed, renamedText("b", "d")) // it does not start from scratch silently
	b.Formerly = []checkpoint.ID{badID}
	_, err = checkpoint.Acquire(t.Context(), st, "e", b)
	requireBadID(t, err)
	b.Formerly = []checkpoint.ID{"never"}
	require.Empty(t, acquire(t, st, "e", b).Record().Formerly)

	require.NoError(t, apply(t.Context(), st, "d", checkpoint.Delete{}))
	require.NoError(t, checkpoint.CheckName(st, "b"))
	acquire(t, st, "b", bound)
	kind, _ := lastAudit(t, st, "b")
	require.Equal(t, checkpoint.AuditDeleted, kind, "it finds that the first b has ended")
}

func TestNamesAreLimited(t *testing.T) {
	st := open(t)
	acquire(t, st, "0", bound)
	for i := range checkpoint.MaxFormerNames {
		require.NoError(t, apply(t.Context(), st, checkpoint.ID(fmt.Sprint(i)), checkpoint.Rename{To: checkpoint.ID(fmt.Sprint(i + 1))}))
	}
	last := checkpoint.ID(fmt.Sprint(checkpoint.MaxFormerNames))
	tooMany := store.InvalidError{
		Field: "former names", Limit: checkpoint.MaxFormerNames, Value: int64(checkpoint.MaxFormerNames + 1),
	}
	requireInvalid(t, tooMany, apply(t.Context(), st, last, checkpoint.Rename{To: "more"}))
	names := make([]checkpoint.ID, checkpoint.MaxFormerNames+1)
	for i := range names {
		names[i] = checkpoint.ID(fmt.Sprint("former ", i))
	}
	_, err := checkpoint.Acquire(t.Context(), st, "x", checkpoint.Binding{Formerly: names})
	requireInvalid(t, tooMany, err)
}

func TestAReaderWithStateBesideItsCheckpointIsNotMovedAwayFromIt(t *testing.T) {
	st := open(t)
	fill(t, st, 3)
	b := bound
	b.Stateful = true
	require.NoError(t, move(t, st, acquire(t, st, "saga", b), 2))
	for _, c := range []checkpoint.Change{
		checkpoint.Rewind{To: 1},
		checkpoint.SkipTo{To: 3},
		checkpoint.Widen{Region: store.Region{}},
	} {
		err := apply(t.Context(), st, "saga", c)
		requireState(t, err, checkpoint.ErrStateful, fmt.Sprintf(
			`checkpoint "saga": %s: its reader keeps state beside the checkpoint, which does not move along`, c))
	}
	require.NoError(t, apply(t.Context(), st, "saga", checkpoint.Rebind{Region: orders}), "it stays where it is")
}

// What a reader keeps goes by its first name, so it needs not move, and is found under no other
// name.
func TestARenameLeavesWhatIsKeptAndAResetAndADeleteRemoveIt(t *testing.T) {
	st := open(t)
	fill(t, st, 3)
	b := bound
	b.Stateful = true
	keep := func() {
		require.NoError(t, move(t, st, acquire(t, st, "saga", bound), 1))
		_, err := st.Commit(t.Context(), store.Batch{Sides: []store.SideWrite{
			{Key: checkpoint.KeptPrefix("saga") + "k", Value: []byte("v")},
			{Key: checkpoint.DuePrefix("saga") + "k", Value: []byte("v")},
			{Key: checkpoint.KeptPrefix("sagas") + "k", Value: []byte("v")},
		}})
		require.NoError(t, err)
	}
	kept := func() (n int) {
		for _, prefix := range []string{checkpoint.KeptPrefix("saga"), checkpoint.DuePrefix("saga")} {
			for _, err := range st.Sides(prefix) {
				require.NoError(t, err)
				n++
			}
		}
		return n
	}
	keep()
	require.NoError(t, apply(t.Context(), st, "saga", checkpoint.Rename{To: "other"}))
	b.Formerly = []checkpoint.ID{"other"}
	acquire(t, st, "third", b)
	require.Equal(t, 2, kept())
	require.NoError(t, apply(t.Context(), st, "third", checkpoint.Reset{}))
	require.Zero(t, kept())

	require.NoError(t, apply(t.Context(), st, "third", checkpoint.Delete{}))
	keep()
	require.NoError(t, apply(t.Context(), st, "saga", checkpoint.Rename{To: "other"}))
	require.NoError(t, apply(t.Context(), st, "other", checkpoint.Delete{}))
	require.Zero(t, kept())
	_, others, err := st.Side(checkpoint.KeptPrefix("sagas") + "k")
	require.NoError(t, err)
	require.True(t, others, "of another reader")
}

func TestAPowerCutLeavesARenameWholeOrUndone(t *testing.T) {
	t.Run("by an operator", func(t *testing.T) {
		cutRename(t, func(st *store.Store) error {
			return apply(t.Context(), st, "ship", checkpoint.Rename{To: "deliver"})
		})
	})
	t.Run("by the program", func(t *testing.T) {
		cutRename(t, func(st *store.Store) error {
			b := bound
			b.Formerly = []checkpoint.ID{"ship"}
			_, err := checkpoint.Acquire(t.Context(), st, "deliver", b)
			return err
		})
	})
}

// cutRename cuts the power at each operation of a rename.
func cutRename(t *testing.T, rename func(*store.Store) error) {
	done := 0
	for cut := 1; done < 3; cut++ { // three cuts after the last operation of the rename
		disk := storetest.NewDisk()
		st, err := disk.Open("data", store.Options{})
		require.NoError(t, err)
		busy(t, st, "ship")
		before := stateOf(t, st, "ship")
		disk.CutAt(disk.Ops() + cut)
		err = rename(st)
		_ = st.Close()
		for seed := range uint64(4) {
			st, reopened := disk.Rebooted(seed).Open("data", store.Options{})
			require.NoError(t, reopened)
			_, gone := checkpoint.Inspect(st, "ship")
			now, former := checkpoint.ID("deliver"), checkpoint.ID("ship")
			if gone == nil {
				require.Error(t, err, "what was acknowledged is there")
				now, former = former, now
			}
			requireNothing(t, st, former)
			require.Equal(t, before, stateOf(t, st, now))
			require.NoError(t, st.Close())
		}
		if err == nil {
			done++
		}
	}
}
