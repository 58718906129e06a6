package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/store"
)

func TestEachRuleOfIDsHasItsError(t *testing.T) {
	for id, rule := range map[string]string{
		"":                             "is empty",
		strings.Repeat("x", 256):       "is longer than 255 bytes",
		strings.Repeat("é", 128):       "is longer than 255 bytes",
		"a\xff":                        "is not valid UTF-8",
		"a\x00":                        "contains a control character",
		"a\nb":                         "contains a control character",
		"a\x7f":                        "contains a control character",
		"a\u0085":                      "contains a control character",
		"a\u2028b":                     "contains a line separator or a mark of direction",
		"a\u2029":                      "contains a line separator or a mark of direction",
		"a\u202eb":                     "contains a line separator or a mark of direction",
		"a/b":                          pathRule,
		`a\b`:                          pathRule,
		".":                            pathRule,
		"..":                           pathRule,
		"a|b":                          "contains a separator: '|' or '='",
		"a=b":                          "contains a separator: '|' or '='",
		"index":                        "",
		"Index 2: äöü, v1.0..2 (beta)": "",
		strings.Repeat("x", 255):       "",
		"...":                          "",
	} {
		err := checkpoint.ID(id).Validate()
		if rule == "" {
			require.NoError(t, err, "%q", id)
			continue
		}
		requireInvalid(t, store.InvalidError{Field: "checkpoint id", Rule: rule, Value: id}, err)
	}
}

// pathRule is the rule of IDs that badID breaks.
const pathRule = `looks like a path: it contains '/' or '\', or is "." or ".."`

const badID checkpoint.ID = "a/b"

// requireBadID requires an error to say which rule badID breaks.
func requireBadID(t *testing.T, err error) {
	t.Helper()
	requireInvalid(t, store.InvalidError{Field: "checkpoint id", Rule: pathRule, Value: string(badID)}, err)
}

func TestEveryCallRefusesABadID(t *testing.T) {
	st := open(t)
	_, err := checkpoint.Acquire(t.Context(), st, badID, bound)
	requireBadID(t, err)
	_, err = checkpoint.Inspect(st, badID)
	requireBadID(t, err)
	for _, c := range []checkpoint.Change{
		checkpoint.Reset{},
		checkpoint.Rewind{},
		checkpoint.SkipTo{},
		checkpoint.Widen{Region: orders},
		checkpoint.Rebind{Region: orders},
		checkpoint.Rename{To: "c"},
		checkpoint.Delete{},
	} {
		requireBadID(t, apply(t.Context(), st, badID, c))
	}
	files := filesIn(t, t.TempDir())
	requireBadID(t, files.Save(t.Context(), st, badID, checkpoint.Record{}))
	_, err = files.Load(t.Context(), st, badID, bound)
	requireBadID(t, err)
}
