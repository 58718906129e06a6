package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// runAsMain makes the test binary behave as the program, race detector included.
const runAsMain = "GITSTORY_RUN_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runAsMain) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const hotspotThreshold = 20

// program is one run of gitstory.
type program struct {
	*exec.Cmd
	out    bytes.Buffer
	status io.ReadCloser
}

func start(t *testing.T, repo, data string, flags ...string) *program {
	t.Helper()
	args := append([]string{
		"-repo", repo, "-data", data, "-top", "100000", "-hotspot", fmt.Sprint(hotspotThreshold),
	}, flags...)
	p := &program{Cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.Env = append(os.Environ(), runAsMain+"=1", "GORACE=atexit_sleep_ms=0")
	p.Stdout = &p.out
	var err error
	p.status, err = p.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	return p
}

// finish waits for the end, and returns what the program printed and whether it ended by itself.
func (p *program) finish(t *testing.T) (status string, completed bool) {
	t.Helper()
	text, err := io.ReadAll(p.status)
	require.NoError(t, err)
	err = p.Wait()
	if err != nil {
		require.NotContains(t, string(text), "gitstory:", "it should have been killed, and failed instead")
	}
	return string(text), err == nil
}

// killAt kills the program from outside as soon as it has printed the line, and reports whether it
// ended before that.
func (p *program) killAt(t *testing.T, line string) (completed bool) {
	t.Helper()
	for lines := bufio.NewScanner(p.status); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), line) {
			if err := p.Process.Kill(); err != nil {
				require.ErrorIs(t, err, os.ErrProcessDone)
			}
		}
	}
	return p.Wait() == nil
}

func complete(t *testing.T, repo, data string) (out, status string) {
	t.Helper()
	p := start(t, repo, data)
	status, ok := p.finish(t)
	require.True(t, ok, "it did not complete: %s", status)
	return p.out.String(), status
}

func TestKilledAnywhereItsTablesAgreeWithGit(t *testing.T) {
	rounds := 1
	if os.Getenv("PENSTOCK_SOAK") != "" {
		rounds = 20
	}
	repo := newRepository(t, 300)
	truth := countWithGit(t, repo)
	kills := 0
	for round := range rounds {
		data := t.TempDir()
		kills += runWithKills(t, repo, data, truth.commits, round)
		out, status := complete(t, repo, data)
		require.Contains(t, status, "new commits: 0, events handled: 0\n", "the run before had completed")
		requireTruth(t, data, truth)
		requireTables(t, out, truth)
	}
	t.Logf("%d commits, %d files, %d rounds with %d kills", truth.commits, len(truth.changes), rounds, kills)
	require.GreaterOrEqual(t, kills, 4*rounds)
}

// runWithKills runs the program until it gets through: mostly killed by itself with a batch
// handled and not committed, now and then from outside while it appends. The first runs die before
// they have committed anything. Later ones come further each time: of more batches than there are
// reactors at least one is committed.
func runWithKills(t *testing.T, repo, data string, commits, round int) (kills int) {
	t.Helper()
	for completed := false; !completed; kills++ {
		after := 1 + kills/2
		if kills > 6 {
			after = 4 + kills/3 + round%3
		}
		if kills%5 == 4 {
			line := fmt.Sprintf("%s: %d of", appending, (commits*(1+kills/5)+9)/10)
			completed = start(t, repo, data).killAt(t, line)
		} else {
			_, completed = start(t, repo, data, "-crash-after", fmt.Sprint(after)).finish(t)
		}
	}
	return kills - 1
}

func TestASecondRunAppendsOnlyWhatIsNew(t *testing.T) {
	repo, data := newRepository(t, 60), t.TempDir()
	complete(t, repo, data)
	before := head(t, data)
	addCommit(t, repo)
	_, status := complete(t, repo, data)
	require.Contains(t, status, "new commits: 1, events handled: 3\n") // by contributors, hotspots and pairs
	// The commit, its file, and the credit of its author.
	require.Equal(t, before+3, head(t, data))
	requireTruth(t, data, countWithGit(t, repo))
}

