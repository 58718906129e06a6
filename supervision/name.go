package supervision

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNameLength is the longest allowed name, in bytes: what every file system and every metrics
// system can hold.
const maxNameLength = 255

// What is wrong with a name, for errors.Is. See NameError.
var (
	// ErrName: it breaks a rule of Spec.Name.
	ErrName = errors.New("supervision: bad name")
	// ErrDuplicate: it is taken, or so is the checkpoint that goes with it.
	ErrDuplicate = errors.New("supervision: duplicate name")
)

// A NameError is a name together with the first rule that it breaks.
type NameError struct {
	Err  error  // ErrName or ErrDuplicate
	Name string // whole; the text of the error shows at most its first 64 characters
	Rule string // of ErrName, as in "is empty"
}

func (e *NameError) Error() string {
	if e.Rule == "" {
		return fmt.Sprintf("%v: %.64q", e.Err, e.Name)
	}
	return fmt.Sprintf("%v: %.64q %s", e.Err, e.Name, e.Rule)
}

// Unwrap returns [ErrName] or [ErrDuplicate].
func (e *NameError) Unwrap() error { return e.Err }

func checkName(name string) error {
	if rule := brokenRule(name); rule != "" {
		return &NameError{Err: ErrName, Name: name, Rule: rule}
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
	case len(name) > maxNameLength:
		return fmt.Sprintf("is longer than %d bytes", maxNameLength)
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
