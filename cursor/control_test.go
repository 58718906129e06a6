package cursor_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// What is pending would count as done if the runner wrote its position while it does not have it.
func TestWhereTheResultOfAChangeCannotBeReadNothingIsHandledOrWrittenBeforeItCan(t *testing.T) {
	st := open(t)
	keyed(t, st, "a", "b")
	var broken, failed bool
	w := cursor.Worker{
		Region: orders, Lanes: 2, BatchSize: 1,
		Key: func(e store.Event) string {
			if broken {
				panic("no key")
			}
			return e.Coordinate.Entity
		},
		Handle: func(ctx context.Context, b *cursor.Batch) (cursor.Action, error) {
			if b.Events[0].Position == 1 && !failed {
				failed = true
				return cursor.Continue, errBroken
			}
			return reactAll(ctx, b)
		},
	}
	r := runner(t, st, w)
	_, err := r.Fill(t.Context(), 0)
	require.NoError(t, err)
	for range 2 {
		task, err := r.Next(t.Context(), 0)
		require.NoError(t, err)
		task.Run(t.Context())
		r.Finish(task)
	}
	_, err = r.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, []store.Position{1}, record(t, st, "reserve").Pending)

	broken = true
	_, err = r.Apply(t.Context(), checkpoint.Rebind{Region: store.Region{Entity: "order", Scope: "shop"}}, checkpoint.Request{})
	require.NoError(t, err, "the change is made")
	_, err = r.Fill(t.Context(), 0)
	require.ErrorIs(t, err, cursor.ErrKey)
	_, err = r.Next(t.Context(), 0)
	require.ErrorIs(t, err, cursor.ErrKey)
	_, err = r.Step(t.Context(), 0, 0)
	require.ErrorIs(t, err, cursor.ErrKey)
	_, err = r.Commit(t.Context())
	require.ErrorIs(t, err, cursor.ErrKey)
	require.ErrorIs(t, r.Pause(t.Context(), time.Time{}, checkpoint.Request{}), cursor.ErrKey)
	require.ErrorIs(t, r.Close(t.Context()), cursor.ErrKey)
	require.Equal(t, []store.Position{1}, record(t, st, "reserve").Pending)

	broken = false
	drain(t, r)
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, []store.Position{2, 1}, reactions(t, st))
	require.Empty(t, record(t, st, "reserve").Pending)
}

func TestAResumeOfAWorkerThatIsNotPausedWritesNothing(t *testing.T) {
	st := open(t)
	r := runner(t, st, cursor.Worker{Region: orders, Handle: reactAll})
	head, side := st.Head(), record(t, st, "reserve")
	require.NoError(t, r.Resume(t.Context(), checkpoint.Request{Reason: "none"}))
	require.Equal(t, head, st.Head())
	require.Equal(t, side, record(t, st, "reserve"))
	require.NoError(t, r.Pause(t.Context(), time.Time{}, checkpoint.Request{}))
	head = st.Head()
	require.NoError(t, r.Resume(t.Context(), checkpoint.Request{}))
	require.Equal(t, head+1, st.Head())
	info, err := checkpoint.Inspect(st, "reserve")
	require.NoError(t, err)
	require.Nil(t, info.Pause)
}

func TestAReaderWithRoutesIsNotBoundToKindsWithoutOne(t *testing.T) {
	st := open(t)
	fill(t, st, 3, 0)
	w := cursor.Worker{Name: "reserve", Kinds: []string{placed{}.Kind()}, Handle: reactAll}.
		With(cursor.Settings{Region: store.Region{Entity: "order", Scope: "shop"}})
	r := runner(t, st, w)
	drain(t, r)
	before := record(t, st, "reserve")
	both := []string{placed{}.Kind(), cancelled{}.Kind()}
	for _, c := range []checkpoint.Change{
		checkpoint.Widen{Region: orders},
		checkpoint.Widen{Region: orders, Kinds: both},
		checkpoint.Widen{Region: store.Region{Entity: "order", Category: "order"}},
		checkpoint.Rebind{Region: orders},
		checkpoint.Rebind{Region: orders, Kinds: both},
	} {
		_, err := r.Apply(t.Context(), c, checkpoint.Request{})
		require.ErrorIs(t, err, cursor.ErrWorker, c)
		require.ErrorIs(t, err, store.ErrInvalid, c)
		require.Equal(t, before, record(t, st, "reserve"), c)
	}
	require.NoError(t, apply(t.Context(), r, checkpoint.Widen{Region: orders, Kinds: w.Kinds}))
	drain(t, r)
	require.Equal(t, []store.Position{1, 2, 3}, reactions(t, st))
}
