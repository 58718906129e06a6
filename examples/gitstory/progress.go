package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far the work is, one stage after the other: as a bar on a terminal, as a line
// for each tenth elsewhere. Its methods may be called by several goroutines at the same time.
type progress struct {
	status   *os.File
	terminal bool

	mu    sync.Mutex
	stage stage
	total int // steps of the stage
	done  int // of them
	bar   *progressbar.ProgressBar

	fresh  int // commits that were not in the log before
	events int // handled by all reactors
}

type stage string

const (
	appending   stage = "commits compared"
	catchingUp  stage = "events handled"
	barInterval       = 50 * time.Millisecond
)

func newProgress(status *os.File) *progress {
	return &progress{status: status, terminal: term.IsTerminal(int(status.Fd()))}
}

// begin ends the stage before, if there is one, and begins another.
func (p *progress) begin(s stage, steps int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endStage()
	p.stage, p.total, p.done = s, steps, 0
	if p.terminal && steps > 0 {
		p.bar = progressbar.NewOptions(steps,
			progressbar.OptionSetWriter(p.status),
			progressbar.OptionSetDescription(string(s)),
			progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(barInterval))
	}
}

// appended counts a commit of git that is in the log: since now, if it is fresh.
func (p *progress) appended(fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if fresh {
		p.fresh++
	}
	p.step(1)
}

// handled counts the events of a batch. While commits are appended they do not move the bar.
func (p *progress) handled(events int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events += events
	if p.stage == catchingUp {
		p.step(events)
	}
}

func (p *progress) step(n int) {
	before := p.done
	p.done = min(p.total, p.done+n)
	switch {
	case p.total == 0:
	case p.bar != nil:
		_ = p.bar.Set(p.done)
	case p.done*10/p.total > before*10/p.total:
		fmt.Fprintf(p.status, "%s: %d of %d\n", p.stage, p.done, p.total)
	}
}

// complete fills the bar: it lacks what was handled while its length was queried.
func (p *progress) complete() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.step(p.total - p.done)
}

func (p *progress) endStage() {
	if p.bar != nil {
		_ = p.bar.Exit() // leaves it as it stands
		p.bar = nil
		fmt.Fprintln(p.status)
	}
}

// say ends the stage and gives text a line of its own.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endStage()
	fmt.Fprintln(p.status, text)
}

// end says what was done.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endStage()
	fmt.Fprintf(p.status, "new commits: %d, events handled: %d\n", p.fresh, p.events)
}
