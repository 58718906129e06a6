package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/store"
)

// ofEach runs a test for each command that there is, so that a new one cannot break a rule.
func ofEach(t *testing.T, test func(t *testing.T, words []string, cmd *cobra.Command)) {
	t.Helper()
	t.Setenv(targetVariable, "")
	for name, cmd := range leaves(newApp(Options{}).root) {
		t.Run(name, func(t *testing.T) { test(t, strings.Fields(name), cmd) })
	}
}

// errorOf is that of JSON on stdout.
func errorOf(t *testing.T, s said) admin.Error {
	t.Helper()
	var read struct{ Error *admin.Error }
	require.NoError(t, json.Unmarshal([]byte(s.out), &read), s.out)
	require.NotNil(t, read.Error, s.out)
	require.NotEmpty(t, s.err, "people read stderr")
	return *read.Error
}

func with(words []string, more ...string) []string { return append(slices.Clone(words), more...) }

func isFree(cmd *cobra.Command) bool { return !strings.Contains(cmd.Use, "[TARGET]") }

func TestHelpWinsOverAllElse(t *testing.T) {
	ofEach(t, func(t *testing.T, words []string, _ *cobra.Command) {
		for _, more := range [][]string{{"--help"}, {"-h"}, {"--tyop", "--help"}, {"--help", "--tyop"}, {"a", "b", "c", "d", "--help", "--json"}, {"--timeout", "x", "-h"}} {
			out := run(t, with(words, more...)...)
			require.Zero(t, out.code, more)
			require.Contains(t, out.out, "Usage:", more)
			require.Empty(t, out.err, more)
		}
	})
	for _, args := range [][]string{{}, {"--help"}, {"tyop", "--help"}, {"worker"}, {"worker", "--help"}, {"help", "worker", "pause"}} {
		out := run(t, args...)
		require.Zero(t, out.code, args)
		require.Contains(t, out.out, "Usage:", args)
	}
}

func TestWhatIsNotUnderstoodIsSaidAndNeverPanics(t *testing.T) {
	ofEach(t, func(t *testing.T, words []string, cmd *cobra.Command) {
		wrong := [][]string{{"--tyop"}, {"--timeout", "x"}, {"--json=tyop"}, {"a", "b", "c", "d", "e", "f"}}
		if cmd.Name() != "version" {
			wrong = append(wrong, nil)
		}
		for _, more := range wrong {
			out := run(t, with(words, more...)...)
			require.Equal(t, exitUsage, out.code, "%v: %s", more, out.out)
			require.Empty(t, out.out, more)
			require.True(t, strings.HasPrefix(out.err, cmd.CommandPath()+": "), out.err)
			if slices.Contains(more, "--json=tyop") {
				continue
			}
			for _, format := range []string{"--json", "--json=lines"} {
				out = run(t, with(words, append(more, format)...)...)
				require.Equal(t, exitUsage, out.code)
				require.Equal(t, admin.Usage, errorOf(t, out).Code, more)
			}
		}
	})
	for _, args := range [][]string{{"tyop"}, {"worker", "tyop"}, {"worker", "--json"}, {"--json"}, {"--tyop"}, {"statsu", "--json"}} {
		out := run(t, args...)
		require.Equal(t, exitUsage, out.code, args)
		require.Equal(t, slices.Contains(args, "--json"), out.out != "", args)
	}
	require.Contains(t, run(t, "statsu").err, "did you mean status?")
}

