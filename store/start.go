package store

import "time"

// Start is where a reader begins. The zero value begins at the first event.
type Start struct {
	kind  startKind
	after Position
	time  time.Time
}

type startKind uint8

const (
	startAfter startKind = iota
	startNow
	startSince
)

// Beginning starts at the first event.
func Beginning() Start { return Start{} }

// After starts at the first event behind position p.
func After(p Position) Start { return Start{after: p} }

// Now starts behind the head as it is when reading begins.
func Now() Start { return Start{kind: startNow} }

// Since starts at the first event whose time, cut to milliseconds, is t or later.
func Since(t time.Time) Start { return Start{kind: startSince, time: t} }
