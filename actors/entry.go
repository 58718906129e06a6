package actors

import (
	"fmt"
	"math/bits"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
	"github.com/penstock-io/penstock/supervision"
)

// LogEntry is what happens to a worker or a group, in the log of a system. Its text is the message
// of the entry, which has the field worker, and error, attempt, delay and stack where there are
// such. What the program or an operator does (a start, what Start warns of, a pause, a worker that
// is added) is logged too, at levels of its own.
type LogEntry uint8

// The entries, and their levels where Options.Levels says nothing.
const (
	// LogRetry: an attempt failed, and another one follows after a delay. A warning.
	LogRetry LogEntry = iota
	// LogHalve: a batch failed as a whole, and is handled in halves until the event that is to blame
	// stands alone. A warning.
	LogHalve
	// LogRestart: the worker ends, and is started as a fresh actor after a delay. A warning.
	LogRestart
	// LogRestarted: that has its checkpoint. Info.
	LogRestarted
	// LogPark: an event is parked. An error.
	LogPark
	// LogSkip: an event is skipped. An error.
	LogSkip
	// LogGiveUp: an event is about to be given up, see cursor.Worker.GiveUp. An error.
	LogGiveUp
	// LogOutage: what the handler needs cannot be reached. An error, once for each outage.
	LogOutage
	// LogOutageOver: an event was handled again. Info.
	LogOutageOver
	// LogFull: as much is parked as may be, so nothing new is read. An error.
	LogFull
	// LogStall: the worker is behind and does not move. A warning.
	LogStall
	// LogHalt: the worker stands until it is resumed. An error.
	LogHalt
	// LogEscalate: a failure goes to the group above. An error.
	LogEscalate
	// LogEnd: the handler said that the worker is done. Info.
	LogEnd
)

//nolint:gochecknoglobals // a table that nothing changes
var logEntries = [...]struct {
	level   zapcore.Level
	message string
}{
	LogRetry:      {zapcore.WarnLevel, "worker retries"},
	LogHalve:      {zapcore.WarnLevel, "batch failed, worker halves it"},
	LogRestart:    {zapcore.WarnLevel, "worker restarts"},
	LogRestarted:  {zapcore.InfoLevel, "worker restarted"},
	LogPark:       {zapcore.ErrorLevel, "event parked"},
	LogSkip:       {zapcore.ErrorLevel, "event skipped"},
	LogGiveUp:     {zapcore.ErrorLevel, "event given up"},
	LogOutage:     {zapcore.ErrorLevel, "outage begins: events wait, and one at a time is tried"},
	LogOutageOver: {zapcore.InfoLevel, "outage is over"},
	LogFull:       {zapcore.ErrorLevel, "no room to park, worker reads nothing new"},
	LogStall:      {zapcore.WarnLevel, "worker is behind and does not move"},
	LogHalt:       {zapcore.ErrorLevel, "worker halted"},
	LogEscalate:   {zapcore.ErrorLevel, "failure escalates"},
	LogEnd:        {zapcore.InfoLevel, "worker ended"},
}

// String returns the message.
func (e LogEntry) String() string {
	if int(e) >= len(logEntries) {
		return fmt.Sprintf("LogEntry(%d)", uint8(e))
	}
	return logEntries[e].message
}

// logLevels are the levels of all entries.
type logLevels [len(logEntries)]zapcore.Level

// levelsOf applies what the options say. Only levels that log, and do nothing else, are allowed:
// that of a panic or an exit would end the program.
func levelsOf(o map[LogEntry]zapcore.Level) (levels logLevels, err error) {
	for i := range levels {
		levels[i] = logEntries[i].level
	}
	for e, level := range o {
		switch {
		case int(e) >= len(levels):
			return levels, fmt.Errorf("%w: Levels has an unknown %v", ErrOptions, e)
		case level < zapcore.DebugLevel || level > zapcore.ErrorLevel:
			return levels, fmt.Errorf("%w: Levels has %v for %q: debug, info, warn and error are allowed", ErrOptions, level, e)
		}
		levels[e] = level
	}
	return levels, nil
}

// journal is the log of a system. Nothing of it changes.
type journal struct {
	*zap.Logger

	levels logLevels
	redact cursor.Redact
}

func newJournal(o Options) journal {
	levels, _ := levelsOf(o.Levels) // which Start has checked
	return journal{Logger: stackless(o.Logger), levels: levels, redact: o.Redact}
}

// at logs an entry at its level.
func (j *journal) at(e LogEntry, fields ...zap.Field) { j.Log(j.levels[e], e.String(), fields...) }

// note logs a note of the tree about a worker or a group.
func (j *journal) note(n drive.Effect) {
	fields := []zap.Field{zap.String("worker", n.Path)}
	if n.Err != nil {
		fields = append(fields, errorField(n.Err))
	}
	if len(n.Stack) > 0 {
		fields = append(fields, stackField(n.Stack))
	}
	switch n.Note {
	case drive.NoteVerdict:
		if waitsOn(n.Err) {
			return
		}
		fields = append(fields, zap.Int("attempt", n.Decision.Attempt), zap.Duration("delay", n.Decision.Delay))
		j.at(entryOfVerdict(n.Decision.Action), fields...)
	case drive.NoteGivesUp:
		j.at(LogGiveUp, append(fields, zap.Int("attempt", n.Decision.Attempt))...)
	case drive.NoteHalved:
		j.at(LogHalve, append(fields, zap.Int("limit", n.Limit))...)
	case drive.NoteRestarted:
		j.at(LogRestarted, fields...)
	case drive.NoteEnded:
		j.at(LogEnd, fields...)
	case drive.NoteOutage:
		j.at(LogOutage, fields...)
	case drive.NoteOutageOver:
		j.at(LogOutageOver, fields...)
	case drive.NoteFull:
		j.at(LogFull, fields...)
	case drive.NoteCrashed:
		j.Error("actor panicked", fields...)
	case drive.NoteBeyondTop:
		j.Error("failure escalates beyond the top group, all workers halt", fields...)
	}
}

// waitsOn reports whether something waits again for what was logged before, which may take days:
// only each doubling of the number of times is.
func waitsOn(reason error) bool {
	e, waits := reason.(*supervision.WaitError) //nolint:errorlint // the outermost is that of the verdict
	return waits && bits.OnesCount(uint(e.Waits)) != 1
}

func entryOfVerdict(a supervision.Action) LogEntry {
	switch a {
	case supervision.ActionRetry:
		return LogRetry
	case supervision.ActionRestart:
		return LogRestart
	case supervision.ActionPark:
		return LogPark
	case supervision.ActionSkip:
		return LogSkip
	case supervision.ActionEscalate:
		return LogEscalate
	case supervision.ActionHalt:
	}
	return LogHalt
}
