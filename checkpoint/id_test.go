package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
)

func TestEachRuleOfIDsHasItsError(t *testing.T) {
	const path = `looks like a path: it contains '/' or '\', or is "." or ".."`
	for id, rule := range map[string]string{
		"":                             "is empty",
		strings.Repeat("x", 256):       "is longer than 255 bytes",
		strings.Repeat("é", 128):       "is longer than 255 bytes",
		"a\xff":                        "is not valid UTF-8",
		"a\x00":                        "contains a control character",
		"a\nb":                         "contains a control character",
		"a\x7f":                        "contains a control character",
		"a\u0085":                      "contains a control character",
		"a/b":                          path,
		`a\b`:                          path,
		".":                            path,
		"..":                           path,
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
		require.ErrorIs(t, err, checkpoint.ErrID)
		var evidence *checkpoint.IDError
		require.ErrorAs(t, err, &evidence)
		require.Equal(t, checkpoint.IDError{ID: checkpoint.ID(id), Rule: rule}, *evidence)
	}
}

func TestEveryCallRefusesABadID(t *testing.T) {
	st, bad := open(t), checkpoint.ID("a/b")
	_, err := checkpoint.Acquire(t.Context(), st, bad, bound)
	require.ErrorIs(t, err, checkpoint.ErrID)
	_, err = checkpoint.Inspect(st, bad)
	require.ErrorIs(t, err, checkpoint.ErrID)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Reset{}), checkpoint.ErrID)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Rewind{}), checkpoint.ErrID)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Rebind{Region: orders}), checkpoint.ErrID)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Delete{}), checkpoint.ErrID)
	files := checkpoint.Files{Dir: t.TempDir()}
	require.ErrorIs(t, files.Save(bad, checkpoint.Record{}), checkpoint.ErrID)
	_, err = files.Load(bad, st.Origin(), bound)
	require.ErrorIs(t, err, checkpoint.ErrID)
}
