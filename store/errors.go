package store

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/penstock-io/penstock/store/internal/vfs"
)

// What a caller may want to react to is a sentinel, for errors.Is. Where it may act on evidence
// too, a typed error carries that, for errors.As, and wraps its sentinel: a caller that needs no
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
	// ErrDiskFull: there is no room for the next segment, on the disk or in the quota of the user.
	// Nothing was written; the commit may be tried again when there is room. Reading continues.
	ErrDiskFull = errors.New("store: disk full")
	// ErrBusy: too much is under way: the process, or the system, has as many files open as it may, or
	// as many commits are queued as the store accepts. Nothing was written; the call may be tried
	// again.
	ErrBusy = errors.New("store: busy")
	// ErrOutcomeUnknown: the caller stopped waiting (its context ended) or the sync failed; the commit
	// may or may not be found after a reopen. An idempotency key makes a retry safe.
	ErrOutcomeUnknown = errors.New("store: outcome unknown")
	// ErrDropped: retention has dropped the event, and what it takes to go on from there. See
	// DroppedError.
	ErrDropped = errors.New("store: dropped")
	// ErrNotFound: no such event.
	ErrNotFound = errors.New("store: not found")
	// ErrLost: the event was lost to damage, and discarded by [Repair]. It is an [ErrNotFound].
	ErrLost = fmt.Errorf("%w: lost to damage", ErrNotFound)
	// ErrNotStore: the directory holds no store, and was opened read-only or with Options.MustExist.
	// The text of the error names it.
	ErrNotStore = errors.New("store: no store in this directory")
	// ErrNotBackup: the directory holds no backup that was finished, see [Backup]: none was, or it was
	// opened for writing since and is a store of its own. Or nothing was shipped to the depot, see
	// [RestoreFrom].
	ErrNotBackup = errors.New("store: no backup there")
	// ErrUnfinishedCopy: a [Backup] or a [Restore] into the directory is under way or was cut off. It
	// has to be done again.
	ErrUnfinishedCopy = errors.New("store: a backup or restore into this directory was not finished")
	// ErrNotEmpty: the directory that something is to be imported into holds a store.
	ErrNotEmpty = errors.New("store: the directory is not empty")
	// ErrCorrupt: bytes on disk are not what was written. See CorruptError.
	ErrCorrupt = errors.New("store: corrupt")
	// ErrNewerFormat: a newer version of Penstock wrote the directory.
	ErrNewerFormat = errors.New("store: written by a newer version")
	// ErrForeignHistory: what was kept outside is of another store, or of events that this one does
	// not have. See Anchor.
	ErrForeignHistory = errors.New("store: position of a foreign history")
	// ErrConflict: an expectation or a condition did not hold. See ConflictError.
	ErrConflict = errors.New("store: conflict")
	// ErrDenied: a gate let an event of the batch not pass. See DeniedError.
	ErrDenied = errors.New("store: denied by a gate")
	// ErrReserved: an open fence has what the batch needs. Nothing was written; it may be tried again
	// when the fence has ended. See ReservedError.
	ErrReserved = errors.New("store: reserved by an open fence")
	// ErrFenceCancelled: the fence was cancelled, and what was staged in it is never visible. See
	// FenceCancelledError.
	ErrFenceCancelled = errors.New("store: fence was cancelled")
	// ErrFenceEnded: the fence was published before.
	ErrFenceEnded = errors.New("store: fence was published")
	// ErrErased: what the event says was erased. See Event.Erased.
	ErrErased = errors.New("store: the content was erased")
	// ErrIdempotencyKeyReused: an idempotency key was used before with other content. See
	// IdempotencyKeyReusedError.
	ErrIdempotencyKeyReused = errors.New("store: idempotency key was used with other content")
	// ErrUnknownCodec: an event is in a codec which what it is decoded into does not have. See
	// UnknownCodecError.
	ErrUnknownCodec = errors.New("store: unknown codec")
	// ErrInvalid: a field breaks a rule or exceeds its limit. See InvalidError.
	ErrInvalid = errors.New("store: invalid")
)

// LockedError says which process has the directory open for writing; the Owner is zero where that
// process did not say.
type LockedError struct{ Owner }

// Error is as in "store: directory is locked by another writer: process 4711 (/usr/bin/shop), since
// 2006-01-02T15:04:05Z".
func (e *LockedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%v: unknown process", ErrLocked)
	}
	text := fmt.Sprintf("%v: process %d", ErrLocked, e.PID)
	if e.Program != "" {
		text += fmt.Sprintf(" (%s)", e.Program)
	}
	if !e.Started.IsZero() {
		text += ", since " + e.Started.Format(time.RFC3339)
	}
	return text
}

// Unwrap returns [ErrLocked].
func (e *LockedError) Unwrap() error { return ErrLocked }

// CorruptError names the place of damage.
type CorruptError struct {
	Segment uint32 // number of the segment
	Offset  int64  // in bytes from the start of its file
	Reason  string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("store: segment %d, offset %d: corrupt: %s", e.Segment, e.Offset, e.Reason)
}

