package cli

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// Waited is a worker that has come as far as was waited for.
type Waited struct {
	View   admin.View     `json:"view"`
	Worker admin.Worker   `json:"worker"`
	For    string         `json:"for"`
	Took   admin.Duration `json:"took"`
}

// Schema implements [render.Answer].
func (w *Waited) Schema() string { return "waited" }

// Text implements [render.Answer].
func (w *Waited) Text(p *render.Page) {
	header(p, w.View)
	p.Line(render.Good.In(w.Worker.Name+" "+w.For), render.Of("at position "+fmt.Sprint(w.Worker.Position)), render.Faint.In("after "+render.Age(timeOf(w.Took))))
}

// pace is how often a worker that is waited for is looked at.
const pace = 250 * time.Millisecond

func workerWaitCommand(a *app) *cobra.Command {
	var caughtUp bool
	var applied, state string
	return a.command(spec{
		name: "wait", short: "Wait until a worker has caught up, has applied an event, or is in a state", args: []argument{workerArgument()},
		long: "For scripts: it ends with exit code 0 when that is so, with 7 when --timeout has passed, and with 4 when the\n" +
			"worker has halted, or has parked the event, so that it never will be.",
		example: "$T search-index --caught-up --timeout 2m",
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.BoolVar(&caughtUp, "caught-up", false, "until nothing waits for it")
			f.StringVar(&applied, "applied", "", "until it has handled this event, by position or id")
			f.StringVar(&state, "state", "", "until it is in this state, as paused")
		},
		run: func(c *call) (render.Answer, error) {
			asked := 0
			for _, is := range []bool{caughtUp, applied != "", state != ""} {
				if is {
					asked++
				}
			}
			if asked != 1 {
				return nil, usage("give --caught-up, --applied EVENT or --state STATE", "one thing to wait for is needed, and there are %d", asked)
			}
			w := waiting{call: c, name: c.args[0], state: state, began: c.now()}
			if applied != "" {
				s, err := c.surface()
				if err != nil {
					return nil, err
				}
				e, err := s.Event(c.ctx, applied)
				if err != nil {
					return nil, err
				}
				w.event = e.Position
			}
			return w.wait()
		},
	})
}

// waiting is one wait.
type waiting struct {
	*call

	name  string
	event store.Position // that is to be applied, 0 for none
	state string         // that is to be reached, "" for none
	began time.Time
}

func (w *waiting) wait() (*Waited, error) {
	timer := time.NewTicker(pace)
	defer timer.Stop()
	for {
		done, err := w.look()
		if done != nil || err != nil {
			return done, err
		}
		select {
		case <-timer.C:
		case <-w.ctx.Done():
			return nil, &admin.Error{Code: admin.Unreachable, Text: fmt.Sprintf("%s did not get there in time", w.name), Hint: w.next("stuck")}
		}
	}
}

// look looks once; nil: it is not there yet.
func (w *waiting) look() (*Waited, error) {
	s, err := w.surface()
	if err != nil {
		return nil, err
	}
	at, one, err := w.find(s, w.name)
	var e *admin.Error
	if errors.As(err, &e) && e.Code == admin.Unreachable && w.ctx.Err() == nil {
		// The process has ended, and another one may begin: the directory is looked at again.
		w.close()
		w.opened = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	reached, what, err := w.reached(s, one)
	if !reached || err != nil {
		return nil, err
	}
	return &Waited{w.seen(at.View), *one, what, admin.Duration(w.now().Sub(w.began))}, nil
}

// reached reports whether the worker has come as far, and in which words.
func (w *waiting) reached(s *admin.Surface, one *admin.Worker) (bool, string, error) {
	if one.Error != "" {
		return false, "", &admin.Error{Code: admin.Damage, Text: w.name + ": " + one.Error}
	}
	switch {
	case w.state != "":
		return stateOf(one).Text == w.state, "is " + w.state, nil
	case w.event != 0:
		if one.Position >= w.event {
			for p, err := range s.Parked(w.ctx, admin.ParkedQuery{Selection: admin.Selection{At: w.event}, Worker: w.name}) {
				if err != nil {
					return false, "", err
				}
				return false, "", &admin.Error{Code: admin.Refused, Text: fmt.Sprintf("%s has parked event %d: %s", w.name, w.event, p.Error)}
			}
			return true, "has applied event " + strconv.FormatUint(uint64(w.event), 10), nil
		}
	case one.Lag.Events == 0:
		return true, "has caught up", nil
	}
	if r := one.Running; r != nil && r.State == actors.Halted.String() {
		return false, "", &admin.Error{Code: admin.Refused, Text: fmt.Sprintf("%s has halted: %s", w.name, r.Why()), Hint: w.next("stuck")}
	}
	return false, "", nil
}
