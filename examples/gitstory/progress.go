package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress tells how far the work is: as a bar on a terminal, as a line for each tenth elsewhere. Its methods may be called by
// several goroutines at the same time.
type progress struct {
	bar   *progressbar.ProgressBar // nil when not on a terminal
	lines io.Writer

	mu      sync.Mutex
	commits int // to be read
	seen    int // of them
	fresh   int // of those, not in the log before
	events  int // handled by all reactors
}

func newProgress(status *os.File, commits int) *progress {
	p := &progress{lines: status, commits: commits}
	if term.IsTerminal(int(status.Fd())) {
		p.bar = progressbar.NewOptions(commits,
			progressbar.OptionSetWriter(status),
			progressbar.OptionSetDescription("commits"),
			progressbar.OptionShowCount(),
			progressbar.OptionFullWidth(),
			progressbar.OptionOnCompletion(func() { fmt.Fprintln(status) }))
	}
	return p
}

// read counts a commit.
func (p *progress) read(fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	if fresh {
		p.fresh++
	}
	switch {
	case p.bar != nil:
		_ = p.bar.Add(1)
	case p.seen*10/p.commits > (p.seen-1)*10/p.commits:
		fmt.Fprintf(p.lines, "read %d of %d commits\n", p.seen, p.commits)
	}
}

// handled counts the events of a batch.
func (p *progress) handled(events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events += events
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("commits, %d events handled", p.events))
	}
}

// close ends the bar and says what was done.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil && !p.bar.IsFinished() {
		_ = p.bar.Exit()
	}
	fmt.Fprintf(p.lines, "%d new commits, %d events handled\n", p.fresh, p.events)
}
