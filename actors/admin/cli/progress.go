package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// lineEvery is how often progress is told where there is no terminal.
const lineEvery = 5 * time.Second

// progress tells how far something has come, on stderr: as a bar where that is a terminal, else as
// a line every five seconds, and not at all with --quiet.
type progress struct {
	what  string
	to    io.Writer
	now   func() time.Time
	began time.Time
	told  time.Time
	bar   *progressbar.ProgressBar // nil: lines
	quiet bool
}

func (c *call) progress(what string) *progress {
	to := c.cmd.ErrOrStderr()
	p := &progress{what: what, to: to, now: c.app.now, quiet: c.flags.quiet}
	p.began = p.now()
	p.told = p.began
	if terminal(to) && !p.quiet {
		p.bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(to), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p
}

// bytes tells that so many are done.
func (p *progress) bytes(done, total int64) {
	now := p.now()
	switch {
	case p.quiet:
	case p.bar != nil:
		p.bar.ChangeMax64(max(total, 1))
		_ = p.bar.Set64(done) // a bar that cannot be drawn is no error of what it shows
	case now.Sub(p.told) >= lineEvery:
		p.told = now
		took := now.Sub(p.began)
		rate := float64(done) / took.Seconds()
		left := "?"
		if rate > 0 && total > 0 {
			left = render.Age(time.Duration(float64(total-done) / rate * float64(time.Second)))
		}
		_, _ = fmt.Fprintf(p.to, "%s: %s of %s, %s/s, %s left\n", p.what, render.Size(done), render.Size(total), render.Size(int64(rate)), left)
	}
}

// copied is bytes, for a copy.
func (p *progress) copied(at store.CopyProgress) { p.bytes(at.Bytes, at.OfBytes) }

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
}
