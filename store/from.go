package store

import "time"

// From is where a reader begins. The zero value begins at the first event.
type From struct {
	kind  fromKind
	after Position
	time  time.Time
}

type fromKind uint8

const (
	fromAfter fromKind = iota
	fromNow
	fromSince
)

// Beginning starts at the first event that the log has. It is After(0).
func Beginning() From { return From{} }

// After starts at the first event after position p. Where retention has dropped that, reading is
// [ErrDropped].
func After(p Position) From { return From{after: p} }

// Now starts after the head as it is when reading begins.
func Now() From { return From{kind: fromNow} }

// Since starts at the first event whose time, cut to milliseconds, is t or later.
func Since(t time.Time) From { return From{kind: fromSince, time: t} }
