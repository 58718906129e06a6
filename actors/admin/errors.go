package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor/saga"
	"github.com/penstock-io/penstock/store"
)

// Code is what kind of error an [Error] is, in one word that programs may compare.
type Code string

// The codes.
const (
	// Failed: none of the others.
	Failed Code = "failed"
	// Usage: the call breaks a rule: a value is missing, or wrong.
	Usage Code = "usage"
	// NotFound: there is no such worker, event, entity or store.
	NotFound Code = "not-found"
	// Refused: it cannot be done in the present state: locked, in conflict, halted, or a mode that
	// does not allow it.
	Refused Code = "refused"
	// Forbidden: the caller may not.
	Forbidden Code = "forbidden"
	// Damage: what is stored is damaged, or of a newer format.
	Damage Code = "damage"
	// Unreachable: there is no answer, or not in time.
	Unreachable Code = "unreachable"
	// Unknown: whether the change was made cannot be told.
	Unknown Code = "unknown"
)

// Error is one that a surface returns, the same whether it is in this process or not.
type Error struct {
	Code Code   `json:"code"`
	Text string `json:"text"`
	// Hint is what to do about it, "" where the text says it.
	Hint string `json:"hint,omitempty"`

	err error // what it was made from, nil where it came from another process
}

// Error is the text, and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Text
	}
	return e.Text + ": " + e.Hint
}

// Unwrap returns what it was made from in this process, nil for what another one has said.
func (e *Error) Unwrap() error { return e.err }

// CodeOf returns the code of an error: that of an [Error], and otherwise that of the sentinel which
// it wraps; "" of none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	for _, one := range codes() {
		for _, sentinel := range one.of {
			if errors.Is(err, sentinel) {
				return one.code
			}
		}
	}
	return Failed
}

// coded are the sentinels that have a code.
type coded struct {
	code Code
	of   []error
}

// codes are in the order in which they are looked for: what says more about what to do comes first.
func codes() []coded {
	return []coded{
		{Unknown, []error{store.ErrOutcomeUnknown}},
		{Damage, []error{store.ErrCorrupt, store.ErrNewerFormat, checkpoint.ErrCorrupt, saga.ErrRecord, saga.ErrState}},
		{Usage, []error{store.ErrInvalid, saga.ErrKey}},
		{NotFound, []error{
			actors.ErrUnknownWorker, actors.ErrUnknownGroup, actors.ErrNotInFlight, checkpoint.ErrNotFound, store.ErrNotFound,
			store.ErrNotStore, cursor.ErrNotParked, fs.ErrNotExist, saga.ErrNotFound,
		}},
		{Forbidden, []error{fs.ErrPermission}},
		{Refused, []error{
			store.ErrLocked, store.ErrConflict, store.ErrReadOnly, store.ErrDropped, store.ErrDenied, store.ErrBusy, store.ErrDiskFull,
			store.ErrPoisoned, cursor.ErrAnswers, cursor.ErrPulled, checkpoint.ErrExternal, checkpoint.ErrRunning, checkpoint.ErrStateful,
			checkpoint.ErrAhead, checkpoint.ErrNotBackwards,
			checkpoint.ErrNotForward, checkpoint.ErrRebuild, checkpoint.ErrExists, checkpoint.ErrFenced, checkpoint.ErrRenamed, actors.ErrHalted, actors.ErrEnded,
			actors.ErrRemoved, saga.ErrUnfit, saga.ErrUnrunnable, saga.ErrUndefined,
		}},
		{Unreachable, []error{store.ErrClosed, actors.ErrStopped, context.DeadlineExceeded, context.Canceled}},
	}
}

// said makes an [Error] of any error; nil stays nil.
func said(err error) error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Code: CodeOf(err), Text: err.Error(), err: err}
}

// fail makes an error of a surface itself.
func fail(code Code, hint, format string, args ...any) error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...), Hint: hint}
}
