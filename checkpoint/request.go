package checkpoint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/penstock-io/penstock/store"
)

const (
	// maxReasonBytes is the longest reason of a [Request].
	maxReasonBytes = 1024
	// maxByBytes is the longest By of a [Request].
	maxByBytes = 255
)

// Request says why something is done to a worker or to one of its events, and who decided that.
// Both stand in the audit event. The zero value is allowed.
type Request struct {
	// Reason is free text: valid UTF-8 without control characters other than tab and newline, at most
	// 1,024 bytes.
	Reason string
	// By names the person or the program that decided: valid UTF-8 on one line, without control
	// characters and marks of direction, at most 255 bytes.
	By string
	// DryRun makes a call check everything and return what it would return: the [Outcome] of a change,
	// the events of a replay, or only the error where there is no other result. Nothing is written, no
	// owner is fenced, and the worker does not change. The result holds for that moment: events that
	// are handled or appended before the real call may change it.
	DryRun bool
}

// Validate reports the first rule that the request breaks, as a [store.InvalidError].
func (q Request) Validate() error {
	if err := checkText("reason", q.Reason, maxReasonBytes); err != nil {
		return err
	}
	if err := checkText("by", q.By, maxByBytes); err != nil {
		return err
	}
	if strings.ContainsFunc(q.By, unicode.IsControl) {
		return &store.InvalidError{Field: "by", Rule: "must not hold control characters", Value: q.By}
	}
	if strings.ContainsFunc(q.By, misleads) {
		return &store.InvalidError{Field: "by", Rule: "must not hold line separators or marks of direction", Value: q.By}
	}
	if strings.ContainsFunc(q.Reason, steers) {
		return &store.InvalidError{
			Field: "reason", Rule: "must not hold control characters other than tab and newline", Value: q.Reason,
		}
	}
	return nil
}

// steers reports whether a character of a free text may change how a terminal shows the rest.
func steers(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' }

func checkText(field, text string, limit int) error {
	switch {
	case len(text) > limit:
		return &store.InvalidError{Field: field + " bytes", Limit: int64(limit), Value: int64(len(text))}
	case !utf8.ValidString(text):
		return &store.InvalidError{Field: field, Rule: "must be UTF-8", Value: text}
	}
	return nil
}
