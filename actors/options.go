package actors

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/cursor"
)

// Options of a system. The zero value works.
type Options struct {
	// Logger receives what happens to workers, as [LogEntry] lists it, and what protoactor logs. nil
	// means no logs. A hook of it must not call Stop: it runs on the goroutine that Stop waits for.
	//
	// A program that logs with log/slog gives it a zapcore.Core that writes to its slog.Handler:
	// modules that have one are on pkg.go.dev, as github.com/ansel1/zap2slog.
	Logger *zap.Logger
	// Levels are those of entries that are not to have their own: LogRetry: zapcore.DebugLevel, where
	// the last attempt is early enough. Debug, info, warn and error are allowed.
	Levels map[LogEntry]zapcore.Level
	// DrainTimeout is how long Stop lets handlers finish the batch in flight before it cancels
	// their contexts; 0 means 10 s.
	DrainTimeout time.Duration
	// KillTimeout is how long Stop then waits for handlers to return before it reports them as
	// hung; 0 means 5 s.
	KillTimeout time.Duration
	// WatchdogInterval is how often the system looks for workers that are behind and do not move;
	// 0 means 30 s, a negative one never.
	WatchdogInterval time.Duration
	// StallAfter is how long a worker that is behind may stand still, neither paused nor waiting
	// for a retry, before the watchdog reports it; 0 means 1 min.
	StallAfter time.Duration
	// AllOrNothing has Start fail where a worker cannot start for a reason that is not the program's,
	// such as a database that is unavailable, and nothing runs: for a program that something starts
	// again until all of it can run. Otherwise that worker is halted, or waits, and the others run.
	AllOrNothing bool
	// Build names the program in the reactions of its workers, see [store.Event.Emitter]. "" means
	// the revision of its sources that the Go toolchain recorded, with "+dirty" where they were
	// modified; "" stays where there is none. At most [cursor.MaxBuildBytes].
	Build string
	// Redact takes personal data and credentials out of the texts of errors, before they reach the
	// log, Status, Watch, the list of what is parked, and audit events, which are kept for good. nil
	// leaves them as they are, cut to 4 KiB: an error may quote the request that failed. What the
	// program chooses itself is shown as it is: entities, keys, kinds, names, and why an operator did
	// something. See [cursor.Redact].
	Redact cursor.Redact
	// Probe is told of each try of a handler and of each commit, of all workers: see telemetry.Probe
	// for spans and histograms. nil means none, and costs a comparison for each.
	Probe cursor.Probe
}

const (
	defaultDrainTimeout = 10 * time.Second
	defaultKillTimeout  = 5 * time.Second
	defaultWatchdog     = 30 * time.Second
	defaultStallAfter   = time.Minute
)

func (o Options) withDefaults() (Options, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = defaultDrainTimeout
	}
	if o.KillTimeout == 0 {
		o.KillTimeout = defaultKillTimeout
	}
	if o.WatchdogInterval == 0 {
		o.WatchdogInterval = defaultWatchdog
	}
	if o.StallAfter == 0 {
		o.StallAfter = defaultStallAfter
	}
	if o.StallAfter < 0 {
		return o, fmt.Errorf("%w: negative StallAfter", ErrOptions)
	}
	if o.DrainTimeout < 0 || o.KillTimeout < 0 {
		return o, fmt.Errorf("%w: negative timeout", ErrOptions)
	}
	if len(o.Build) > cursor.MaxBuildBytes {
		return o, fmt.Errorf("%w: Build is longer than %d bytes", ErrOptions, cursor.MaxBuildBytes)
	}
	_, err := levelsOf(o.Levels)
	return o, err
}
