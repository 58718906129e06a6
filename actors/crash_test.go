package actors

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
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
		"penstock/supervisor": (*report)(nil),
		"penstock/store":      &pull{},
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

// bomb is a log that panics at some messages, so that the actor that writes them panics outside any
// handler.
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

// A logger is the program's. One that panics must neither end the process nor keep the system from
// ending.
func TestASystemEndsVisiblyAlsoWhereItsLoggerPanicsMeanwhile(t *testing.T) {
	for _, message := range []string{"[ACTOR] Recovering", "actor panicked", "system fails"} {
		t.Run(message, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st, left := openMemory(t), 1
				core := bomb{Core: zapcore.NewNopCore(), message: message, left: &left}
				sys, err := Start(t.Context(), st, Options{Logger: zap.New(levelled{core})}, nested(fine))
				require.NoError(t, err)
				began := time.Now()
				sys.actors.Root.Send(sys.actors.NewLocalPID("penstock/supervisor"), (*report)(nil))
				<-sys.Done()
				require.Zero(t, time.Since(began))
				require.True(t, sys.isStopping(), "no worker begins another batch")
				require.Zero(t, left)
				require.ErrorContains(t, sys.Stop(t.Context()), "actors: panic: runtime error")
				for _, w := range sys.Status().Workers {
					require.Equal(t, Stopped, w.State)
				}
				time.Sleep(5 * time.Second)
			})
		})
	}
}

// levelled enables everything.
type levelled struct{ bomb }

func (levelled) Enabled(zapcore.Level) bool { return true }

// sent is the context of an actor that records what it sends.
type sent struct {
	actor.Context
	sys      *System
	messages []any
}

func (c *sent) Send(_ *actor.PID, m any) { c.messages = append(c.messages, m) }
func (c *sent) Self() *actor.PID         { return actor.NewPID("", "w") }

func (c *sent) ActorSystem() *actor.ActorSystem { return c.sys.actors }

// restarted makes worker 1 of a tree without its actor, as an incarnation that is not the first.
func restarted(t *testing.T, failing ...drive.Failing) (*worker, *sent) {
	_, workers, err := planTree(nested(fine))
	require.NoError(t, err)
	sys := newSystem(openMemory(t), Options{Logger: zap.NewNop(), KillTimeout: time.Hour}, nil, workers)
	w := newWorker(sys, workers[1], drive.Effect{Kind: drive.Spawn, Leaf: 1, Gen: 1, Later: true, Failing: failing})
	return w, &sent{sys: sys}
}

// A full disk may also prevent a restarted worker from acquiring its checkpoint.
func TestAWorkerThatCouldNotAcquireTriesAgainInPlace(t *testing.T) {
	w, ctx := restarted(t)
	w.core.Refused(store.ErrDiskFull)
	w.turn(ctx)
	require.ErrorIs(t, ctx.messages[0].(*report).update.Err, store.ErrDiskFull)
	require.Nil(t, w.baton.Runner)

	w.happened(ctx, &decision{incarnation: w.id, Decision: drive.Decision{
		Serial: 1, Action: supervision.ActionRetry, Delay: time.Hour, Reason: store.ErrDiskFull,
	}})
	w.turn(ctx)
	require.Equal(t, Retrying, w.node.published.view().state)
	require.Nil(t, w.baton.Runner)

	w.core.Refused(store.ErrDiskFull)
	w.happened(ctx, &decision{incarnation: w.id, Decision: drive.Decision{
		Serial: 2, Action: supervision.ActionRetry, Reason: store.ErrDiskFull,
	}})
	w.turn(ctx)
	require.NoError(t, ctx.messages[2].(*report).update.Err)
	require.NotNil(t, w.baton.Runner)
	w.stop()
}

// Otherwise the attempts at its event would be remembered forever.
func TestARestartedWorkerReportsWhatItHasPassed(t *testing.T) {
	w, ctx := restarted(t, drive.Failing{Event: 1}, drive.Failing{Event: 2})
	appendOne(t, w.sys.store)
	w.turn(ctx)
	w.begin(ctx)
	w.turn(ctx)
	w.turn(ctx)
	messages := slices.DeleteFunc(ctx.messages, func(m any) bool {
		r, isReport := m.(*report)
		return !isReport || r.update.Kind == drive.UpdateAcquired
	})
	require.Equal(t, []any{
		&report{incarnation: w.id, update: &drive.Update{Kind: drive.UpdateRecovered}},
		&report{incarnation: w.id, update: &drive.Update{Kind: drive.UpdatePassed, Event: 1}},
	}, messages, "2 is not done")
	w.stop()
}

func TestAWorkerThatMeetsAFailedStoreEndsTheSystem(t *testing.T) {
	for _, cause := range []error{store.ErrClosed, store.ErrPoisoned} {
		w, ctx := restarted(t)
		w.report(ctx, &drive.Update{Kind: drive.UpdateStoreFailed, Err: cause})
		require.Empty(t, ctx.messages, "the worker is not to blame")
		require.ErrorIs(t, w.sys.Err(), cause)
		require.True(t, w.sys.isStopping())
		w.sys.finish(nil)
	}
}
