package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/store"
)

// truth is what git says, counted by other commands and read in another way than the program does.
// Names are escaped.
type truth struct {
	commits  int
	perName  map[string]int    // git shortlog -sn
	authors  map[string]uint64 // git shortlog -sne
	lines    map[string][2]int // added, deleted of each author: git log --shortstat
	changes  map[string]uint64 // of each path: git log --name-only
	pairs    map[[2]string]uint64
	hotspots map[string]string // the commit that made each of them one
}

func countWithGit(t *testing.T, repo string) truth {
	t.Helper()
	count, err := strconv.Atoi(strings.TrimSpace(git(t, repo, "", "rev-list", "--count", "HEAD")))
	require.NoError(t, err)
	w := truth{
		commits: count, perName: make(map[string]int), authors: make(map[string]uint64),
		lines: make(map[string][2]int), changes: make(map[string]uint64), pairs: make(map[[2]string]uint64),
		hotspots: make(map[string]string),
	}
	for name, n := range shortlog(t, repo, "-sn") {
		w.perName[name] = int(n)
	}
	w.authors = shortlog(t, repo, "-sne")
	w.countLines(t, repo)
	w.countFiles(t, repo)
	return w
}

func shortlog(t *testing.T, repo, flags string) map[string]uint64 {
	t.Helper()
	sums := make(map[string]uint64)
	for line := range strings.Lines(git(t, repo, "", "shortlog", flags, "HEAD")) {
		number, name, found := strings.Cut(strings.TrimSpace(line), "\t")
		require.True(t, found, "%q", line)
		n, err := strconv.ParseUint(number, 10, 64)
		require.NoError(t, err)
		sums[escape(name)] = n
	}
	return sums
}

func (w *truth) countLines(t *testing.T, repo string) {
	t.Helper()
	stat := regexp.MustCompile(`^ \d+ files? changed(?:, (\d+) insertions?\(\+\))?(?:, (\d+) deletions?\(-\))?$`)
	author := ""
	for line := range strings.Lines(git(t, repo, "", "log", "--shortstat", "-M", "--format=author %an <%ae>")) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "author "); ok {
			author = escape(name)
			continue
		}
		if line == "" {
			continue
		}
		m := stat.FindStringSubmatch(line)
		require.NotNil(t, m, "%q", line)
		added, _ := strconv.Atoi(m[1]) // "" when there are none
		deleted, _ := strconv.Atoi(m[2])
		sum := w.lines[author]
		w.lines[author] = [2]int{sum[0] + added, sum[1] + deleted}
	}
}

func (w *truth) countFiles(t *testing.T, repo string) {
	t.Helper()
	out := git(t, repo, "", "log", "--reverse", "--topo-order", "--name-only", "-z", "-M", "--format=%x01%H")
	header := regexp.MustCompile("^\x01[0-9a-f]{40}$")
	hash, first := "", false
	var files []string
	finish := func() {
		slices.Sort(files)
		for i, a := range files {
			for _, b := range files[i+1:] {
				if len(files) <= maxTogether {
					w.pairs[[2]string{a, b}]++
				}
			}
		}
		files = nil
	}
	for token := range strings.SplitSeq(strings.TrimSuffix(out, "\x00"), "\x00") {
		if header.MatchString(token) {
			finish()
			hash, first = token[1:], true
			continue
		}
		if first {
			token, first = strings.TrimPrefix(token, "\n"), false
		}
		path := escape(token)
		files = append(files, path)
		w.changes[path]++
		if w.changes[path] == hotspotThreshold {
			w.hotspots[path] = hash
		}
	}
	finish()
}

// requireTruth compares every number in the log with git's.
func requireTruth(t *testing.T, data string, want truth) {
	t.Helper()
	st := reopen(t, data)
	got, err := readStory(t.Context(), st, hotspotThreshold)
	require.NoError(t, err)
	require.Equal(t, want.commits, got.commits)

	perName, authors, lines := make(map[string]int), make(map[string]uint64), make(map[string][2]int)
	for _, a := range got.authors {
		name, _, _ := strings.Cut(a.name, " <")
		perName[name] += int(a.commits)
		authors[a.name] = a.commits
		if a.added+a.deleted > 0 {
			lines[a.name] = [2]int{a.added, a.deleted}
		}
	}
	require.Equal(t, want.perName, perName)
	require.Equal(t, want.authors, authors)
	require.Equal(t, want.lines, lines)

	changes, since := make(map[string]uint64), make(map[string]string)
	for _, f := range got.files {
		changes[f.path] = f.changes
		if f.since != "" {
			since[f.path] = f.since
		}
	}
	require.Equal(t, want.changes, changes)
	require.Equal(t, want.hotspots, since)

	pairs := make(map[[2]string]uint64)
	for _, p := range got.pairs {
		pairs[[2]string{p.a, p.b}] = p.times
	}
	require.Equal(t, want.pairs, pairs)
	requireOnce(t, st, want)
}

// requireOnce looks at the reactions one by one: each input has all of its reactions, and none of
// them twice.
func requireOnce(t *testing.T, st *store.Store, want truth) {
	t.Helper()
	var hotspots []string
	require.NoError(t, each(t.Context(), st, func(e store.Event, h Hotspot) {
		hotspots = append(hotspots, h.Path)
		cause, err := st.Get(t.Context(), e.Cause)
		require.NoError(t, err)
		require.Equal(t, "file.changed", cause.Kind)
		require.EqualValues(t, hotspotThreshold, cause.Version)
	}))
	slices.Sort(hotspots)
	require.Equal(t, slices.Sorted(maps.Keys(want.hotspots)), hotspots)

	credits := make(map[string]int)
	require.NoError(t, each(t.Context(), st, func(_ store.Event, c Credited) { credits[c.Commit]++ }))
	require.Len(t, credits, want.commits)
	seen := make(map[Together]int)
	require.NoError(t, each(t.Context(), st, func(_ store.Event, p Together) { seen[p]++ }))
	for _, counts := range []map[string]int{credits, stringKeys(seen)} {
		for what, n := range counts {
			require.Equal(t, 1, n, "%s is in the log more than once", what)
		}
	}
}

func stringKeys(m map[Together]int) map[string]int {
	named := make(map[string]int, len(m))
	for k, n := range m {
		named[fmt.Sprintf("%+v", k)] = n
	}
	return named
}

// requireTables looks for each author and each file in what was printed.
func requireTables(t *testing.T, out string, want truth) {
	t.Helper()
	require.True(t, strings.HasPrefix(out, fmt.Sprintf("%d commits by %d authors\n", want.commits, len(want.authors))))
	rows := make(map[string]bool)
	for line := range strings.Lines(out) {
		rows[strings.Join(strings.Fields(line), " ")] = true
	}
	for name, n := range want.authors {
		row := fmt.Sprintf("%d %d %d %s", n, want.lines[name][0], want.lines[name][1], name)
		require.Contains(t, rows, strings.Join(strings.Fields(row), " "))
	}
	for path, n := range want.changes {
		row := fmt.Sprintf("%d %.10s %s", n, want.hotspots[path], path)
		require.Contains(t, rows, strings.Join(strings.Fields(row), " "))
	}
}