func TestADirectoryThatIsNotThereIsNeverMade(t *testing.T) {
	top := t.TempDir()
	typo := filepath.Join(top, "tyop")
	ofEach(t, func(t *testing.T, words []string, cmd *cobra.Command) {
		if cmd.Name() == "version" || cmd.Name() == "completion" {
			return
		}
		for _, target := range []string{typo, top} {
			args := strings.Fields(calls[joined(words)][0].line)
			for i, word := range args {
				switch word {
				case "$T", "$BACKUP", "$EXPORT":
					args[i] = target
				case "$NEW":
					args[i] = filepath.Join(top, "new")
				case "$BILL", "$PARKED":
					args[i] = "1"
				}
			}
			if target == top && isFree(cmd) {
				continue // that is a directory, and another mistake
			}
			out := run(t, append(args, "--json")...)
			require.Equal(t, exitNotFound, out.code, out.err)
			require.Equal(t, admin.NotFound, errorOf(t, out).Code)
		}
		entries, err := os.ReadDir(top)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
}

// Without a terminal a change needs --yes and --reason, and does nothing without them, or with
// --dry-run.
func TestAChangeNeedsYesAndAReason(t *testing.T) {
	live, cold, sagas := inMode(t, admin.Live), inMode(t, admin.Cold), sagasIn(t, admin.Live)
	changes := 0
	ofEach(t, func(t *testing.T, words []string, cmd *cobra.Command) {
		if cmd.Flags().Lookup("reason") == nil {
			return
		}
		changes++
		s := live
		if calls[joined(words)][0].stopped {
			s = cold
		}
		if calls[joined(words)][0].sagas {
			s = sagas
		}
		args := calls[joined(words)][0].words(t, s)
		args = slices.DeleteFunc(args, func(word string) bool { return word == "--dry-run" })
		head, sagaHead := live.st.Head(), sagas.st.Head()
		for _, more := range [][]string{nil, {"--yes"}, {"--reason", "test"}, {"--yes", "--reason", ""}} {
			out := run(t, append(with(args, more...), "--json")...)
			require.Equal(t, exitUsage, out.code, "%v: %s", more, out.err)
			require.Contains(t, errorOf(t, out).Hint, "--reason")
		}
		for _, more := range [][]string{{"--dry-run"}, {"--dry-run", "--yes", "--reason", "test"}} {
			out := run(t, with(args, more...)...)
			if calls[joined(words)][0].idle {
				require.Equal(t, exitNotFound, out.code, out.err)
				continue
			}
			require.Zero(t, out.code, out.err)
			require.Contains(t, out.out, "nothing was done")
			require.Contains(t, out.out, "undo: ")
		}
		require.Equal(t, head, live.st.Head())
		require.Equal(t, sagaHead, sagas.st.Head())
		require.Contains(t, run(t, "status", cold.dir).out, "as of 4:")
	})
	require.NotZero(t, changes)
}

func TestAPauseIsAnAuditEventAndIsUndoneByWhatItSays(t *testing.T) {
	s := inMode(t, admin.Live)
	out := run(t, "worker", "pause", s.dir, "bill", "--until", "2h", "--yes", "--reason", "the bank is down", "--by", "ann", "--json")
	require.Zero(t, out.code, out.err)
	var change Change
	require.NoError(t, json.Unmarshal([]byte(out.out), &change))
	require.Equal(t, "penstock worker resume "+quoted(s.dir)+" bill --reason '…'", change.Undo)
	require.Contains(t, run(t, "status", s.dir).out, "paused")
	require.Contains(t, run(t, "stuck", s.dir).out, change.Undo)
	undo := strings.Fields(strings.TrimPrefix(change.Undo, "penstock "))
	require.Zero(t, run(t, append(undo, "--yes", "--by", "bob")...).code)
	audit := run(t, "tail", s.dir, "--scope", store.ReservedScope, "-n", "2").out
	require.Contains(t, audit, `"by":"ann"`)
	require.Contains(t, audit, `"by":"bob"`)
	require.NotContains(t, run(t, "status", s.dir).out, "paused")
	require.Equal(t, exitNotFound, run(t, "worker", "pause", s.dir, "tyop", "--yes", "--reason", "test").code)
	require.Equal(t, exitUsage, run(t, "worker", "pause", s.dir, "bill", "--until", "soon", "--yes", "--reason", "test").code)
}

func TestEachCodeHasItsExitCode(t *testing.T) {
	for code, exit := range map[admin.Code]int{
		admin.Failed: 1, admin.Usage: 2, admin.NotFound: 3, admin.Refused: 4, admin.Forbidden: 4, admin.Damage: 6, admin.Unreachable: 7, admin.Unknown: 8,
	} {
		a := newApp(Options{})
		a.typed = func() []string { return nil }
		a.root.SetErr(new(strings.Builder))
		require.Equal(t, exit, ExitCode(a.failed(a.root, &admin.Error{Code: code, Text: "test"})), code)
	}
	require.Zero(t, ExitCode(nil))
	require.Equal(t, exitFailed, ExitCode(os.ErrClosed))
	require.Equal(t, exitFinding, ExitCode(&exitError{exitFinding, errFinding}))
}

func TestTheTargetIsTheFirstArgumentOrAFlagOrAVariable(t *testing.T) {
	s := inMode(t, admin.Cold)
	t.Setenv(targetVariable, "")
	require.Equal(t, exitUsage, run(t, "worker", "show", "bill").code)
	require.Zero(t, run(t, "worker", "show", "bill", "--target", s.dir).code)
	require.Contains(t, run(t, "stuck", "-t", s.dir).out, "penstock parked ls --target "+quoted(s.dir)+" bill")
	t.Setenv(targetVariable, s.dir)
	require.Zero(t, run(t, "worker", "show", "bill").code)
	require.Contains(t, run(t, "stuck").out, "penstock parked ls bill\n")
	require.Equal(t, exitNotFound, run(t, "worker", "show", filepath.Join(t.TempDir(), "tyop"), "bill").code, "the argument wins")
	require.Equal(t, exitUnreachable, run(t, "status", "http://127.0.0.1:1").code)
	require.Equal(t, exitNotFound, run(t, "status", "--token-file", "tyop").code)
}

func TestWorkersAndPositionsAreCompleted(t *testing.T) {
	s := inMode(t, admin.Cold)
	t.Setenv(targetVariable, "")
	complete := func(args ...string) []string {
		lines := strings.Split(run(t, append([]string{"__complete"}, args...)...).out, "\n")
		return lines[:slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, ":") })]
	}
	ofEach(t, func(t *testing.T, words []string, cmd *cobra.Command) {
		if strings.Contains(cmd.Use, "WORKER") {
			require.Equal(t, []string{"bill"}, complete(with(words, s.dir, "")...))
			require.Empty(t, complete(with(words, filepath.Join(s.dir, "tyop"), "")...))
		}
	})
	require.Equal(t, []string{s.position(t, "$PARKED") + "\torder:2"}, complete("parked", "show", s.dir, "bill", ""))
	require.Equal(t, []string{"order.billed", "order.placed"}, complete("tail", s.dir, "--kind", "order."))
	require.Equal(t, []string{"shop"}, complete("tail", s.dir, "--scope", ""))
	require.Equal(t, []string{"bill"}, complete("audit", s.dir, "--worker", ""))
	t.Setenv(targetVariable, s.dir)
	require.Equal(t, []string{"order.placed"}, complete("parked", "ls", "bill", "--kind", "order.p"))
	require.Equal(t, []string{"bill"}, complete("worker", "show", ""))
	require.Contains(t, run(t, "completion", "bash").out, "__start_penstock")
	require.Equal(t, exitUsage, run(t, "completion", "tyop").code)
}

