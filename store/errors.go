package store

import (
	"errors"
	"fmt"
)

// What a caller may want to react to is a sentinel, for errors.Is. Where there is evidence, a typed
// error carries it, for errors.As, and is its sentinel at the same time: a caller that needs no
// evidence need not know the type.

// States of a store or a call, for errors.Is.
var (
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("store: closed")
	// ErrLocked: another writer, of this process or another, has the directory open. See LockedError.
	ErrLocked = errors.New("store: directory is locked by another writer")
	// ErrReadOnly: the store was opened with Options.ReadOnly.
	ErrReadOnly = errors.New("store: opened read-only")
	// ErrPoisoned: a write or sync failed before; the store takes no more commits until it is
	// reopened. Reading continues.
	ErrPoisoned = errors.New("store: an earlier write failed, reopen the store")
	// ErrDiskFull: there is no room for the next segment. Nothing was written; the commit may be tried
	// again when there is room. Reading continues.
	ErrDiskFull = errors.New("store: disk full")
	// ErrOutcomeUnknown: the caller stopped waiting (its context ended) or the sync failed; the commit
	// may or may not be found after a reopen. An idempotency key makes a retry safe.
	ErrOutcomeUnknown = errors.New("store: outcome unknown")
	// ErrNotFound: no such event.
	ErrNotFound = errors.New("store: not found")
	// ErrNotStore: the directory holds no store, and was opened read-only or with Options.MustExist.
	// The text of the error names it.
	ErrNotStore = errors.New("store: no store in this directory")
	// ErrCorrupt: bytes on disk are not what was written. See CorruptError.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrNewerFormat: a newer version of Penstock wrote the directory.
	ErrNewerFormat = errors.New("store: written by a newer version")
	// ErrForeignHistory: a position of another store, or of an earlier incarnation of this one.
	ErrForeignHistory = errors.New("store: position of a foreign history")
	// ErrConflict: an expectation or condition did not hold. See ConflictError and
	// ConditionError.
	ErrConflict = errors.New("store: conflict")
	// ErrIdempotencyKeyReused: an idempotency key was used before with other content. See
	// IdempotencyKeyReusedError.
	ErrIdempotencyKeyReused = errors.New("store: idempotency key was used with other content")
	// ErrInvalid: a field breaks a rule. See InvalidError and LimitError.
	ErrInvalid = errors.New("store: invalid")
)

// LockedError says which process has the directory open for writing.
type LockedError struct {
	Owner Owner // zero where that process did not say
}

func (e *LockedError) Error() string {
	return "store: directory is locked by another writer: " + e.Owner.String()
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// CorruptError names the place of damage.
type CorruptError struct {
	Segment uint32 // number of the segment
	Offset  int64  // in bytes from the start of its file
	Reason  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("store: segment %d, offset %d: corrupt: %s", e.Segment, e.Offset, e.Reason)
}

// Is makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// ConflictError says which entity was not at the expected version, or which side value was not at
// the expected revision.
type ConflictError struct {
	Entity   string // "" for a side value
	SideKey  string // "" for an entity
	Expected Expect
	Actual   uint64 // the version or the revision, 0 when there is no event or no value
}

func (e *ConflictError) Error() string {
	if e.SideKey != "" {
		return fmt.Sprintf("store: side value %q is at revision %d, expected %s", e.SideKey, e.Actual, e.Expected)
	}
	return fmt.Sprintf("store: entity %q is at version %d, expected %s", e.Entity, e.Actual, e.Expected)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// ConditionError says which event broke a condition of the batch.
type ConditionError struct {
	Condition Condition
	Position  Position // of the first event that breaks it
}

func (e *ConditionError) Error() string {
	return fmt.Sprintf("store: event %d lies in the region (%s) that should be empty after %d",
		e.Position, e.Condition.Region, e.Condition.After)
}

// Is makes errors.Is(err, ErrConflict) true.
func (e *ConditionError) Is(target error) bool { return target == ErrConflict }

// IdempotencyKeyReusedError says which idempotency key was used before with other content.
type IdempotencyKeyReusedError struct {
	Key      string
	Sequence uint64   // of the commit that used it
	Position Position // of the first event of that commit
}

func (e *IdempotencyKeyReusedError) Error() string {
	return fmt.Sprintf("store: idempotency key %q was used with other content by commit %d, whose first event is %d",
		e.Key, e.Sequence, e.Position)
}

// Is makes errors.Is(err, ErrIdempotencyKeyReused) true.
func (e *IdempotencyKeyReusedError) Is(target error) bool { return target == ErrIdempotencyKeyReused }

// LimitError says which field exceeds its limit.
type LimitError struct {
	Field string
	Limit int64
	Value int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("store: %s is %d, the limit is %d", e.Field, e.Value, e.Limit)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *LimitError) Is(target error) bool { return target == ErrInvalid }

// InvalidError says which field breaks which rule.
type InvalidError struct {
	Field string
	Rule  string
	Value string
}

func (e *InvalidError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("store: %s: %s", e.Field, e.Rule)
	}
	return fmt.Sprintf("store: %s %q: %s", e.Field, e.Value, e.Rule)
}

// Is makes errors.Is(err, ErrInvalid) true.
func (e *InvalidError) Is(target error) bool { return target == ErrInvalid }