func TestTheProgramPrintsWhereItResumesAndWhenItDies(t *testing.T) {
	repo, data := newRepository(t, 60), t.TempDir()
	status, completed := start(t, repo, data, "-crash-after", "1").finish(t)
	require.False(t, completed)
	require.Contains(t, status, data+" holds 0 events; resuming: contributors after 0, hotspots-20 after 0, pairs after 0\n")
	require.True(t, strings.HasSuffix(status, "dying now, at batch 1\n"), status)

	complete(t, repo, data)
	status, completed = start(t, repo, data, "-crash-after", "1").finish(t)
	require.True(t, completed)
	end := head(t, data)
	require.Contains(t, status, fmt.Sprintf(
		"%s holds %d events; resuming: contributors after %[2]d, hotspots-20 after %[2]d, pairs after %[2]d\n", data, end))
	require.Contains(t, status, "nothing new to handle, so nothing to crash in\n")

	addCommit(t, repo)
	status, completed = start(t, repo, data, "-crash-after", "100").finish(t)
	require.True(t, completed)
	require.Contains(t, status, "so there was no batch 100 to crash in\n")
}

func head(t *testing.T, data string) store.Position {
	t.Helper()
	st, err := store.Open(data, store.Options{ReadOnly: true})
	require.NoError(t, err)
	defer st.Close()
	return st.Head()
}

func TestAnotherThresholdLooksAtTheWholeHistoryAgain(t *testing.T) {
	repo, data := newRepository(t, 100), t.TempDir()
	complete(t, repo, data)
	o := options{repo: repo, data: data, hotspot: 5, top: 10}
	require.NoError(t, run(t.Context(), o, io.Discard, devNull(t)))
	st := reopen(t, data)
	want := 0
	for _, n := range countWithGit(t, repo).changes {
		if n >= 5 {
			want++
		}
	}
	files, err := readFiles(t.Context(), st, 5)
	require.NoError(t, err)
	got := 0
	for _, f := range files {
		if f.since != "" {
			got++
		}
	}
	require.Positive(t, want)
	require.Equal(t, want, got)
}

func TestTheLogLiesInTheGitDirectoryUnlessAnotherIsNamed(t *testing.T) {
	repo := newRepository(t, 10)
	o := options{repo: repo, hotspot: 5, top: 1}
	require.NoError(t, run(t.Context(), o, io.Discard, devNull(t)))
	require.Positive(t, head(t, filepath.Join(repo, ".git", "gitstory")))
}

func TestARepositoryWithoutCommitsHasAnEmptyStory(t *testing.T) {
	out, _ := complete(t, emptyRepository(t), t.TempDir())
	require.Equal(t, "0 commits by 0 authors\n", out)
}

func TestADirectoryOutsideARepositoryIsAClearError(t *testing.T) {
	isolate(t)
	dir := t.TempDir()
	err := run(t.Context(), options{repo: dir, hotspot: 1}, io.Discard, devNull(t))
	require.ErrorContains(t, err, "no git repository in "+dir)
	require.ErrorContains(t, err, "not a git repository")
}

func TestALogOfAnotherRepositoryIsRefusedAndLeftAlone(t *testing.T) {
	data := t.TempDir()
	complete(t, newRepository(t, 10), data)
	before := head(t, data)
	err := run(t.Context(), options{repo: newRepository(t, 5), data: data, hotspot: 1}, io.Discard, devNull(t))
	require.ErrorContains(t, err, "the log is of the repository")
	require.Equal(t, before, head(t, data))
}

func TestAnInterruptedRunIsContinuedByTheNext(t *testing.T) {
	repo, data := newRepository(t, 60), t.TempDir()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	o := options{repo: repo, data: data, hotspot: hotspotThreshold, top: 1}
	require.ErrorIs(t, run(ctx, o, io.Discard, devNull(t)), context.Canceled)
	complete(t, repo, data)
	requireTruth(t, data, countWithGit(t, repo))
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func reopen(t *testing.T, data string) *store.Store {
	t.Helper()
	st, err := store.Open(data, store.Options{ReadOnly: true})
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}
