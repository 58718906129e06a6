package actors

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func workerField(p *node) zap.Field { return zap.String("worker", p.Path) }

// warnOfUnread logs the checkpoints that a worker has left in the log and none of this system
// reads: its worker was renamed without Formerly, or removed. A cursor that a program pulls itself
// has no worker.
func warnOfUnread(st *store.Store, log *zap.Logger, workers *roster) {
	for info, err := range checkpoint.List(st) {
		if n := workers.find(string(info.ID)); n != nil && !n.baton.Worker.Volatile || info.Record.Pulled {
			continue
		}
		fields := []zap.Field{zap.String("checkpoint", string(info.ID)), zap.Uint64("position", uint64(info.Record.Floor()))}
		if err != nil {
			fields = append(fields, errorField(err))
		}
		log.Warn("checkpoint without a worker: delete it, or say Formerly in the worker that has another name now", fields...)
	}
}

// warnOfExposure logs that users of the machine can read or write the files of the log who should
// not, as far as its options say.
func warnOfExposure(st *store.Store, log *zap.Logger) {
	if exposed := st.Stats().Exposed; exposed != 0 {
		log.Warn("other users have access to the files of the store: change their permissions, or say FileMode",
			zap.Stringer("permissions", exposed))
	}
}

// maxStackBytes is how much of a stack is logged: the frames where it panicked come first.
const maxStackBytes = 16 << 10

// stackless is a logger that adds no stacks of its own, as one for development does to each
// warning: that of the goroutine that logs says nothing, and a panic brings its stack as a field.
func stackless(log *zap.Logger) *zap.Logger {
	return log.WithOptions(zap.AddStacktrace(zapcore.DPanicLevel))
}

// errorField has the text of an error and nothing else: zap adds what an error of the program says
// of itself with %+v, often its stack.
func errorField(err error) zap.Field { return zap.String("error", shortened(err.Error())) }

func stackField(stack []byte) zap.Field {
	return zap.ByteString("stack", stack[:min(len(stack), maxStackBytes)])
}

// shortened cuts a text. Most are shorter: what the program says is cut where it enters.
func shortened(text string) string {
	const most = 4 * supervision.MaxErrorBytes
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// end logs an error that is part of the end of an actor or of the system, which continues whatever
// the logger does.
func (j *journal) end(message string, fields ...zap.Field) {
	defer forgivingLogger()
	j.Error(message, fields...)
}

// forgivingLogger is deferred where a panic of the logger, which is the program's, would do more
// than end the worker that it concerns: where the library logs, it ends the process; in the root
// actor, it has the library start a second tree.
func forgivingLogger() { _ = recover() }

// bridge passes protoactor's log records to zap. Its levels are not ours: what it reports at Info
// about failures is a warning, and a dead letter, which is normal when a worker stops with a pull
// under way, is for debugging.
type bridge struct {
	log    *zap.Logger
	prefix string
}

func newBridge(log *zap.Logger) *slog.Logger {
	return slog.New(&bridge{log: log.Named("protoactor")})
}

// Enabled implements slog.Handler. A record at Info may turn out to be a warning.
func (b *bridge) Enabled(_ context.Context, level slog.Level) bool {
	l := zapLevel(level)
	return b.log.Core().Enabled(l) || l == zapcore.InfoLevel && b.log.Core().Enabled(zapcore.WarnLevel)
}

// Handle implements slog.Handler.
func (b *bridge) Handle(_ context.Context, r slog.Record) error {
	level := zapLevel(r.Level)
	switch {
	case strings.Contains(r.Message, "DeadLetter"):
		level = zapcore.DebugLevel
	case strings.Contains(r.Message, "Recovering"):
		level = zapcore.WarnLevel
	case level == zapcore.InfoLevel:
		level = zapcore.DebugLevel
	}
	defer forgivingLogger()
	entry := b.log.Check(level, r.Message)
	if entry == nil {
		return nil
	}
	fields := make([]zap.Field, 0, r.NumAttrs())
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, b.field(a))
		return true
	})
	entry.Write(fields...)
	return nil
}

// WithAttrs implements slog.Handler.
func (b *bridge) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := make([]zap.Field, len(attrs))
	for i, a := range attrs {
		fields[i] = b.field(a)
	}
	return &bridge{log: b.log.With(fields...), prefix: b.prefix}
}

// WithGroup implements slog.Handler.
func (b *bridge) WithGroup(name string) slog.Handler {
	return &bridge{log: b.log, prefix: b.prefix + name + "."}
}

// field shows actors by their ids, texts cut, and of other values no more than the type: a message
// that was not delivered may hold events.
func (b *bridge) field(a slog.Attr) zap.Field {
	key, value := b.prefix+a.Key, a.Value.Resolve()
	switch v := value.Any().(type) {
	case *actor.PID:
		return zap.String(key, v.GetId())
	case error:
		return zap.String(key, shortened(v.Error()))
	case string:
		return zap.String(key, shortened(v))
	}
	if value.Kind() == slog.KindAny {
		return zap.String(key, fmt.Sprintf("%T", value.Any()))
	}
	return zap.Any(key, value.Any())
}

func zapLevel(l slog.Level) zapcore.Level {
	switch {
	case l >= slog.LevelError:
		return zapcore.ErrorLevel
	case l >= slog.LevelWarn:
		return zapcore.WarnLevel
	case l >= slog.LevelInfo:
		return zapcore.InfoLevel
	default:
		return zapcore.DebugLevel
	}
}
