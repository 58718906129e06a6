package actors

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func TestProtoactorLogsThroughZapAtOurLevels(t *testing.T) {
	type row struct {
		level   slog.Level
		message string
		want    zapcore.Level
	}
	rows := []row{
		{slog.LevelInfo, "[ACTOR] Recovering", zapcore.WarnLevel},
		{slog.LevelInfo, "[DeadLetter]", zapcore.DebugLevel},
		{slog.LevelInfo, "actor system started", zapcore.DebugLevel},
		{slog.LevelDebug, "detail", zapcore.DebugLevel},
		{slog.LevelWarn, "odd", zapcore.WarnLevel},
		{slog.LevelError, "bad", zapcore.ErrorLevel},
	}
	for _, level := range []zapcore.Level{zapcore.DebugLevel, zapcore.InfoLevel, zapcore.WarnLevel, zapcore.ErrorLevel} {
		core, logs := observer.New(level)
		log := newBridge(zap.New(core)).With("system", "x").WithGroup("g")
		for _, r := range rows {
			log.Log(t.Context(), r.level, r.message, //nolint:sloglint // rows are messages of protoactor
				"pid", &actor.PID{Address: "nonhost", Id: "penstock/group/w"}, "n", 3)
			entries := logs.TakeAll()
			if r.want < level {
				require.Empty(t, entries, "%s at %s", r.message, level)
				continue
			}
			require.Len(t, entries, 1, "%s at %s", r.message, level)
			require.Equal(t, r.want, entries[0].Level)
			require.Equal(t, "protoactor", entries[0].LoggerName)
			require.Equal(t, map[string]any{"system": "x", "g.pid": "penstock/group/w", "g.n": int64(3)}, entries[0].ContextMap())
		}
	}
}

func TestTheStackOfAPanicIsInTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zapcore.DebugLevel)
		st := openMemory(t)
		calls := 0
		sys, err := Start(t.Context(), st, Options{Logger: zap.New(core)}, nested(
			func(context.Context, *cursor.Batch) (cursor.Action, error) {
				if calls++; calls < 2 {
					explode()
				}
				return cursor.Continue, nil
			}))
		require.NoError(t, err)
		require.NoError(t, sys.WaitApplied(t.Context(), "w", appendOne(t, st)))
		require.NoError(t, sys.Stop(t.Context()))
		entries := logs.FilterMessage("worker restarts").All()
		require.Len(t, entries, 1)
		require.Equal(t, zapcore.WarnLevel, entries[0].Level)
		fields := entries[0].ContextMap()
		require.Equal(t, "test/sub/w", fields["worker"])
		require.Contains(t, fields["stack"], "explode")
		require.Contains(t, fields["error"], "boom")
		require.Equal(t, 1, logs.FilterMessage("worker restarted").Len())
	})
}

func TestAStoreThatOtherUsersMayReadIsAWarning(t *testing.T) {
	if runtime.GOOS == "windows" {
		return // permissions say nothing there
	}
	for mode, warnings := range map[fs.FileMode]int{0o600: 0, 0o644: 1} {
		dir := filepath.Join(t.TempDir(), "data")
		st, err := store.Open(dir, store.Options{})
		require.NoError(t, err)
		require.NoError(t, st.Close())
		require.NoError(t, os.Chmod(dir, 0o755))
		segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		require.NoError(t, err)
		require.Len(t, segments, 1)
		require.NoError(t, os.Chmod(segments[0], mode))
		st, err = store.Open(dir, store.Options{})
		require.NoError(t, err)
		core, logs := observer.New(zapcore.WarnLevel)
		sys, err := Start(t.Context(), st, Options{Logger: zap.New(core)}, nested(
			func(context.Context, *cursor.Batch) (cursor.Action, error) { return cursor.Continue, nil }))
		require.NoError(t, err)
		require.NoError(t, sys.Stop(t.Context()))
		require.NoError(t, st.Close())
		entries := logs.FilterField(zap.Stringer("permissions", fs.FileMode(0o044))).All()
		require.Len(t, entries, warnings)
	}
}

func TestAMessageOfAnActorIsLoggedByItsTypeAlone(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	log := newBridge(zap.New(core))
	payload := []byte("of a person")
	log.Info("[DeadLetter]", "message", &bounds{incarnation: incarnation{leaf: 1}}, "payload", payload,
		"reason", errors.New(strings.Repeat("x", 1<<20)), "exception", &crashed{value: "of a person"}) //nolint:err113 // as long as it is
	fields := logs.TakeAll()[0].ContextMap()
	require.Equal(t, "*actors.bounds", fields["message"])
	require.Equal(t, "[]uint8", fields["payload"])
	require.Equal(t, "panic", fields["exception"])
	require.Less(t, len(fields["reason"].(string)), 1<<15)
}

//go:noinline
func explode() { panic(errBoom) }

// late panics while it is stopped: without recoverPanic its parent would wait forever.
type late struct{ sys *System }

func (l late) Receive(c actor.Context) {
	defer l.sys.recoverPanic(c)
	switch c.Message().(type) {
	case *actor.Stopping, *actor.Stopped:
		panic(errBoom)
	}
}

func TestAPanicWhileStoppingIsLoggedAndTheActorStops(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	sys := newSystem(openMemory(t), Options{Logger: zap.New(core)}, nil, nil)
	pid := sys.actors.Root.Spawn(newProps(&sys.dispatcher, func() actor.Actor { return late{sys} }))
	stopped := sys.actors.Root.StopFuture(pid)
	require.NoError(t, stopped.Wait())
	require.Equal(t, 2, logs.FilterMessage("actor panicked while stopping").Len())
}

func TestErrorsOfOurPanicsKeepTheirCause(t *testing.T) {
	sys := newSystem(openMemory(t), Options{Logger: zap.NewNop()}, nil, nil)
	f := sys.log.failureOf(&crashed{value: errBoom, stack: []byte("here")})
	require.ErrorIs(t, f.Err, errBoom)
	require.Equal(t, supervision.Failure{Err: f.Err, Panic: true, Stack: []byte("here")}, f)
	require.ErrorContains(t, sys.log.failureOf("words").Err, "words")
}
