package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// repository is a git repository, read through the git program.
type repository struct {
	dir  string // where git is run
	home string // the absolute path of the git directory
}

// openRepository finds the repository that dir stands in.
func openRepository(ctx context.Context, dir string) (repository, error) {
	r := repository{dir: dir}
	home, err := r.output(ctx, "rev-parse", "--absolute-git-dir")
	if err != nil {
		return r, fmt.Errorf("no git repository in %s: %w", dir, err)
	}
	r.home = filepath.FromSlash(home)
	return r, nil
}

// scope names the repository in the log: the path of its git directory, without the usual ".git".
func (r repository) scope() string {
	return scopeOf(strings.TrimSuffix(filepath.ToSlash(r.home), "/.git"))
}

// head returns the hash of the commit that HEAD names, "" when there is no commit yet.
func (r repository) head(ctx context.Context) (string, error) {
	head, err := r.output(ctx, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return "", nil
	}
	return head, err
}

// count returns the number of commits that history will yield.
func (r repository) count(ctx context.Context, head string) (int, error) {
	n, err := r.output(ctx, "rev-list", "--count", head)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(n)
}

// output runs git and returns what it prints, without the final newline.
func (r repository) output(ctx context.Context, args ...string) (string, error) {
	var out, complaint bytes.Buffer
	cmd := r.git(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		return "", gitError(args[0], err, &complaint)
	}
	return strings.TrimRight(out.String(), "\r\n"), nil
}

func (r repository) git(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "git", append([]string{"-C", r.dir}, args...)...)
}

func gitError(command string, err error, complaint *bytes.Buffer) error {
	if text := strings.TrimSpace(complaint.String()); text != "" {
		return fmt.Errorf("git %s: %w: %s", command, err, text)
	}
	return fmt.Errorf("git %s: %w", command, err)
}

// logArguments make git write what reader reads, whatever the user's configuration says about the
// looks of a log.
func logArguments(head string) []string {
	return []string{
		"-c", "log.showRoot=true", "-c", "log.showSignature=false",
		"log", "--reverse", "--topo-order", "-z", "--numstat", "--find-renames",
		"--no-relative", "--no-color", "--no-ext-diff", "--no-textconv", "--encoding=UTF-8",
		"--format=tformat:%x01%H%x00%an%x00%ae%x00%aI%x00%P%x00%s", head, "--",
	}
}

// history iterates over the commits that head reaches, parents before children. It runs git
// meanwhile; leaving the loop ends it. An error is the last thing it yields.
func (r repository) history(ctx context.Context, head string) iter.Seq2[commit, error] {
	return func(yield func(commit, error) bool) {
		running, cancel := context.WithCancel(ctx)
		defer cancel()
		var complaint bytes.Buffer
		cmd := r.git(running, logArguments(head)...)
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			yield(commit{}, gitError("log", err, &complaint))
			return
		}
		failed, left := yieldAll(newReader(out), yield)
		if failed != nil || left {
			cancel()
		}
		err = cmd.Wait()
		switch {
		case left:
		case ctx.Err() != nil:
			yield(commit{}, fmt.Errorf("git log: %w", ctx.Err()))
		case err != nil && (failed == nil || complaint.Len() > 0):
			// When git dies its output ends too early: the reason is what git says, not what the reader
			// misses.
			yield(commit{}, gitError("log", err, &complaint))
		case failed != nil:
			yield(commit{}, failed)
		}
	}
}

// yieldAll yields the commits of in until they end, one cannot be read, or the loop is left.
func yieldAll(in *reader, yield func(commit, error) bool) (failed error, left bool) {
	for {
		c, err := in.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, false
		case err != nil:
			return err, false
		case !yield(c, nil):
			return nil, true
		}
	}
}
