package checkpoint

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxIDBytes is the longest allowed id.
const MaxIDBytes = 255

// keyPrefix begins the key of the side value of every checkpoint.
const keyPrefix = "checkpoint/"

// ErrID is what every [*IDError] wraps, with the rule.
var ErrID = errors.New("checkpoint: bad id")

// The rules that an [ID] can break, in the order in which they are checked. An [*IDError] wraps one
// of them.
var (
	ErrIDEmpty     = errors.New("is empty")
	ErrIDTooLong   = errors.New("is longer than 255 bytes")
	ErrIDNotUTF8   = errors.New("is not valid UTF-8")
	ErrIDControl   = errors.New("contains a control character")
	ErrIDPath      = errors.New(`looks like a path: it contains '/' or '\', or is "." or ".."`)
	ErrIDSeparator = errors.New("contains a separator: '|' or '='")
)

// ID names a checkpoint in its store. It is 1 to [MaxIDBytes] bytes of UTF-8 without control
// characters, contains none of '/', '\', '|' and '=', and is neither "." nor "..", so that it can
// stand unquoted in a path, a key and a log line. Upper and lower case differ. The name of a worker
// obeys the same rules.
type ID string

// Validate reports the first rule that id breaks, as an [*IDError].
func (id ID) Validate() error {
	if rule := brokenRule(string(id)); rule != nil {
		return &IDError{ID: id, Rule: rule}
	}
	return nil
}

func brokenRule(s string) error {
	switch {
	case s == "":
		return ErrIDEmpty
	case len(s) > MaxIDBytes:
		return ErrIDTooLong
	case !utf8.ValidString(s):
		return ErrIDNotUTF8
	case strings.ContainsFunc(s, unicode.IsControl):
		return ErrIDControl
	case strings.ContainsAny(s, `/\`), s == ".", s == "..":
		return ErrIDPath
	case strings.ContainsAny(s, "|="):
		return ErrIDSeparator
	}
	return nil
}

// key is the key of the side value that holds the checkpoint.
func (id ID) key() string { return keyPrefix + string(id) }

// IDError is an id together with the first rule it breaks.
type IDError struct {
	ID   ID
	Rule error // one of ErrIDEmpty to ErrIDSeparator
}

// Error shows at most the first 64 characters of the id.
func (e *IDError) Error() string { return fmt.Sprintf("checkpoint: id %.64q %v", string(e.ID), e.Rule) }

// Unwrap returns [ErrID] and the rule.
func (e *IDError) Unwrap() []error { return []error{ErrID, e.Rule} }
