package store

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachTypeOfErrorWrapsItsSentinelAndNamesItsEvidence(t *testing.T) {
	for text, c := range map[string]struct{ err, sentinel error }{
		"store: directory is locked by another writer: unknown process":     {&LockedError{}, ErrLocked},
		"store: directory is locked by another writer: process 7 (/bin/sh)": {&LockedError{Owner{PID: 7, Program: "/bin/sh"}}, ErrLocked},
		"store: directory is locked by another writer: process 7, since 2026-01-02T03:04:05Z": {
			&LockedError{Owner{PID: 7, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}}, ErrLocked,
		},
		"store: segment 3, offset 64: corrupt: no record here": {
			&CorruptError{Segment: 3, Offset: 64, Reason: "no record here"}, ErrCorrupt,
		},
		`store: entity "order:1" is at version 2, expected absent`: {
			&ConflictError{Entity: "order:1", Expected: Absent, Actual: 2}, ErrConflict,
		},
		`store: side value "checkpoint/a" is at revision 9, expected 8`: {
			&ConflictError{SideKey: "checkpoint/a", Expected: Exactly(8), Actual: 9}, ErrConflict,
		},
		"store: event 5 lies in the region (entity=order) that should be empty after 4": {
			&ConflictError{Condition: &Condition{Region: Region{Entity: "order"}, After: 4}, Position: 5}, ErrConflict,
		},
		`store: idempotency key "k" was used with other content by commit 2, whose first event is 1`: {
			&IdempotencyKeyReusedError{Key: "k", Sequence: 2, Position: 1}, ErrIdempotencyKeyReused,
		},
		"invalid payload: must not be nil": {&InvalidError{Field: "payload", Rule: "must not be nil"}, ErrInvalid},
		`invalid kind "a\n": must not hold control characters`: {
			&InvalidError{Field: "kind", Rule: "must not hold control characters", Value: "a\n"}, ErrInvalid,
		},
		"invalid sync interval 1µs: must be at least 1ms": {
			&InvalidError{Field: "sync interval", Rule: "must be at least 1ms", Value: time.Microsecond}, ErrInvalid,
		},
		"invalid batch events 65537: the limit is 65536": {
			&InvalidError{Field: "batch events", Limit: MaxBatchEvents, Value: int64(MaxBatchEvents + 1)}, ErrInvalid,
		},
	} {
		require.EqualError(t, c.err, text)
		require.ErrorIs(t, c.err, c.sentinel)
		require.Equal(t, c.sentinel, errors.Unwrap(c.err))
	}
}

func TestTheTextOfAnErrorShowsTheBeginningOfALongValue(t *testing.T) {
	err := &InvalidError{Field: "key", Rule: "is bad", Value: strings.Repeat("ä", 1<<20)}
	require.EqualError(t, err, `invalid key "`+strings.Repeat("ä", maxShownValue)+`": is bad`)
}
