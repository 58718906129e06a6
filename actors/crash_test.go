package actors

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
	"github.com/penstock-io/penstock/supervision"
)

var errBoom = errors.New("boom")

func openMemory(t *testing.T) *store.Store {
	t.Helper()
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, st.Close()) })
	return st
}

func appendOne(t *testing.T, st *store.Store) store.Receipt {
	t.Helper()
	r, err := st.Append(t.Context(), store.At("in", "test"), store.Any, store.Raw{Type: "in.made"})
	require.NoError(t, err)
	return r
}

func fine(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }

// nested has a worker at the top and one in a group below.
func nested(h cursor.Handler) supervision.Group {
	return supervision.Group{Name: "test", Children: []supervision.Child{
		cursor.Worker{Name: "above", Region: store.Region{Entity: "in"}, Handle: fine},
		supervision.Group{Name: "sub", Children: []supervision.Child{
			cursor.Worker{Name: "w", Region: store.Region{Entity: "in"}, Handle: h},
		}},
	}}
}

func TestAPanicOfOurOwnActorsEndsTheSystemVisibly(t *testing.T) {
	for id, message := range map[string]any{
		"penstock/supervisor":          &ready{child: 99},
		"penstock/supervisor/test":     &spawn{},
		"penstock/supervisor/test/sub": &spawn{},
		"penstock/store":               &pull{},
	} {
		t.Run(id, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := openMemory(t)
				sys, err := Start(t.Context(), st, Options{}, nested(fine))
				require.NoError(t, err)
				require.NoError(t, sys.WaitApplied(t.Context(), "w", appendOne(t, st)))
				sys.actors.Root.Send(sys.actors.NewLocalPID(id), message)
				<-sys.Done()
				require.ErrorContains(t, sys.Err(), "actors: panic: runtime error")
				require.ErrorIs(t, sys.WaitApplied(t.Context(), "w", appendOne(t, st)), ErrStopped)
				require.ErrorContains(t, sys.Stop(t.Context()), "runtime error")
				for _, w := range sys.Status().Workers {
					require.Equal(t, Stopped, w.State)
				}
				time.Sleep(5 * time.Second) // dead letters of protoactor's own messages are counted for a second
			})
		})
	}
}

// bomb is a log that panics at some messages, which makes the actor that writes them panic outside any handler.
type bomb struct {
	zapcore.Core
	message string
	left    *int
}

func (b bomb) With([]zapcore.Field) zapcore.Core { return b }
func (b bomb) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.AddCore(e, b)
}

func (b bomb) Write(e zapcore.Entry, _ []zapcore.Field) error {
	if e.Message == b.message && *b.left > 0 {
		*b.left--
		panic(errBoom)
	}
	return nil
}

func TestAWorkerWhoseActorPanicsOutsideItsHandlerIsRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := openMemory(t)
		left, calls := 3, 0
		handler := func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			calls++
			if len(b.Events) > 1 || calls < 2 {
				return cursor.Continue, errBoom
			}
			return cursor.Continue, nil
		}
		core := bomb{Core: zapcore.NewNopCore(), message: "batch failed, worker halves it", left: &left}
		sys, err := Start(t.Context(), st, Options{Logger: zap.New(levelled{core})}, nested(handler))
		require.NoError(t, err)
		_, err = st.Commit(t.Context(), store.Batch{Events: []store.Proposal{
			{At: store.At("in", "test"), Payload: store.Raw{Type: "in.made"}},
			{At: store.At("in", "test"), Payload: store.Raw{Type: "in.made"}},
		}})
		require.NoError(t, err)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendOne(t, st)))
		require.Zero(t, left)
		require.Equal(t, 3, sys.Status().Workers[1].Restarts)
		require.NoError(t, sys.Stop(t.Context()))
		time.Sleep(5 * time.Second)
	})
}

// levelled enables everything.
type levelled struct{ bomb }

func (levelled) Enabled(zapcore.Level) bool { return true }

// sent is a context of an actor that only keeps what is sent.
type sent struct {
	actor.Context
	sys      *System
	messages []any
}

func (c *sent) Send(_ *actor.PID, m any) { c.messages = append(c.messages, m) }
func (c *sent) Self() *actor.PID         { return actor.NewPID("", "w") }

func (c *sent) ActorSystem() *actor.ActorSystem { return c.sys.actors }

