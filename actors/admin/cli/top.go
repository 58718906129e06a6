package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

func topCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "top", short: "Watch all workers on a screen, once a second, and pause and resume them",
		long: "Keys: up and down select, enter shows all of a worker, x what it keeps apart, p pauses, r resumes, / filters,\n" +
			"esc goes back, q ends it. Without a terminal, and with --json, it is status.",
		run: func(c *call) (render.Answer, error) {
			at, err := c.status()
			if err != nil || !interactive(c.cmd.InOrStdin(), c.cmd.OutOrStdout()) || c.format() != render.Text {
				return at, err
			}
			return nil, onTerminal(c.ctx, newTop(c), c.cmd.InOrStdin(), c.cmd.OutOrStdout())
		},
	})
}

// topPage is what the screen shows.
type topPage uint8

// The pages. Typing is over one of the others: a filter, or the reason of a change.
//
//	              enter            x
//	allWorkers ----------> details, parkedPage
//	     ^  \                  |
//	     |   p r /             | esc
//	     |      v              |
//	     +--- typing <---------+   enter or esc leave it
const (
	allWorkers topPage = iota
	details
	parkedPage
)

// question is what is being typed.
type question uint8

// The questions.
const (
	nothingAsked question = iota
	filterAsked
	pauseAsked
	resumeAsked
)

// top is what the screen shows. One goroutine changes it.
type top struct {
	call          *call
	style         *render.Printer
	width, height int
	page          topPage
	asked         question
	typed         string // the answer to what is asked, so far
	filter        string
	selected      string // name of the worker
	scroll        int    // lines of a page that are above the screen
	at            Status
	parked        *ParkedList
	lost          error  // why the last look failed; the screen shows the one before
	said          string // what the last change did
	over          bool   // the screen is to end
}

func newTop(c *call) *top { return &top{call: c, style: c.printer(c.cmd)} }

// job asks the target, on another goroutine, and returns what the screen then takes in. No two run
// at a time.
type job func() (then func())

// look looks at the target. The surface is opened again where the last look failed: another process
// may have begun.
func (t *top) look() job {
	again, parkedOf := t.lost != nil, ""
	if t.page == parkedPage {
		parkedOf = t.selected
	}
	c := t.call
	return func() func() {
		if again {
			c.close()
			c.opened = nil
		}
		var parked *ParkedList
		at, err := c.status()
		if err == nil && parkedOf != "" {
			parked, err = c.parkedOf(parkedOf, admin.Selection{Max: 200})
		}
		return func() { t.looked(at, parked, err) }
	}
}

func (t *top) looked(at *Status, parked *ParkedList, err error) {
	if t.lost = err; err == nil {
		t.at, t.parked = *at, parked
	}
	t.choose(0)
}

// key does what a key says: its character, or "up", "down", "enter", "esc", "backspace" and
// "ctrl+c". nil: the target is not asked.
func (t *top) key(key string) job {
	if t.asked != nothingAsked && key != "ctrl+c" {
		return t.typing(key)
	}
	switch key {
	case "q", "ctrl+c":
		t.over = true
	case "esc":
		if t.page == allWorkers {
			t.filter = ""
		}
		t.page, t.parked = allWorkers, nil
	case "up", "k":
		t.move(-1)
	case "down", "j":
		t.move(1)
	case "enter":
		t.page, t.scroll = details, 0
	case "x":
		t.page, t.parked, t.scroll = parkedPage, nil, 0
		return t.look()
	case "/":
		t.asked, t.typed = filterAsked, t.filter
	case "p", "r":
		if t.selected != "" {
			t.asked, t.typed = map[string]question{"p": pauseAsked, "r": resumeAsked}[key], ""
		}
	}
	return nil
}

// prompt is what stands before what is typed.
func (t *top) prompt() string {
	switch t.asked {
	case filterAsked:
		return "filter: "
	case pauseAsked:
		return "pause " + t.selected + ", because: "
	case resumeAsked:
		return "resume " + t.selected + ", because: "
	case nothingAsked:
	}
	return ""
}

// typing takes a key for what is asked.
func (t *top) typing(key string) job {
	switch key {
	case "esc":
		t.asked = nothingAsked
	case "backspace":
		if all := []rune(t.typed); len(all) > 0 {
			t.typed = string(all[:len(all)-1])
		}
	case "enter":
		asked, text := t.asked, strings.TrimSpace(t.typed)
		t.asked = nothingAsked
		switch {
		case asked == filterAsked:
			t.filter = text
			t.choose(0)
		case text == "":
			t.said = "nothing was done: a change needs a reason"
		default:
			return t.change(asked, text)
		}
	case "up", "down":
	default:
		t.typed += key
	}
	return nil
}

// change pauses or resumes the selected worker.
func (t *top) change(asked question, reason string) job {
	c, name := t.call, t.selected
	act := admin.Act{Reason: reason, By: admin.Someone()}
	return func() func() {
		said := "paused " + name
		s, err := c.surface()
		switch {
		case err != nil:
		case asked == pauseAsked:
			err = s.Pause(c.ctx, admin.PauseRequest{Act: act, Worker: name})
		default:
			said = "resumed " + name
			err = s.Resume(c.ctx, admin.ResumeRequest{Act: act, Worker: name})
		}
		if err != nil {
			said = err.Error()
		}
		return func() { t.said = said }
	}
}

// lookEvery is how often the screen looks.
const lookEvery = time.Second

// shown are the workers that the filter lets through.
func (t *top) shown() (list []admin.Worker) {
	for _, w := range t.at.Workers {
		path := w.Name
		if w.Running != nil {
			path = w.Running.Path
		}
		if strings.Contains(path, t.filter) || strings.HasPrefix(stateOf(&w).Text, t.filter) {
			list = append(list, w)
		}
	}
	return list
}

// move moves the selection, or the page.
func (t *top) move(by int) {
	if t.page == allWorkers {
		t.choose(by)
		return
	}
	t.scroll = max(t.scroll+by, 0)
}

// choose moves the selection by some rows, to a worker that is shown.
func (t *top) choose(by int) {
	list := t.shown()
	if len(list) == 0 {
		t.selected = ""
		return
	}
	at := 0
	for i, w := range list {
		if w.Name == t.selected {
			at = i
		}
	}
	t.selected = list[min(max(at+by, 0), len(list)-1)].Name
}
