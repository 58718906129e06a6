package actors

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Options of a system. The zero value works.
type Options struct {
	// Logger gets every transition of a worker, and what protoactor has to say. nil means no logs. A hook of it must not
	// call Stop: it runs on the goroutine that Stop waits for.
	Logger *zap.Logger
	// DrainTimeout is how long Stop lets handlers finish the batch in hand before it cancels their contexts; 0 means
	// 10 s.
	DrainTimeout time.Duration
	// KillTimeout is how long Stop then waits for handlers to return before it reports them as hung; 0 means 5 s.
	KillTimeout time.Duration
}

const (
	defaultDrainTimeout = 10 * time.Second
	defaultKillTimeout  = 5 * time.Second
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
	if o.DrainTimeout < 0 || o.KillTimeout < 0 {
		return o, fmt.Errorf("%w: negative timeout", ErrOptions)
	}
	return o, nil
}
