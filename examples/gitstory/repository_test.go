package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// git runs git on a repository, without the user's configuration.
func git(t *testing.T, repo, input string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo}, args...)...)
	cmd.Stdin = strings.NewReader(input)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	require.NoError(t, err, "git %q: %s", args, &complaint)
	return string(out)
}

// people write the commits. Two have one name, and one has signs in it that mean something to us.
var people = []string{
	"Ada Lovelace <ada@example.org>", "Ada Lovelace <ada@home.example>", "José Ñandú <jose@example.org>",
	"100%: the author <p@example.org>", "bad\xe4byte <b@example.org>", "anonymous <>",
}

// oddNames are legal in git. The two long ones differ only past the length of an entity.
var oddNames = []string{
	"with space.txt", " leading", "-dash", `quote"s'.txt`, `back\slash`, "new\nline.txt", "\nfirst", "tab\there", "\x01mark",
	"umlaut-ä.go", "latin1-\xe4.go", "100%.txt", "100%25.txt", "a:b.go", "bidi\u202e.txt", "日本語", "1\t2\tfake",
	strings.Repeat("long/", 120) + "a", strings.Repeat("long/", 120) + "b",
}

// builder writes a history for git fast-import: real commits, made in one go.
type builder struct {
	out      bytes.Buffer
	random   *rand.Rand
	mark     int
	contents map[string]string
	names    []string
}

func newBuilder(seed uint64) *builder {
	b := &builder{random: rand.New(rand.NewPCG(seed, 1)), contents: make(map[string]string)}
	b.names = append(b.names, oddNames...)
	for i := range 25 {
		b.names = append(b.names, fmt.Sprintf("dir%d/file%d.go", i%4, i))
	}
	return b
}

// commit begins a commit on a branch, with these parents, and returns its mark.
func (b *builder) commit(branch, subject string, parents ...int) int {
	b.mark++
	person := people[min(b.random.IntN(len(people)), b.random.IntN(len(people)))]
	fmt.Fprintf(&b.out, "commit refs/heads/%s\nmark :%d\n", branch, b.mark)
	fmt.Fprintf(&b.out, "author %s %d +0200\ncommitter Committer <c@example.org> %d +0000\n",
		person, 1_700_000_000+b.mark*60, 1_700_000_000+b.mark*61)
	fmt.Fprintf(&b.out, "data %d\n%s\n", len(subject), subject)
	for i, parent := range parents {
		fmt.Fprintf(&b.out, "%s :%d\n", [2]string{"from", "merge"}[min(i, 1)], parent)
	}
	return b.mark
}

func (b *builder) write(name, content string) {
	b.contents[name] = content
	fmt.Fprintf(&b.out, "M 100644 inline %s\ndata %d\n%s\n", quoted(name), len(content), content)
}

func (b *builder) remove(name string) {
	delete(b.contents, name)
	fmt.Fprintf(&b.out, "D %s\n", quoted(name))
}

// quoted is a path with every byte in octal.
func quoted(name string) string {
	var q strings.Builder
	for _, c := range []byte(name) {
		fmt.Fprintf(&q, `\%03o`, c)
	}
	return `"` + q.String() + `"`
}

// edit changes some files: lines come and go, files vanish, move and come back. Low numbers are
// chosen more often.
func (b *builder) edit() {
	touched := make(map[string]bool)
	for range 1 + b.random.IntN(5) {
		name := b.names[min(b.random.IntN(len(b.names)), b.random.IntN(len(b.names)))]
		if touched[name] {
			continue
		}
		touched[name] = true
		content, exists := b.contents[name]
		moved := name + ".moved"
		switch n := b.random.IntN(12); {
		case n == 0 && exists:
			b.remove(name)
		case n == 1 && exists && !touched[moved]:
			touched[moved] = true
			b.remove(name)
			b.write(moved, content+"moved\n")
		default:
			b.write(name, b.lines(content))
		}
	}
}

func (b *builder) lines(content string) string {
	lines := strings.SplitAfter(content, "\n")
	if len(lines) > 4 {
		at := b.random.IntN(len(lines) - 2)
		lines = append(lines[:at], lines[at+2:]...)
	}
	content = strings.Join(lines, "")
	for range 1 + b.random.IntN(8) {
		content += fmt.Sprintf("line %d\n", b.random.IntN(1000))
	}
	return content
}

// history writes some hundred commits to the branch main, with everything that occurs in real ones:
// roots without a common ancestor, merges, empty commits, binary files, renamed files, odd
// subjects, and a commit of more files than fit into one batch.
func (b *builder) history(commits int) {
	last := b.commit("main", "first")
	b.write("image.png", "\x00\x01\x02")
	for i := range commits {
		switch {
		case i == commits/3:
			last = b.commit("main", "vendor everything", last)
			for n := range eventsPerBatch + 100 {
				b.write(fmt.Sprintf("vendor/%d.go", n), fmt.Sprintf("file %d\n", n))
			}
		case i == commits/2:
			other := b.commit("other", "a second root")
			b.write("other.txt", "from elsewhere\n")
			last = b.commit("main", "Merge an unrelated history", last, other)
			b.write("other.txt", "from elsewhere\n")
		case i%11 == 3:
			last = b.commit("main", "empty \x01 commit\xff\n\nwith a body\n", last)
		case i%17 == 5:
			last = b.commit("main", "", last)
			b.write("image.png", fmt.Sprintf("\x00\x01\x02%d", i))
		case i%13 == 7:
			side := b.commit("side", "on a side branch", last)
			name := fmt.Sprintf("side%d.txt", i)
			b.write(name, "aside\n")
			last = b.commit("main", "straight on", last)
			b.edit()
			last = b.commit("main", "Merge branch side", last, side)
			b.write(name, "aside\n")
		default:
			last = b.commit("main", fmt.Sprintf("change %d", i), last)
			b.edit()
		}
	}
}

// isolate hides the configuration and the surroundings of the user from git, and from
// the program.
func isolate(t *testing.T) {
	t.Helper()
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	t.Setenv("GIT_CEILING_DIRECTORIES", os.TempDir())
	for _, name := range []string{"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"} {
		t.Setenv(name, "")
		require.NoError(t, os.Unsetenv(name))
	}
}

// emptyRepository has a branch main without a commit.
func emptyRepository(t *testing.T) string {
	t.Helper()
	isolate(t)
	dir := t.TempDir()
	git(t, dir, "", "init", "--quiet")
	git(t, dir, "", "symbolic-ref", "HEAD", "refs/heads/main")
	return dir
}

func newRepository(t *testing.T, commits int) string {
	t.Helper()
	dir := emptyRepository(t)
	b := newBuilder(42)
	b.history(commits)
	git(t, dir, b.out.String(), "fast-import", "--quiet", "--force")
	return dir
}

// addCommit puts one more commit on main.
func addCommit(t *testing.T, repo string) {
	t.Helper()
	const more = "commit refs/heads/main\nauthor Late Comer <late@example.org> 1800000000 +0000\n" +
		"committer Late Comer <late@example.org> 1800000000 +0000\ndata 5\nlate\n\nfrom refs/heads/main^0\n" +
		"M 100644 inline late.txt\ndata 5\nlate\n\n"
	git(t, repo, more, "fast-import", "--quiet")
}
