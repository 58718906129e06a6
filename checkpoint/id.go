package checkpoint

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/penstock-io/penstock/store"
)

// maxIDBytes is the longest allowed id.
const maxIDBytes = 255

// keyPrefix begins the key of the side value of every checkpoint.
const keyPrefix = "checkpoint/"

// ID names a checkpoint in its store. It is 1 to 255 bytes of UTF-8 without control characters,
// line separators and marks of direction, contains none of '/', '\', '|' and '=', and is neither
// "." nor "..", so that it can stand unquoted in a path, a key and a log line. Upper and lower case
// differ. The name of a worker obeys the same rules.
type ID string

// Validate reports the first rule that id breaks, as a [store.InvalidError] of the field
// "checkpoint id".
func (id ID) Validate() error {
	if rule := brokenRule(string(id)); rule != "" {
		return &store.InvalidError{Field: "checkpoint id", Rule: rule, Value: string(id)}
	}
	return nil
}

// brokenRule returns the first rule that an id breaks, in the words of package supervision.
func brokenRule(s string) string {
	switch {
	case s == "":
		return "is empty"
	case len(s) > maxIDBytes:
		return "is longer than 255 bytes"
	case !utf8.ValidString(s):
		return "is not valid UTF-8"
	case strings.ContainsFunc(s, unicode.IsControl):
		return "contains a control character"
	case strings.ContainsFunc(s, misleads):
		return "contains a line separator or a mark of direction"
	case strings.ContainsAny(s, `/\`), s == ".", s == "..":
		return `looks like a path: it contains '/' or '\', or is "." or ".."`
	case strings.ContainsAny(s, "|="):
		return "contains a separator: '|' or '='"
	}
	return ""
}

// key is the key of the side value that holds the checkpoint.
func (id ID) key() string { return keyPrefix + string(id) }

// misleads reports whether a character breaks a line, or turns the direction of the text that
// follows: either makes one name look like another.
func misleads(r rune) bool { return unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) }
