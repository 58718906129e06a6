package cursor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// limited is the context of a handler with a timeout: like one of [context.WithTimeoutCause], but
// its time begins again with each event. When that is over it ends with
// [context.DeadlineExceeded], and its cause is [ErrTimeout]; so do contexts that are made of it.
//
// It has a Done channel of its own, because package context gives what is made of a context whose
// Done is that of a cancelled one the error of the latter, Canceled.
type limited struct {
	context.Context               //nolint:containedctx // of the caller, cancelled for ErrTimeout; limited is a context itself
	cancel          func(error)   // ends it
	done            chan struct{} // closed once it has ended
	unwatch         func() bool   // keeps done from being closed by its end
	d               time.Duration
	timer           *time.Timer  // of the event that is being handled
	began           time.Time    // with a monotonic reading, so that Deadline has one, too
	due             atomic.Int64 // when the time of the event is over, in nanoseconds since began
}

// newLimited starts the time of the first event. The caller stops it.
func newLimited(parent context.Context, d time.Duration) *limited {
	inner, cancel := context.WithCancelCause(parent)
	l := &limited{Context: inner, cancel: cancel, done: make(chan struct{}), d: d, began: time.Now()}
	l.unwatch = context.AfterFunc(inner, func() { close(l.done) })
	l.due.Store(int64(d))
	l.timer = time.AfterFunc(d, func() { cancel(ErrTimeout) })
	return l
}

// restart gives the next event its time, unless that of one before it is over, which it reports.
func (l *limited) restart() (over bool) {
	l.due.Store(int64(time.Since(l.began) + l.d))
	running := l.timer.Reset(l.d) // else its time is over, although it may not have ended it yet
	return !running || l.Context.Err() != nil
}

// stop ends it: the handler has returned, and nothing may run on with its context. Err is set
// before Done is closed, as everywhere: package context panics where it is not.
func (l *limited) stop() {
	l.timer.Stop()
	unwatched := l.unwatch()
	l.cancel(nil)
	if unwatched {
		close(l.done)
	}
}

// Deadline implements context.Context.
func (l *limited) Deadline() (time.Time, bool) {
	due := l.began.Add(time.Duration(l.due.Load()))
	if earlier, ok := l.Context.Deadline(); ok && earlier.Before(due) {
		return earlier, true
	}
	return due, true
}

// Done implements context.Context.
func (l *limited) Done() <-chan struct{} { return l.done }

// Err implements context.Context.
func (l *limited) Err() error {
	err := l.Context.Err()
	if err != nil && errors.Is(context.Cause(l.Context), ErrTimeout) {
		return context.DeadlineExceeded
	}
	return err
}

// AfterFunc is how package context watches the context of another package without a goroutine.
func (l *limited) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(l.Context, f) }
