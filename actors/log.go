package actors

import (
	"context"
	"log/slog"
	"strings"

	"github.com/asynkron/protoactor-go/actor"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

func workerField(p *node) zap.Field { return zap.String("worker", p.Path) }

// logNote logs a note of the tree about a worker or a group.
func logNote(log *zap.Logger, n drive.Effect) {
	fields := []zap.Field{zap.String("worker", n.Path)}
	if n.Err != nil {
		fields = append(fields, errorField(n.Err))
	}
	level, message := noteText(n.Note)
	switch n.Note {
	case drive.NoteVerdict:
		level, message = verdictText(n.Decision.Action)
		fields = append(fields, zap.Int("attempt", n.Decision.Attempt), zap.Duration("delay", n.Decision.Delay))
	case drive.NoteHalved:
		fields = append(fields, zap.Int("limit", n.Limit))
	default:
	}
	if len(n.Stack) > 0 {
		fields = append(fields, zap.ByteString("stack", n.Stack))
	}
	log.Log(level, message, fields...)
}

// warnOfUnread logs the checkpoints that a worker has left in the log and none of this system
// reads: its worker was renamed without Formerly, or removed. A cursor that a program pulls itself
// has no worker.
func warnOfUnread(st *store.Store, log *zap.Logger, byName map[string]*node) {
	for info, err := range checkpoint.List(st) {
		if n := byName[string(info.ID)]; n != nil && !n.baton.Worker.Volatile || info.Record.Pulled {
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

func verdictText(a supervision.Action) (zapcore.Level, string) {
	switch a {
	case supervision.ActionRetry:
		return zapcore.WarnLevel, "worker retries"
	case supervision.ActionRestart:
		return zapcore.WarnLevel, "worker restarts"
	case supervision.ActionHalt:
		return zapcore.ErrorLevel, "worker halted"
	case supervision.ActionPark:
		return zapcore.ErrorLevel, "event parked"
	case supervision.ActionSkip:
		return zapcore.ErrorLevel, "event skipped"
	case supervision.ActionEscalate:
		return zapcore.ErrorLevel, "failure escalates"
	}
	return zapcore.ErrorLevel, "unknown verdict"
}

func noteText(k drive.NoteKind) (zapcore.Level, string) {
	switch k {
	case drive.NoteRestarted:
		return zapcore.InfoLevel, "worker restarted"
	case drive.NoteEnded:
		return zapcore.InfoLevel, "worker ended"
	case drive.NoteHalved:
		return zapcore.WarnLevel, "batch panicked, worker restarts with half of it"
	case drive.NoteCrashed:
		return zapcore.ErrorLevel, "actor panicked"
	case drive.NoteBeyondTop:
		return zapcore.ErrorLevel, "failure escalates beyond the top group, all workers halt"
	case drive.NoteOutage:
		return zapcore.ErrorLevel, "outage begins: events wait, and one at a time is tried"
	case drive.NoteOutageOver:
		return zapcore.InfoLevel, "outage is over"
	case drive.NoteFull:
		return zapcore.ErrorLevel, "no room to park, worker reads nothing new"
	case drive.NoteVerdict: // has its own text
	}
	return zapcore.ErrorLevel, "unknown note"
}

func errorField(err error) zap.Field { return zap.Error(err) }

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

func (b *bridge) field(a slog.Attr) zap.Field {
	value := a.Value.Resolve().Any()
	if pid, ok := value.(*actor.PID); ok {
		return zap.String(b.prefix+a.Key, pid.GetId())
	}
	return zap.Any(b.prefix+a.Key, value)
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
