package actors

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// noReasons are the exported errors that are never the reason of a worker: answers to calls of a
// program or an operator, and to those that open a log or copy it.
var noReasons = strings.Fields(`
	actors.ErrOptions actors.ErrUnknownWorker actors.ErrEmptyReceipt actors.ErrInsideHandler actors.ErrUnknownGroup actors.ErrNotInFlight
	cursor.ErrInFlight cursor.ErrNoCheckpoint cursor.ErrStateless cursor.ErrNotParked cursor.ErrAnswers
	checkpoint.ErrNotFound checkpoint.ErrRunning checkpoint.ErrRebuild checkpoint.ErrNotBackwards checkpoint.ErrNotForward checkpoint.ErrExternal
	store.ErrLocked store.ErrNotFound store.ErrNotStore store.ErrNotBackup store.ErrUnfinishedCopy store.ErrNotEmpty
	store.ErrFenceCancelled store.ErrFenceEnded
`)

func TestEveryErrorThatCanBeAReasonHasACode(t *testing.T) {
	table := make(map[string]bool)
	for _, name := range sentinelsIn(t, "reason.go", true) {
		require.False(t, table[name], "%s is in the table twice", name)
		table[name] = true
	}
	require.Len(t, table, len(codes))
	none := make(map[string]bool)
	for _, name := range noReasons {
		none[name] = true
		require.False(t, table[name], "%s has a code and is said to need none", name)
	}
	declared := make(map[string]bool)
	for _, pkg := range []string{"actors", "cursor", "checkpoint", "store", "supervision"} {
		files, err := filepath.Glob(filepath.Join("..", pkg, "*.go"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			for _, name := range sentinelsIn(t, file, false) {
				declared[pkg+"."+name] = true
			}
		}
	}
	delete(declared, "supervision.ErrSetting") // of a definition, and those below: of Start
	delete(declared, "supervision.ErrDuplicate")
	require.Greater(t, len(declared), 50)
	for name := range declared {
		require.True(t, table[name] || none[name], "%s has no code: put it into the table, or say that it is no reason", name)
	}
	for name := range none {
		require.True(t, declared[name], "%s does not exist", name)
	}
}

// sentinelsIn returns the exported errors that a file declares, or those that its table has, with
// their packages.
func sentinelsIn(t *testing.T, file string, table bool) (names []string) {
	t.Helper()
	if strings.HasSuffix(file, "_test.go") {
		return nil
	}
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	parsed, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
	require.NoError(t, err)
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			return false
		case *ast.ValueSpec:
			for _, name := range n.Names {
				if !table && strings.HasPrefix(name.Name, "Err") {
					names = append(names, name.Name)
				}
			}
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); !table || !ok || key.Name != "of" {
				return true
			}
			switch of := n.Value.(type) {
			case *ast.SelectorExpr:
				names = append(names, of.X.(*ast.Ident).Name+"."+of.Sel.Name)
			case *ast.Ident:
				names = append(names, "actors."+of.Name)
			}
		}
		return true
	})
	return names
}

func TestACodeIsAShortWord(t *testing.T) {
	for _, c := range codes {
		require.Regexp(t, `^[a-z]+(-[a-z]+)?$`, string(c.code))
	}
}

