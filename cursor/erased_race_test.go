package cursor_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// errorRace is a worker whose handler quotes events in its errors, and erasures in between.
type errorRace struct {
	t      *testing.T
	dice   *rand.Rand
	dir    string
	st     *store.Store
	w      cursor.Worker
	r      *cursor.Runner
	gone   map[string]uint64 // the version that an entity had when it was erased last
	erases bool              // an erasure is under way
	erased int
	parked int
}

func newErrorRace(t *testing.T, seed uint64) *errorRace {
	t.Helper()
	x := &errorRace{t: t, dice: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir(), gone: make(map[string]uint64)}
	st, err := store.Open(x.dir, store.Options{Sync: store.SyncNever, SegmentBytes: 64 << 10})
	require.NoError(t, err)
	x.st = st
	x.w = cursor.Worker{
		Name: "reserve", Region: orders, BatchSize: 1 + x.dice.IntN(3), Lanes: 1 + x.dice.IntN(2)*3, Erased: x.dice.IntN(2) == 0,
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				if _, erased := e.Erased(); !erased && x.dice.IntN(2) == 0 {
					return cursor.Continue, cursor.FailedAt(i, errors.New("cannot "+quoted(e.Coordinate.Entity, e.Version)))
				}
				react(b, i)
			}
			return cursor.Continue, nil
		},
	}
	x.start()
	return x
}

func quoted(entity string, version uint64) string { return fmt.Sprintf("<%s/%d>", entity, version) }

func (x *errorRace) start() {
	x.r = trusting(x.t, x.st, x.w)
	cursor.AfterLook(x.r, func() {
		if x.dice.IntN(3) == 0 {
			x.erase(false)
		}
	})
}

// erase erases an entity. What handlers said of it is in no file from then on. If the runner is not
// in the middle of a commit, it may commit what has failed just after that was looked for.
func (x *errorRace) erase(mayCommit bool) {
	if x.erases {
		return
	}
	x.erases = true
	defer func() { x.erases = false }()
	entity := fmt.Sprint("order:", x.dice.IntN(4))
	version, err := x.st.Version(x.t.Context(), entity)
	require.NoError(x.t, err)
	if version == 0 {
		return
	}
	find, calls := checkpoint.ErasedSides(x.st), 0
	_, err = store.Erase(x.t.Context(), x.st, store.Erasure{
		Entity: entity, Reason: "asked for", By: "an officer",
		Sides: func(ctx context.Context, erased func(store.Position) bool) ([]store.SideWrite, error) {
			found, err := find(ctx, erased)
			if calls++; calls == 1 && mayCommit {
				_, err := x.r.Commit(ctx)
				require.NoError(x.t, err)
			}
			return found, err
		},
	})
	require.NoError(x.t, err)
	x.gone[entity] = version
	x.erased++
	x.check()
}

func (x *errorRace) check() {
	all := inFiles(x.t, x.dir)
	for entity, n := range x.gone {
		for v := uint64(1); v <= n; v++ {
			require.NotContains(x.t, all, quoted(entity, v))
		}
	}
}

func (x *errorRace) step() {
	switch x.dice.IntN(12) {
	case 0, 1, 2:
		keyed(x.t, x.st, fmt.Sprint(x.dice.IntN(4)), fmt.Sprint(x.dice.IntN(4)))
	case 3:
		x.erase(true)
	case 4:
		_, err := x.r.Replay(x.t.Context(), cursor.ParkedFilter{All: true}, checkpoint.Request{})
		require.NoError(x.t, err)
	case 5:
		if list := parkedIn(x.t, x.st); len(list) > 0 {
			err := discard(x.t.Context(), x.r, list[x.dice.IntN(len(list))].Position)
			require.True(x.t, err == nil || errors.Is(err, cursor.ErrNotParked), "%v", err)
		}
	case 6:
		_, err := x.r.Commit(x.t.Context())
		require.NoError(x.t, err)
		x.start()
	default:
		x.handle()
	}
	x.parked = max(x.parked, len(parkedIn(x.t, x.st)))
	require.NoError(x.t, cursor.CheckParked(x.r))
}

// handle takes a step and carries out a verdict on what has failed.
func (x *errorRace) handle() {
	_, err := x.r.Step(x.t.Context(), 0, 0)
	var failed *cursor.HandlerError
	if !errors.As(err, &failed) {
		require.NoError(x.t, err)
		return
	}
	verdict := []supervision.Verdict{again, toPark(err, 1), toPark(err, 1), toSkip(err, 1)}[x.dice.IntN(4)]
	if x.dice.IntN(4) == 0 {
		x.erase(true)
	}
	require.NoError(x.t, x.r.Settle(failed.First, verdict))
	if x.dice.IntN(2) == 0 {
		x.erase(true)
	}
}

// Erasures at any time: while something is parked, skipped, replayed or discarded, just before that
// is committed, and with a commit between the search of an erasure and its own.
func TestNoErrorOutlivesTheErasureOfWhatItQuotes(t *testing.T) {
	erased, parked := 0, 0
	for seed := range uint64(12) {
		x := newErrorRace(t, seed)
		for range 60 {
			x.step()
		}
		_, err := x.r.Commit(t.Context())
		require.NoError(t, err)
		x.check()
		require.NoError(t, x.st.Close())
		erased, parked = erased+x.erased, parked+x.parked
	}
	require.Positive(t, erased)
	require.Positive(t, parked)
	t.Logf("%d erasures, %d events parked at once", erased, parked)
}
