package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
)

// patience is how long a completion may take.
const patience = 3 * time.Second

// complete completes the argument after args. A target is a directory; what stands after it is
// asked of the target. What cannot be found out is not completed.
func (a *app) complete(cmd *cobra.Command, s *spec, args []string) ([]string, cobra.ShellCompDirective) {
	ctx, done := context.WithTimeout(context.Background(), patience)
	defer done()
	c := &call{app: a, ctx: ctx, cmd: cmd}
	defer c.close()
	if s.free {
		return nil, cobra.ShellCompDirectiveDefault
	}
	at := len(args)
	c.target = c.given()
	if c.target == "" || at > 0 && at >= len(s.args) {
		if at == 0 {
			return nil, cobra.ShellCompDirectiveFilterDirs
		}
		c.target, c.args, at = args[0], args[1:], at-1
	} else {
		c.args = args
	}
	if at >= len(s.args) || s.args[at].complete == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.args[at].complete(c), cobra.ShellCompDirectiveNoFileComp
}

// workerNames are those of the target.
func workerNames(c *call) []string {
	s, err := c.surface()
	if err != nil {
		return nil
	}
	at, err := s.Names(c.ctx, admin.NameQuery{Field: admin.Workers, Limit: 1_000})
	if err != nil {
		return nil
	}
	names := make([]string, len(at.Names))
	for i, n := range at.Names {
		names[i] = n.Text
	}
	return names
}

// workerArgument is one that names a worker.
func workerArgument() argument { return argument{"WORKER", workerNames} }
