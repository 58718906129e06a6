package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func readAll(in io.Reader) ([]commit, error) {
	var all []commit
	r := newReader(in)
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
}

const (
	mergeText  = "\x01h1\x00Ada\x00a@x\x002026-01-02T03:04:05Z\x00p1 p2\x00Merge\x00"
	commitText = "\x01h2\x00\x00\x00\x00\x00\x00\n12\t3\ta b\x00-\t-\tpng\x004\t0\t\x00old\x00new\tname\x00"
)

func TestReaderReadsMergesRenamesAndBinaryFiles(t *testing.T) {
	want := []commit{
		{hash: "h1", author: "Ada", mail: "a@x", when: "2026-01-02T03:04:05Z", parents: 2, subject: "Merge"},
		{hash: "h2", changes: []change{
			{path: "a b", added: 12, deleted: 3},
			{path: "png", binary: true},
			{path: "new\tname", from: "old", added: 4},
		}},
	}
	got, err := readAll(iotest.OneByteReader(strings.NewReader(mergeText + commitText)))
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestReaderNeverTakesHalfACommitForAWholeOne(t *testing.T) {
	text := mergeText + commitText
	for end := len(mergeText) + 1; end < len(text); end++ {
		got, err := readAll(strings.NewReader(text[:end]))
		if err == nil { // git wrote the last NUL of a file, and would have continued
			require.Equal(t, byte(0), text[end-1])
			continue
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", end)
		require.Len(t, got, 1)
	}
}

func TestReaderRefusesWhatGitDoesNotWrite(t *testing.T) {
	header := "\x01h\x00\x00\x00\x00\x00\x00\n"
	for _, text := range []string{"x", header + "1\t2\x00", header + "a\t2\tp\x00", header + "1\t\tp\x00", "\x01h\x00"} {
		_, err := readAll(strings.NewReader(text))
		require.ErrorContains(t, err, "git log", "%q", text)
	}
}

func TestReaderSurvivesAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{"\x01", "\x00", "\n", "\t", "1", "-", "x", header7})).Draw(t, "parts")
		_, _ = readAll(strings.NewReader(strings.Join(parts, "")))
	})
}

const header7 = "\x01h\x00\x00\x00\x00\x00\x00"

func TestHistoryIsTheSameWhateverTheUserHasConfigured(t *testing.T) {
	repo := newRepository(t, 60)
	plain := historyOf(t, repo)
	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte(`
[color]
	ui = always
[core]
	quotePath = false
[diff]
	renames = false
	noprefix = true
	mnemonicPrefix = true
	external = false
[format]
	pretty = fuller
[i18n]
	logOutputEncoding = ISO-8859-1
[log]
	date = relative
	decorate = full
	mailmap = true
	showRoot = false
	showSignature = true
	follow = true
`), 0o600))
	t.Setenv("GIT_CONFIG_GLOBAL", config)
	require.Equal(t, plain, historyOf(t, repo))
}

func historyOf(t *testing.T, dir string) []commit {
	t.Helper()
	repo, err := openRepository(t.Context(), dir)
	require.NoError(t, err)
	head, err := repo.head(t.Context())
	require.NoError(t, err)
	count, err := repo.count(t.Context(), head)
	require.NoError(t, err)
	var all []commit
	for c, err := range repo.history(t.Context(), head) {
		require.NoError(t, err)
		all = append(all, c)
	}
	require.Len(t, all, count)
	return all
}

func TestHistoryEndsGitWhenTheLoopIsLeft(t *testing.T) {
	repo, err := openRepository(t.Context(), newRepository(t, 60))
	require.NoError(t, err)
	read := 0
	for _, err := range repo.history(t.Context(), "HEAD") {
		require.NoError(t, err)
		if read++; read == 3 {
			break
		}
	}
	require.Equal(t, 3, read)
}

func TestHistoryIsEndedByItsContext(t *testing.T) {
	repo, err := openRepository(t.Context(), newRepository(t, 300))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var last error
	for _, last = range repo.history(ctx, "HEAD") {
		cancel()
	}
	cancel()
	require.ErrorIs(t, last, context.Canceled)
}

func TestTheErrorOfHistoryHoldsWhatGitPrinted(t *testing.T) {
	repo, err := openRepository(t.Context(), emptyRepository(t))
	require.NoError(t, err)
	var failures []error
	for _, err := range repo.history(t.Context(), "no-such-commit") {
		failures = append(failures, err)
	}
	require.Len(t, failures, 1)
	require.ErrorContains(t, failures[0], "no-such-commit")
}

func TestARepositoryIsTheSameFromEachOfItsFolders(t *testing.T) {
	dir := emptyRepository(t)
	below := filepath.Join(dir, "a", "b")
	require.NoError(t, os.MkdirAll(below, 0o700))
	top, err := openRepository(t.Context(), dir)
	require.NoError(t, err)
	sub, err := openRepository(t.Context(), below)
	require.NoError(t, err)
	require.Equal(t, top.scope(), sub.scope())
	require.Equal(t, top.home, sub.home)
	require.True(t, strings.HasSuffix(top.scope(), filepath.Base(dir)))
}