func TestReasons(t *testing.T) {
	broken := errors.New("broken") //nolint:err113 // of a handler
	said := func(err error) error { return supervision.Capture(err, nil) }
	judged := func(policy supervision.Policy, f supervision.Failure, times int) error {
		j := supervision.NewJudge(supervision.Spec{Name: "w", Policy: policy}, nil)
		var v supervision.Verdict
		for i := range times {
			v = j.Failed(time.Unix(int64(i), 0), f)
		}
		return v.Reason
	}
	at7 := func(err error) supervision.Failure { return supervision.Failure{Event: 7, Key: "k", Err: err} }
	panicked := at7(said(broken))
	panicked.Panic = true
	full := &cursor.RunnerError{Worker: "w", Err: cursor.ErrCommit, Reason: fmt.Errorf("commit: %w", store.ErrDiskFull)}
	for name, c := range map[string]struct {
		err  error
		want Reason
	}{
		"nothing":    {nil, Reason{}},
		"an attempt": {judged(supervision.Policy{}, at7(said(broken)), 2), Reason{Code: CodeFailed, Event: 7, Key: "k", Attempt: 2}},
		"a panic":    {judged(supervision.Policy{}, panicked, 1), Reason{Code: "panic", Event: 7, Key: "k", Attempt: 1}},
		"the last": {
			judged(supervision.Policy{Attempts: 3}, at7(said(broken)), 3),
			Reason{Code: "exhausted", Event: 7, Key: "k", Attempt: 3},
		},
		"a wait": {
			judged(supervision.Policy{}, at7(said(supervision.Wait(broken))), 4),
			Reason{Code: CodeWaiting, Event: 7, Key: "k", Attempt: 4},
		},
		"a full disk": {
			judged(supervision.Policy{}, supervision.Failure{Err: full, NoAttempt: true}, 1), Reason{Code: "disk-full", Attempt: 1},
		},
		"too often": {judged(supervision.Policy{Intensity: -1}, panicked, 1), Reason{Code: "over-budget", Event: 7, Key: "k", Attempt: 1}},
		"halted": {
			&HaltedError{Worker: "w", Reason: judged(supervision.Policy{}, at7(supervision.Halt(checkpoint.ErrFenced)), 1)},
			Reason{Code: "fenced", Event: 7, Key: "k", Attempt: 1},
		},
		"a store of the handler": {
			judged(supervision.Policy{}, at7(said(fmt.Errorf("mine: %w", store.ErrPoisoned))), 1),
			Reason{Code: CodeFailed, Event: 7, Key: "k", Attempt: 1},
		},
		"another worker": {
			judged(supervision.Policy{}, at7(said(&HaltedError{Worker: "other", Reason: store.ErrConflict})), 1),
			Reason{Code: CodeFailed, Event: 7, Key: "k", Attempt: 1},
		},
		"a timeout": {
			judged(supervision.Policy{}, at7(fmt.Errorf("%w: %w", cursor.ErrTimeout, said(broken))), 1),
			Reason{Code: "timeout", Event: 7, Key: "k", Attempt: 1},
		},
		"refused": {
			judged(supervision.Policy{}, at7(said(&store.InvalidError{Field: "kind", Rule: "is empty"})), 1),
			Reason{Code: "invalid", Event: 7, Key: "k", Attempt: 1},
		},
		"a handler that timed out": {
			&cursor.HandlerError{Worker: "w", Event: 9, Timeout: true, Err: said(broken)}, Reason{Code: "timeout", Event: 9},
		},
		"no key": {
			&cursor.RunnerError{Worker: "w", Event: 3, Err: cursor.ErrKey, Reason: store.ErrClosed}, Reason{Code: "no-key", Event: 3},
		},
		"parked": {
			&EventError{Err: ErrParked, Worker: "w", Event: 4, Key: "k", Attempt: 2, Reason: "panic"},
			Reason{Code: "parked", Event: 4, Key: "k", Attempt: 2},
		},
		"hung":    {&HungError{Workers: []string{"w"}, Positions: []store.Position{1}}, Reason{Code: "hung"}},
		"outage":  {&supervision.OutageError{Dependency: "mail", Err: said(broken)}, Reason{Code: "outage"}},
		"outages": {errors.Join(&supervision.OutageError{Err: said(broken)}, &supervision.OutageError{Err: said(broken)}), Reason{Code: "outage"}},
		"paused":  {&pausedError{"paused by ada"}, Reason{Code: CodePaused}},
		"unknown": {broken, Reason{Code: CodeFailed}},
	} {
		got := ReasonOf(c.err)
		if c.err != nil {
			c.want.Text = c.err.Error()
		}
		require.Equal(t, c.want, got, name)
	}
}
