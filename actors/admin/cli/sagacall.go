package cli

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
)

// sagaCall is a command that asks something of an instance.
type sagaCall struct {
	name, short string
	call        admin.SagaCall
	final       string // why nothing takes it back; "" where something does
	// args stand after the key, and are taken in by take.
	args []argument
	take func(c *call, q *admin.SagaRequest) error
	// flags of its own.
	flags func(*cobra.Command)
}

// sagaCalls are those that there are.
func sagaCalls() []sagaCall {
	const tried = "what was tried may have happened"
	return []sagaCall{
		{name: "retry", short: "Repeat what an instance is stuck at, or try at once what is in flight", call: admin.SagaRetry, final: tried},
		{name: "skip", short: "Pass over the undo that an instance is stuck at, or that is in flight", call: admin.SagaSkipUndo, final: "it ends as failed"},
		settleCall(),
		{name: "abandon", short: "End an instance as failed, whatever was not undone", call: admin.SagaAbandon, final: "what has ended does not continue"},
		{name: "cancel", short: "Have an instance undo what it did, and end", call: admin.SagaCancel, final: "what is undone does not go forward again"},
		{name: "suspend", short: "Stop an instance until it is resumed: its inputs are held, and it begins no action", call: admin.SagaSuspend},
		{name: "resume", short: "Let a suspended instance continue", call: admin.SagaResume},
		{
			name: "fire", short: "Have a timer of an instance fire now", call: admin.SagaFire, final: "what it leads to cannot be taken back",
			args: []argument{{"TIMER", nil}},
			take: func(c *call, q *admin.SagaRequest) error { q.Timer = c.args[2]; return nil },
		},
		{name: "purge", short: "Forget an instance that has ended", call: admin.SagaPurge, final: "its events stay, and its key may start again"},
	}
}

// settleCall says what happened in an action.
func settleCall() sagaCall {
	var done, refused bool
	var result string
	return sagaCall{
		name: "settle", short: "Say what has happened in an action, such as charge or 'undo charge', whose outcome is not known",
		call: admin.SagaSettleDone, final: "it continues as if that had been answered", args: []argument{{"ACTION", nil}},
		flags: func(cmd *cobra.Command) {
			f := cmd.Flags()
			f.BoolVar(&done, "done", false, "it has happened")
			f.BoolVar(&refused, "refused", false, "it has not happened, and will not")
			f.StringVar(&result, "result", "", "what it returned, as JSON; with --done")
		},
		take: func(c *call, q *admin.SagaRequest) error {
			q.Action = c.args[2]
			switch {
			case done == refused:
				return usage("", "give one of --done and --refused")
			case refused && result != "":
				return usage("", "what was refused has no --result")
			case result != "" && !json.Valid([]byte(result)):
				return usage("", "--result is no JSON")
			case refused:
				q.Call = admin.SagaSettleRefused
			}
			q.Result = json.RawMessage(result)
			return nil
		},
	}
}

func sagaCallCommands(a *app) (list []*cobra.Command) {
	for _, one := range sagaCalls() {
		list = append(list, a.sagaCall(one))
	}
	return list
}

func (a *app) sagaCall(s sagaCall) *cobra.Command {
	return a.command(spec{
		name: s.name, short: s.short, args: append([]argument{sagaArgument(), keyArgument()}, s.args...), flags: s.flags,
		long: "It is kept in the log as an event with who asked and why, and has its effect when the saga runs. It needs the\n" +
			"definition of the saga: that of the program that runs it, or of a program that mounts this command.",
		change: func(c *call, act admin.Act) (*Change, error) {
			q := admin.SagaRequest{Act: act, Saga: c.args[0], Key: c.args[1], Call: s.call}
			if s.take != nil {
				if err := s.take(c, &q); err != nil {
					return nil, err
				}
			}
			surface, v, err := c.look()
			if err != nil {
				return nil, err
			}
			asked, err := surface.CallSaga(c.ctx, q)
			if err != nil {
				return nil, err
			}
			out := &Change{View: v, Change: s.name + " " + q.Saga + " " + q.Key, Touches: []string{asked.Text}, Final: s.final, Asked: &asked}
			if asked.Undo != "" {
				out.Undo = c.next("saga", string(asked.Undo), q.Saga, q.Key, "--reason", "…")
			}
			return out, nil
		},
	})
}
