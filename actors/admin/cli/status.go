package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// Status is what all workers do.
type Status struct{ admin.Status }

// Schema implements [render.Answer].
func (s *Status) Schema() string { return "status" }

func (s *Status) exit() int {
	if stands(&s.Status) {
		return exitFinding
	}
	return exitFine
}

// Text implements [render.Answer].
func (s *Status) Text(p *render.Page) {
	header(p, s.View)
	if s.Error != "" {
		p.Line(render.Bad.In("the system has stopped:"), render.Of(s.Error))
	}
	if len(s.Workers) == 0 {
		p.Line(render.Of("no worker has a checkpoint in this log"))
		return
	}
	var rows [][]render.Cell
	var above []string
	for i := range s.Workers {
		w := &s.Workers[i]
		groups := groupsOf(w)
		for depth := range groups {
			if depth >= len(above) || strings.Join(groups[:depth+1], "/") != strings.Join(above[:depth+1], "/") {
				path := strings.Join(groups[:depth+1], "/")
				rows = append(rows, []render.Cell{
					render.Faint.In(strings.Repeat("  ", depth) + groups[depth] + "/"), {}, {}, {}, {}, {}, {}, render.Faint.In(s.group(path)),
				})
			}
		}
		above = groups
		state := stateOf(w)
		rows = append(rows, []render.Cell{
			render.Of(strings.Repeat("  ", len(groups)) + w.Name), state, render.Of(sinceOf(p, w)), lagOf(w), render.Of(behind(w)),
			count(w.Parked), position(w), render.Of(shortReason(w)),
		})
	}
	p.Table([]string{"WORKER", "STATE", "SINCE", "LAG", "OLDEST", "PARKED", "POSITION", "REASON"}, rows)
}

// group says how the children of a group are restarted.
func (s *Status) group(path string) string {
	for _, g := range s.Groups {
		if g.Path == path {
			return g.Strategy + ", " + budget(g.Budget)
		}
	}
	return ""
}

// budget is how many restarts are left.
func budget(b admin.Budget) string {
	return fmt.Sprintf("%d of %d restarts left within %s", b.Left, b.Of, render.Age(timeOf(b.Period)))
}

// groupsOf are the groups above a worker that runs.
func groupsOf(w *admin.Worker) []string {
	if w.Running == nil {
		return nil
	}
	path := strings.Split(w.Running.Path, "/")
	return path[:len(path)-1]
}

// stateOf is a word and its colour: "–" where no process says it.
func stateOf(w *admin.Worker) render.Cell {
	switch {
	case w.Running == nil && w.Pause != nil:
		return render.Warning.In(actors.Paused.String())
	case w.Running == nil:
		return render.Faint.In("–")
	case w.Running.Stalled:
		return render.Bad.In(w.Running.State + ", stalled")
	}
	switch w.Running.State {
	case actors.Starting.String(), actors.Idle.String(), actors.Running.String(), actors.Ended.String():
		return render.Good.In(w.Running.State)
	case actors.Throttled.String(), actors.Paused.String(), actors.Retrying.String():
		return render.Warning.In(w.Running.State)
	}
	return render.Bad.In(w.Running.State)
}

func sinceOf(p *render.Page, w *admin.Worker) string {
	switch {
	case w.Running != nil:
		return p.Since(w.Running.Since)
	case w.Pause != nil:
		return p.Since(w.Pause.Since)
	}
	return ""
}

// lagOf is how many events wait.
func lagOf(w *admin.Worker) render.Cell {
	if w.Lag.AtLeast {
		return render.Warning.In(fmt.Sprintf("%d+", w.Lag.Events))
	}
	return render.Of(strconv.Itoa(w.Lag.Events))
}

// behind is how long the oldest of those waits.
func behind(w *admin.Worker) string {
	if w.Lag.Events == 0 {
		return ""
	}
	return render.Age(timeOf(w.Lag.Time))
}

// count is a number that should be 0.
func count(n int) render.Cell {
	if n == 0 {
		return render.Of("0")
	}
	return render.Bad.In(strconv.Itoa(n))
}

func position(w *admin.Worker) render.Cell { return render.Of(fmt.Sprint(w.Position)) }

// shortReason is why a worker is as it is, on one line.
func shortReason(w *admin.Worker) string {
	why := w.Error
	if w.Running != nil && w.Running.Reason != nil {
		why = w.Running.Why()
	}
	if why == "" && w.Pause != nil {
		why = w.Pause.Reason
	}
	first, _, _ := strings.Cut(why, "\n")
	return render.Clip(first, 60)
}

func statusCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "status", short: "Show all workers: states, lag, parked events",
		long: "It ends with exit code 5 where a worker is halted, stalled or cannot be read, or the system has stopped.",
		run:  func(c *call) (render.Answer, error) { return c.status() },
	})
}

// status asks for it.
func (c *call) status() (*Status, error) {
	s, err := c.surface()
	if err != nil {
		return nil, err
	}
	at, err := s.Status(c.ctx)
	at.View = c.seen(at.View)
	return &Status{at}, err
}
