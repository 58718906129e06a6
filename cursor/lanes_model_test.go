package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

// busy is a runner to which everything that may be done with it is done, in any order.
type busy struct {
	t        *rapid.T
	st       *store.Store
	random   *rand.Rand
	worker   cursor.Worker
	runner   *cursor.Runner
	inFlight []*cursor.Task
	failed   []store.Position // waiting for a decision
	sick     map[store.Position]bool
	skipped  map[store.Position]bool
}

func (b *busy) handle(_ context.Context, batch *cursor.Batch) (cursor.Action, error) {
	for i, e := range batch.Events {
		batch.Begin(i)
		if b.sick[e.Position] && !batch.Replayed(i) {
			switch b.random.IntN(3) {
			case 0:
				panic("sick")
			case 1:
				return cursor.Continue, errBroken // names no event
			default:
				return cursor.Continue, cursor.FailedAt(i, errBroken)
			}
		}
		batch.React(i, store.At("out", "shop"), reserved{For: e.Position})
	}
	return cursor.Continue, nil
}

func (b *busy) open() {
	b.runner, b.inFlight, b.failed = trusting(b.t, b.st, b.worker), nil, nil
}

func (b *busy) append() {
	for range 1 + b.random.IntN(6) {
		at := store.At(fmt.Sprintf("in:%d", b.random.IntN(3)), "shop")
		kind := []string{"a.x", "b.x"}[b.random.IntN(2)]
		r, err := b.st.Append(b.t.Context(), at, store.Any, store.Raw{Type: kind, Data: []byte("1")})
		require.NoError(b.t, err)
		b.sick[r.Position()] = b.random.IntN(6) == 0
	}
}

func (b *busy) take() {
	_, err := b.runner.Fill(b.t.Context(), 0)
	require.NoError(b.t, err)
	task, err := b.runner.Next(b.t.Context(), 0)
	require.NoError(b.t, err)
	if task != nil {
		task.Run(b.t.Context())
		b.inFlight = append(b.inFlight, task)
	}
}

func (b *busy) giveBack() {
	if len(b.inFlight) == 0 {
		return
	}
	i := b.random.IntN(len(b.inFlight))
	task := b.inFlight[i]
	b.inFlight = slices.Delete(b.inFlight, i, i+1)
	b.runner.Finish(task)
	var failure *cursor.HandlerError
	if errors.As(task.Err(), &failure) {
		b.failed = append(b.failed, failure.First)
	}
}

func (b *busy) commit() {
	_, err := b.runner.Commit(b.t.Context())
	require.NoError(b.t, err)
}

func (b *busy) decide() {
	for _, first := range b.failed {
		if !b.runner.IsFailed(first) {
			continue
		}
		switch b.random.IntN(4) {
		case 0:
			require.NoError(b.t, b.runner.Settle(first, toPark(errBroken, 3)))
		case 1:
			if b.sick[first] {
				require.NoError(b.t, b.runner.Settle(first, toSkip(errBroken, 3)))
				b.skipped[first] = true
			}
			_ = b.runner.Settle(first, again)
		default:
			_ = b.runner.Settle(first, again)
		}
	}
	b.failed = nil
}

// settle gives everything back, so that the runner may be moved.
func (b *busy) settle() {
	for len(b.inFlight) > 0 {
		b.giveBack()
	}
	b.commit()
	b.decide()
	b.commit()
}

func (b *busy) rewind() {
	b.settle()
	to := store.Position(b.random.IntN(int(b.runner.Progress().Position) + 1))
	require.NoError(b.t, apply(b.t.Context(), b.runner, checkpoint.Rewind{To: to}))
	b.failed = nil
}

func (b *busy) widen() {
	b.settle()
	if len(b.worker.Kinds) == 0 {
		return
	}
	b.worker.Kinds = nil
	require.NoError(b.t, apply(b.t.Context(), b.runner, checkpoint.Widen{Region: b.worker.Region}))
	b.failed = nil
}

func (b *busy) replay() {
	b.settle()
	_, err := b.runner.Replay(b.t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
	require.NoError(b.t, err)
}

// heal lets everything be handled.
func (b *busy) heal() {
	b.settle()
	clear(b.sick)
	b.open()
	b.replay()
	for range 10_000 {
		out, err := b.runner.Step(b.t.Context(), 0, 0)
		require.NoError(b.t, err)
		if out.CaughtUp {
			return
		}
	}
	b.t.Fatal("never caught up")
}

func TestWithLanesEachEventEmitsOnceAndInTheOrderOfItsKey(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		st, err := storetest.Open(store.Options{Sync: store.SyncNever})
		require.NoError(t, err)
		defer st.Close()
		b := &busy{
			t: t, st: st, random: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
			sick: make(map[store.Position]bool), skipped: make(map[store.Position]bool),
		}
		b.worker = cursor.Worker{
			Name: "w", Region: store.Region{Entity: "in"}, Kinds: []string{"a.x"}, Handle: b.handle,
			Lanes: rapid.IntRange(1, 4).Draw(t, "lanes"), BatchSize: rapid.IntRange(1, 4).Draw(t, "batch size"),
		}
		b.open()
		turns := []func(){
			b.append, b.take, b.take, b.take, b.giveBack, b.giveBack, b.giveBack, b.commit, b.commit, b.decide, b.rewind,
			b.widen, b.replay, b.settle, b.open,
		}
		for range rapid.IntRange(1, 120).Draw(t, "turns") {
			turns[b.random.IntN(len(turns))]()
		}
		b.heal()
		b.check()
	})
}

func (b *busy) check() {
	var want, got []store.Position
	for e, err := range b.st.Read(b.t.Context(), store.Region{Entity: "in"}, store.Beginning()) {
		require.NoError(b.t, err)
		if (len(b.worker.Kinds) == 0 || e.Kind == "a.x") && !b.skipped[e.Position] {
			want = append(want, e.Position)
		}
	}
	last := make(map[string]store.Position)
	for e, err := range b.st.Read(b.t.Context(), store.Region{Entity: "out"}, store.Beginning()) {
		require.NoError(b.t, err)
		var r reserved
		require.NoError(b.t, e.Decode(&r))
		cause, err := b.st.GetAt(b.t.Context(), r.For)
		require.NoError(b.t, err)
		line := cause.Coordinate.Entity + " " + cause.Kind
		require.Less(b.t, last[line], r.For, "order of %s", line)
		last[line] = r.For
		if !b.skipped[r.For] {
			got = append(got, r.For)
		}
	}
	slices.Sort(got)
	require.Equal(b.t, want, got)
	info, err := checkpoint.Inspect(b.st, "w")
	require.NoError(b.t, err)
	require.Empty(b.t, info.Record.Pending)
}