// What stuck advises to type is understood.
func TestAllThatHelpsCanBeTyped(t *testing.T) {
	s := inMode(t, admin.Live)
	var stuck Stuck
	require.NoError(t, json.Unmarshal([]byte(run(t, "stuck", s.dir, "--json").out), &stuck))
	require.NotEmpty(t, stuck.Troubles)
	for _, trouble := range stuck.Troubles {
		require.NotEmpty(t, trouble.Helps)
		require.NotEmpty(t, trouble.Means)
		for _, line := range trouble.Helps {
			require.Zero(t, run(t, strings.Fields(strings.TrimPrefix(line, "penstock "))...).code, line)
		}
	}
}

func TestWhatALogHoldsMovesNoCursor(t *testing.T) {
	s := opened(t, filepath.Join(t.TempDir(), "shop"))
	s.order(t, "9", "\x1b[2J\u202e", "")
	s.end()
	for _, list := range calls {
		for _, c := range list {
			if c.cold || strings.Contains(c.line, "$BILL") || strings.Contains(c.line, "--raw") {
				continue
			}
			out := run(t, c.words(t, s)...)
			for _, r := range out.out + out.err {
				require.True(t, r == '\n' || r >= ' ' && r != '\u202e' && (r < 0x7f || r > 0x9f), "%s: %q", c.line, r)
			}
		}
	}
}
