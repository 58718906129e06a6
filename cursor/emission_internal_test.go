package cursor

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheBuildOfAProgramIsTheRevisionOfItsSources(t *testing.T) {
	revision, modified := debug.BuildSetting{Key: "vcs.revision", Value: "0123abcd"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	clean := debug.BuildSetting{Key: "vcs.modified", Value: "false"}
	for want, settings := range map[string][]debug.BuildSetting{
		"":               {modified, {Key: "GOOS", Value: "linux"}},
		"0123abcd":       {revision, clean},
		"0123abcd+dirty": {modified, revision},
	} {
		require.Equal(t, want, buildOf(settings))
	}
}
