package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

// Stack is where the handlers of a worker are that have not returned.
type Stack struct {
	View   admin.View `json:"view"`
	Worker string     `json:"worker"`
	Stack  string     `json:"stack"`
}

// Schema implements [render.Answer].
func (s *Stack) Schema() string { return "stack" }

// Text implements [render.Answer].
func (s *Stack) Text(p *render.Page) {
	header(p, s.View)
	if s.Stack == "" {
		p.Line(render.Good.In("no handler of " + s.Worker + " is at work"))
		return
	}
	p.Block("", s.Stack, render.Usual)
}

func workerStackCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "stack", short: "Show where the handler of a worker is that does not return", args: []argument{workerArgument()},
		long: "It stops the process that runs the worker for a moment.",
		run: func(c *call) (render.Answer, error) {
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			text, err := s.Stack(c.ctx, c.args[0])
			return &Stack{v, c.args[0], text}, err
		},
	})
}

func workerInterruptCommand(a *app) *cobra.Command {
	return a.command(spec{
		name: "interrupt", short: "End the context of a handler that does not return", args: []argument{workerArgument()}, many: true,
		long: "With a position that of the handler which has this event in flight, else those of all lanes. A handler that\n" +
			"returns an error then has made an attempt at its event; one that ignores its context stays.",
		change: func(c *call, act admin.Act) (*Change, error) {
			q := admin.InterruptRequest{Act: act, Worker: c.args[0]}
			switch len(c.args) {
			case 1:
			case 2:
				at, err := strconv.ParseUint(c.args[1], 10, 64)
				if err != nil {
					return nil, usage("", "%q is no position of an event", c.args[1])
				}
				q.Event = store.Position(at)
			default:
				return nil, usage("", "one position at a time")
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			held, err := s.Interrupt(c.ctx, q)
			if err != nil {
				return nil, err
			}
			done := &Change{View: v, Change: "interrupt " + q.Worker, Worker: q.Worker, Final: "the attempt is made", InFlight: held}
			for _, h := range held {
				done.Touches = append(done.Touches, fmt.Sprintf("events %d to %d, attempt %d, key %s", h.First, h.Last, h.Attempt, or(h.Key, "–")))
			}
			return done, nil
		},
	})
}

// handlerFrames are the first frames of a stack, which say where a handler is.
func handlerFrames(stack string) string {
	const most = 16
	all := strings.Split(strings.TrimSpace(stack), "\n")
	if len(all) > most {
		all = append(all[:most], "…")
	}
	return strings.Join(all, "\n")
}
