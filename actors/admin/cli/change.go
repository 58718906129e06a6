package cli

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/actors/admin/cli/render"
)

// Change is what a command has changed or, of a dry run, would change.
type Change struct {
	View   admin.View `json:"view"`
	Change string     `json:"change"` // in a few words, as in "pause bill"
	Worker string     `json:"worker,omitempty"`
	// Touches is what it concerns, a sentence each.
	Touches []string `json:"touches"`
	// Undo is the command that takes it back; where there is none, Final says why.
	Undo   string `json:"undo,omitempty"`
	Final  string `json:"final,omitempty"`
	Reason string `json:"reason,omitempty"`
	By     string `json:"by,omitempty"`
	DryRun bool   `json:"dryRun"`
	// One of these is all that is known of what it did, where it is more than the words above.
	Outcome  *admin.Outcome      `json:"outcome,omitempty"`
	Parked   []admin.Parked      `json:"parked,omitempty"` // that are replayed or discarded
	Appended *admin.Appended     `json:"appended,omitempty"`
	Retained *admin.Retained     `json:"retained,omitempty"`
	Erased   *admin.ErasedEvents `json:"erased,omitempty"`
	Repaired *Repaired           `json:"repaired,omitempty"`
	InFlight []actors.Handling   `json:"inFlight,omitempty"` // that was interrupted
	Asked    *admin.SagaAsked    `json:"asked,omitempty"`
}

// Schema implements [render.Answer].
func (c *Change) Schema() string { return "change" }

// Text implements [render.Answer].
func (c *Change) Text(p *render.Page) {
	header(p, c.View)
	if c.DryRun {
		p.Line(render.Warning.In("would "+c.Change), render.Faint.In("(dry run: nothing was done)"))
	} else {
		p.Line(render.Good.In("done: "+c.Change), render.Of("for: "+c.Reason), render.Of("by: "+c.By))
	}
	for _, what := range c.Touches {
		p.Block("  ", what, render.Usual)
	}
	const most = 20
	for i, one := range c.Parked {
		if i == most {
			p.Line(render.Of(fmt.Sprintf("  and %d more, all with --json", len(c.Parked)-most)))
			break
		}
		first, _, _ := strings.Cut(one.Error, "\n")
		p.Line(render.Of(fmt.Sprintf("  %d", one.Position)), render.Of("of key "+one.Key), parkedState(&one), render.Of(render.Clip(first, 80)))
	}
	if c.Undo != "" {
		p.Line(render.Of("undo: " + c.Undo))
	} else {
		p.Line(render.Of("undo: none, " + c.Final))
	}
}

// changeFlags are those of each command that changes something.
func changeFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("reason", "", "why, for the audit event")
	f.String("by", "", "who decided, for the audit event (the user and the machine)")
	f.Bool("dry-run", false, "only say what it would touch")
	f.Bool("yes", false, "do it without asking")
}

// make makes a change as the rules of changes say.
func (c *call) make(do func(*call, admin.Act) (*Change, error)) error {
	f := c.cmd.Flags()
	var act admin.Act
	act.Reason, _ = f.GetString("reason")
	act.By, _ = f.GetString("by")
	act.DryRun, _ = f.GetBool("dry-run")
	yes, _ := f.GetBool("yes")
	if act.By == "" {
		act.By = admin.Someone()
	}
	ask := !yes && !act.DryRun
	person := interactive(c.cmd.InOrStdin(), c.cmd.OutOrStdout()) && terminal(c.cmd.ErrOrStderr())
	switch {
	case act.DryRun:
	case ask && !person:
		return usage("give --yes and --reason, or --dry-run to see what it would touch", "without a terminal a change needs --yes and --reason")
	case act.Reason == "":
		return usage("give --reason, or --dry-run to see what it would touch", "a change needs a reason")
	}
	if ask {
		if sure, err := c.ask(do, act); err != nil || !sure {
			return err
		}
	}
	done, err := do(c, act)
	if err != nil {
		return err
	}
	done.Reason, done.By, done.DryRun = act.Reason, act.By, act.DryRun
	return c.printer(c.cmd).Print(done)
}

// ask shows what a change would touch on stderr, and asks.
func (c *call) ask(do func(*call, admin.Act) (*Change, error), act admin.Act) (sure bool, err error) {
	act.DryRun = true
	would, err := do(c, act)
	if err != nil {
		return false, err
	}
	would.DryRun = true
	p := c.printer(c.cmd)
	p.To, p.Format = c.cmd.ErrOrStderr(), render.Text
	if err := p.Print(would); err != nil {
		return false, err
	}
	_, _ = fmt.Fprint(c.cmd.ErrOrStderr(), "Do it? [y/N] ")
	said, _ := bufio.NewReader(c.cmd.InOrStdin()).ReadString('\n') // no answer is no
	switch strings.ToLower(strings.TrimSpace(said)) {
	case "y", "yes":
		return true, nil
	}
	return false, &admin.Error{Code: admin.Refused, Text: "it was not done: you did not say yes"}
}
