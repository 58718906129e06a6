package cli

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

func workerCommand(a *app) *cobra.Command {
	return a.group("worker", "Look at workers, and operate them", workerListCommand(a), workerShowCommand(a), workerPauseCommand(a), workerResumeCommand(a), workerWaitCommand(a),
		workerWatchCommand(a), workerStackCommand(a), workerInterruptCommand(a), workerRewindCommand(a), workerSkipToCommand(a), workerResetCommand(a), workerWidenCommand(a), workerRebindCommand(a), workerRenameCommand(a), workerDeleteCommand(a))
}

// Workers are what each worker is.
type Workers struct {
	View    admin.View     `json:"view"`
	Workers []admin.Worker `json:"workers"`
}

// Schema implements [render.Answer].
func (w *Workers) Schema() string { return "workers" }

// Items implements [render.List].
func (w *Workers) Items() iter.Seq[render.Answer] {
	return each(w.Workers, func(one admin.Worker) render.Answer { return &listed{one} })
}

// listed is a worker in a list.
type listed struct{ admin.Worker }

func (l *listed) Schema() string      { return "worker" }
func (l *listed) Text(p *render.Page) { p.Line(render.Of(l.Name)) }

// Text implements [render.Answer].
func (w *Workers) Text(p *render.Page) {
	header(p, w.View)
	if len(w.Workers) == 0 {
		p.Line(render.Of("no worker has a checkpoint in this log"))
		return
	}
	rows := make([][]render.Cell, 0, len(w.Workers))
	for i := range w.Workers {
		one := &w.Workers[i]
		rows = append(rows, []render.Cell{
			render.Of(one.Name), stateOf(one), position(one), lagOf(one), count(one.Parked), render.Of(fmt.Sprint(one.Epoch)), render.Of(one.Region),
			render.Of(kindsOf(one)),
		})
	}
	p.Table([]string{"WORKER", "STATE", "POSITION", "LAG", "PARKED", "EPOCH", "REGION", "KINDS"}, rows)
}

func kindsOf(w *admin.Worker) string { return or(strings.Join(w.Kinds, " "), "all") }

func workerListCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "ls", short: "List the workers: what each reads, and how far it is",
		run: func(c *call) (render.Answer, error) {
			s, err := c.surface()
			if err != nil {
				return nil, err
			}
			at, err := s.Status(c.ctx)
			if err != nil {
				return nil, err
			}
			return &Workers{c.seen(at.View), at.Workers}, nil
		},
	})
}

// Worker is all that is known of one.
type Worker struct {
	View   admin.View   `json:"view"`
	Worker admin.Worker `json:"worker"`
}

// Schema implements [render.Answer].
func (w *Worker) Schema() string { return "worker" }

// Text implements [render.Answer].
func (w *Worker) Text(p *render.Page) {
	header(p, w.View)
	one := &w.Worker
	oldest := ""
	if one.Lag.Events > 0 {
		oldest = fmt.Sprintf("event %d of key %s, for %s", one.Lag.Oldest, or(one.Lag.OldestKey, "–"), render.Age(timeOf(one.Lag.Time)))
	}
	lag := lagOf(one)
	lag.Text += " events, " + render.Size(one.Lag.Bytes)
	parked := count(one.Parked)
	if one.Held > 0 {
		parked.Text += fmt.Sprintf(", %d of them held after another one of their key", one.Held)
	}
	p.Facts(
		render.Fact{Name: "worker", Value: render.Strong.In(one.Name)},
		render.Fact{Name: "formerly", Value: render.Of(strings.Join(one.Formerly, ", "))},
		render.Fact{Name: "state", Value: stateOf(one)},
		render.Fact{Name: "since", Value: render.Of(sinceOf(p, one))},
		render.Fact{Name: "paused", Value: render.Of(pauseText(p, one.Pause))},
		render.Fact{Name: "position", Value: position(one)},
		render.Fact{Name: "lag", Value: lag},
		render.Fact{Name: "oldest", Value: render.Of(oldest)},
		render.Fact{Name: "parked", Value: parked},
		render.Fact{Name: "region", Value: render.Of(one.Region)},
		render.Fact{Name: "kinds", Value: render.Of(kindsOf(one))},
		render.Fact{Name: "epoch", Value: render.Of(fmt.Sprint(one.Epoch))},
		render.Fact{Name: "error", Value: render.Bad.In(one.Error)},
	)
	if r := one.Running; r != nil {
		writeRunning(p, r)
	}
}

// writeRunning writes what only the process knows.
func writeRunning(p *render.Page, r *admin.Running) {
	p.Facts(
		render.Fact{Name: "path", Value: render.Of(r.Path)},
		render.Fact{Name: "handled", Value: render.Of(render.Count(r.Handled, "event") + " since it was started")},
		render.Fact{Name: "restarts", Value: render.Of(fmt.Sprintf("%d, %s", r.Restarts, budget(r.Budget)))},
		render.Fact{Name: "attempt", Value: render.Of(number(uint64(max(0, r.Attempt))))},
		render.Fact{Name: "unwritten", Value: render.Warning.In(r.Unwritten)},
	)
	p.Facts(render.Fact{Name: "definition", Value: render.Of(settings(r.Definition))})
	if r.Reason != nil {
		p.Line(render.Faint.In("reason"), render.Strong.In(string(r.Reason.Code)))
		p.Block("  ", r.Why(), render.Usual)
	}
	writeInFlight(p, r.InFlight)
	writeFailing(p, r.Failing, r.MoreFailing)
}

