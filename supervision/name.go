package supervision

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNameLength is the longest allowed name, in bytes: what every file system and every metrics
// system can hold.
const MaxNameLength = 255

// ErrName is what every [*NameError] wraps.
var ErrName = errors.New("supervision: bad name")

// A NameError is a name together with the first rule of [Spec.Name] that it breaks.
type NameError struct {
	Name string
	Rule string // as in "is empty"
}

// Error shows at most the first 64 characters of the name.
func (e *NameError) Error() string {
	return fmt.Sprintf("%v: %.64q %s", ErrName, e.Name, e.Rule)
}

// Unwrap returns [ErrName].
func (e *NameError) Unwrap() error { return ErrName }

func checkName(name string) error {
	if rule := brokenRule(name); rule != "" {
		return &NameError{Name: name, Rule: rule}
	}
	return nil
}

// brokenRule returns the first rule that a name breaks. The rules are those of checkpoint.ID, word
// for word, because the name of a worker is the ID of its checkpoint; a test of package cursor,
// which knows both, holds the two together.
func brokenRule(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > MaxNameLength:
		return fmt.Sprintf("is longer than %d bytes", MaxNameLength)
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "contains a control character"
	case strings.ContainsAny(name, `/\`), name == ".", name == "..":
		return `looks like a path: it contains '/' or '\', or is "." or ".."`
	case strings.ContainsAny(name, "|="):
		return "contains a separator: '|' or '='"
	}
	return ""
}