// Unwrap returns [ErrCorrupt].
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// ConflictError says what a batch required and did not find: an entity at its expected version, a
// side value at its expected revision, or a condition that holds. One of Entity, SideKey and
// Condition is set.
type ConflictError struct {
	Entity   string
	SideKey  string
	Expected Expect
	Actual   uint64 // the version or the revision, 0 when there is no event or no value
	// Condition is that of the batch which the event at Position breaks, the first to do so.
	Condition *Condition
	Position  Position
}

func (e *ConflictError) Error() string {
	switch {
	case e.Condition != nil:
		return fmt.Sprintf("store: event %d lies in the region (%s) that should be empty after %d",
			e.Position, e.Condition.Region, e.Condition.After)
	case e.SideKey != "":
		return fmt.Sprintf("store: side value %q is at revision %d, expected %s", e.SideKey, e.Actual, e.Expected)
	}
	return fmt.Sprintf("store: entity %q is at version %d, expected %s", e.Entity, e.Actual, e.Expected)
}

// Unwrap returns [ErrConflict].
func (e *ConflictError) Unwrap() error { return ErrConflict }

// DeniedError says which event of a batch the gates of the store denied, and why. Nothing of the
// batch was written. What the gates returned is found by errors.Is and errors.As.
type DeniedError struct {
	Entity string
	Event  int // index in the batch
	// Verdicts of the events up to this one, with all that denied it.
	Verdicts []Verdict

	evidence []error
}

// Error is as in `store: event at "account:7" is denied by gate "balance": 3 are there, 5 wanted`.
func (e *DeniedError) Error() string {
	var reasons []string
	for _, v := range e.Verdicts {
		if v.Outcome == Denied {
			reasons = append(reasons, fmt.Sprintf("by gate %q: %s", v.Gate, v.Evidence))
		}
	}
	return fmt.Sprintf("store: event at %q is denied %s", e.Entity, strings.Join(reasons, ", "))
}

// Unwrap returns [ErrDenied] and what the gates returned.
func (e *DeniedError) Unwrap() []error { return append([]error{ErrDenied}, e.evidence...) }

// IdempotencyKeyReusedError says which idempotency key was used before with other content.
type IdempotencyKeyReusedError struct {
	Key      string
	Sequence uint64   // of the commit that used it
	Position Position // of the first event of that commit
	// Erased says that an event of that commit was erased, so that what it said cannot be compared:
	// the batch may be the same one again.
	Erased bool
}

func (e *IdempotencyKeyReusedError) Error() string {
	if e.Erased {
		return fmt.Sprintf("store: idempotency key %q was used by commit %d, whose first event is %d and of which events were erased",
			e.Key, e.Sequence, e.Position)
	}
	return fmt.Sprintf("store: idempotency key %q was used with other content by commit %d, whose first event is %d",
		e.Key, e.Sequence, e.Position)
}

// Unwrap returns [ErrIdempotencyKeyReused].
func (e *IdempotencyKeyReusedError) Unwrap() error { return ErrIdempotencyKeyReused }

// UnknownCodecError says which codec an event was written in. A program whose type has that codec
// reads it.
type UnknownCodecError struct {
	Position Position
	Kind     string
	Codec    string // of the event
	Own      string // name of the codec beside JSON of what it is decoded into; "" for none
}

func (e *UnknownCodecError) Error() string {
	known := `"json"`
	if e.Own != "" && e.Own != CodecJSON {
		known += fmt.Sprintf(" and %q", e.Own)
	}
	return fmt.Sprintf("store: event %d (%s): unknown codec %q, known are %s", e.Position, e.Kind, e.Codec, known)
}

// Unwrap returns [ErrUnknownCodec].
func (e *UnknownCodecError) Unwrap() error { return ErrUnknownCodec }

// InvalidError says which field of what a caller handed in breaks which rule, or exceeds which
// limit. The packages above return it for their own fields too.
type InvalidError struct {
	// Field is in the words of the caller, as in "kind", "payload bytes" or "BatchSize".
	Field string
	// Rule is what the field must be, as in "must not be empty"; "" where it exceeds Limit.
	Rule string
	// Limit is the most that the field may be; 0 where Rule says what is wrong.
	Limit int64
	// Value is what was given: an int64 with a Limit; nil where Rule says it all.
	Value any
}

// maxShownValue is how many characters of a value the text of an error shows.
const maxShownValue = 64

// Error is as in `invalid kind "a\n": must not hold control characters` or "invalid payload bytes
// 20000000: the limit is 16777216".
func (e *InvalidError) Error() string {
	text := "invalid " + e.Field
	switch v := e.Value.(type) {
	case nil:
	case string:
		text += fmt.Sprintf(" %.*q", maxShownValue, v)
	default:
		text += fmt.Sprintf(" %v", v)
	}
	if e.Limit != 0 {
		return fmt.Sprintf("%s: the limit is %d", text, e.Limit)
	}
	return text + ": " + e.Rule
}

// Unwrap returns [ErrInvalid].
func (e *InvalidError) Unwrap() error { return ErrInvalid }

// shortage adds to an error of the file system what it means: that something has run out which may
// be had later.
func shortage(err error) error {
	switch {
	case errors.Is(err, ErrDiskFull), errors.Is(err, ErrBusy):
	case vfs.IsFull(err):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case vfs.IsOutOfFiles(err):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}