// writeFailing writes what failed and is tried again, of which there is more.
func writeFailing(p *render.Page, list []admin.Failing, more int) {
	if len(list) == 0 {
		return
	}
	rows := make([][]render.Cell, 0, len(list))
	for _, f := range list {
		due := "now"
		if f.Due != nil {
			due = p.In(*f.Due)
		}
		rows = append(rows, []render.Cell{
			render.Of(fmt.Sprint(f.Event)), render.Of(f.Key), render.Of(fmt.Sprint(f.Attempt)), render.Of(due), render.Of(f.Reason.Text),
		})
	}
	p.Table([]string{"FAILING", "KEY", "ATTEMPT", "AGAIN", "REASON"}, rows)
	if more > 0 {
		p.Line(render.Faint.In(fmt.Sprintf("and %d more", more)))
	}
}

// writeInFlight writes the calls of a handler that have not returned.
func writeInFlight(p *render.Page, list []actors.Handling) {
	if len(list) == 0 {
		return
	}
	rows := make([][]render.Cell, 0, len(list))
	for _, h := range list {
		event, interrupted := "–", ""
		if h.Event != 0 {
			event = fmt.Sprint(h.Event)
		}
		if h.Interrupted {
			interrupted = "interrupted"
		}
		rows = append(rows, []render.Cell{
			render.Of(event), render.Of(fmt.Sprintf("%d to %d", h.First, h.Last)), render.Of(h.Key), render.Of(fmt.Sprint(h.Attempt)),
			render.Of(fmt.Sprint(h.Lane)), render.Of(p.Since(h.Since)), render.Warning.In(interrupted),
		})
	}
	p.Table([]string{"IN FLIGHT", "OF", "KEY", "ATTEMPT", "LANE", "FOR", ""}, rows)
}

func pauseText(p *render.Page, pause *admin.Pause) string {
	if pause == nil {
		return ""
	}
	until := "until it is resumed"
	if pause.Until != nil {
		until = "until " + render.When(*pause.Until)
	}
	return fmt.Sprintf("for %s, %s, by %s: %s", p.Since(pause.Since), until, or(pause.By, "unknown"), pause.Reason)
}

func workerShowCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "show", short: "Show all that is known of one worker", args: []argument{workerArgument()},
		run: func(c *call) (render.Answer, error) {
			s, err := c.surface()
			if err != nil {
				return nil, err
			}
			at, one, err := c.find(s, c.args[0])
			if err != nil {
				return nil, err
			}
			return &Worker{c.seen(at.View), *one}, nil
		},
	})
}

// find returns one worker of the status.
func (c *call) find(s *admin.Surface, name string) (admin.Status, *admin.Worker, error) {
	at, err := s.Status(c.ctx)
	if err != nil {
		return at, nil, err
	}
	names := make([]string, len(at.Workers))
	for i := range at.Workers {
		if names[i] = at.Workers[i].Name; names[i] == name {
			return at, &at.Workers[i], nil
		}
	}
	return at, nil, &admin.Error{Code: admin.NotFound, Text: fmt.Sprintf("no worker is called %q", name), Hint: "there are: " + strings.Join(names, ", ")}
}

func workerPauseCommand(a *app) *cobra.Command {
	var until string
	return a.command(spec{
		name: "pause", short: "Let a worker rest: it begins no new batch", args: []argument{workerArgument()},
		long: "A pause is kept over restarts of the program, until the time or until the worker is resumed.",
		flags: func(cmd *cobra.Command) {
			cmd.Flags().StringVar(&until, "until", "", "a time as 2006-01-02T15:04:05Z, or how long, as 2h")
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			name := c.args[0]
			q := admin.PauseRequest{Act: act, Worker: name}
			what := "pause " + name + " until it is resumed"
			if until != "" {
				at, err := c.moment(until)
				if err != nil {
					return nil, err
				}
				q.Until, what = &at, "pause "+name+" until "+render.When(at)
			}
			return c.operate(name, what, "it begins no new batch", []string{"worker", "resume", name}, func(s *admin.Surface) error { return s.Pause(c.ctx, q) })
		},
	})
}

func workerResumeCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "resume", short: "End the pause of a worker, or start one that is halted", args: []argument{workerArgument()},
		change: func(c *call, act admin.Act) (*Change, error) {
			name := c.args[0]
			return c.operate(name, "resume "+name, "it continues", []string{"worker", "pause", name}, func(s *admin.Surface) error {
				return s.Resume(c.ctx, admin.ResumeRequest{Act: act, Worker: name})
			})
		},
	})
}

// operate makes a change of one worker, and says of it what it meets.
func (c *call) operate(name, what, effect string, undo []string, do func(*admin.Surface) error) (*Change, error) {
	s, err := c.surface()
	if err != nil {
		return nil, err
	}
	at, one, err := c.find(s, name)
	if err != nil {
		return nil, err
	}
	if err := do(s); err != nil {
		return nil, err
	}
	met := fmt.Sprintf("%s: %s, at position %d; %s", name, or(stateWord(one), "not running"), one.Position, effect)
	return &Change{View: c.seen(at.View), Change: what, Worker: name, Touches: []string{met}, Undo: c.next(append(undo, "--reason", "…")...)}, nil
}

func stateWord(w *admin.Worker) string {
	if w.Running == nil {
		return ""
	}
	return w.Running.State
}

// moment is a time that is given as such, or as how long it is until then.
func (c *call) moment(said string) (time.Time, error) {
	if d, err := time.ParseDuration(said); err == nil && d > 0 {
		return c.now().Add(d), nil
	}
	t, err := time.Parse(time.RFC3339, said)
	if err != nil {
		return t, usage("write 2006-01-02T15:04:05Z, or how long, as 2h", "%q is no time to come", said)
	}
	return t, nil
}
