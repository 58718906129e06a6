package supervision

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fieldName is the SettingError.Field of a name.
const fieldName = "Name"

// maxNameLength is the longest allowed name, in bytes: what every file system and every metrics
// system can hold.
const maxNameLength = 255

// ErrDuplicate says that a name is taken, or the checkpoint that goes with it. The text of the
// error names it.
var ErrDuplicate = errors.New("supervision: duplicate name")

func checkName(name string) error {
	if rule := brokenRule(name); rule != "" {
		return &SettingError{Field: fieldName, Rule: rule, Value: name}
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
	case strings.ContainsFunc(name, misleads):
		return "contains a line separator or a mark of direction"
	case strings.ContainsAny(name, `/\`), name == ".", name == "..":
		return `looks like a path: it contains '/' or '\', or is "." or ".."`
	case strings.ContainsAny(name, "|="):
		return "contains a separator: '|' or '='"
	}
	return ""
}

// misleads reports whether a character breaks a line, or turns the direction of the text that
// follows: either makes one name look like another.
func misleads(r rune) bool { return unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) }
