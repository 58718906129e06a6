package checkpoint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
)

func TestEachRuleOfIDsHasItsError(t *testing.T) {
	for id, rule := range map[string]error{
		"":                             checkpoint.ErrIDEmpty,
		strings.Repeat("x", 256):       checkpoint.ErrIDTooLong,
		strings.Repeat("é", 128):       checkpoint.ErrIDTooLong,
		"a\xff":                        checkpoint.ErrIDNotUTF8,
		"a\x00":                        checkpoint.ErrIDControl,
		"a\nb":                         checkpoint.ErrIDControl,
		"a\x7f":                        checkpoint.ErrIDControl,
		"a\u0085":                      checkpoint.ErrIDControl,
		"a/b":                          checkpoint.ErrIDPath,
		`a\b`:                          checkpoint.ErrIDPath,
		".":                            checkpoint.ErrIDPath,
		"..":                           checkpoint.ErrIDPath,
		"a|b":                          checkpoint.ErrIDSeparator,
		"a=b":                          checkpoint.ErrIDSeparator,
		"index":                        nil,
		"Index 2: äöü, v1.0..2 (beta)": nil,
		strings.Repeat("x", 255):       nil,
		"...":                          nil,
	} {
		err := checkpoint.ID(id).Validate()
		if rule == nil {
			require.NoError(t, err, "%q", id)
			continue
		}
		require.ErrorIs(t, err, rule, "%q", id)
		require.ErrorIs(t, err, checkpoint.ErrID)
		var evidence *checkpoint.IDError
		require.ErrorAs(t, err, &evidence)
		require.Equal(t, checkpoint.IDError{ID: checkpoint.ID(id), Rule: rule}, *evidence)
	}
}

func TestEveryCallRefusesABadID(t *testing.T) {
	st, bad := open(t), checkpoint.ID("a/b")
	_, err := checkpoint.Acquire(t.Context(), st, bad, bound)
	require.ErrorIs(t, err, checkpoint.ErrIDPath)
	_, err = checkpoint.Inspect(st, bad)
	require.ErrorIs(t, err, checkpoint.ErrIDPath)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Reset{}), checkpoint.ErrIDPath)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Rewind{}), checkpoint.ErrIDPath)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Rebind{Region: orders}), checkpoint.ErrIDPath)
	require.ErrorIs(t, apply(t.Context(), st, bad, checkpoint.Delete{}), checkpoint.ErrIDPath)
	files := checkpoint.Files{Dir: t.TempDir()}
	require.ErrorIs(t, files.Save(bad, checkpoint.Record{}), checkpoint.ErrIDPath)
	_, err = files.Load(bad, st.Origin(), bound)
	require.ErrorIs(t, err, checkpoint.ErrIDPath)
}
