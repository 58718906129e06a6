package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
	"github.com/penstock-io/penstock/store"
)

func parkedReplayCommand(a *app) *cobra.Command {
	return a.unpark("replay", "Have parked events handled again", "what is handled then cannot be taken back", (*admin.Surface).Replay)
}

func parkedDiscardCommand(a *app) *cobra.Command {
	return a.unpark("discard", "Drop parked events for good; what was held for them is handled", "they are never handled", (*admin.Surface).Discard)
}

// unpark is a command over parked events.
func (a *app) unpark(name, short, final string, do func(*admin.Surface, context.Context, admin.ParkedRequest) ([]admin.Parked, error)) *cobra.Command {
	var q selecting
	return a.command(spec{
		name: name, short: short, args: []argument{workerArgument()}, many: true,
		long: "Give positions, or what all of the events have in common. What is held for them comes with them. More than\n" +
			"1,000 at once need --max, which takes the oldest ones: call it again for the next.",
		flags: func(cmd *cobra.Command) {
			q.flags(cmd, "max", 0)
			cmd.Flags().BoolVar(&q.All, "all", false, "all of them")
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			which, err := q.requests(c)
			if err != nil {
				return nil, err
			}
			s, v, err := c.look()
			if err != nil {
				return nil, err
			}
			worker := c.args[0]
			done := &Change{View: v, Change: name + " parked events of " + worker, Worker: worker, Final: final, Parked: []admin.Parked{}}
			for _, one := range which {
				list, err := do(s, c.ctx, admin.ParkedRequest{Act: act, Selection: one, Worker: worker})
				if err != nil {
					return nil, partly(done, err)
				}
				done.Parked = append(done.Parked, list...)
			}
			done.Touches = []string{render.Count(len(done.Parked), "event")}
			return done, nil
		},
	})
}

// partly is the error of a position after others that were dealt with.
func partly(done *Change, err error) error {
	if len(done.Parked) == 0 {
		return err
	}
	last := done.Parked[len(done.Parked)-1].Position
	return &admin.Error{Code: admin.CodeOf(err), Text: fmt.Sprintf("done up to event %d, and then: %v", last, err)}
}

// requests are the selections of a call: one for each position, or one.
func (q *selecting) requests(c *call) (out []admin.Selection, err error) {
	s, err := q.selected(c)
	if err != nil {
		return nil, err
	}
	asked := s.All || s.Key != "" || s.Error != "" || s.Kind != "" || s.Before != nil
	positions := c.args[1:]
	switch {
	case len(positions) == 0 && !asked:
		return nil, usage("give positions, --key, --error, --kind, --older, or --all", "which events is missing")
	case len(positions) == 0:
		return []admin.Selection{s}, nil
	case asked || s.Max > 0:
		return nil, usage("", "positions and other selections exclude each other")
	}
	for _, text := range positions {
		at, err := strconv.ParseUint(text, 10, 64)
		if err != nil || at == 0 {
			return nil, usage("", "%q is no position of an event", text)
		}
		out = append(out, admin.Selection{At: store.Position(at)})
	}
	return out, nil
}