func TestEachFailureOfAStepIsToldForWhatItIs(t *testing.T) {
	handler := func(event store.Position, size int, err error) error {
		return &cursor.HandlerError{Worker: "w", Event: event, Size: size, Err: err}
	}
	commit := func(err error) error { return &cursor.CommitError{Worker: "w", Err: err} }
	type told struct {
		event         uint64
		halt, waiting bool
	}
	for name, c := range map[string]struct {
		err  error
		want told
	}{
		"disk full":                  {commit(store.ErrDiskFull), told{waiting: true}},
		"disk full for the handler":  {handler(7, 1, store.ErrDiskFull), told{event: 7}},
		"fenced":                     {commit(&checkpoint.FencedError{ID: "w"}), told{halt: true}},
		"fenced for the handler":     {handler(7, 1, &checkpoint.FencedError{ID: "x"}), told{event: 7}},
		"closed for the handler":     {handler(7, 1, store.ErrClosed), told{event: 7}},
		"damage":                     {fmt.Errorf("read: %w", store.ErrCorrupt), told{}},
		"handler halts, unknown":     {handler(0, 16, supervision.Halt(errBoom)), told{halt: true}},
		"key":                        {&cursor.KeyError{Worker: "w", Err: errBoom}, told{halt: true}},
		"no room":                    {&cursor.ParkLimitError{Worker: "w"}, told{halt: true}},
		"handler lost its own races": {handler(7, 1, &store.ConflictError{}), told{event: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			top, workers, err := planTree(nested(fine))
			require.NoError(t, err)
			require.NotNil(t, top)
			sys := newSystem(openMemory(t), Options{Logger: zap.NewNop()}, workers)
			ctx := &sent{}
			w := newWorker(sys, workers[1], 0, 1, nil, 1, false)
			w.fail(ctx, c.err)
			require.Len(t, ctx.messages, 1)
			f := ctx.messages[0].(*failed).failure
			d, directed := supervision.DirectiveOf(f.Err)
			require.Equal(t, c.want, told{event: f.Event, halt: directed && d.Action == supervision.ActionHalt, waiting: f.NoAttempt})
		})
	}
}

// A full disk may also keep a restarted worker from its checkpoint.
func TestAWorkerThatCouldNotAcquireTriesAgainInPlace(t *testing.T) {
	_, workers, err := planTree(nested(fine))
	require.NoError(t, err)
	sys := newSystem(openMemory(t), Options{Logger: zap.NewNop()}, workers)
	ctx := &sent{}
	w := newWorker(sys, workers[1], 0, 1, nil, 0, true)
	w.retry(ctx, 0)
	require.NoError(t, ctx.messages[0].(*ready).err)
	require.NotNil(t, w.runner)

	w = newWorker(sys, workers[1], 0, 1, nil, 0, true)
	ctx.sys = sys
	w.obey(ctx, &verdict{gen: 1, action: supervision.ActionRetry, delay: time.Hour, reason: store.ErrDiskFull})
	require.Equal(t, Retrying, workers[1].cell.view().state)
	w.stop()
}

// Otherwise the attempts at its event would be remembered for ever.
func TestARestartedWorkerTellsWhatItHasPassed(t *testing.T) {
	_, workers, err := planTree(nested(fine))
	require.NoError(t, err)
	st := openMemory(t)
	sys := newSystem(st, Options{Logger: zap.NewNop()}, workers)
	w := newWorker(sys, workers[1], 0, 1, nil, 0, true)
	w.acquire(&sent{})
	w.begun = true
	w.upTo = appendOne(t, st).Position()
	w.inherit([]uint64{1, 2})
	ctx := &sent{}
	w.step(ctx)
	require.Equal(t, []any{&recovered{gen: 1}, &passed{event: 1, gen: 1}}, ctx.messages[:2])
	require.Contains(t, w.trouble, store.Position(2))
}

func TestAStepThatMeetsAFailedStoreEndsTheSystem(t *testing.T) {
	for _, cause := range []error{store.ErrClosed, store.ErrPoisoned} {
		_, workers, err := planTree(nested(fine))
		require.NoError(t, err)
		sys := newSystem(openMemory(t), Options{Logger: zap.NewNop(), KillTimeout: time.Hour}, workers)
		ctx := &sent{}
		newWorker(sys, workers[1], 0, 1, nil, 0, false).fail(ctx, &cursor.CommitError{Worker: "w", Err: cause})
		require.Empty(t, ctx.messages, "the worker is not to blame")
		require.ErrorIs(t, sys.Err(), cause)
		require.True(t, sys.isStopping())
		sys.finish(nil)
	}
}
